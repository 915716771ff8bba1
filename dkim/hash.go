package dkim

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strings"
)

// A BodySpec says what of a body is hashed, and how it is prepared.
type BodySpec struct {
	Canon  Canonicalization
	Length int64 // Octets of the canonicalised body, as tag l=; -1 for all.
}

// A BodyHash is the SHA-256 hash for a [BodySpec].
type BodyHash struct {
	Sum [sha256.Size]byte

	// Length is how many octets the whole canonicalised body has. If it is less than
	// that of the BodySpec, the signature is for another body (RFC 6376 §3.5).
	Length int64
}

// BodyHashes returns the hashes for specs. The body is read once, and
// canonicalised once for each canonicalisation in specs, whose number the caller
// bounds.
func (x *Index) BodyHashes(specs []BodySpec) ([]BodyHash, error) {
	hashes := make([]limitedHash, len(specs))
	var simple, relaxed bodyGroup
	for i, s := range specs {
		hashes[i] = limitedHash{sha256.New(), s.Length}
		g := &simple
		if s.Canon == Relaxed {
			g = &relaxed
		}
		g.add(&hashes[i], s.Canon)
	}
	buf := make([]byte, min(readSize, x.size-x.body))
	for off := x.body; off < x.size; {
		b := buf[:min(int64(len(buf)), x.size-off)]
		if err := readFull(x.r, b, off); err != nil {
			return nil, err
		}
		off += int64(len(b))
		simple.write(b)
		relaxed.write(b)
	}
	simple.close()
	relaxed.close()
	l := make([]BodyHash, len(specs))
	for i, s := range specs {
		hashes[i].h.Sum(l[i].Sum[:0])
		l[i].Length = simple.len()
		if s.Canon == Relaxed {
			l[i].Length = relaxed.len()
		}
	}
	return l, nil
}

// limitedHash hashes the first bytes of what is written to it, or all if left is
// negative.
type limitedHash struct {
	h    hash.Hash
	left int64
}

func (l *limitedHash) write(p []byte) {
	if l.left >= 0 {
		p = p[:min(int64(len(p)), l.left)]
		l.left -= int64(len(p))
	}
	l.h.Write(p) // Never fails.
}

// bodyGroup are the hashes with the same canonicalisation.
type bodyGroup struct {
	w      *BodyWriter
	hashes []*limitedHash
}

func (g *bodyGroup) add(h *limitedHash, c Canonicalization) {
	if g.w == nil {
		g.w = NewBodyWriter(g, c)
	}
	g.hashes = append(g.hashes, h)
}

// Write passes canonicalised text on to the hashes.
func (g *bodyGroup) Write(p []byte) (int, error) {
	for _, h := range g.hashes {
		h.write(p)
	}
	return len(p), nil
}

func (g *bodyGroup) write(p []byte) {
	if g.w != nil {
		g.w.Write(p) // Never fails, since Write does not.
	}
}

func (g *bodyGroup) close() {
	if g.w != nil {
		_ = g.w.Close() // As write.
	}
}

func (g *bodyGroup) len() int64 {
	if g.w == nil {
		return 0
	}
	return g.w.Len()
}

// HeaderHash returns the SHA-256 hash of header fields by name, taken as RFC 6376
// §5.4.2 says: of fields with the same name, the last one first, and none once all
// were taken. At last comes own, the field with the signature itself, in which b=
// is empty, and which has no line end. It can be nil. In the message it begins at
// offset at, and is not taken by name (RFC 6376 §3.5 on h=); -1 says that it is not
// there yet.
func (x *Index) HeaderHash(c Canonicalization, names []string, own []byte, at int64) ([sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	h := sha256.New()
	w := x.headerWriter(h, c)
	sel := x.selection()
	for _, name := range names {
		f, ok := sel.next(name)
		if ok && f.Start == at {
			f, ok = sel.next(name)
		}
		if !ok {
			continue
		}
		if err := x.copyField(w, f); err != nil {
			return sum, err
		}
		if err := w.End(true); err != nil {
			return sum, err
		}
	}
	if own != nil {
		w.Write(own) // Never fails, since a hash does not.
		if err := w.End(false); err != nil {
			return sum, err
		}
	}
	err := w.Flush()
	h.Sum(sum[:0])
	return sum, err
}

// headerWriter returns a writer that is used for one hash at a time.
func (x *Index) headerWriter(h hash.Hash, c Canonicalization) *HeaderWriter {
	if x.hw == nil {
		x.hw = &HeaderWriter{}
	}
	x.hw.reset(h, c)
	return x.hw
}

// selection hands out the fields of a message by name, each once, from the bottom
// up.
type selection struct {
	x       *Index
	cursors []cursor
}

type cursor struct {
	name string
	next int32 // Index of the next field, or -1.
}

func (x *Index) selection() selection {
	if x.last == nil {
		x.link()
	}
	return selection{x: x, cursors: make([]cursor, 0, 16)}
}

// link finds for each field the one above it with the same name.
func (x *Index) link() {
	x.last = make(map[string]int32, min(len(x.fields), 64))
	x.above = make([]int32, len(x.fields))
	for i, f := range x.fields {
		at, ok := x.last[f.Name]
		if !ok {
			at = -1
		}
		x.above[i] = at
		x.last[f.Name] = int32(i)
	}
}

func (s *selection) next(name string) (Field, bool) {
	var c *cursor
	for i := range s.cursors {
		if strings.EqualFold(s.cursors[i].name, name) {
			c = &s.cursors[i]
			break
		}
	}
	if c == nil {
		at := int32(-1)
		if i, ok := s.x.lastOf(name); ok {
			at = i
		}
		s.cursors = append(s.cursors, cursor{name, at})
		c = &s.cursors[len(s.cursors)-1]
	}
	if c.next < 0 {
		return Field{}, false
	}
	f := s.x.fields[c.next]
	c.next = s.x.above[c.next]
	return f, true
}

// lastOf returns the index of the last field of a name, in any case.
func (x *Index) lastOf(name string) (int32, bool) {
	var lower [64]byte
	if len(name) > len(lower) {
		i, ok := x.last[strings.ToLower(name)]
		return i, ok
	}
	b := append(lower[:0], name...)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	i, ok := x.last[string(b)]
	return i, ok
}

// FieldValue returns the value of a raw header field, from after the colon to
// before the last line end, and where it begins.
func FieldValue(raw []byte) (value []byte, start int) {
	start = bytes.IndexByte(raw, ':') + 1
	value = bytes.TrimSuffix(raw[start:], []byte("\n"))
	return bytes.TrimSuffix(value, []byte("\r")), start
}

// WithoutSignature returns a raw header field with a signature as it is hashed:
// without the value of tag b= and white space around that, and without the last
// line end (RFC 6376 §3.7). Tags are those of [FieldValue].
func WithoutSignature(raw []byte, tags Tags) []byte {
	value, start := FieldValue(raw)
	b, ok := tags.Get("b")
	if !ok {
		return raw[:start+len(value)]
	}
	own := make([]byte, 0, start+len(value))
	own = append(own, raw[:start+b.Start]...)
	return append(own, value[b.End:]...)
}
