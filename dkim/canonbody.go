package dkim

import (
	"bytes"
	"io"
)

// A BodyWriter canonicalises the body of a message as a stream. Empty lines, and
// white space, that may turn out to be at an end are counted instead of kept, so
// memory does not depend on the body.
//
// Bare LF counts as CRLF. Bare CR is an ordinary byte.
type BodyWriter struct {
	w     io.Writer
	canon Canonicalization
	err   error
	buf   []byte // What was not written to w yet.
	n     int64  // Bytes so far, with those in buf.

	lines int64 // Line ends not written yet, the first of which may end a line with text.
	space bool  // White space since the last other byte, for relaxed.
	cr    bool  // The last byte was a CR, which may be part of a line end.
	some  bool  // There was something else than line ends, and white space if relaxed.
}

// NewBodyWriter returns a writer that passes the canonicalised body to w, which
// must not keep what it is given.
func NewBodyWriter(w io.Writer, c Canonicalization) *BodyWriter {
	return &BodyWriter{w: w, canon: c, buf: make([]byte, 0, canonSize)}
}

// Write adds to the body. An error is one of the writer below.
func (b *BodyWriter) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 && b.err == nil {
		if b.cr {
			b.cr = false
			if p[0] != '\n' {
				b.text([]byte{'\r'})
			}
		}
		line := p
		n := bytes.IndexByte(p, '\n')
		if n >= 0 {
			line, p = p[:n], p[n+1:]
		} else {
			p = nil
		}
		if k := len(line); k > 0 && line[k-1] == '\r' {
			line = line[:k-1]
			b.cr = n < 0
		}
		if b.canon == Relaxed {
			b.reduce(line)
		} else {
			b.text(line)
		}
		if n >= 0 {
			b.lines++
			b.space = false
		}
	}
	return size, b.err
}

// reduce adds a piece of a line with white space reduced, RFC 6376 §3.4.4.
func (b *BodyWriter) reduce(line []byte) {
	for i := 0; i < len(line); {
		if c := line[i]; c == ' ' || c == '\t' {
			b.space = true
			i++
			continue
		}
		// Single spaces between words are as they should be.
		start := i
		for i < len(line) {
			c := line[i]
			if c == '\t' || c == ' ' && (i+1 == len(line) || line[i+1] == ' ' || line[i+1] == '\t') {
				break
			}
			i++
		}
		b.text(line[start:i])
	}
}

// text adds bytes of a line after what was held back before them.
func (b *BodyWriter) text(p []byte) {
	if len(p) == 0 {
		return
	}
	for ; b.lines > 0 && b.err == nil; b.lines-- {
		b.put("\r\n")
	}
	if b.space {
		b.put(" ")
		b.space = false
	}
	b.some = true
	b.n += int64(len(p))
	for len(b.buf)+len(p) > cap(b.buf) {
		n := cap(b.buf) - len(b.buf)
		b.buf = append(b.buf, p[:n]...)
		p = p[n:]
		b.flush()
	}
	b.buf = append(b.buf, p...)
}

func (b *BodyWriter) put(s string) {
	if len(b.buf)+len(s) > cap(b.buf) {
		b.flush()
	}
	b.buf = append(b.buf, s...)
	b.n += int64(len(s))
}

func (b *BodyWriter) flush() {
	if b.err == nil && len(b.buf) > 0 {
		_, b.err = b.w.Write(b.buf)
	}
	b.buf = b.buf[:0]
}

// Close ends the body: with one CRLF, or with none if it is empty and relaxed
// (RFC 6376 §3.4.3, §3.4.4). An error is one of the writer below.
func (b *BodyWriter) Close() error {
	if b.cr {
		b.cr = false
		b.text([]byte{'\r'})
	}
	if b.some || b.canon != Relaxed {
		b.put("\r\n")
	}
	b.flush()
	return b.err
}

// Len returns the number of bytes that the canonicalised body has so far.
func (b *BodyWriter) Len() int64 { return b.n }
