package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// body canonicalises a body that it writes in pieces of n bytes.
func body(c Canonicalization, text string, n int) string {
	var out bytes.Buffer
	w := NewBodyWriter(&out, c)
	for text != "" {
		k := min(n, len(text))
		io.WriteString(w, text[:k])
		text = text[k:]
	}
	w.Close()
	if w.Len() != int64(out.Len()) {
		return fmt.Sprintf("length %d for %q", w.Len(), out.String())
	}
	return out.String()
}

// header canonicalises a field that it writes in pieces of n bytes.
func header(c Canonicalization, field string, n int) string {
	var out bytes.Buffer
	w := NewHeaderWriter(&out, c)
	for field != "" {
		k := min(n, len(field))
		io.WriteString(w, field[:k])
		field = field[k:]
	}
	w.End(true)
	w.Flush()
	return out.String()
}

func TestCanonicalizationExamplesOfRFC6376(t *testing.T) {
	t.Parallel()
	// RFC 6376 §3.4.5.
	for _, tc := range []struct{ field, simple, relaxed string }{
		{"A: X\r\n", "A: X\r\n", "a:X\r\n"},
		{"B : Y\t\r\n\tZ  \r\n", "B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
		// Further ones, by the rules of §3.4.1 and §3.4.2.
		{"SUBJect: AbC\r\n", "SUBJect: AbC\r\n", "subject:AbC\r\n"},
		{"A:\r\n", "A:\r\n", "a:\r\n"},
		{"A: \t\r\n", "A: \t\r\n", "a:\r\n"},
		{"A: \r\n \r\n\t\r\n", "A: \r\n \r\n\t\r\n", "a:\r\n"},
		{"A:b\r\n \tc:d  e\r\n \r\n", "A:b\r\n \tc:d  e\r\n \r\n", "a:b c:d e\r\n"},
		{"A: b", "A: b\r\n", "a:b\r\n"},
		{"A: b\n c\n", "A: b\r\n c\r\n", "a:b c\r\n"},
		{"A: b\rc\r\n", "A: b\rc\r\n", "a:b\rc\r\n"},
		{"A: b \r\r\n", "A: b \r\r\n", "a:b \r\r\n"},
		{"A: b\r", "A: b\r\r\n", "a:b\r\r\n"},
		{"A\t:\tb", "A\t:\tb\r\n", "a:b\r\n"},
		{"A: \xff\x00 b", "A: \xff\x00 b\r\n", "a:\xff\x00 b\r\n"},
	} {
		for _, n := range []int{1, 2, 3, 1000} {
			if got := header(Simple, tc.field, n); got != tc.simple {
				t.Errorf("simple %q by %d: got %q, expected %q", tc.field, n, got, tc.simple)
			}
			if got := header(Relaxed, tc.field, n); got != tc.relaxed {
				t.Errorf("relaxed %q by %d: got %q, expected %q", tc.field, n, got, tc.relaxed)
			}
		}
	}
	for _, tc := range []struct{ body, simple, relaxed string }{
		{" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"},
		{"", "\r\n", ""},
		{"\r\n", "\r\n", ""},
		{"\r\n\r\n\r\n", "\r\n", ""},
		{" \t", " \t\r\n", ""},
		{" \r\n\t\r\n", " \r\n\t\r\n", ""},
		{"a", "a\r\n", "a\r\n"},
		{"a \r\n \r\n", "a \r\n \r\n", "a\r\n"},
		{"\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
		{"a\nb\n\n", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"a\r", "a\r\r\n", "a\r\r\n"},
		{"a\r\r\n", "a\r\r\n", "a\r\r\n"},
		{"a \rb\r\n", "a \rb\r\n", "a \rb\r\n"},
		{"\xff\x00  \x00", "\xff\x00  \x00\r\n", "\xff\x00 \x00\r\n"},
	} {
		for _, n := range []int{1, 2, 3, 1000} {
			if got := body(Simple, tc.body, n); got != tc.simple {
				t.Errorf("simple %q by %d: got %q, expected %q", tc.body, n, got, tc.simple)
			}
			if got := body(Relaxed, tc.body, n); got != tc.relaxed {
				t.Errorf("relaxed %q by %d: got %q, expected %q", tc.body, n, got, tc.relaxed)
			}
		}
	}
}

func TestHashesOfEmptyBodiesAreThoseOfRFC6376(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		canon Canonicalization
		want  string
	}{
		{Simple, "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="},  // RFC 6376 §3.4.3.
		{Relaxed, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, // RFC 6376 §3.4.4.
	} {
		x, err := ReadIndex(strings.NewReader("A: b\r\n\r\n"), 8)
		if err != nil {
			t.Fatal(err)
		}
		h, err := x.BodyHashes([]BodySpec{{tc.canon, -1}})
		if err != nil || base64.StdEncoding.EncodeToString(h[0].Sum[:]) != tc.want {
			t.Errorf("%s: got %x, %v", tc.canon, h, err)
		}
	}
}

var (
	spaces   = regexp.MustCompile(`[ \t]+`)
	endSpace = regexp.MustCompile(`[ \t]+(\r\n|$)`)
)

// plainBody is the definition of RFC 6376 §3.4, in the simplest words.
func plainBody(c Canonicalization, s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\n", "\r\n")
	if c == Relaxed {
		s = endSpace.ReplaceAllString(s, "$1")
		s = spaces.ReplaceAllString(s, " ")
	}
	for strings.HasSuffix(s, "\r\n") {
		s = strings.TrimSuffix(s, "\r\n")
	}
	if s == "" && c == Relaxed {
		return ""
	}
	return s + "\r\n"
}

func TestStreamsAreAsTheDefinition(t *testing.T) {
	t.Parallel()
	pieces := []string{" ", "\t", "\r\n", "\r", "\n", "a", "bc", "  ", strings.Repeat("x", 700)}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var b strings.Builder
		for range rnd.IntN(40) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		// What "\r" followed by an empty line means is a question of where the body was
		// made CRLF, which the definition here leaves open.
		text := strings.ReplaceAll(b.String(), "\r\r\n", "\r\n")
		for strings.Contains(text, "\r\r") {
			text = strings.ReplaceAll(text, "\r\r", "\r")
		}
		for _, c := range []Canonicalization{Simple, Relaxed} {
			if got, want := body(c, text, 1+rnd.IntN(50)), plainBody(c, text); got != want {
				t.Fatalf("%s %q: got %q, expected %q", c, text, got, want)
			}
		}
	}
}

func TestRunsOfNothingTakeNoMemory(t *testing.T) {
	// Not in parallel: it counts allocations.
	chunk := map[string][]byte{
		"lines":  bytes.Repeat([]byte("\r\n"), 32<<10),
		"spaces": bytes.Repeat([]byte(" "), 64<<10),
	}
	for name, p := range chunk {
		for _, c := range []Canonicalization{Simple, Relaxed} {
			w := NewBodyWriter(io.Discard, c)
			n := testing.AllocsPerRun(100, func() { w.Write(p) })
			io.WriteString(w, "x")
			if err := w.Close(); n > 0 || err != nil {
				t.Errorf("%s of %s: %v allocations, %v", c, name, n, err)
			}
		}
	}
}

func TestErrorsOfTheWriterBelowArePassedOn(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad")
	w := NewBodyWriter(errWriter{bad}, Simple)
	_, err := w.Write(make([]byte, 2*canonSize))
	if cerr := w.Close(); err != bad || cerr != bad {
		t.Errorf("got %v, %v", err, cerr)
	}
	h := NewHeaderWriter(errWriter{bad}, Relaxed)
	io.WriteString(h, "A: b")
	if err := h.End(true); err != nil {
		t.Errorf("got %v before anything was passed on", err)
	}
	if err := h.Flush(); err != bad {
		t.Errorf("got %v", err)
	}
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

func TestLengthsShareOneReadingOfTheBody(t *testing.T) {
	t.Parallel()
	msg := "From: a\r\n\r\na  b \r\nc\r\n\r\n"
	x, err := ReadIndex(strings.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Fatal(err)
	}
	h, err := x.BodyHashes([]BodySpec{{Simple, -1}, {Relaxed, -1}, {Relaxed, 3}, {Simple, 0}, {Simple, 1000}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a  b \r\nc\r\n", "a b\r\nc\r\n", "a b", "", "a  b \r\nc\r\n"} {
		if h[i].Sum != sha256.Sum256([]byte(want)) {
			t.Errorf("%d: not the hash of %q", i, want)
		}
	}
	if h[0].Length != 10 || h[2].Length != 8 || h[4].Length != 10 {
		t.Errorf("got lengths %v", h)
	}
}
