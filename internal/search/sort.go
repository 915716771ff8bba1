package search

import (
	"context"

	"mox/imap"
)

// Sort orders the messages at positions, which ascend, by the criteria, and those that are
// equal by position. RFC 5256 §3
func (k *Keys) Sort(ctx context.Context, mb Mailbox, positions []int, criteria []imap.SortCriterion) ([]int, error) {
	var n needs
	for _, c := range criteria {
		if kind := kindOf(c.Key); kind != columnNone {
			n.columns[kind] = true
		}
	}
	var t *table
	var rows []int
	if n.columns != [columnKinds]bool{} {
		var err error
		if t, rows, err = k.get(ctx, mb, positions, n); err != nil {
			return nil, err
		}
	}
	order := make([]int32, len(positions)) // Indexes in positions.
	for i := range order {
		order[i] = int32(i)
	}
	r := radix{values: make([]uint64, len(positions)), spare: make([]int32, len(positions))}
	// The last criterion first, since each sorting keeps the order of what is equal.
	for i := len(criteria) - 1; i >= 0; i-- {
		c := criteria[i]
		if given(criteria[:i], c.Key) {
			continue // All that is left to it is equal.
		}
		for j, pos := range positions {
			var v uint64
			switch c.Key {
			case imap.SortArrival:
				v = uint64(mb.Index.At(pos).ReceivedUnix()) ^ 1<<63
			case imap.SortSize:
				v = uint64(mb.Index.At(pos).Size)
			default:
				v = uint64(t.columns[kindOf(c.Key)].ranks[rows[j]])
			}
			if c.Reverse {
				v = ^v
			}
			r.values[j] = v
		}
		order = r.sort(order)
	}
	sorted := make([]int, len(order))
	for i, j := range order {
		sorted[i] = positions[j]
	}
	return sorted, nil
}

func given(criteria []imap.SortCriterion, key imap.SortKey) bool {
	for _, c := range criteria {
		if c.Key == key {
			return true
		}
	}
	return false
}

// radix sorts indexes by their values, and keeps the order of those that are equal.
type radix struct {
	values []uint64
	spare  []int32
}

// sort returns the indexes sorted. It may use the slice for what it returns next time.
func (r *radix) sort(order []int32) []int32 {
	var differ uint64 // Bits that are not the same in all.
	for _, v := range r.values {
		differ |= v ^ r.values[0]
	}
	const bits = 11
	var counts [1 << bits]int32
	for shift := 0; shift < 64; shift += bits {
		if differ>>shift&(1<<bits-1) == 0 {
			continue
		}
		clear(counts[:])
		for _, v := range r.values {
			counts[v>>shift&(1<<bits-1)]++
		}
		next := int32(0)
		for i, n := range counts {
			counts[i] = next
			next += n
		}
		out := r.spare
		for _, j := range order {
			c := &counts[r.values[j]>>shift&(1<<bits-1)]
			out[*c] = j
			*c++
		}
		order, r.spare = out, order
	}
	return order
}
