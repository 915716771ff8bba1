package message

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// complexMessage has the structure of the example in RFC 9051 §6.4.5.1.
var complexMessage = crlf(`
Subject: root
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: text/plain

one
--a
Content-Type: application/octet-stream

two
--a
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

three-one
--b
Content-Type: application/octet-stream

three-two
--b--
--a
Content-Type: multipart/mixed; boundary=c

--c
Content-Type: image/gif
X-Other: x

four-one
--c
Content-Type: message/rfc822

Subject: four-two
Content-Type: multipart/mixed; boundary=d

--d
Content-Type: text/plain

four-two-one
--d
Content-Type: multipart/alternative; boundary=e

--e
Content-Type: text/plain

four-two-two-one
--e
Content-Type: text/richtext

four-two-two-two
--e--
--d--
--c--
--a--
`)

// parseSection reads a section as on the wire, such as "4.2.HEADER".
func parseSection(t *testing.T, s string) (path []uint32, spec Specifier) {
	t.Helper()
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' }) {
		switch w {
		case "HEADER":
			spec = SectionHeader
		case "TEXT":
			spec = SectionText
		case "MIME":
			spec = SectionMIME
		default:
			n, err := strconv.ParseUint(w, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			path = append(path, uint32(n))
		}
	}
	return path, spec
}

func TestSectionsOfAComplexMessage(t *testing.T) {
	t.Parallel()
	root := mustParse(t, complexMessage, Limits{})
	checkTree(t, complexMessage, root)
	for section, want := range map[string]string{
		"":              complexMessage,
		"HEADER":        "Subject: root\nContent-Type: multipart/mixed; boundary=a\n\n",
		"1":             "one",
		"1.MIME":        "Content-Type: text/plain\n\n",
		"2":             "two",
		"3.HEADER":      "Subject: three\nContent-Type: multipart/mixed; boundary=b\n\n",
		"3.MIME":        "Content-Type: message/rfc822\n\n",
		"3.1":           "three-one",
		"3.2":           "three-two",
		"4.1":           "four-one",
		"4.1.MIME":      "Content-Type: image/gif\nX-Other: x\n\n",
		"4.2.HEADER":    "Subject: four-two\nContent-Type: multipart/mixed; boundary=d\n\n",
		"4.2.1":         "four-two-one",
		"4.2.2.1":       "four-two-two-one",
		"4.2.2.2":       "four-two-two-two",
		"4.2.2.2.MIME":  "Content-Type: text/richtext\n\n",
		"4.2.2.MIME":    "Content-Type: multipart/alternative; boundary=e\n\n",
		"0":             "none",
		"5":             "none",
		"4294967295":    "none",
		"1.1":           "none",
		"1.HEADER":      "none",
		"1.TEXT":        "none",
		"4.HEADER":      "none",
		"4.2.2.3":       "none",
		"4.2.2.2.1":     "none",
		"3.1.1":         "none",
		"MIME":          "none",
		"3.3":           "none",
		"4.2.2.2.1.1.1": "none",
	} {
		path, spec := parseSection(t, section)
		r, err := root.Section(path, spec)
		if want == "none" {
			if !errors.Is(err, ErrNoSection) {
				t.Errorf("%s: %v %v", section, r, err)
			}
			continue
		}
		if section != "" {
			want = crlf(want)
		}
		if err != nil || complexMessage[r.Start:r.End] != want || r.MIMEOnly || r.Len() != int64(len(want)) {
			t.Errorf("%s: %q, %v, want %q", section, complexMessage[r.Start:r.End], err, want)
		}
	}
	// The body of part 3 is the message, and 3.TEXT is its body.
	whole, _ := root.Section([]uint32{3}, SectionAll)
	head, _ := root.Section([]uint32{3}, SectionHeader)
	text, _ := root.Section([]uint32{3}, SectionText)
	if head.Start != whole.Start || text.Start != head.End || text.End != whole.End {
		t.Errorf("part 3 is %v, header %v, text %v", whole, head, text)
	}
	if _, err := root.Find([]uint32{4, 2, 2, 2}); err != nil {
		t.Error(err)
	}
	if p, err := root.Find(nil); p != root || err != nil {
		t.Error("no path is the message")
	}
}

func TestPartOneOfOtherMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, msg, section, want string }{
		{"the body of a text", "Subject: x\n\nbody\n", "1", "body\n"},
		{"its MIME header has the fields of MIME", "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain\n\nbody\n", "1.MIME", "MIME-Version: 1.0\nContent-Type: text/plain\n\n"},
		{"no part two", "Subject: x\n\nbody\n", "2", "none"},
		{"no part in part one", "Subject: x\n\nbody\n", "1.1", "none"},
		{"no header of part one", "Subject: x\n\nbody\n", "1.HEADER", "none"},
		{"the text of a message", "Subject: x\n\nbody\n", "TEXT", "body\n"},
		{"the header of a message without a body", "Subject: x\n", "HEADER", "Subject: x\n"},
		{"part one of a message without a body", "Subject: x\n", "1", ""},
		{"a message that is a message", "Content-Type: message/rfc822\n\nSubject: y\n\nbody\n", "1", "Subject: y\n\nbody\n"},
		{"its header", "Content-Type: message/rfc822\n\nSubject: y\n\nbody\n", "1.HEADER", "Subject: y\n\n"},
		{"its body", "Content-Type: message/rfc822\n\nSubject: y\n\nbody\n", "1.1", "body\n"},
		{"the MIME header of its body", "Content-Type: message/rfc822\n\nSubject: y\nContent-Type: a/b\n\nbody\n", "1.1.MIME", "Content-Type: a/b\n\n"},
		{"messages in messages", "Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nSubject: y\n\nbody\n", "1.1.1", "body\n"},
		{"a text in a message in a multipart", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: y\n\nbody\n--b--\n", "1.1", "body"},
		{"its MIME header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: y\nContent-Type: a/b\n\nbody\n--b--\n", "1.1.MIME", "Content-Type: a/b\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			msg := crlf(c.msg)
			path, spec := parseSection(t, c.section)
			r, err := mustParse(t, msg, Limits{}).Section(path, spec)
			if c.want == "none" {
				if !errors.Is(err, ErrNoSection) {
					t.Errorf("%v, %v", r, err)
				}
				return
			}
			got := msg[r.Start:r.End]
			if r.MIMEOnly {
				got = string(FilterMIME(nil, []byte(got)))
			}
			if err != nil || got != crlf(c.want) {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func ExamplePart_Section() {
	msg := "Subject: x\r\n\r\nhello\r\n"
	root, _ := Parse(strings.NewReader(msg), int64(len(msg)), Limits{})
	r, _ := root.Section([]uint32{1}, SectionAll)
	fmt.Printf("%q\n", msg[r.Start:r.End])
	// Output: "hello\r\n"
}
