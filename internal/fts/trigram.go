package fts

import "encoding/binary"

// A trigram is three octets of text, the first one highest.
const trigrams = 1 << 24

// eachTrigram calls fn for the trigrams of a text, with repetitions, but not for those
// with a separator.
func eachTrigram(text []byte, fn func(tri uint32)) {
	n, tri := 0, uint32(0)
	for _, c := range text {
		if c == Separator {
			n = 0
			continue
		}
		tri = (tri<<8 | uint32(c)) & (trigrams - 1)
		if n++; n >= 3 {
			fn(tri)
		}
	}
}

// collect adds the trigrams of a text to the pairs, each once for a document.
func (b *Batch) collect(text []byte, doc int) {
	if b.seen == nil {
		b.seen = make([]uint64, trigrams/64)
	}
	eachTrigram(text, func(tri uint32) {
		if bit := uint64(1) << (tri % 64); b.seen[tri/64]&bit == 0 {
			b.seen[tri/64] |= bit
			b.pairs = append(b.pairs, uint64(tri)<<32|uint64(doc))
		}
	})
}

// unsee forgets which trigrams the last document had.
func (b *Batch) unsee(doc int) {
	for i := len(b.pairs) - 1; i >= 0 && uint32(b.pairs[i]) == uint32(doc); i-- {
		b.seen[uint32(b.pairs[i]>>32)/64] = 0
	}
}

// sortPairs sorts by trigram, and leaves pairs of the same one in their order.
func sortPairs(pairs []uint64) []uint64 {
	const bits = 12
	other := make([]uint64, len(pairs))
	for _, shift := range []int{32, 32 + bits} {
		var starts [1 << bits]int
		for _, p := range pairs {
			starts[p>>shift&(1<<bits-1)]++
		}
		sum := 0
		for i, n := range starts {
			starts[i] = sum
			sum += n
		}
		for _, p := range pairs {
			d := p >> shift & (1<<bits - 1)
			other[starts[d]] = p
			starts[d]++
		}
		pairs, other = other, pairs
	}
	return pairs
}

// appendDelta appends the distance of a content id from the one before.
func appendDelta(list []byte, d int64) []byte { return binary.AppendUvarint(list, uint64(d)) }

// patternTrigrams returns the distinct trigrams of a pattern, not more than maxTrigrams,
// from all over it. None are returned of a pattern that is too short.
func patternTrigrams(text []byte) []uint32 {
	var all []uint32
	seen := map[uint32]bool{}
	eachTrigram(text, func(tri uint32) {
		if !seen[tri] {
			seen[tri] = true
			all = append(all, tri)
		}
	})
	if len(all) <= maxTrigrams {
		return all
	}
	l := make([]uint32, maxTrigrams)
	for i := range l {
		l[i] = all[i*len(all)/maxTrigrams]
	}
	return l
}
