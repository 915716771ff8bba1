package trace

import (
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, tc := range examples {
		f.Add(tc.value)
	}
	f.Add("a; b=c (\\)) d.e=\"f\r\n g\"@h")
	f.Fuzz(func(t *testing.T, value string) {
		a, err := Parse(value)
		if err != nil {
			return
		}
		line := a.String()
		b, err := Parse(line)
		if err != nil {
			t.Fatalf("%q written as %q: %v", value, line, err)
		}
		if b.String() != line {
			t.Errorf("%q written as %q, and then as %q", value, line, b)
		}
		h := a.Header()
		if c, err := Parse(strings.TrimPrefix(h, FieldName+":")); err != nil || c.String() != line {
			t.Errorf("%q written as %q, and folded as %q, which is %q, %v", value, line, h, c, err)
		}
	})
}

func FuzzRemoveForged(f *testing.F) {
	f.Add([]byte("Authentication-Results: mail.example.org; spf=pass\r\nA: b\r\n c\r\n\r\nd"))
	f.Add([]byte("a\n\tb\nX-Mox-Reason:\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		kept, n := RemoveForged(header, ours)
		if (n == 0) != (len(kept) == len(header)) {
			t.Fatalf("removed %d, %d bytes of %d left", n, len(kept), len(header))
		}
		if again, n := RemoveForged(kept, ours); n != 0 || len(again) != len(kept) {
			t.Errorf("removed %d more from %q", n, kept)
		}
	})
}

func FuzzParseInstance(f *testing.F) {
	f.Add(" (a) i = 1 ; a.example; none")
	f.Fuzz(func(t *testing.T, value string) {
		n, payload, err := ParseInstance(value)
		if err == nil && (n < 0 || n > 99 || !strings.HasSuffix(value, payload)) {
			t.Errorf("%q: got %d, %q", value, n, payload)
		}
	})
}
