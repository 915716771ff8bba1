package message

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The tree of a Digest: for each part in the order of the message, numbers as
// unsigned varints,
//
//	flags, presence (bits below)
//	header start less that of the part before, header size, body size, lines, decoded size + 1
//	media type: an index in mediaTypes + 1, or 0 and the two strings
//	what presence says, in the order of its bits; a string is its length and its bytes,
//	a list its count and its elements
//	the number of parts and the parts, or the nested message
type presence uint64

const (
	hasParams presence = 1 << iota
	hasID
	hasDescription
	hasEncoding // Other than 7BIT.
	hasDisposition
	hasDispositionParams
	hasMD5
	hasLanguage
	hasLocation
	hasEnvelope
	hasParts
	hasMessage
	presenceEnd
)

// mediaTypes have a short form. New ones go to the end: the order is part of the
// format.
var mediaTypes = [...][2]string{
	{"TEXT", "PLAIN"}, {"TEXT", "HTML"}, {"MULTIPART", "ALTERNATIVE"}, {"MULTIPART", "MIXED"},
	{"MULTIPART", "RELATED"}, {"MULTIPART", "REPORT"}, {"MULTIPART", "SIGNED"}, {"MULTIPART", "DIGEST"},
	{"MULTIPART", "ENCRYPTED"}, {"MESSAGE", "RFC822"}, {"MESSAGE", "DELIVERY-STATUS"},
	{"APPLICATION", "OCTET-STREAM"}, {"APPLICATION", "PDF"}, {"IMAGE", "JPEG"}, {"IMAGE", "PNG"}, {"IMAGE", "GIF"},
	{"TEXT", "CALENDAR"}, {"APPLICATION", "PGP-SIGNATURE"}, {"APPLICATION", "PKCS7-SIGNATURE"}, {"APPLICATION", "ZIP"},
}

// maxTreeParts is more parts than a tree has under Limits: each multipart may have
// one more, of what is beyond the limit or for a boundary that never came.
const maxTreeParts = 2*MaxParts + MaxDepth

// errTree says that a marshalled tree is malformed.
var errTree = errors.New("malformed part tree")

// appendTree appends the marshalled tree of a message. Its root goes without its
// envelope, which a Digest has already.
func appendTree(b []byte, root *Part) []byte {
	start := int64(0)
	return appendPart(b, root, &start, true)
}

func appendPart(b []byte, p *Part, start *int64, root bool) []byte {
	var has presence
	set := func(bit presence, cond bool) {
		if cond {
			has |= bit
		}
	}
	set(hasParams, len(p.Params) > 0)
	set(hasID, p.ID != "")
	set(hasDescription, p.Description != "")
	set(hasEncoding, p.Encoding != "7BIT")
	set(hasDisposition, p.Disposition != "")
	set(hasDispositionParams, len(p.DispositionParams) > 0)
	set(hasMD5, p.MD5 != "")
	set(hasLanguage, len(p.Language) > 0)
	set(hasLocation, p.Location != "")
	set(hasEnvelope, len(p.Envelope) > 0 && !root)
	set(hasParts, len(p.Parts) > 0)
	set(hasMessage, p.Message != nil)

	b = appendUint(b, int64(p.Flags), int64(has), p.HeaderStart-*start, p.BodyStart-p.HeaderStart,
		p.BodyEnd-p.BodyStart, p.Lines, p.DecodedSize+1)
	*start = p.HeaderStart
	b = appendMediaType(b, p.Type, p.Subtype)
	if has&hasParams != 0 {
		b = appendParamList(b, p.Params)
	}
	for _, s := range []struct {
		bit presence
		s   string
	}{{hasID, p.ID}, {hasDescription, p.Description}, {hasEncoding, p.Encoding}, {hasDisposition, p.Disposition}} {
		if has&s.bit != 0 {
			b = appendCounted(b, s.s)
		}
	}
	if has&hasDispositionParams != 0 {
		b = appendParamList(b, p.DispositionParams)
	}
	if has&hasMD5 != 0 {
		b = appendCounted(b, p.MD5)
	}
	if has&hasLanguage != 0 {
		b = appendUint(b, int64(len(p.Language)))
		for _, s := range p.Language {
			b = appendCounted(b, s)
		}
	}
	if has&hasLocation != 0 {
		b = appendCounted(b, p.Location)
	}
	if has&hasEnvelope != 0 {
		b = appendCounted(b, p.Envelope)
	}
	if has&hasParts != 0 {
		b = appendUint(b, int64(len(p.Parts)))
		for _, sub := range p.Parts {
			b = appendPart(b, sub, start, false)
		}
	}
	if has&hasMessage != 0 {
		b = appendPart(b, p.Message, start, false)
	}
	return b
}

func appendUint(b []byte, l ...int64) []byte {
	for _, v := range l {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return b
}

func appendCounted[T ~[]byte | ~string](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendMediaType(b []byte, typ, sub string) []byte {
	for i, m := range mediaTypes {
		if m[0] == typ && m[1] == sub {
			return appendUint(b, int64(i+1))
		}
	}
	return appendCounted(appendCounted(appendUint(b, 0), typ), sub)
}

func appendParamList(b []byte, params []Param) []byte {
	b = appendUint(b, int64(len(params)))
	for _, v := range params {
		extended := int64(0)
		if v.Extended {
			extended = 1
		}
		b = appendCounted(appendCounted(appendUint(b, extended), v.Name), v.Value)
	}
	return b
}

// treeReader reads a marshalled tree that may be corrupt. The first error sticks.
type treeReader struct {
	b     []byte
	s     string // b, of which strings are parts.
	pos   int
	size  int64 // Of the message.
	start int64 // Header start of the part before.
	parts int
	err   error
}

// readTree decodes the tree of a message of size bytes.
func readTree(b []byte, size int64) (*Part, error) {
	r := &treeReader{b: b, s: string(b), size: size}
	p := r.part(1)
	if r.err == nil && r.pos != len(b) {
		r.fail("bytes after the end")
	}
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

func (r *treeReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s at byte %d", errTree, what, r.pos)
	}
}

// uint reads a number up to limit.
func (r *treeReader) uint(limit int64) int64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.pos:])
	if n <= 0 || v > uint64(limit) {
		r.fail("number out of range")
		return 0
	}
	r.pos += n
	return int64(v)
}

// counted reads a string as a range of the tree.
func (r *treeReader) counted() (start, end int) {
	n := int(r.uint(int64(len(r.b) - r.pos)))
	if n > len(r.b)-r.pos {
		r.fail("string too long")
		n = 0
	}
	r.pos += n
	return r.pos - n, r.pos
}

func (r *treeReader) string() string {
	start, end := r.counted()
	return r.s[start:end]
}

// count reads the number of elements of a list, each at least min bytes.
func (r *treeReader) count(limit, min int) int {
	n := int(r.uint(int64(limit)))
	if n > (len(r.b)-r.pos)/min {
		r.fail("list too long")
		return 0
	}
	return n
}

func (r *treeReader) part(depth int) *Part {
	p := &Part{}
	if r.parts++; depth > MaxDepth+1 || r.parts > maxTreeParts {
		r.fail("too many parts")
		return p
	}
	p.Flags = PartFlags(r.uint(int64(partFlagsEnd - 1)))
	has := presence(r.uint(int64(presenceEnd - 1)))
	p.HeaderStart = r.start + r.uint(r.size-r.start)
	r.start = p.HeaderStart
	p.BodyStart = p.HeaderStart + r.uint(r.size-p.HeaderStart)
	p.BodyEnd = p.BodyStart + r.uint(r.size-p.BodyStart)
	p.Lines = r.uint(p.Size())
	// Text may double with its line ends.
	p.DecodedSize = r.uint(2*r.size+1) - 1
	r.mediaType(p)
	if has&hasParams != 0 {
		p.Params = r.params()
	}
	r.strings(p, has)
	if r.err != nil {
		return p
	}
	if has&hasParts != 0 {
		n := r.count(maxTreeParts, 8)
		if n == 0 || p.Type != "MULTIPART" || has&hasMessage != 0 {
			r.fail("bad multipart")
		}
		for i := 0; i < n && r.err == nil; i++ {
			p.Parts = append(p.Parts, r.part(depth+1))
		}
	}
	if has&hasMessage != 0 {
		p.Message = r.part(depth + 1)
	}
	return p
}

// strings reads what comes between the parameters and the parts.
func (r *treeReader) strings(p *Part, has presence) {
	p.Encoding = "7BIT"
	for _, s := range []struct {
		bit presence
		dst *string
	}{{hasID, &p.ID}, {hasDescription, &p.Description}, {hasEncoding, &p.Encoding}, {hasDisposition, &p.Disposition}} {
		if has&s.bit != 0 {
			*s.dst = r.string()
		}
	}
	if has&hasDispositionParams != 0 {
		p.DispositionParams = r.params()
	}
	if has&hasMD5 != 0 {
		p.MD5 = r.string()
	}
	if has&hasLanguage != 0 {
		n := r.count(maxLanguages, 1)
		for i := 0; i < n && r.err == nil; i++ {
			p.Language = append(p.Language, r.string())
		}
	}
	if has&hasLocation != 0 {
		p.Location = r.string()
	}
	if has&hasEnvelope != 0 {
		start, end := r.counted()
		p.Envelope = r.b[start:end:end]
	}
}

func (r *treeReader) mediaType(p *Part) {
	if n := r.uint(int64(len(mediaTypes))); n > 0 {
		p.Type, p.Subtype = mediaTypes[n-1][0], mediaTypes[n-1][1]
		return
	}
	p.Type, p.Subtype = r.string(), r.string()
}

func (r *treeReader) params() []Param {
	n := r.count(MaxParams, 3)
	var l []Param
	for i := 0; i < n && r.err == nil; i++ {
		extended := r.uint(1) == 1
		l = append(l, Param{Name: r.string(), Value: r.string(), Extended: extended})
	}
	return l
}
