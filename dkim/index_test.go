package dkim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/message"
)

// sameAsMessage checks that an index has the fields that package message finds, so
// that what is signed is what is shown.
func sameAsMessage(t *testing.T, msg []byte) {
	t.Helper()
	x, err := ReadIndex(bytes.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Errorf("%.60q: %v", msg, err)
		return
	}
	h := message.ParseHeader(msg, message.Limits{Header: MaxHeader, Fields: MaxFields})
	if int64(len(h.Raw)) != x.BodyStart() {
		t.Errorf("%.60q: body at %d, expected %d", msg, x.BodyStart(), len(h.Raw))
	}
	// A name of more than a line is none here, so that it need not be kept.
	h.Fields = slices.DeleteFunc(h.Fields, func(f message.Field) bool { return len(f.Name) > maxName })
	if len(h.Fields) != len(x.Fields()) {
		t.Errorf("%.60q: %d fields, expected %d", msg, len(x.Fields()), len(h.Fields))
		return
	}
	for i, f := range x.Fields() {
		w := h.Fields[i]
		raw, err := x.Raw(f)
		if f.Name != strings.ToLower(string(w.Name)) || err != nil || !bytes.Equal(raw, msg[w.Start:w.End]) {
			t.Errorf("%.60q: field %d is %q with %q, %v, expected %q", msg, i, f.Name, raw, err, msg[w.Start:w.End])
		}
		if value, _ := FieldValue(raw); !bytes.Equal(value, w.Value) {
			t.Errorf("%.60q: value %q, expected %q", msg, value, w.Value)
		}
	}
}

func TestFieldsAreThoseOfPackageMessage(t *testing.T) {
	t.Parallel()
	for _, msg := range []string{
		"", "\r\n", "\n", "\r", "a", "a:", "a:b", "A: b\r\n\r\nbody", "A: b\n\nbody", "a: b\r\n c\r\n\td\r\ne :f\r\n\r\n", " cont\r\na: b\r\n\r\n",
		"From x\r\n cont\r\na: b\r\n\r\n", "a b: c\r\n\r\n", ": x\r\na: b\r\n\r\n", "a\t\r\n: b\r\n\r\n", "a: b\r\n \r\n c\r\n\r\n", "a: b\r\n\rc: d\r\n\r\n",
		"a: b\r\r\n\r\n", "a: b\r\n\r", "a: b\r\nc", "a: b\r\nc \r\nd: e", "a: b\r\nc\r\nd: e\r\n\r\n", "\xff: b\r\n\r\n", "a\x00: b\r\n\r\n", "a: b\r\n\r\r\n\r\n",
	} {
		sameAsMessage(t, []byte(msg))
	}
	pieces := []string{"\r\n", "\n", "\r", " ", "\t", ":", "a", "Bc", "x:y", "z:" + strings.Repeat("z ", 1500)}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		var b bytes.Buffer
		for range rnd.IntN(60) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		sameAsMessage(t, b.Bytes())
	}
}

func TestFieldsOfRealMailAreThoseOfPackageMessage(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(testkit.Shared(t, "testdata/mail"), "*", "*.eml"))
	if err != nil || len(files) < 50 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, f := range files {
		sameAsMessage(t, testkit.ReadFile(t, f))
	}
}

// allocated returns how much f allocates in total, which bounds how much the heap
// grows.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// filler is a message that is not in memory: head, then a pattern up to size.
type filler struct {
	head    string
	pattern string
	size    int64
}

func (f filler) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < f.size {
		if off < int64(len(f.head)) {
			k := copy(p[n:], f.head[off:])
			n, off = n+k, off+int64(k)
			continue
		}
		k := copy(p[n:min(len(p), n+int(f.size-off))], f.pattern[(off-int64(len(f.head)))%int64(len(f.pattern)):])
		n, off = n+k, off+int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// These tests count allocations of the whole program, so they are not parallel.

func TestLargeMessagesTakeLittleMemory(t *testing.T) {
	const limit = 32 << 20 // Of the requirement. It takes less than 2 MB.
	sel := mustSelector(t, "sel", ed25519Key(t))
	for pattern, size := range map[string]int64{
		strings.Repeat("some words of text  ", 3) + "\r\n": 50 << 20,
		"\r\n": 5 << 20,
		" ":    5 << 20,
		"x":    5 << 20,
	} {
		unsigned := filler{simpleMsg, pattern, size}
		sels := make([]Selector, MaxSignatures)
		for i := range sels {
			sels[i] = sel
			if i%2 == 0 {
				sels[i].BodyCanon = Simple
			}
		}
		var fields string
		var err error
		if n := allocated(func() { fields, err = Sign(unsigned, size, mustDomain(t, "example.org"), sels, SignOptions{}) }); err != nil || n > 2<<20 {
			t.Fatalf("%.10q: signing allocated %d bytes, %v", pattern, n, err)
		}
		signed := filler{fields + simpleMsg, pattern, size + int64(len(fields))}
		var l []Result
		n := allocated(func() {
			l, err = Verify(t.Context(), nil, withKeys(t, "example.org", sel), signed, signed.size, VerifyOptions{})
		})
		if err != nil || len(l) != MaxSignatures || strings.Trim(statuses(l), "pas ") != "" {
			t.Errorf("%.10q: got %s, %v: %s", pattern, statuses(l), err, errorsOf(l))
		}
		if n > limit/16 {
			t.Errorf("%.10q: verifying allocated %d bytes", pattern, n)
		}
	}
}

func TestLargeHeadersTakeLittleMemory(t *testing.T) {
	sel := mustSelector(t, "sel", ed25519Key(t))
	const size = 10 << 20
	line := " " + strings.Repeat("x", 60) + "\r\n"
	for name, field := range map[string]string{
		"one field":   "X-Large:" + strings.Repeat(line, size/len(line)),
		"one line":    "X-Large: " + strings.Repeat("x", size) + "\r\n",
		"many fields": strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", size/1000),
		"no fields":   "no field\r\n" + strings.Repeat(line, size/len(line)),
	} {
		msg := field + simpleMsg
		s := sel
		s.Headers = []string{"From", "Subject", "X-Large"}
		var fields string
		var err error
		if n := allocated(func() {
			fields, err = Sign(strings.NewReader(msg), int64(len(msg)), mustDomain(t, "example.org"), []Selector{s}, SignOptions{})
		}); err != nil || n > 4<<20 {
			t.Fatalf("%s: signing allocated %d bytes, %v", name, n, err)
		}
		// The fields that are signed come after the window that is kept.
		copies := 2
		if name == "one field" {
			copies = MaxSignatures
		}
		signed := strings.Repeat(fields, copies) + msg
		var l []Result
		n := allocated(func() {
			l, err = Verify(t.Context(), nil, withKeys(t, "example.org", sel), strings.NewReader(signed), int64(len(signed)), VerifyOptions{})
		})
		if err != nil || len(l) != copies || strings.Trim(statuses(l), "pas ") != "" {
			t.Errorf("%s: got %s, %v: %s", name, statuses(l), err, errorsOf(l))
		}
		if n > 4<<20 {
			t.Errorf("%s: verifying allocated %d bytes", name, n)
		}
	}
}

func TestHeadersBeyondLimitsAreNotVerified(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	h := signWith(t, simpleMsg, sel, nil)
	for name, tc := range map[string]struct {
		more, text string
		ok         bool
	}{
		"fields":      {strings.Repeat("a:b\r\n", MaxFields), "more than 20000 header fields", false},
		"most fields": {strings.Repeat("a:b\r\n", MaxFields-4), "", true},
		"bytes":       {"a: " + strings.Repeat("b", MaxHeader) + "\r\n", "longer than 16777216 bytes", false},
	} {
		msg := h + tc.more + simpleMsg
		l, err := Verify(t.Context(), nil, withKeys(t, "example.org", sel), strings.NewReader(msg), int64(len(msg)), VerifyOptions{})
		switch {
		case err != nil || len(l) != 1:
			t.Errorf("%s: got %v, %v", name, l, err)
		case tc.ok && l[0].Status != StatusPass:
			t.Errorf("%s: got %+v", name, l[0])
		case !tc.ok && (l[0].Status != StatusNeutral || !errors.Is(l[0].Err, ErrTooMany) || !strings.Contains(fmt.Sprint(l[0].Err), tc.text)):
			t.Errorf("%s: got %+v", name, l[0])
		}
		if tc.ok {
			continue
		}
		if _, err := Sign(strings.NewReader(msg), int64(len(msg)), mustDomain(t, "example.org"), []Selector{sel}, SignOptions{}); !errors.Is(err, ErrTooMany) {
			t.Errorf("%s: signing gave %v", name, err)
		}
	}
}

func TestFieldsAreSelectedFromTheBottomUp(t *testing.T) {
	t.Parallel()
	// RFC 6376 §5.4.2.
	msg := "Received: <A>\r\nReceived: <B>\r\nFrom: x\r\nreceived: <C>\r\n\r\n"
	x, err := ReadIndex(strings.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Fatal(err)
	}
	sel := x.selection()
	var got []string
	for _, name := range []string{"Received", "RECEIVED", "To", "From", "received", "Received", "from", strings.Repeat("x", 100)} {
		f, ok := sel.next(name)
		if !ok {
			got = append(got, "-")
			continue
		}
		raw, err := x.Raw(f)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(string(raw)))
	}
	want := "received: <C>|Received: <B>|-|From: x|Received: <A>|-|-|-"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got %s, expected %s", s, want)
	}
}
