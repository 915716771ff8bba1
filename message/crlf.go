package message

import (
	"bytes"
	"io"
)

// CRLFWriter passes a message on with CRLF for each bare LF, as it must be stored and
// sent, and notes what a server wants to know of a message that it receives. Bare CR
// stays as it is.
type CRLFWriter struct {
	w    io.Writer
	last byte // The last byte read,
	col  int  // and the bytes of its line so far.
	size int64
	bare int64

	nonASCII, blank, nul bool
	buf                  []byte
}

// NewCRLFWriter returns a CRLFWriter that writes to w.
func NewCRLFWriter(w io.Writer) *CRLFWriter { return &CRLFWriter{w: w} }

// Write implements io.Writer.
func (c *CRLFWriter) Write(p []byte) (int, error) {
	const step = 32 << 10
	done := 0
	for done < len(p) {
		piece := p[done:min(done+step, len(p))]
		out := c.convert(piece)
		if n, err := c.w.Write(out); err != nil {
			c.size += int64(n)
			return done, err
		}
		c.size += int64(len(out))
		done += len(piece)
	}
	return done, nil
}

// convert returns p, or a copy with CRLF for bare LF.
func (c *CRLFWriter) convert(p []byte) []byte {
	c.nonASCII = c.nonASCII || hasNonASCII(p)
	c.nul = c.nul || bytes.IndexByte(p, 0) >= 0
	c.buf = c.buf[:0]
	start, changed := 0, false
	for i := 0; i < len(p); {
		n := bytes.IndexByte(p[i:], '\n')
		if n < 0 {
			c.col += len(p) - i
			c.last = p[len(p)-1]
			break
		}
		if c.col += n; n > 0 {
			c.last = p[i+n-1]
		}
		if c.last == '\r' {
			c.col--
		} else {
			c.buf = append(append(c.buf, p[start:i+n]...), '\r')
			start, changed = i+n, true
			c.bare++
		}
		c.blank = c.blank || c.col == 0
		c.last, c.col = '\n', 0
		i += n + 1
	}
	if !changed {
		return p
	}
	c.buf = append(c.buf, p[start:]...)
	return c.buf
}

// Size returns the number of bytes passed on.
func (c *CRLFWriter) Size() int64 { return c.size }

// BareLF returns the number of line feeds that came without CR.
func (c *CRLFWriter) BareLF() int64 { return c.bare }

// NonASCII says whether there was a byte beyond ASCII.
func (c *CRLFWriter) NonASCII() bool { return c.nonASCII }

// NUL says whether there was a NUL, which needs BINARYMIME and literal8.
func (c *CRLFWriter) NUL() bool { return c.nul }

// HasBlankLine says whether there was an empty line, which separates header and body.
func (c *CRLFWriter) HasBlankLine() bool { return c.blank }
