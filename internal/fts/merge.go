package fts

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// dropKeys is how many blocks of lists one commit removes.
const dropKeys = 10_000

// Maintain merges segments where there are several of about the same size, or many of
// their messages are gone, and removes what merges have left, also those that were
// interrupted. It is called after a batch was applied, or messages were removed. When ctx
// ends, it can be called again.
func (x *Index) Maintain(ctx context.Context) error {
	x.write.Lock()
	defer x.write.Unlock()
	for {
		if err := x.dropLists(ctx); err != nil {
			return err
		}
		var plan []segment
		err := x.view(func(tx *bolt.Tx) error {
			l, err := segments(tx)
			plan = planMerge(l)
			return err
		})
		if err != nil || plan == nil {
			return err
		}
		if err := x.merge(ctx, plan); err != nil {
			return err
		}
	}
}

// level returns the size class of a segment.
func (s *segment) level() int { return bits.Len64(uint64(s.messages)) / bits.Len(mergeRun-1) }

// planMerge returns segments to merge, next to each other, or none.
func planMerge(l []segment) []segment {
	for i, s := range l {
		if s.removed*mergeRun >= s.messages {
			return l[i : i+1]
		}
	}
	top := 0
	for _, s := range l {
		top = max(top, s.level())
	}
	for level := 0; level <= top; level++ {
		start := 0
		for end := range len(l) + 1 {
			if end < len(l) && l[end].level() <= level {
				continue
			}
			if end-start >= mergeRun {
				return l[start:end]
			}
			start = end + 1
		}
	}
	return nil
}

// merge replaces segments by one. All its commits but the last write what is not used
// before that.
func (x *Index) merge(ctx context.Context, old []segment) error {
	s := segment{first: old[0].first, last: old[len(old)-1].last}
	removed := int64(0)
	for _, o := range old {
		s.messages += o.messages - o.removed
		removed += o.removed
	}
	m := merger{old: old}
	if removed > 0 {
		var err error
		if m.alive, err = x.textIDs(s.first, s.last); err != nil {
			return err
		}
		if len(m.alive) > 0 {
			s.first, s.last = m.alive[0], m.alive[len(m.alive)-1]
		}
		m.filter = true
	}
	for from, more := uint32(0), true; more; {
		err := x.update(ctx, func(tx *bolt.Tx, st *state) (err error) {
			if s.number == 0 {
				s.number = st.next
				st.next++
			}
			if from, more, err = m.step(tx, &s, from); err != nil || more {
				return err
			}
			for _, o := range old {
				if err := tx.Bucket(bucketSegments).Delete(o.key()); err != nil {
					return err
				}
			}
			if s.messages == 0 {
				return nil
			}
			return s.put(tx)
		})
		if err != nil {
			return fmt.Errorf("merge segments: %w", err)
		}
	}
	for next := s.first; next != 0; {
		err := x.update(ctx, func(tx *bolt.Tx, st *state) (err error) {
			next, err = x.packTexts(tx, st, next, s.last)
			return err
		})
		if err != nil {
			return fmt.Errorf("merge texts: %w", err)
		}
	}
	return nil
}

// merger is a merge in progress.
type merger struct {
	old    []segment
	filter bool
	alive  []int64 // Ids of messages that are still there, if filter is set.
	ids    []int64
}

// step merges lists from a trigram on, and returns where to go on.
func (m *merger) step(tx *bolt.Tx, s *segment, from uint32) (next uint32, more bool, err error) {
	w := listWriter{lists: tx.Bucket(bucketLists), number: s.number}
	readers := make([]listReader, len(m.old))
	for i := range readers {
		readers[i] = listReader{cursor: tx.Bucket(bucketLists).Cursor(), number: m.old[i].number}
		if err := readers[i].seek(from); err != nil {
			return 0, false, err
		}
	}
	var list []byte
	// What is written must not move what is read: it is put at the end of the step.
	var pending listBuffer
	for pending.size < commitSize {
		tri, found := uint32(trigrams), false
		for i := range readers {
			if r := &readers[i]; !r.done && r.tri < tri {
				tri, found = r.tri, true
			}
		}
		if !found {
			return 0, false, pending.write(&w)
		}
		m.ids = m.ids[:0]
		for i := range readers {
			r := &readers[i]
			if r.done || r.tri != tri {
				continue
			}
			if m.ids, err = appendIDs(m.ids, m.old[i].first, r.list); err != nil {
				return 0, false, err
			}
			if err := r.next(); err != nil {
				return 0, false, err
			}
		}
		if m.filter {
			m.ids = intersect(m.ids, m.alive)
		}
		list = list[:0]
		for prev, l := s.first, m.ids; len(l) > 0; l = l[1:] {
			list = appendDelta(list, l[0]-prev)
			prev = l[0]
		}
		pending.add(tri, int64(len(m.ids)), list)
		next = tri + 1
	}
	return next, true, pending.write(&w)
}

// listBuffer has lists that are written later.
type listBuffer struct {
	tris []uint32
	ns   []int64
	ends []int
	data []byte
	size int
}

func (b *listBuffer) add(tri uint32, n int64, list []byte) {
	if n == 0 {
		return
	}
	b.tris, b.ns = append(b.tris, tri), append(b.ns, n)
	b.data = append(b.data, list...)
	b.ends = append(b.ends, len(b.data))
	b.size += len(list)
}

func (b *listBuffer) write(w *listWriter) error {
	start := 0
	for i, tri := range b.tris {
		if err := w.add(tri, b.ns[i], b.data[start:b.ends[i]]); err != nil {
			return err
		}
		start = b.ends[i]
	}
	return w.flush()
}

// intersect keeps of ascending ids those that are also in others, in place.
func intersect(ids, others []int64) []int64 {
	out := ids[:0]
	for _, id := range ids {
		for len(others) > 0 && others[0] < id {
			// Steps grow, so that a few ids in many are found soon.
			n := 1
			for n < len(others) && others[n] < id {
				others = others[n:]
				n *= 2
			}
			if n > 1 {
				i, _ := slices.BinarySearch(others[:min(n, len(others))], id)
				others = others[i:]
			} else {
				others = others[1:]
			}
		}
		if len(others) > 0 && others[0] == id {
			out = append(out, id)
		}
	}
	return out
}

// dropLists removes lists of segments that there are not (any more).
func (x *Index) dropLists(ctx context.Context) error {
	for {
		// Without garbage, nothing is to be written.
		garbage := false
		err := x.view(func(tx *bolt.Tx) error {
			n, err := garbageFrom(tx)
			garbage = n != nil
			return err
		})
		if err != nil || !garbage {
			return err
		}
		err = x.update(ctx, func(tx *bolt.Tx, _ *state) error {
			start, err := garbageFrom(tx)
			if err != nil || start == nil {
				return err
			}
			number := bytes.Clone(start[:4])
			var keys [][]byte
			c := tx.Bucket(bucketLists).Cursor()
			for k, _ := c.Seek(number); bytes.HasPrefix(k, number) && len(keys) < dropKeys; k, _ = c.Next() {
				keys = append(keys, k)
			}
			for _, k := range keys {
				if err := tx.Bucket(bucketLists).Delete(k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("remove lists: %w", err)
		}
	}
}

// garbageFrom returns the first key of lists without a segment, nil if there are none.
func garbageFrom(tx *bolt.Tx) ([]byte, error) {
	segs := tx.Bucket(bucketSegments)
	c := tx.Bucket(bucketLists).Cursor()
	for k, _ := c.First(); k != nil; {
		if len(k) != 7 {
			return nil, fmt.Errorf("%w: key of lists has %d octets", ErrDamaged, len(k))
		}
		if segs.Get(k[:4]) == nil {
			return k, nil
		}
		k, _ = c.Seek(listKey(binary.BigEndian.Uint32(k)+1, 0))
	}
	return nil, nil
}
