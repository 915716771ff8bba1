package report

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An Error says what is wrong with a report.
type Error struct {
	Element string // Path of the element, such as "feedback/record[2]/row/count". May be empty.
	Line    int    // In the XML, from 1.
	Err     error
}

// Error returns all that is known.
func (e *Error) Error() string {
	if e.Element == "" {
		return fmt.Sprintf("aggregate report, line %d: %s", e.Line, e.Err)
	}
	return fmt.Sprintf("aggregate report, element %s, line %d: %s", e.Element, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors about limits, and about XML that could take more than it is worth.
var (
	ErrTooLarge = errors.New("report too large")
	ErrDoctype  = errors.New("document type declarations are refused")
)

// meter gives bytes to the XML decoder, and no more than MaxToken for a token: the
// decoder keeps what it reads until a token is complete.
type meter struct {
	r    *bufio.Reader
	left int
}

func (m *meter) ReadByte() (byte, error) {
	if m.left == 0 {
		return 0, fmt.Errorf("%w: tag or text of more than %d bytes", ErrTooLarge, MaxToken)
	}
	m.left--
	return m.r.ReadByte()
}

// Read is never called by the decoder, which finds ReadByte.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}

// xmlReader reads elements of a known structure. The functions that read an
// element consume it up to its end tag.
type xmlReader struct {
	d        *xml.Decoder
	m        *meter
	path     []string
	elements int
	depth    int    // Of open tags.
	ns       string // Of the root.
	notes    []string
}

func newXMLReader(r io.Reader) *xmlReader {
	m := &meter{r: bufio.NewReader(r)}
	d := xml.NewDecoder(m)
	// The text is UTF-8 already, whatever it says.
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	return &xmlReader{d: d, m: m}
}

// fail returns an error about the current element.
func (x *xmlReader) fail(format string, args ...any) error {
	return x.wrap(fmt.Errorf(format, args...))
}

func (x *xmlReader) wrap(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	var s *xml.SyntaxError
	if errors.As(err, &s) {
		err = errors.New("xml syntax: " + s.Msg)
	}
	line, _ := x.d.InputPos()
	return &Error{strings.Join(x.path, "/"), line, err}
}

func (x *xmlReader) note(format string, args ...any) {
	if len(x.notes) < MaxNotes {
		x.notes = append(x.notes, strings.Join(x.path, "/")+": "+fmt.Sprintf(format, args...))
	}
}

// token returns the next tag or text.
func (x *xmlReader) token() (xml.Token, error) {
	for {
		x.m.left = MaxToken
		t, err := x.d.Token()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, x.wrap(err)
		}
		switch t.(type) {
		case xml.StartElement:
			x.elements++
			x.depth++
			if x.elements > MaxElements {
				return nil, x.wrap(fmt.Errorf("%w: more than %d elements", ErrTooLarge, MaxElements))
			}
			if x.depth > MaxDepth {
				return nil, x.wrap(fmt.Errorf("%w: elements more than %d deep", ErrTooLarge, MaxDepth))
			}
			return t, nil
		case xml.EndElement:
			x.depth--
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Directive:
			return nil, x.wrap(ErrDoctype)
		}
	}
}

// skip reads to the end of the current element.
func (x *xmlReader) skip() error {
	for depth := x.depth; x.depth >= depth; {
		if _, err := x.token(); err != nil {
			return err
		}
	}
	return nil
}

// text returns the text of the current element, without space around it, and
// whether it was cut. There must be no elements in it.
func (x *xmlReader) text() (string, bool, error) {
	var b strings.Builder
	cut := false
	for {
		t, err := x.token()
		if err != nil {
			return "", false, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return "", false, x.fail("has element %q where text is expected", clip(t.Name.Local))
		case xml.EndElement:
			return strings.TrimSpace(b.String()), cut, nil
		case xml.CharData:
			if b.Len()+len(t) > MaxText {
				t = t[:MaxText-b.Len()]
				cut = true
			}
			b.Write(t)
		}
	}
}

// A field is an element that may be in another one.
type field struct {
	name     string
	required bool
	many     bool
	read     func() error // Consumes the element.
}

// fields reads the current element, which has the fields in any order. Elements of
// other names and namespaces are extensions and skipped, as is text between
// elements.
func (x *xmlReader) fields(l []field) error {
	var seen uint64
	for {
		t, err := x.token()
		if err != nil {
			return err
		}
		if _, end := t.(xml.EndElement); end {
			break
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		i := x.find(l, start.Name)
		if i < 0 {
			if err := x.skip(); err != nil {
				return err
			}
			continue
		}
		x.path = append(x.path, l[i].name)
		if seen&(1<<i) != 0 && !l[i].many {
			return x.fail("is there more than once")
		}
		seen |= 1 << i
		if err := l[i].read(); err != nil {
			return err
		}
		x.path = x.path[:len(x.path)-1]
	}
	for i, f := range l {
		if f.required && seen&(1<<i) == 0 {
			return x.fail("has no element %q", f.name)
		}
	}
	return nil
}

// find returns the index of the field for an element, or -1. In the schema of RFC
// 7489, elements below the root have no namespace, and in practice may have.
func (x *xmlReader) find(l []field, name xml.Name) int {
	if name.Space != "" && name.Space != x.ns {
		return -1
	}
	for i, f := range l {
		if f.name == name.Local {
			return i
		}
	}
	return -1
}

// maxShown is the length of text of others in errors and notes.
const maxShown = 60

func clip(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return s
}
