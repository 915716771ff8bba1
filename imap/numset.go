package imap

import (
	"fmt"
	"strconv"
)

// MaxNumSetRanges is the most ranges that a server takes in one number set. It is
// more than fits in a command line.
const MaxNumSetRanges = 10000

// A NumRange is a range of message sequence numbers or UIDs, both ends included.
// In a [NumSet], 0 stands for "*", the largest number in use, and First may be
// larger than Last.
type NumRange struct {
	First, Last uint32
}

// A NumSet is a sequence-set as it is written in a command: ranges in any order,
// that may overlap and may have "*" in them, or "$" for the saved search result
// (RFC 5182 §2). It says nothing about whether its numbers are sequence numbers
// or UIDs. RFC 9051 §9, production sequence-set
type NumSet struct {
	Ranges []NumRange
	Saved  bool // "$"; then Ranges is empty.
}

// ParseNumSet parses a sequence-set of at most max ranges.
func ParseNumSet(s string, max int) (NumSet, error) {
	if s == "$" {
		return NumSet{Saved: true}, nil
	}
	var set NumSet
	for pos := 0; ; pos++ {
		if len(set.Ranges) >= max {
			return NumSet{}, fmt.Errorf("more than %d ranges in number set", max)
		}
		first, n, err := parseSeqNumber(s, pos)
		if err != nil {
			return NumSet{}, err
		}
		last := first
		pos = n
		if pos < len(s) && s[pos] == ':' {
			last, n, err = parseSeqNumber(s, pos+1)
			if err != nil {
				return NumSet{}, err
			}
			pos = n
		}
		set.Ranges = append(set.Ranges, NumRange{first, last})
		if pos == len(s) {
			return set, nil
		}
		if s[pos] != ',' {
			return NumSet{}, fmt.Errorf("unexpected character at offset %d in number set", pos)
		}
	}
}

// parseSeqNumber parses a seq-number at s[pos:] and returns where it ends.
func parseSeqNumber(s string, pos int) (uint32, int, error) {
	if pos < len(s) && s[pos] == '*' {
		return 0, pos + 1, nil
	}
	end := pos
	var v uint64
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		if v = v*10 + uint64(s[end]-'0'); v > 1<<32-1 {
			return 0, 0, fmt.Errorf("number larger than 32 bits at offset %d in number set", pos)
		}
		end++
	}
	if end == pos || s[pos] == '0' {
		return 0, 0, fmt.Errorf("missing non-zero number at offset %d in number set", pos)
	}
	return uint32(v), end, nil
}

// Dynamic reports whether what the set means depends on the mailbox: whether it
// has "*" in it or is "$".
func (s NumSet) Dynamic() bool {
	return s.Saved || s.HasStar()
}

// HasStar reports whether "*" is in the set.
func (s NumSet) HasStar() bool {
	for _, r := range s.Ranges {
		if r.First == 0 || r.Last == 0 {
			return true
		}
	}
	return false
}

// Empty reports whether the set is the zero value, which has no form in the
// protocol.
func (s NumSet) Empty() bool {
	return !s.Saved && len(s.Ranges) == 0
}

// Resolve returns the numbers of the set, with largest in place of "*". Ranges
// with "*" are left out if largest is 0. As "*" is one end of a range like any
// other, "900:*" has the largest number in it even if that is less than 900
// (RFC 9051 §9, seq-range). A saved search result must be resolved by the caller.
func (s NumSet) Resolve(largest uint32) Ranges {
	l := make(Ranges, 0, len(s.Ranges))
	for _, r := range s.Ranges {
		first, last := r.First, r.Last
		if first == 0 {
			first = largest
		}
		if last == 0 {
			last = largest
		}
		if first == 0 || last == 0 {
			continue
		}
		l = append(l, NumRange{min(first, last), max(first, last)})
	}
	return l.normalize()
}

// AppendTo appends the set in the syntax of the protocol.
func (s NumSet) AppendTo(b []byte) []byte {
	if s.Saved {
		return append(b, '$')
	}
	return appendRanges(b, s.Ranges)
}

// String returns the set in the syntax of the protocol.
func (s NumSet) String() string {
	return string(s.AppendTo(nil))
}

func appendRanges(b []byte, l []NumRange) []byte {
	for i, r := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSeqNumber(b, r.First)
		if r.Last != r.First {
			b = append(b, ':')
			b = appendSeqNumber(b, r.Last)
		}
	}
	return b
}

func appendSeqNumber(b []byte, n uint32) []byte {
	if n == 0 {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}
