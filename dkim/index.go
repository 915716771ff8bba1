package dkim

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"mox/internal/lex"
)

// An Index knows where in a message the header fields and the body are. Fields are
// read from the message again when they are needed, but for the first part of the
// header, which is kept.
type Index struct {
	r      io.ReaderAt
	size   int64
	head   []byte // The first bytes of the message.
	fields []Field
	body   int64 // Where it begins.

	// For hashing: the last field of each name, and of each field the one above it
	// with the same name, or -1.
	last  map[string]int32
	above []int32
	hw    *HeaderWriter
	buf   []byte // For fields that are not in head.
}

// A Field is a header field in an [Index].
type Field struct {
	Name       string // In lower case, without white space before the colon.
	Start, End int64  // Byte range in the message, with the last line end.
}

// Len returns the length of the field in bytes.
func (f Field) Len() int64 { return f.End - f.Start }

// ReadIndex reads the header section of a message of size bytes. If it has more
// than [MaxHeader] bytes or [MaxFields] fields, the error matches [ErrTooMany]; any
// other error is one of r.
//
// Lines that are not a field are skipped with their continuation lines, as package
// message does.
func ReadIndex(r io.ReaderAt, size int64) (*Index, error) {
	x := &Index{r: r, size: size}
	s := headerScan{x: x}
	limit := min(size, MaxHeader+1)
	x.head = make([]byte, min(limit, 8<<10))
	window := x.head
	for off := int64(0); off < limit && !s.done; {
		if err := readFull(r, window, off); err != nil {
			return nil, err
		}
		if err := s.scan(window); err != nil {
			return nil, err
		}
		off += int64(len(window))
		if off >= limit || s.done {
			break
		}
		window = x.nextWindow(window, off, limit)
	}
	if !s.done && size > MaxHeader {
		return nil, fmt.Errorf("%w: header section longer than %d bytes", ErrTooMany, MaxHeader)
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return x, nil
}

// nextWindow returns where to read the bytes from off on to: after head while that
// is not full, or else into another buffer.
func (x *Index) nextWindow(last []byte, off, limit int64) []byte {
	if off < headWindow {
		n := min(limit, headWindow)
		head := make([]byte, n)
		copy(head, x.head)
		x.head = head
		return head[off:]
	}
	if off == headWindow {
		last = make([]byte, readSize)
	}
	return last[:min(int64(len(last)), limit-off)]
}

func readFull(r io.ReaderAt, buf []byte, off int64) error {
	if n, err := r.ReadAt(buf, off); n < len(buf) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// headerScan splits a header section that it gets in pieces.
type headerScan struct {
	x     *Index
	off   int64 // Of the next byte.
	start int64 // Of the current line with its continuation lines.
	name  []byte
	state scanState
	done  bool // The blank line was seen.
}

type scanState uint8

const (
	atLine    scanState = iota // At the beginning of a line.
	afterCR                    // After a CR there.
	scanName                   // In the name of a field.
	scanSpace                  // In white space between name and colon.
	scanValue                  // In the value of a field.
	scanSkip                   // In a line that is no field.
)

// maxName is the length of the name of a field. A line that begins with a longer
// one is taken as no field. RFC 5322 §2.1.1 allows no longer line.
const maxName = 998

// scan takes the next piece.
func (s *headerScan) scan(p []byte) error {
	for i := 0; i < len(p); i++ {
		c := p[i]
		at := s.off + int64(i)
		if s.state == scanValue || s.state == scanSkip {
			n := bytes.IndexByte(p[i:], '\n')
			if n < 0 {
				break
			}
			i += n
			s.line()
			continue
		}
		if s.state == afterCR && c != '\n' {
			// A bare CR begins a line that is no field.
			if err := s.begin(at - 1); err != nil {
				return err
			}
			s.state = scanSkip
			i--
			continue
		}
		switch {
		case s.state == atLine && c == '\r':
			s.state = afterCR
		case (s.state == atLine || s.state == afterCR) && c == '\n':
			s.done = true
			s.x.body = at + 1
			return nil
		case s.state == atLine && lex.WSP.Has(c):
			s.resume()
		case s.state == atLine:
			if err := s.begin(at); err != nil {
				return err
			}
			i--
		default:
			s.nameByte(c)
		}
	}
	s.off += int64(len(p))
	return nil
}

// nameByte takes a byte in the name of a field or after it.
func (s *headerScan) nameByte(c byte) {
	switch {
	case c == ':' && len(s.name) > 0:
		s.state = scanValue
	case c == '\n':
		s.name = s.name[:0]
		s.line()
	case s.state == scanName && lex.FText.Has(c) && len(s.name) < maxName:
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		s.name = append(s.name, c)
	case lex.WSP.Has(c):
		s.state = scanSpace
	default:
		s.name = s.name[:0]
		s.state = scanSkip
	}
}

// line is called after the end of a line.
func (s *headerScan) line() {
	s.state = atLine
}

// resume goes on with a continuation line, of a field or of no field.
func (s *headerScan) resume() {
	s.state = scanSkip
	if len(s.name) > 0 {
		s.state = scanValue
	}
}

// begin ends the field before and begins a new one at an offset.
func (s *headerScan) begin(at int64) error {
	err := s.end(at)
	s.start, s.state = at, scanName
	return err
}

// end adds the field that ends at an offset, if it is one.
func (s *headerScan) end(at int64) error {
	if len(s.name) == 0 {
		return nil
	}
	if len(s.x.fields) == MaxFields {
		return fmt.Errorf("%w: more than %d header fields", ErrTooMany, MaxFields)
	}
	s.x.fields = append(s.x.fields, Field{internName(s.name), s.start, at})
	s.name = s.name[:0]
	return nil
}

// finish ends the last field.
func (s *headerScan) finish() error {
	if !s.done {
		s.x.body = s.x.size
		if s.state == scanName || s.state == scanSpace {
			s.name = s.name[:0] // There was no colon.
		}
		end := s.x.size
		if s.state == afterCR {
			end-- // A line of its own.
		}
		return s.end(end)
	}
	end := s.x.body - 1
	if s.state == afterCR {
		end--
	}
	return s.end(end)
}

// internName returns the name as a string, without an allocation for those that
// most messages have.
func internName(b []byte) string {
	switch string(b) {
	case "received":
		return "received"
	case "from":
		return "from"
	case "to":
		return "to"
	case "cc":
		return "cc"
	case "subject":
		return "subject"
	case "date":
		return "date"
	case "message-id":
		return "message-id"
	case "content-type":
		return "content-type"
	case "mime-version":
		return "mime-version"
	case "dkim-signature":
		return "dkim-signature"
	}
	return string(b)
}

// Fields returns all fields in their order in the message.
func (x *Index) Fields() []Field { return x.fields }

// Count returns the number of fields of a name, which is in lower case.
func (x *Index) Count(name string) int {
	n := 0
	for _, f := range x.fields {
		if f.Name == name {
			n++
		}
	}
	return n
}

// BodyStart returns the offset of the body.
func (x *Index) BodyStart() int64 { return x.body }

// CheckPrepend returns [ErrContinuation] if a field cannot be put in front of the
// message as it is.
func (x *Index) CheckPrepend() error {
	if len(x.head) > 0 && lex.WSP.Has(x.head[0]) {
		return ErrContinuation
	}
	return nil
}

// Raw returns the bytes of a field, with its last line end. They are shared.
func (x *Index) Raw(f Field) ([]byte, error) {
	if f.End <= int64(len(x.head)) {
		return x.head[f.Start:f.End], nil
	}
	b := make([]byte, f.Len())
	if err := readFull(x.r, b, f.Start); err != nil {
		return nil, err
	}
	return b, nil
}

// copyField writes a field to w.
func (x *Index) copyField(w io.Writer, f Field) error {
	if f.End <= int64(len(x.head)) {
		_, err := w.Write(x.head[f.Start:f.End])
		return err
	}
	if x.buf == nil {
		x.buf = make([]byte, readSize)
	}
	for off := f.Start; off < f.End; {
		b := x.buf[:min(int64(len(x.buf)), f.End-off)]
		if err := readFull(x.r, b, off); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}
