package inflate

import "fmt"

const (
	maxCodeBits = 15
	maxLit      = 286
	maxDist     = 30
)

// A code is a canonical Huffman code. RFC 1951 §3.2.2
type code struct {
	count   [maxCodeBits + 1]int // Of codes by length.
	symbols []int                // Ordered by code.
}

// newCode returns the code with these lengths, which must be complete, but for a code with
// one symbol, or none.
func newCode(lengths []int) (*code, error) {
	c := &code{}
	used := 0
	for _, n := range lengths {
		c.count[n]++
		if n > 0 {
			used++
		}
	}
	c.count[0] = 0
	left := 1
	for _, n := range c.count[1:] {
		left = left<<1 - n
		if left < 0 {
			return nil, fmt.Errorf("%w: too many codes", ErrCorrupt)
		}
	}
	if left > 0 && used > 1 {
		return nil, fmt.Errorf("%w: too few codes", ErrCorrupt)
	}
	var next [maxCodeBits + 2]int
	for n := 1; n <= maxCodeBits; n++ {
		next[n+1] = next[n] + c.count[n]
	}
	c.symbols = make([]int, used)
	for symbol, n := range lengths {
		if n > 0 {
			c.symbols[next[n]] = symbol
			next[n]++
		}
	}
	return c, nil
}

// decode reads a symbol, and no bit more.
func (r *Reader) decode(c *code) (int, error) {
	value, first, index := 0, 0, 0
	for _, count := range c.count[1:] {
		bit, err := r.take(1)
		if err != nil {
			return 0, err
		}
		value |= bit
		if value-first < count {
			return c.symbols[index+value-first], nil
		}
		index += count
		first = (first + count) << 1
		value <<= 1
	}
	return 0, fmt.Errorf("%w: code without symbol", ErrCorrupt)
}

// extraBits are the value of a symbol: base, and a number of further bits to add.
type extraBits struct {
	base int
	bits uint
}

// Of lengths from symbol 257 on, and of distances. RFC 1951 §3.2.5
var lengths, distances = func() (l, d []extraBits) {
	base := 3
	for i := range 28 {
		bits := uint(max(0, i/4-1))
		l = append(l, extraBits{base, bits})
		base += 1 << bits
	}
	l = append(l, extraBits{258, 0})
	base = 1
	for i := range 30 {
		bits := uint(max(0, i/2-1))
		d = append(d, extraBits{base, bits})
		base += 1 << bits
	}
	return l, d
}()

// The codes of blocks that do not bring their own. RFC 1951 §3.2.6
var fixedLit, fixedDist = func() (*code, *code) {
	var lit [288]int
	for i := range lit {
		switch {
		case i < 144:
			lit[i] = 8
		case i < 256:
			lit[i] = 9
		case i < 280:
			lit[i] = 7
		default:
			lit[i] = 8
		}
	}
	var dist [32]int
	for i := range dist {
		dist[i] = 5
	}
	l, err := newCode(lit[:])
	d, derr := newCode(dist[:])
	if err != nil || derr != nil {
		panic("the fixed codes are complete")
	}
	return l, d
}()

// order is that of the lengths of the code for lengths. RFC 1951 §3.2.7
var order = [...]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicHeader reads the codes of a block. RFC 1951 §3.2.7
func (r *Reader) dynamicHeader() error {
	v, err := r.take(14)
	if err != nil {
		return err
	}
	nlit, ndist, nlen := v&31+257, v>>5&31+1, v>>10+4
	if nlit > maxLit || ndist > maxDist {
		return fmt.Errorf("%w: %d and %d symbols", ErrCorrupt, nlit, ndist)
	}
	var own [len(order)]int
	for _, i := range order[:nlen] {
		if own[i], err = r.take(3); err != nil {
			return err
		}
	}
	c, err := newCode(own[:])
	if err != nil {
		return err
	}
	all := make([]int, 0, maxLit+maxDist)
	for len(all) < nlit+ndist {
		if all, err = r.codeLengths(c, all); err != nil {
			return err
		}
	}
	if len(all) > nlit+ndist || all[endOfBlock] == 0 {
		return fmt.Errorf("%w: lengths of codes", ErrCorrupt)
	}
	if r.lit, err = newCode(all[:nlit]); err != nil {
		return err
	}
	if r.dist, err = newCode(all[nlit:]); err != nil {
		return err
	}
	r.step = (*Reader).symbol
	return nil
}

// codeLengths reads a length of a code, or several that are the same.
func (r *Reader) codeLengths(c *code, all []int) ([]int, error) {
	v, err := r.decode(c)
	if err != nil {
		return nil, err
	}
	value, base, bits := 0, 0, uint(0)
	switch {
	case v < 16:
		return append(all, v), nil
	case v == 16 && len(all) == 0:
		return nil, fmt.Errorf("%w: nothing to repeat", ErrCorrupt)
	case v == 16:
		value, base, bits = all[len(all)-1], 3, 2
	case v == 17:
		base, bits = 3, 3
	default:
		base, bits = 11, 7
	}
	n, err := r.take(bits)
	for range base + n {
		all = append(all, value)
	}
	return all, err
}
