package store

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"mox/imap"
)

// A chunk in a file is a head and columns. A column has a number of each message, all with
// the same number of bits, none if all are the same: how much more it is than the base
// of the column, which is in the head. So any octets are numbers, the entries can be made
// at any time later, and what must hold of the numbers is all that is checked before.
//
// What usually grows by one with each message is taken less the position in the chunk.

// The columns of a chunk.
const (
	columnUID       = iota // Less the position.
	columnFlags            //
	columnKeywords         // Number of the list, from 1 on, 0 for none.
	columnMessageID        // Less the position.
	columnContentID        // Less the position.
	columnThread           // Content id less thread id.
	columnModSeq           //
	columnCreated          // Modseq less createseq.
	columnSize             //
	columnReceived         //
	columnSaved            // Less received.
	columnZone             //
	columns
)

const (
	// packedHead is the octets of the head: the number of messages, the highest modseq, and
	// for each column the bits of a number and the base.
	packedHead = 2 + 8 + columns*(1+8)
	// packedTail is how many octets are behind the last chunk, so that each number can be
	// read as one of 8 octets.
	packedTail = 8
	// maxBits is how many bits of a number are in any 8 octets from the one on in which it
	// begins. Those with more have 64.
	maxBits = 64 - 7
)

// column is a column of a chunk.
type column struct {
	base, mask uint64
	bits       int
	b          []byte // And what follows it.
}

// at returns a number.
func (c *column) at(i int) uint64 {
	i *= c.bits
	return c.base + binary.LittleEndian.Uint64(c.b[i>>3:])>>(i&7)&c.mask
}

// packedChunk is the entries of a chunk as they are in a file.
type packedChunk struct {
	columns [columns]column
	lists   []*[]string // Keywords. The first is nil.
}

// appendChunk appends a chunk. Numbers of lists of keywords are as keywordLists returns them.
func appendChunk(dst []byte, c *chunk, lists map[string]uint64) []byte {
	n := c.len()
	var numbers [columns][]uint64
	for i := range numbers {
		numbers[i] = make([]uint64, n)
	}
	for i := range n {
		e := &c.entries()[i]
		for col, v := range [columns]uint64{
			columnUID: uint64(e.UID) - uint64(i), columnFlags: uint64(c.flags[i]), columnKeywords: lists[keywordsKey(e.Keywords())],
			columnMessageID: uint64(e.MessageID) - uint64(i), columnContentID: uint64(e.ContentID) - uint64(i),
			columnThread: uint64(e.ContentID - e.ThreadID), columnModSeq: uint64(e.ModSeq), columnCreated: uint64(e.ModSeq - e.CreateSeq),
			columnSize: uint64(e.Size), columnReceived: uint64(e.received), columnSaved: uint64(e.saved - e.received), columnZone: uint64(e.zone),
		} {
			numbers[col][i] = v
		}
	}
	dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.modSeq))
	var width [columns]int
	for col, l := range numbers {
		base := slices.MinFunc(l, compareSigned)
		if width[col] = bits.Len64(slices.MaxFunc(l, compareSigned) - base); width[col] > maxBits {
			width[col] = 64
		}
		dst = append(dst, byte(width[col]))
		dst = binary.LittleEndian.AppendUint64(dst, base)
		for i := range l {
			l[i] -= base
		}
	}
	for col, l := range numbers {
		dst = appendBits(dst, l, width[col])
	}
	return dst
}

// appendBits appends numbers of so many bits each.
func appendBits(dst []byte, l []uint64, width int) []byte {
	var rest uint64 // Bits that are no octet yet.
	n := 0
	for _, v := range l {
		rest |= v << n
		for n += width; n >= 8; n -= 8 {
			dst = append(dst, byte(rest))
			rest >>= 8
		}
	}
	if n > 0 {
		dst = append(dst, byte(rest))
	}
	return dst
}

func compareSigned(a, b uint64) int {
	switch {
	case int64(a) < int64(b):
		return -1
	case a == b:
		return 0
	}
	return 1
}

// parseChunk reads a chunk at the beginning of b, of which all UIDs are above after and
// below next. It returns what follows it.
func parseChunk(b []byte, lists []*[]string, after, next uint32) (c *chunk, rest []byte, err error) {
	if len(b) < packedHead+packedTail {
		return nil, nil, errIndexFile
	}
	n := int(binary.LittleEndian.Uint16(b))
	c = &chunk{modSeq: ModSeq(binary.LittleEndian.Uint64(b[2:]))}
	p := &packedChunk{lists: lists}
	head, rest := b[2+8:packedHead], b[packedHead:]
	for i := range p.columns {
		width := int(head[0])
		size := (n*width + 7) / 8
		if width > maxBits && width != 64 || size > len(rest)-packedTail {
			return nil, nil, errIndexFile
		}
		p.columns[i] = column{binary.LittleEndian.Uint64(head[1:]), math.MaxUint64 >> (64 - width), width, rest[:size+packedTail]}
		head, rest = head[1+8:], rest[size:]
	}
	if n < 1 || n > chunkSize || !p.ordered(n, after, next) || !p.listed(n) {
		return nil, nil, errIndexFile
	}
	var ok bool
	if c.flags, ok = p.flags(n); !ok {
		return nil, nil, errIndexFile
	}
	c.last = p.uid(n - 1)
	c.packed.Store(p)
	return c, rest, nil
}

// uid returns a UID that was checked.
func (p *packedChunk) uid(i int) uint32 { return uint32(p.columns[columnUID].at(i)) + uint32(i) }

// ordered reports whether the UIDs of n messages are ascending, above after and below next.
func (p *packedChunk) ordered(n int, after, next uint32) bool {
	c := p.columns[columnUID]
	low, high := uint64(after)+1, uint64(next)-uint64(n)
	if next < uint32(n) {
		return false
	}
	last := n
	if c.bits == 0 {
		last = 1
	}
	for i := range last {
		v := c.at(i)
		if v < low || v > high {
			return false
		}
		low = v
	}
	return true
}

// listed reports whether there are the lists of keywords of n messages.
func (p *packedChunk) listed(n int) bool {
	c := p.columns[columnKeywords]
	if c.bits == 0 {
		n = 1
	}
	for i := range n {
		if c.at(i) >= uint64(len(p.lists)) {
			return false
		}
	}
	return true
}

// flags returns the flags of n messages, false if they are none.
func (p *packedChunk) flags(n int) ([]Flags, bool) {
	c := p.columns[columnFlags]
	l := make([]Flags, n)
	all := uint64(0)
	for i := range l {
		v := c.at(i)
		all |= v
		l[i] = Flags(v)
	}
	return l, all <= uint64(imap.FlagsAll)
}

// entries returns the entries of n messages.
func (p *packedChunk) entries(n int) []Entry {
	l := make([]Entry, n)
	for i := range l {
		e := &l[i]
		at := func(column int) int64 { return int64(p.columns[column].at(i)) }
		e.UID, e.zone = p.uid(i), int16(at(columnZone))
		e.MessageID, e.ContentID = at(columnMessageID)+int64(i), at(columnContentID)+int64(i)
		e.ThreadID = e.ContentID - at(columnThread)
		e.ModSeq = ModSeq(at(columnModSeq))
		e.CreateSeq = e.ModSeq - ModSeq(at(columnCreated))
		e.Size, e.received = at(columnSize), at(columnReceived)
		e.saved = e.received + at(columnSaved)
		e.keywords = p.lists[at(columnKeywords)]
	}
	return l
}
