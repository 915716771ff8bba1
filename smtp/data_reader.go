package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Errors of DataReader and DataWriter.
var (
	// ErrBareCR says that message data has a CR without LF, which RFC 5321 §2.3.8
	// forbids: servers differ in whether it ends a line.
	ErrBareCR = errors.New("smtp: bare carriage return in message data")

	// ErrBareLF says, when writing, that message data has a LF without CR.
	ErrBareLF = errors.New("smtp: bare line feed in message data")

	// ErrSmuggling says that message data has a line with just a dot that another
	// server could take for the end of the data, because it ends or begins at a LF
	// without CR, or has NULs besides the dot, which some leave out. What follows would
	// be commands to that server.
	ErrSmuggling = errors.New("smtp: line in message data that could be taken for its end")

	// ErrTooBig says that message data is larger than was allowed.
	ErrTooBig = errors.New("smtp: message data too big")
)

// dataState is where a DataReader is in a line.
type dataState uint8

const (
	atLine       dataState = iota // At the start of a line, after CRLF or at the start of the data.
	atLineLF                      // At the start of a line, after a bare LF.
	inLine                        // Within a line.
	afterCR                       // Within a line, after a CR that has not been written.
	afterDot                      // After a dot in state atLine.
	afterDotLF                    // After a dot in state atLineLF.
	afterDotCR                    // After dot and CR, from atLine.
	afterDotCRLF                  // After dot and CR, from atLineLF.
	atEnd
)

// nulLine finds lines with just a dot and NULs. Servers and filters that leave NULs
// out would take them for the end of the data.
type nulLine struct {
	only bool // The line has nothing else so far. Not set for a dot alone.
	dots int
}

// begin starts a line that has one of these in it.
func (l *nulLine) begin(dots int) { *l = nulLine{true, dots} }

// add adds octets of a line.
func (l *nulLine) add(p []byte) {
	for i := 0; i < len(p) && l.only; i++ {
		switch p[i] {
		case 0:
		case '.':
			l.dots++
		default:
			l.only = false
		}
	}
}

// end ends the line, and reports whether it was one that could be taken for the end.
func (l *nulLine) end() bool {
	found := l.only && l.dots == 1
	l.only = false
	return found
}

// DataReader reads the content that follows DATA, RFC 5321 §4.1.1.4: up to the
// line with just a dot, with the dots of dot stuffing (RFC 5321 §4.5.2) removed. It
// streams, in memory bounded by the buffer of the bufio.Reader, and reads nothing
// beyond the end.
//
// The data ends at CRLF "." CRLF only, where the first CRLF may be that of the
// DATA command. What is wrong with the data is reported at its end, in place of
// io.EOF, so that the reply and what the client sends next stay in step:
// ErrBareCR, ErrSmuggling, or ErrTooBig. Content that was read before such an
// error is to be thrown away. From the point where the data is known to be bad,
// nothing more of it is returned.
//
// A bare LF elsewhere is taken for the end of a line, and becomes CRLF.
type DataReader struct {
	r     *bufio.Reader
	state dataState
	err   error // Of the data, or of the connection.

	limit int64 // Of content.
	size  int64 // Of content returned.
	raw   int64 // Octets read.

	bareLF    bool
	pendingLF bool // A CR was returned, the LF did not fit.

	nuls nulLine
}

// NewDataReader returns a reader for content of at most limit octets, counted as
// RFC 1870 §4 does: with CRLF line ends, without dot stuffing and final dot.
func NewDataReader(r *bufio.Reader, limit int64) *DataReader {
	return &DataReader{r: r, limit: limit}
}

// discardExtra is how much more than the limit a client may send, in octets and in
// addition to the limit itself, before a DataReader stops reading to the end.
const discardExtra = 1 << 20

// Read returns content. See DataReader for errors. A connection that ends before
// the data does gives io.ErrUnexpectedEOF.
func (d *DataReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if d.pendingLF {
		d.pendingLF = false
		if d.count(1) == 1 {
			p[0] = '\n'
			return 1, nil
		}
	}
	for d.state != atEnd {
		if d.raw > 2*d.limit+discardExtra {
			return 0, fmt.Errorf("%w: gave up after %d octets", ErrTooBig, d.raw)
		}
		src, err := d.fill()
		if err != nil {
			return 0, err
		}
		dst := p
		if d.err != nil {
			dst = nil
		}
		n, used := d.scan(dst, src)
		d.raw += int64(used)
		if _, err := d.r.Discard(used); err != nil {
			return 0, err
		}
		if n = d.count(n); n > 0 {
			return n, nil
		}
	}
	if d.err != nil {
		return 0, d.err
	}
	return 0, io.EOF
}

// fill returns what is buffered, after waiting for at least one octet.
func (d *DataReader) fill() ([]byte, error) {
	if d.r.Buffered() == 0 {
		if _, err := d.r.Peek(1); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return d.r.Peek(d.r.Buffered())
}

// count adds n octets to the size of the content and returns how many of them are
// within the limit.
func (d *DataReader) count(n int) int {
	if d.err != nil {
		return 0
	}
	if d.size+int64(n) > d.limit {
		n = int(d.limit - d.size)
		d.err = ErrTooBig
		d.pendingLF = false
	}
	d.size += int64(n)
	return n
}

// bad records the first thing that is wrong with the data.
func (d *DataReader) bad(err error) {
	if d.err == nil || d.err == ErrTooBig {
		d.err = err
		d.pendingLF = false
	}
}

// Ended reports whether the end of the data was read, so that the next octet of
// the connection is that of a command. If it is not set after an error, the
// connection cannot be used any more.
func (d *DataReader) Ended() bool {
	return d.state == atEnd
}

// BareLF reports whether a bare LF was turned into CRLF.
func (d *DataReader) BareLF() bool {
	return d.bareLF
}

// Size returns the number of octets of content returned so far.
func (d *DataReader) Size() int64 {
	return d.size
}

// scan takes from src and writes to dst, until one of them is used up or the data
// ends. It returns how many octets it wrote and took. With bad data it writes
// nothing, and dst may be nil.
func (d *DataReader) scan(dst, src []byte) (n, i int) {
	cr := -1 // Position of the next CR in src, if not before i.
	for i < len(src) && d.state != atEnd && (n < len(dst) || d.err != nil) {
		c := src[i]
		switch d.state {
		case atLine, atLineLF:
			if c == '.' {
				d.state += afterDot - atLine
				i++
				continue
			}
			lines := d.plainLines(dst[n:], src[i:])
			n += copy(dst[n:], src[i:i+lines])
			i += lines
			d.state = inLine
			switch {
			case lines > 0:
				d.state = atLine
			case c == 0:
				d.nuls.begin(0)
			}
		case inLine:
			if cr < i {
				cr = indexFrom(src, i, '\r')
			}
			used, wrote := d.line(dst[n:], src[i:cr])
			i += used
			n += wrote
			if i == cr && i < len(src) {
				d.state = afterCR
				i++
			}
		case afterCR:
			if c == '\n' {
				if d.nuls.end() {
					d.bad(ErrSmuggling)
				}
				n += d.lineEnd(dst[n:])
				d.state = atLine
				i++
				continue
			}
			d.bad(ErrBareCR)
			d.state = inLine
		case afterDot, afterDotLF:
			i += d.dot(c)
		case afterDotCR, afterDotCRLF:
			i += d.dotCR(c)
		}
	}
	return n, i
}

// plainLines returns the length of the complete lines at the start of src that can
// be copied to dst as they are: most of what there is. For bad data it is zero.
func (d *DataReader) plainLines(dst, src []byte) int {
	if d.err != nil {
		return 0
	}
	src = src[:min(len(src), len(dst))]
	n := 0
	for n < len(src) && src[n] != '.' && src[n] != 0 {
		lf := bytes.IndexByte(src[n:], '\n')
		if lf < 1 || src[n+lf-1] != '\r' || bytes.IndexByte(src[n:n+lf-1], '\r') >= 0 {
			break
		}
		n += lf + 1
	}
	return n
}

// line copies from src, which has no CR, up to a bare LF if there is one, of which
// it takes care. It returns how many octets it took and wrote.
func (d *DataReader) line(dst, src []byte) (used, wrote int) {
	if d.err != nil {
		dst = nil
	} else if len(src) > len(dst) {
		src = src[:len(dst)]
	}
	lf := bytes.IndexByte(src, '\n')
	if lf < 0 {
		d.nuls.add(src)
		return len(src), copy(dst, src)
	}
	d.nuls.add(src[:lf])
	if d.nuls.end() {
		d.bad(ErrSmuggling)
		dst = nil
	}
	wrote = copy(dst, src[:lf])
	wrote += d.lineEnd(dst[wrote:])
	d.bareLF = true
	d.state = atLineLF
	return lf + 1, wrote
}

// lineEnd writes CRLF.
func (d *DataReader) lineEnd(dst []byte) int {
	if d.err != nil {
		return 0
	}
	n := copy(dst, "\r\n")
	d.pendingLF = n == 1
	return n
}

// dot handles c after a dot at the start of a line. It returns whether c was taken.
func (d *DataReader) dot(c byte) int {
	switch c {
	case '\r':
		d.state += afterDotCR - afterDot
		return 1
	case '\n':
		d.bareLF = true
		d.bad(ErrSmuggling)
		d.state = atLineLF
		return 1
	}
	if c == 0 {
		d.nuls.begin(1)
	}
	d.state = inLine
	return 0
}

// dotCR handles c after a dot and CR at the start of a line. It returns whether c
// was taken.
func (d *DataReader) dotCR(c byte) int {
	switch {
	case c != '\n':
		d.bad(ErrBareCR)
		d.state = inLine
		return 0
	case d.state == afterDotCR:
		d.state = atEnd
		return 1
	}
	d.bad(ErrSmuggling)
	d.state = atLine
	return 1
}

func indexFrom(s []byte, from int, c byte) int {
	if i := bytes.IndexByte(s[from:], c); i >= 0 {
		return from + i
	}
	return len(s)
}
