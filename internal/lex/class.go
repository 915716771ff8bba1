package lex

import "math/bits"

// A Class is a set of bytes. The zero value is the empty set. Classes are
// comparable with == and are passed by value.
type Class struct {
	bits [4]uint64
}

// Range returns the class of the bytes lo up to and including hi. It is empty if
// lo is larger than hi.
func Range(lo, hi byte) Class {
	var c Class
	for b := int(lo); b <= int(hi); b++ {
		c.add(byte(b))
	}
	return c
}

// Bytes returns the class of all bytes that occur in s.
func Bytes(s string) Class {
	var c Class
	for i := 0; i < len(s); i++ {
		c.add(s[i])
	}
	return c
}

func (c *Class) add(b byte) {
	c.bits[b>>6] |= 1 << (b & 63)
}

// Has reports whether b is in c.
func (c Class) Has(b byte) bool {
	return c.bits[b>>6]&(1<<(b&63)) != 0
}

// Union returns the class of the bytes that are in c or in any of others.
func (c Class) Union(others ...Class) Class {
	for _, o := range others {
		for i := range c.bits {
			c.bits[i] |= o.bits[i]
		}
	}
	return c
}

// Without returns the class of the bytes that are in c and in none of others.
func (c Class) Without(others ...Class) Class {
	for _, o := range others {
		for i := range c.bits {
			c.bits[i] &^= o.bits[i]
		}
	}
	return c
}

// Not returns the class of the bytes that are not in c.
func (c Class) Not() Class {
	return Octet.Without(c)
}

// Len returns the number of bytes in c, 0 to 256.
func (c Class) Len() int {
	n := 0
	for _, w := range c.bits {
		n += bits.OnesCount64(w)
	}
	return n
}

// Span returns the number of bytes at the start of s that are in c.
func (c Class) Span(s string) int {
	for i := 0; i < len(s); i++ {
		if !c.Has(s[i]) {
			return i
		}
	}
	return len(s)
}

// All reports whether s is not empty and all its bytes are in c: whether s
// matches 1*c.
func (c Class) All(s string) bool {
	return s != "" && c.Span(s) == len(s)
}

// Index returns the index of the first byte of s that is in c, or -1.
func (c Class) Index(s string) int {
	for i := 0; i < len(s); i++ {
		if c.Has(s[i]) {
			return i
		}
	}
	return -1
}
