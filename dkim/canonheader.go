package dkim

import (
	"bytes"
	"io"

	"mox/internal/lex"
)

// A HeaderWriter canonicalises header fields, one after the other, as a stream: a
// field of any length takes no more memory than a short one.
//
// Each field is written, in pieces of any size, with the line end that it has in
// the message or without, and then ended with [HeaderWriter.End]. Bare LF counts
// as CRLF.
type HeaderWriter struct {
	w     io.Writer
	canon Canonicalization
	err   error
	buf   []byte // What was not written to w yet.

	state   headerState
	space   bool // White space was seen that is written if something comes after it.
	cr, end bool // A CR, a line end, that is written if something comes after it; for simple.
}

// headerState is where in a field a HeaderWriter is, for relaxed.
type headerState uint8

const (
	inName headerState = iota
	afterColon
	inValue
)

// NewHeaderWriter returns a writer that passes canonicalised fields to w, which
// must not keep what it is given.
func NewHeaderWriter(w io.Writer, c Canonicalization) *HeaderWriter {
	return &HeaderWriter{w: w, canon: c, buf: make([]byte, 0, canonSize)}
}

// reset makes h a new writer, which keeps its buffer.
func (h *HeaderWriter) reset(w io.Writer, c Canonicalization) {
	buf := h.buf[:0]
	if buf == nil {
		buf = make([]byte, 0, canonSize)
	}
	*h = HeaderWriter{w: w, canon: c, buf: buf}
}

// Write adds to the current field. An error is one of the writer below.
func (h *HeaderWriter) Write(p []byte) (int, error) {
	if h.canon == Relaxed {
		h.relaxed(p)
	} else {
		h.simple(p)
	}
	return len(p), h.err
}

// End ends the current field, with CRLF if crlf is set: the field with the
// signature itself, the last one, goes without (RFC 6376 §3.7).
func (h *HeaderWriter) End(crlf bool) error {
	if h.canon != Relaxed && h.cr {
		h.put('\r') // A bare one.
	}
	if h.canon == Relaxed && h.cr {
		h.value('\r')
	}
	if crlf {
		h.putString("\r\n")
	}
	h.state, h.space, h.cr, h.end = inName, false, false, false
	return h.err
}

// Flush passes on what is still in memory. It is called after the last field.
func (h *HeaderWriter) Flush() error {
	h.flush()
	return h.err
}

// simple leaves all as it is, RFC 6376 §3.4.1, but for the last line end, which
// is left to End.
func (h *HeaderWriter) simple(p []byte) {
	for len(p) > 0 {
		if h.end {
			h.putString("\r\n")
			h.end = false
		}
		if h.cr {
			h.cr = false
			if p[0] != '\n' {
				h.put('\r')
			}
		}
		n := bytes.IndexByte(p, '\n')
		line := p
		if n >= 0 {
			line, p = p[:n], p[n+1:]
			h.end = true
		} else {
			p = nil
		}
		if k := len(line); k > 0 && line[k-1] == '\r' {
			line = line[:k-1]
			h.cr = !h.end
		}
		h.putBytes(line)
	}
}

// relaxed lowers the name, unfolds, and reduces white space, RFC 6376 §3.4.2.
func (h *HeaderWriter) relaxed(p []byte) {
	for i := 0; i < len(p); i++ {
		c := p[i]
		if h.cr {
			h.cr = false
			if c != '\n' {
				h.value('\r')
			}
		}
		switch c {
		case '\r':
			h.cr = true
		case '\n':
		case ' ', '\t':
			h.space = true
		default:
			if h.state == inValue && !h.space {
				// The usual case: a word.
				n := i + 1
				for n < len(p) && word.Has(p[n]) {
					n++
				}
				h.putBytes(p[i:n])
				i = n - 1
				continue
			}
			h.value(c)
		}
	}
}

// word are the bytes that relaxed leaves as they are in a value.
var word = lex.Octet.Without(lex.Bytes(" \t\r\n"))

// value adds a byte that is no white space, for relaxed.
func (h *HeaderWriter) value(c byte) {
	switch h.state {
	case inName:
		if c == ':' {
			h.state, h.space = afterColon, false
			h.put(c)
			return
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
	case afterColon:
		h.state, h.space = inValue, false
	}
	if h.space {
		h.put(' ')
		h.space = false
	}
	h.put(c)
}

func (h *HeaderWriter) put(c byte) {
	if len(h.buf) == cap(h.buf) {
		h.flush()
	}
	h.buf = append(h.buf, c)
}

func (h *HeaderWriter) putString(s string) {
	if len(h.buf)+len(s) > cap(h.buf) {
		h.flush()
	}
	h.buf = append(h.buf, s...)
}

func (h *HeaderWriter) putBytes(b []byte) {
	for len(h.buf)+len(b) > cap(h.buf) {
		n := cap(h.buf) - len(h.buf)
		h.buf = append(h.buf, b[:n]...)
		b = b[n:]
		h.flush()
	}
	h.buf = append(h.buf, b...)
}

func (h *HeaderWriter) flush() {
	if h.err == nil && len(h.buf) > 0 {
		_, h.err = h.w.Write(h.buf)
	}
	h.buf = h.buf[:0]
}
