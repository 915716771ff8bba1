package imap

import (
	"iter"
	"slices"
)

// Ranges is a set of numbers from 1, kept as the fewest ranges: sorted, none
// overlapping or touching another. The zero value is empty.
type Ranges []NumRange

// NewRanges returns the set of the given numbers, which are fastest to take in
// ascending order. Zeros are left out.
func NewRanges[T ~uint32](nums ...T) Ranges {
	var r Ranges
	sorted := true
	for _, n := range nums {
		if n == 0 {
			continue
		}
		v := uint32(n)
		if len(r) > 0 {
			last := &r[len(r)-1]
			if v == last.Last || v == last.Last+1 && last.Last+1 != 0 {
				last.Last = v
				continue
			}
			sorted = sorted && v > last.Last
		}
		r = append(r, NumRange{v, v})
	}
	if !sorted {
		r = r.normalize()
	}
	return r
}

// normalize sorts and merges ranges, each of which must have First <= Last. It
// changes r in place.
func (r Ranges) normalize() Ranges {
	if len(r) < 2 {
		return r
	}
	slices.SortFunc(r, func(a, b NumRange) int {
		switch {
		case a.First < b.First:
			return -1
		case a.First > b.First:
			return 1
		}
		return 0
	})
	out := r[:1]
	for _, e := range r[1:] {
		last := &out[len(out)-1]
		if e.First <= last.Last || e.First == last.Last+1 {
			last.Last = max(last.Last, e.Last)
		} else {
			out = append(out, e)
		}
	}
	return out
}

// Add adds n, which must not be 0.
func (r *Ranges) Add(n uint32) {
	r.AddRange(n, n)
}

// AddRange adds the numbers from first up to and including last, neither of which
// may be 0. Adding behind the last number takes constant time.
func (r *Ranges) AddRange(first, last uint32) {
	if first > last {
		first, last = last, first
	}
	s := *r
	if len(s) == 0 || first > s[len(s)-1].Last+1 && s[len(s)-1].Last+1 != 0 {
		*r = append(s, NumRange{first, last})
		return
	}
	// i is the first range that the new one overlaps or touches, j the one after the
	// last of them.
	i := s.search(first)
	if i > 0 && s[i-1].Last+1 == first {
		i--
	}
	j := i
	for j < len(s) && (s[j].First <= last || s[j].First == last+1) {
		j++
	}
	if i < j {
		first = min(first, s[i].First)
		last = max(last, s[j-1].Last)
	}
	*r = slices.Replace(s, i, j, NumRange{first, last})
}

// search returns the index of the first range whose last number is n or more.
func (r Ranges) search(n uint32) int {
	i, _ := slices.BinarySearchFunc(r, n, func(e NumRange, n uint32) int {
		if e.Last < n {
			return -1
		}
		return 1
	})
	return i
}

// Contains reports whether n is in the set.
func (r Ranges) Contains(n uint32) bool {
	i := r.search(n)
	return i < len(r) && r[i].First <= n
}

// Count returns how many numbers are in the set.
func (r Ranges) Count() uint64 {
	var n uint64
	for _, e := range r {
		n += uint64(e.Last-e.First) + 1
	}
	return n
}

// Min returns the smallest number in the set, 0 if it is empty.
func (r Ranges) Min() uint32 {
	if len(r) == 0 {
		return 0
	}
	return r[0].First
}

// Max returns the largest number in the set, 0 if it is empty.
func (r Ranges) Max() uint32 {
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1].Last
}

// All returns the numbers of the set in ascending order.
func (r Ranges) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, e := range r {
			for n := e.First; ; n++ {
				if !yield(n) {
					return
				}
				if n == e.Last { // Before n++, which could wrap.
					break
				}
			}
		}
	}
}

// Intersect returns the numbers that are in both sets.
func (r Ranges) Intersect(o Ranges) Ranges {
	var out Ranges
	for i, j := 0, 0; i < len(r) && j < len(o); {
		first, last := max(r[i].First, o[j].First), min(r[i].Last, o[j].Last)
		if first <= last {
			out = append(out, NumRange{first, last})
		}
		if r[i].Last < o[j].Last {
			i++
		} else {
			j++
		}
	}
	return out
}

// Union returns the numbers that are in either set.
func (r Ranges) Union(o Ranges) Ranges {
	return slices.Concat(r, o).normalize()
}

// Subtract returns the numbers of r that are not in o.
func (r Ranges) Subtract(o Ranges) Ranges {
	var out Ranges
	j := 0
	for _, e := range r {
		first := e.First
		for j < len(o) && o[j].Last < first {
			j++
		}
		done := false
		for k := j; k < len(o) && o[k].First <= e.Last; k++ {
			if o[k].First > first {
				out = append(out, NumRange{first, o[k].First - 1})
			}
			if o[k].Last >= e.Last {
				done = true
				break
			}
			first = o[k].Last + 1
		}
		if !done {
			out = append(out, NumRange{first, e.Last})
		}
	}
	return out
}

// Chunks returns the set in parts that take at most maxBytes each when written, for
// responses that keep their lines short. A part has at least one range.
func (r Ranges) Chunks(maxBytes int) iter.Seq[Ranges] {
	return func(yield func(Ranges) bool) {
		var buf [32]byte // For two numbers of at most ten digits, ":" and ",".
		start, size := 0, 0
		for i := range r {
			n := len(appendRanges(buf[:0], r[i:i+1])) + 1
			if i > start && size+n > maxBytes+1 {
				if !yield(r[start:i]) {
					return
				}
				start, size = i, 0
			}
			size += n
		}
		if start < len(r) {
			yield(r[start:])
		}
	}
}

// NumSet returns the set as it is used in commands.
func (r Ranges) NumSet() NumSet {
	return NumSet{Ranges: r}
}

// AppendTo appends the set in the syntax of the protocol. The empty set appends
// nothing.
func (r Ranges) AppendTo(b []byte) []byte {
	return appendRanges(b, r)
}

// String returns the set in the syntax of the protocol.
func (r Ranges) String() string {
	return string(r.AppendTo(nil))
}
