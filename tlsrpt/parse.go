package tlsrpt

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Errors of ParseReport and ParseMessage, for errors.Is.
var (
	// ErrReport means that a report is malformed.
	ErrReport = errors.New("tlsrpt: malformed report")

	// ErrTooLarge means that a report or message is larger than its limit, and was not
	// read further.
	ErrTooLarge = errors.New("tlsrpt: report too large")
)

// ParseReport reads a report in JSON, that may be compressed with gzip, RFC 8460
// §4.4 and §5.2. It tolerates what reporters are known to do, and more: fields that
// are absent or null, other fields, names in another case, a string where an array
// is to be and the reverse, numbers in strings, and times in other forms than that
// of RFC 3339. Errors match ErrReport or ErrTooLarge, or are those of r.
func ParseReport(r io.Reader) (Report, error) {
	br := bufio.NewReader(r)
	r = br
	magic, err := br.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return Report{}, err
	}
	if string(magic) == "\x1f\x8b" {
		zr, err := gzip.NewReader(br)
		if err != nil {
			return Report{}, fmt.Errorf("%w: gzip: %w", ErrReport, err)
		}
		zr.Multistream(false) // What follows is not ours.
		r = zr
	}
	limited := &limitReader{r: r, left: MaxReportSize}
	p := &parser{dec: json.NewDecoder(fullReader{skipBOM(limited)})}
	p.dec.UseNumber()
	report := p.report()
	switch {
	case limited.exceeded:
		return Report{}, fmt.Errorf("%w: more than %d bytes without compression", ErrTooLarge, MaxReportSize)
	case errors.Is(p.err, ErrTooLarge):
		return Report{}, p.err
	case p.err != nil:
		return Report{}, fmt.Errorf("%w: %w", ErrReport, p.err)
	}
	return report, nil
}

// skipBOM passes over a byte order mark, which JSON does not have.
func skipBOM(r io.Reader) io.Reader {
	br := bufio.NewReader(r)
	if b, err := br.Peek(3); err == nil && string(b) == "\xef\xbb\xbf" {
		_, _ = br.Discard(3) // They are in the buffer.
	}
	return br
}

// A fullReader reads as much as is asked for. The JSON decoder looks at white space
// again after each read, and asks for twice as much each time.
type fullReader struct{ r io.Reader }

func (f fullReader) Read(p []byte) (int, error) {
	n, err := io.ReadFull(f.r, p)
	if n > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		err = nil // Comes with the next read, if it does not get better.
	}
	return n, err
}

// A limitReader fails when there is more to read than allowed.
type limitReader struct {
	r        io.Reader
	left     int64
	exceeded bool
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		var b [1]byte
		n, err := l.r.Read(b[:])
		if n > 0 {
			l.exceeded = true
			return 0, ErrTooLarge
		}
		return 0, err
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// A parser reads JSON as a stream, so that memory is taken for what is kept only.
// The first error sticks, and makes all that follows return at once.
type parser struct {
	dec     *json.Decoder
	path    []string // Where we are, for errors.
	details int      // Failure details so far.
	strings int      // Strings in arrays so far.
	err     error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s: %w", strings.Join(append([]string{"report"}, p.path...), "."), fmt.Errorf(format, args...))
	}
}

// token returns the next token. Its end is an error where this is used.
func (p *parser) token() json.Token {
	if p.err != nil {
		return nil
	}
	t, err := p.dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		p.fail("%w", err)
		return nil
	}
	return t
}

// object reads an object, and calls field for each name, which must read the value.
// Null is an object without fields.
func (p *parser) object(field func(name string)) {
	switch p.token() {
	case nil:
	case json.Delim('{'):
		p.fields(field)
	default:
		p.fail("expected an object")
	}
}

// fields reads the rest of an object.
func (p *parser) fields(field func(name string)) {
	for p.err == nil && p.dec.More() {
		name, _ := p.token().(string)
		// Names are those of RFC 8460 in lower case with hyphens.
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if len(name) > maxShownName {
			name = name[:maxShownName]
		}
		p.path = append(p.path, name)
		field(name)
		p.path = p.path[:len(p.path)-1]
	}
	p.token()
}

// maxShownName is how much of a name is looked at, and shown in errors.
const maxShownName = 64

// elements reads an array of objects with at most max of them, and calls element
// after the start of each, to read the rest with p.fields. A single object is taken
// for an array of one.
func (p *parser) elements(max int, element func()) {
	switch t := p.token(); t {
	case nil:
	case json.Delim('{'):
		element()
	case json.Delim('['):
		for n := 0; p.err == nil && p.dec.More(); n++ {
			p.path = append(p.path, strconv.Itoa(n))
			switch {
			case n >= max:
				p.fail("%w: more than %d elements", ErrTooLarge, max)
			case p.token() == json.Delim('{'):
				element()
			default:
				p.fail("expected an object")
			}
			p.path = p.path[:len(p.path)-1]
		}
		p.token()
	default:
		p.fail("expected an array")
	}
}

// skip passes over a value.
func (p *parser) skip() {
	if p.err != nil {
		return
	}
	var v json.RawMessage
	if err := p.dec.Decode(&v); err != nil {
		p.fail("%w", err)
	}
}

// text reads a string. Numbers and booleans are taken as they are written.
func (p *parser) text() string {
	switch t := p.token().(type) {
	case nil:
		return ""
	case string:
		return t
	case json.Number:
		return t.String()
	case bool:
		return strconv.FormatBool(t)
	}
	p.fail("expected a string")
	return ""
}

// texts reads an array of strings. A single string is taken for an array of one.
func (p *parser) texts() []string {
	switch t := p.token().(type) {
	case nil:
		return nil
	case string:
		if t == "" {
			return nil
		}
		return []string{t}
	case json.Delim:
		if t != '[' {
			break
		}
		var l []string
		for p.err == nil && p.dec.More() {
			if p.strings++; p.strings > maxStrings {
				p.fail("%w: more than %d strings", ErrTooLarge, maxStrings)
				return nil
			}
			l = append(l, p.text())
		}
		p.token()
		return l
	}
	p.fail("expected an array of strings")
	return nil
}

// count reads a number of sessions.
func (p *parser) count() int64 {
	s := strings.TrimSpace(p.text())
	if s == "" || p.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(s, 64)
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 { // I-JSON, RFC 7493 §2.2.
			p.fail("expected a number of sessions")
			return 0
		}
		n = int64(f)
	}
	if n < 0 {
		p.fail("negative number of sessions")
		return 0
	}
	return n
}

// timeLayouts are tried in their order. The first is that of RFC 3339, of which Go
// also takes fractions of seconds.
var timeLayouts = []string{
	time.RFC3339,
	"2006-01-02T15:04:05",
	"2006-01-02T15:04:05Z0700",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05 Z07:00",
	"2006-01-02 15:04:05",
	"2006-01-02",
}

// datetime reads a time. Without zone it is taken for UTC.
func (p *parser) datetime() time.Time {
	s := strings.ToUpper(strings.TrimSpace(p.text()))
	if s == "" || p.err != nil {
		return time.Time{}
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil && t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 {
			return t.UTC()
		}
	}
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil && seconds >= 0 && seconds < maxSeconds {
		return time.Unix(seconds, 0).UTC()
	}
	p.fail("expected a date with time")
	return time.Time{}
}

// maxSeconds is in the year 9999, the last of RFC 3339.
const maxSeconds = 253_402_300_800
