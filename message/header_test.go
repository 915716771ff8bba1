package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseHeaderKeepsWhatIsWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, raw string
		want      []string // name=value of each field
		end       int      // of the header, -1 for all
		blank     bool
	}{
		{"two fields and a body", "A: 1\r\nB: 2\r\n\r\nbody: x\r\n", []string{"A= 1", "B= 2"}, 14, true},
		{"bare line feeds", "A: 1\nB: 2\n\nbody\n", []string{"A= 1", "B= 2"}, 11, true},
		{"folding stays in the value", "A: 1\r\n\t2\r\n  3\r\n\r\n", []string{"A= 1\r\n\t2\r\n  3"}, -1, true},
		{"no blank line", "A: 1\r\nB: 2", []string{"A= 1", "B= 2"}, -1, false},
		{"no header", "\r\nbody", nil, 2, true},
		{"nothing at all", "", nil, -1, false},
		{"space before the colon is obsolete syntax", "A : 1\r\n\r\n", []string{"A= 1"}, -1, true},
		{"an mbox From line is no field", "From a@b Mon Jan  1 00:00:00 2001\r\nA: 1\r\n\r\n", []string{"A= 1"}, -1, true},
		{"a line without a colon and what continues it", "A: 1\r\njunk\r\n more\r\nB: 2\r\n\r\n", []string{"A= 1", "B= 2"}, -1, true},
		{"a continuation before any field", " x\r\nA: 1\r\n\r\n", []string{"A= 1"}, -1, true},
		{"an empty name", ": x\r\nA: 1\r\n\r\n", []string{"A= 1"}, -1, true},
		{"empty values", "A:\r\nB: \r\n\r\n", []string{"A=", "B= "}, -1, true},
		{"a line of white space continues the header", "A: 1\r\n \r\nB: 2\r\n\r\n", []string{"A= 1\r\n ", "B= 2"}, -1, true},
		{"NUL and bytes beyond ASCII", "A: \x00\xff\r\n\r\n", []string{"A= \x00\xff"}, -1, true},
		{"a name beyond ASCII is none", "\xc3\xa9: 1\r\nB: 2\r\n\r\n", []string{"B= 2"}, -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := ParseHeader([]byte(c.raw), Limits{})
			var got []string
			for _, f := range h.Fields {
				got = append(got, string(f.Name)+"="+string(f.Value))
				if line := c.raw[f.Start:f.End]; !strings.HasPrefix(line, string(f.Name)) || !strings.Contains(line, string(f.Value)) {
					t.Errorf("field %q has the range of %q", f.Name, line)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.end < 0 {
				c.end = len(c.raw)
			}
			if string(h.Raw) != c.raw[:c.end] || h.HasBlankLine() != c.blank || h.Cut {
				t.Errorf("header %q, blank line %v, cut %v", h.Raw, h.HasBlankLine(), h.Cut)
			}
		})
	}
}

func TestHeaderLimits(t *testing.T) {
	t.Parallel()
	raw := []byte(strings.Repeat("A: 1\r\n", 100) + "\r\n")
	h := ParseHeader(raw, Limits{Fields: 10})
	if len(h.Fields) != 10 || !h.Cut {
		t.Errorf("%d fields, cut %v", len(h.Fields), h.Cut)
	}
	h = ParseHeader(raw, Limits{Header: 60})
	if len(h.Fields) != 10 || !h.Cut || h.HasBlankLine() {
		t.Errorf("%d fields, cut %v", len(h.Fields), h.Cut)
	}
	if h = ParseHeader(raw, Limits{Header: len(raw)}); h.Cut || len(h.Fields) != 100 {
		t.Errorf("%d fields, cut %v", len(h.Fields), h.Cut)
	}
	// The first MaxFields of more are kept.
	h = ParseHeader([]byte(strings.Repeat("A:\n", MaxFields+1)), Limits{})
	if len(h.Fields) != MaxFields || !h.Cut {
		t.Errorf("%d fields, cut %v", len(h.Fields), h.Cut)
	}
}

func TestReadHeaderReadsNoMoreThanItNeeds(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, 9 << 10, 100 << 10} {
		msg := "A: " + strings.Repeat("x", size) + "\r\nB: 2\r\n\r\n"
		head := len(msg)
		msg += strings.Repeat("body\r\n", 200<<10)
		r := &countingReaderAt{r: strings.NewReader(msg)}
		h, err := ReadHeader(r, int64(len(msg)), Limits{})
		if err != nil || len(h.Raw) != head || len(h.Fields) != 2 || h.Cut {
			t.Errorf("size %d: %d bytes, %d fields, %v", size, len(h.Raw), len(h.Fields), err)
		}
		if limit := int64(4*head + 8<<10); r.n > limit {
			t.Errorf("read %d bytes for a header of %d", r.n, head)
		}
	}
	endless := strings.Repeat("A: 1\r\n", 1<<18)
	h, err := ReadHeader(strings.NewReader(endless), int64(len(endless)), Limits{})
	if err != nil || len(h.Raw) != MaxHeader || !h.Cut {
		t.Errorf("%d bytes, cut %v, %v", len(h.Raw), h.Cut, err)
	}
	if _, err := ReadHeader(strings.NewReader("A: 1\r\n"), 100, Limits{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short message: %v", err)
	}
}

type countingReaderAt struct {
	r io.ReaderAt
	n int64
}

func (c *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

func TestHeaderLookup(t *testing.T) {
	t.Parallel()
	h := ParseHeader([]byte(crlf(`
To: a@x.test,
 b@x.test
Subject: =?utf-8?q?caf=C3=A9?=
	time
to: c@x.test
X-Empty:

`)), Limits{})
	if v := h.Value("TO"); v != "a@x.test, b@x.test" {
		t.Errorf("value %q", v)
	}
	if v := h.Text("subject"); v != "café\ttime" {
		t.Errorf("text %q", v)
	}
	if l := h.Addresses("To"); len(l) != 3 || l[2].Mailbox != "c" {
		t.Errorf("addresses %v", l)
	}
	if _, ok := h.Get("X-Empty"); !ok {
		t.Error("an empty field is a field")
	}
	if _, ok := h.Get("Absent"); ok || h.Value("Absent") != "" {
		t.Error("found an absent field")
	}
	if f := (Field{Value: []byte(" \ta\x00b\r\n c\rd \r\n ")}); f.Unfolded() != "ab cd" {
		t.Errorf("unfolded %q", f.Unfolded())
	}
}

func TestFilterFields(t *testing.T) {
	t.Parallel()
	raw := "Subject: a\r\n\tb\r\njunk\r\nFrom: x\r\nsubject : c\r\nSubjects: d\r\n\r\n"
	names := [][]byte{[]byte("SUBJECT"), []byte("Absent")}
	for _, c := range []struct {
		name, raw string
		not       bool
		want      string
	}{
		{"fields of the names", raw, false, "Subject: a\r\n\tb\r\nsubject : c\r\n\r\n"},
		{"fields of other names", raw, true, "From: x\r\nSubjects: d\r\n\r\n"},
		{"none, but the blank line", "From: x\r\n\r\n", false, "\r\n"},
		{"no blank line, no body", "Subject: a\r\nFrom: x\r\n", false, "Subject: a\r\n"},
		{"nothing after the blank line", raw + "Subject: body\r\n", false, "Subject: a\r\n\tb\r\nsubject : c\r\n\r\n"},
		{"nothing at all", "", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := FilterFields([]byte("!"), []byte(c.raw), names, c.not); string(got) != "!"+c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	mime := FilterMIME(nil, []byte("From: x\r\nContent-Type: a/b\r\nMime-Version: 1.0\r\nX-Content: 1\r\n\r\n"))
	if string(mime) != "Content-Type: a/b\r\nMime-Version: 1.0\r\n\r\n" {
		t.Errorf("MIME header %q", mime)
	}
}

func TestReadErrorsAreReturned(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	r := readerAt{iotest.ErrReader(broken)}
	if _, err := Parse(r, 100, Limits{}); !errors.Is(err, broken) {
		t.Errorf("parse: %v", err)
	}
	if _, err := NewDigest(r, 100, Limits{}); !errors.Is(err, broken) {
		t.Errorf("digest: %v", err)
	}
	if _, err := ReadHeader(r, 100, Limits{}); !errors.Is(err, broken) {
		t.Errorf("header: %v", err)
	}
	if _, err := Parse(bytes.NewReader([]byte("a: b\r\n\r\n")), 100, Limits{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short message: %v", err)
	}
}

type readerAt struct{ r io.Reader }

func (r readerAt) ReadAt(p []byte, _ int64) (int, error) { return r.r.Read(p) }
