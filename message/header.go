package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"mox/internal/lex"
)

// Field is one header field, as written.
type Field struct {
	Name  []byte // Without the colon and white space before it.
	Value []byte // After the colon, with its folding, without the last line end.
	Start int    // Byte range in Header.Raw of the whole field,
	End   int    // with its last line end.
}

// Header is a header section and its fields in original order. The slices in
// Fields point into Raw.
//
// Lines that are no field (without a colon, with a space in the name, an mbox
// "From " line) are in Raw and not in Fields; continuation lines after them, or
// at the beginning, go with them.
type Header struct {
	Raw    []byte // From the first byte to the end of the blank line.
	Fields []Field
	// Cut says that a limit was reached: Raw and Fields hold the first part only,
	// so that the absence of a field means nothing.
	Cut bool
}

// ParseHeader splits the header section at the beginning of raw, up to and
// including the first blank line, or all of raw if there is none. Lines may end
// in CRLF or bare LF. The result points into raw.
func ParseHeader(raw []byte, limits Limits) Header {
	limits = limits.withDefaults()
	cut := false
	if len(raw) > limits.Header {
		raw, cut = raw[:limits.Header], true
	}
	h := Header{}
	end, blank := headerEnd(raw)
	h.Raw = raw[:end]
	h.Cut = cut && !blank
	h.split(nil, limits.Fields)
	return h
}

// ReadHeader reads the header section at the beginning of a message of size
// bytes. It reads in steps and not much further than the end of the header, and
// keeps up to limits.Header bytes.
func ReadHeader(r io.ReaderAt, size int64, limits Limits) (Header, error) {
	const firstRead = 8 << 10
	limits = limits.withDefaults()
	size = min(size, int64(limits.Header)+1)
	var buf []byte
	for n := int64(firstRead); ; n *= 4 {
		n = min(n, size)
		have := int64(len(buf))
		buf = append(buf, make([]byte, n-have)...)
		if _, err := io.ReadFull(io.NewSectionReader(r, have, n-have), buf[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Header{}, fmt.Errorf("read message header: %w", err)
		}
		if _, blank := headerEnd(buf); blank || n == size {
			return ParseHeader(buf, limits), nil
		}
	}
}

// headerEnd returns the offset after the blank line that ends a header, or
// len(raw) and false if raw has none.
func headerEnd(raw []byte) (end int, blank bool) {
	if n := blankLine(raw); n > 0 {
		return n, true
	}
	for i := 0; ; {
		n := bytes.IndexByte(raw[i:], '\n')
		if n < 0 {
			return len(raw), false
		}
		i += n + 1
		if n := blankLine(raw[i:]); n > 0 {
			return i + n, true
		}
	}
}

// blankLine returns the length of the empty line at the beginning of b, 0 if
// there is none.
func blankLine(b []byte) int {
	if len(b) > 0 && b[0] == '\n' {
		return 1
	}
	if len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
		return 2
	}
	return 0
}

// split fills h.Fields from h.Raw, using the memory of fields.
func (h *Header) split(fields []Field, limit int) {
	h.Fields = fields[:0]
	raw := h.Raw
	for i := 0; i < len(raw); {
		start := i
		i = fieldEnd(raw, i)
		f, ok := parseField(raw, start, i)
		if !ok {
			continue
		}
		if len(h.Fields) == limit {
			h.Cut = true
			return
		}
		h.Fields = append(h.Fields, f)
	}
}

// fieldEnd returns the offset after the line at i and its continuation lines.
func fieldEnd(raw []byte, i int) int {
	for {
		n := bytes.IndexByte(raw[i:], '\n')
		if n < 0 {
			return len(raw)
		}
		i += n + 1
		if i == len(raw) || raw[i] != ' ' && raw[i] != '\t' {
			return i
		}
	}
}

// parseField reads raw[start:end] as a field.
func parseField(raw []byte, start, end int) (Field, bool) {
	i := start
	for i < end && lex.FText.Has(raw[i]) {
		i++
	}
	name := raw[start:i]
	for i < end && isWSP(raw[i]) { // RFC 5322 §4.5 allows it.
		i++
	}
	if len(name) == 0 || i == end || raw[i] != ':' {
		return Field{}, false
	}
	value := raw[i+1 : end]
	value = bytes.TrimSuffix(value, []byte("\n"))
	value = bytes.TrimSuffix(value, []byte("\r"))
	return Field{name, value, start, end}, true
}

// HasBlankLine says whether the header ends in a blank line, which separates it
// from a body.
func (h *Header) HasBlankLine() bool {
	n := len(h.Raw)
	if h.Cut || n == 0 || h.Raw[n-1] != '\n' {
		return false
	}
	if n == 1 || h.Raw[n-2] == '\n' {
		return true
	}
	return h.Raw[n-2] == '\r' && (n == 2 || h.Raw[n-3] == '\n')
}

// All iterates over the fields of a name, which is matched in ASCII without
// regard to case.
func (h *Header) All(name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range h.Fields {
			if equalFold(f.Name, name) && !yield(f) {
				return
			}
		}
	}
}

// Get returns the first field of a name.
func (h *Header) Get(name string) (Field, bool) {
	for f := range h.All(name) {
		return f, true
	}
	return Field{}, false
}

// Value returns the unfolded value of the first field of a name, without white
// space around it; empty if there is no such field.
func (h *Header) Value(name string) string {
	f, _ := h.Get(name)
	return f.Unfolded()
}

// Text is Value with encoded words decoded (RFC 2047), as UTF-8.
func (h *Header) Text(name string) string {
	return DecodeText(h.Value(name))
}

// Addresses returns the addresses of all fields of a name together, at most
// MaxAddresses.
func (h *Header) Addresses(name string) []Address {
	var l []Address
	for f := range h.All(name) {
		l = appendAddresses(l, f.Value)
	}
	return l
}

// Unfolded returns the value without line ends, NULs, and white space around it.
func (f Field) Unfolded() string {
	return string(appendUnfolded(nil, f.Value))
}

// appendUnfolded appends value without CR, LF and NUL and without white space
// around it. RFC 5322 §2.2.3 removes CRLF where it is followed by white space;
// there are no others in a field, and bare CR and NUL are good for nothing.
func appendUnfolded(dst, value []byte) []byte {
	start := len(dst)
	for _, c := range value {
		if c == '\r' || c == '\n' || c == 0 || len(dst) == start && isWSP(c) {
			continue
		}
		dst = append(dst, c)
	}
	for len(dst) > start && isWSP(dst[len(dst)-1]) {
		dst = dst[:len(dst)-1]
	}
	return dst
}
