package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mox/imap"
)

// encoded returns what f writes.
func encoded(t testing.TB, utf8 bool, f func(e *Encoder)) string {
	t.Helper()
	var b strings.Builder
	e := NewEncoder(&b, &Buffers{})
	e.SetUTF8(utf8)
	f(e)
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	if e.Buffered() != 0 || e.buf != nil {
		t.Error("a buffer is held after a flush")
	}
	return b.String()
}

func TestEncodeStrings(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxQuoted)
	for _, tc := range []struct {
		name, in          string
		str, astr         string // Without UTF-8.
		utf8Str, utf8AStr string // Empty for the same.
	}{
		{"an atom", "abc", `"abc"`, "abc", "", ""},
		{"with a bracket", "a]", `"a]"`, "a]", "", ""},
		{"nothing", "", `""`, `""`, "", ""},
		{"NIL", "nil", `"nil"`, `"nil"`, "", ""},
		{"a space", "a b", `"a b"`, `"a b"`, "", ""},
		{"quotes and backslashes", `"\`, `"\"\\"`, `"\"\\"`, "", ""},
		{"a parenthesis", "(", `"("`, `"("`, "", ""},
		{"a tab", "\t", "\"\t\"", "\"\t\"", "", ""},
		{"a line end", "a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb", "", ""},
		{"a NUL", "a\x00b", "{2}\r\nab", "{2}\r\nab", "", ""},
		{"UTF-8", "é", "{2}\r\né", "{2}\r\né", `"é"`, `"é"`},
		{"UTF-8 with a line end behind", "é\n", "{3}\r\né\n", "{3}\r\né\n", "", ""},
		{"not UTF-8", "\xff", "{1}\r\n\xff", "{1}\r\n\xff", "", ""},
		{"as long as is quoted", long, `"` + long + `"`, long, "", ""},
		{"longer", long + "x", "{4097}\r\n" + long + "x", "{4097}\r\n" + long + "x", "", ""},
		{"longer than a buffer", strings.Repeat(long, 10), "{40960}\r\n" + strings.Repeat(long, 10), "{40960}\r\n" + strings.Repeat(long, 10), "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.utf8Str == "" {
				tc.utf8Str, tc.utf8AStr = tc.str, tc.astr
			}
			for _, c := range []struct {
				utf8 bool
				f    func(e *Encoder)
				want string
			}{
				{false, func(e *Encoder) { e.String(tc.in) }, tc.str},
				{false, func(e *Encoder) { e.AString(tc.in) }, tc.astr},
				{true, func(e *Encoder) { e.String(tc.in) }, tc.utf8Str},
				{true, func(e *Encoder) { e.AString(tc.in) }, tc.utf8AStr},
			} {
				if got := encoded(t, c.utf8, c.f); got != c.want {
					t.Errorf("utf8 %v: got %.100q, want %.100q", c.utf8, got, c.want)
				}
			}
		})
	}
}

func TestEncodeValues(t *testing.T) {
	t.Parallel()
	tm := time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600))
	for _, tc := range []struct {
		want string
		f    func(e *Encoder)
	}{
		{"NIL", func(e *Encoder) { e.NString(imap.NString{}) }},
		{`""`, func(e *Encoder) { e.NString(imap.Str("")) }},
		{"~{3}\r\na\x00b", func(e *Encoder) { e.Bytes("a\x00b") }},
		{`"ab"`, func(e *Encoder) { e.Bytes("ab") }},
		{"18446744073709551615", func(e *Encoder) { e.Number(1<<64 - 1) }},
		{`"17-Jul-1996 02:44:25 -0700"`, func(e *Encoder) { e.DateTime(tm) }},
		{"17-Jul-1996", func(e *Encoder) { e.Date(imap.DateOf(tm)) }},
		{"1:*,5", func(e *Encoder) { e.NumSet(imap.NumSet{Ranges: []imap.NumRange{{First: 1}, {First: 5, Last: 5}}}) }},
		{"1:3", func(e *Encoder) { e.Ranges(imap.NewRanges[uint32](1, 2, 3)) }},
		{`()`, func(e *Encoder) { e.Flags(0, nil) }},
		{`(\Seen)`, func(e *Encoder) { e.Flags(imap.FlagSeen, nil) }},
		{`(a)`, func(e *Encoder) { e.Flags(0, []string{"a"}) }},
		{`(\Seen $Junk a b)`, func(e *Encoder) { e.Flags(imap.FlagSeen|imap.FlagJunk, []string{"a", "b"}) }},
		{`(a \*)`, func(e *Encoder) { e.Words([]string{"a", `\*`}) }},
		{`()`, func(e *Encoder) { e.Words(nil) }},
		{"raw", func(e *Encoder) { e.RawBytes([]byte("raw")) }},
		{"BODY[1.HEADER.FIELDS (a)]<10>", func(e *Encoder) {
			e.FetchItem(&imap.FetchItem{Attr: imap.FetchBodySection, Peek: true, Partial: &imap.Partial{Offset: 10, Count: 20},
				Section: imap.Section{Part: []uint32{1}, Spec: imap.SpecHeaderFields, Fields: []string{"a"}}})
		}},
		{"RFC822.SIZE", func(e *Encoder) { e.FetchItem(&imap.FetchItem{Attr: imap.FetchRFC822Size}) }},
		{"BINARY.SIZE[2]", func(e *Encoder) {
			e.FetchItem(&imap.FetchItem{Attr: imap.FetchBinarySize, Section: imap.Section{Part: []uint32{2}}})
		}},
		{"(UID 7 FLAGS (\\Seen) X (a (b) c) Y)", func(e *Encoder) {
			e.Open()
			e.Name("UID")
			e.Number(7)
			e.Name("FLAGS")
			e.Flags(imap.FlagSeen, nil)
			e.Name("X")
			e.Open()
			e.Item()
			e.Raw("a")
			e.Item()
			e.Open()
			e.Item()
			e.Raw("b")
			e.Close()
			e.Item()
			e.Raw("c")
			e.Close()
			e.Item()
			e.Raw("Y")
			e.Close()
		}},
	} {
		if got := encoded(t, false, tc.f); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestEncodeMailbox(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, utf7, utf8, list7, list8 string
	}{
		{"Inbox", "Inbox", "Inbox", "Inbox", "Inbox"},
		{"", `""`, `""`, `""`, `""`},
		{"a b", `"a b"`, `"a b"`, `"a b"`, `"a b"`},
		{"a&b", "a&-b", "a&b", "a&-b", "a&b"},
		{"50%*", `"50%*"`, `"50%*"`, "50%*", "50%*"},
		{"Entwürfe", "Entw&APw-rfe", `"Entwürfe"`, "Entw&APw-rfe", `"Entwürfe"`},
		{"ü %", `"&APw- %"`, `"ü %"`, `"&APw- %"`, `"ü %"`},
	} {
		for _, c := range []struct {
			utf8 bool
			f    func(e *Encoder)
			want string
		}{
			{false, func(e *Encoder) { e.Mailbox(tc.name) }, tc.utf7},
			{true, func(e *Encoder) { e.Mailbox(tc.name) }, tc.utf8},
			{false, func(e *Encoder) { e.ListMailbox(tc.name) }, tc.list7},
			{true, func(e *Encoder) { e.ListMailbox(tc.name) }, tc.list8},
		} {
			if got := encoded(t, c.utf8, c.f); got != c.want {
				t.Errorf("%q, utf8 %v: got %q, want %q", tc.name, c.utf8, got, c.want)
			}
		}
	}
}

func TestEncodeStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		want string
		utf8 bool
		f    func(e *Encoder)
	}{
		{"* OK [UIDNEXT 4392] next\r\n", false, func(e *Encoder) { e.Status("", "OK", imap.CodeUIDNext.Num(4392), "next") }},
		{"a1 NO [TRYCREATE] no such mailbox\r\n", false, func(e *Encoder) { e.Error("a1", imap.No(imap.CodeTryCreate, "no such mailbox")) }},
		{"a1 BAD syntax error\r\n", false, func(e *Encoder) { e.Error("a1", imap.Bad("", "syntax error")) }},
		{"* BYE [TOOBIG] enough\r\n", false, func(e *Encoder) { e.Error("a1", imap.Bye(imap.CodeTooBig, "enough")) }},
		// Neither text nor code may end the line or look like something else.
		{"* OK a  * OK b?\r\n", false, func(e *Encoder) { e.Status("", "OK", "", "a\r\n* OK bé") }},
		{"* OK [X a  b] c\r\n", false, func(e *Encoder) { e.Status("", "OK", "X a\r\nb", "c") }},
		{"* OK (ALERT] x\r\n", false, func(e *Encoder) { e.Status("", "OK", "", "[ALERT] x") }},
		{"* OK ok\r\n", false, func(e *Encoder) { e.Status("", "OK", "", "") }},
		{"* OK é\r\n", true, func(e *Encoder) { e.Status("", "OK", "", "é") }},
		{"+ go ahead\r\n", false, func(e *Encoder) { e.Continue("go ahead") }},
	} {
		if got := encoded(t, tc.utf8, tc.f); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestEncodeLiteral(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, bufferSize - 10, bufferSize, bufferSize + 1, 100000} {
		text := strings.Repeat("x", n)
		for name, r := range map[string]io.Reader{
			"at once":      strings.NewReader(text + "more"),
			"in pieces":    iotest.HalfReader(strings.NewReader(text)),
			"with the end": iotest.DataErrReader(strings.NewReader(text)),
		} {
			got := encoded(t, false, func(e *Encoder) {
				e.Raw("before ")
				e.Literal(int64(n), n == 1, r)
				e.Raw(" behind")
			})
			want := fmt.Sprintf("before {%d}\r\n%s behind", n, text)
			if n == 1 {
				want = "before ~{1}\r\nx behind"
			}
			if got != want {
				t.Errorf("%d bytes %s: got %d bytes, want %d", n, name, len(got), len(want))
			}
		}
	}
}

func TestEncodeLiteralThatIsShort(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, tc := range []struct {
		r    io.Reader
		want error
	}{
		{strings.NewReader("short"), io.ErrUnexpectedEOF},
		{io.MultiReader(strings.NewReader("short"), iotest.ErrReader(boom)), boom},
		{nothing{}, io.ErrNoProgress},
	} {
		var b strings.Builder
		e := NewEncoder(&b, nil)
		e.Literal(10, false, tc.r)
		e.Raw(")\r\n* OK\r\n")
		if err := e.Flush(); !errors.Is(err, tc.want) || !errors.Is(e.Err(), tc.want) {
			t.Errorf("got %v, want %v", err, tc.want)
		}
		if strings.Contains(b.String(), "OK") {
			t.Errorf("wrote %q, though the peer is out of sync", b.String())
		}
	}
}

// limitedWriter fails after n bytes.
type limitedWriter struct {
	n int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestEncoderErrorSticks(t *testing.T) {
	t.Parallel()
	e := NewEncoder(&limitedWriter{n: 2 * bufferSize}, nil)
	for range 1000 {
		e.Raw(strings.Repeat("x", 1000))
		e.String(strings.Repeat("x", 2*bufferSize))
		e.RawBytes(make([]byte, 2*bufferSize))
		e.Literal(5*bufferSize, false, nothing{})
	}
	if err := e.Flush(); err != io.ErrClosedPipe || e.Buffered() != 0 {
		t.Errorf("got %v, %d bytes buffered", err, e.Buffered())
	}
}

func TestEncoderBoundaries(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	got := encoded(t, false, func(e *Encoder) {
		for i := range 3 * bufferSize / 50 {
			s := strings.Repeat("x", i%100)
			e.Raw(s)
			e.Byte(' ')
			e.Number(uint64(i))
			e.CRLF()
			fmt.Fprintf(&want, "%s %d\r\n", s, i)
		}
		var r imap.Ranges
		for n := uint32(1); n < 20000; n += 2 {
			r.Add(n)
		}
		e.Ranges(r) // Larger than a buffer.
		e.Raw("end")
		want.WriteString(r.String() + "end")
	})
	if got != want.String() {
		t.Errorf("got %d bytes, want %d", len(got), want.Len())
	}
}

func TestEncodeCommandLiterals(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	e := NewEncoder(&b, nil)
	waits := 0
	e.SetCommand(func(size int64) bool { return size < 5 }, func() error {
		if waits++; waits == 2 {
			return io.EOF
		}
		b.WriteString("<wait>")
		return nil
	})
	e.String("é")
	e.Literal(6, false, strings.NewReader("larger"))
	e.Literal(7, false, strings.NewReader("refused"))
	e.Raw("never")
	if err := e.Flush(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if got, want := b.String(), "{2+}\r\né{6}\r\n<wait>larger{7}\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEncoderReset(t *testing.T) {
	t.Parallel()
	var a, b strings.Builder
	e := NewEncoder(&a, nil)
	e.Raw("a")
	e.Flush()
	e.Reset(&b)
	e.Raw("b")
	e.Flush()
	if a.String() != "a" || b.String() != "b" {
		t.Errorf("got %q and %q", a.String(), b.String())
	}
}

// fetchLine writes a FETCH response of what clients ask for when they synchronise.
func fetchLine(e *Encoder, seq uint32, tm time.Time) {
	e.Raw("* ")
	e.Number(uint64(seq))
	e.Raw(" FETCH ")
	e.Open()
	e.Name("UID")
	e.Number(uint64(seq) + 1000)
	e.Name("FLAGS")
	e.Flags(imap.FlagSeen|imap.FlagAnswered, keywords)
	e.Name("INTERNALDATE")
	e.DateTime(tm)
	e.Name("RFC822.SIZE")
	e.Number(4286)
	e.Name("MODSEQ")
	e.Open()
	e.Item()
	e.Number(12121231000)
	e.Close()
	e.Close()
	e.CRLF()
}

var keywords = []string{"important", "todo"}

func TestFetchLinesDoNotAllocate(t *testing.T) {
	// Not parallel, for the count.
	e := NewEncoder(io.Discard, &Buffers{})
	tm := time.Date(1996, 7, 17, 2, 44, 25, 0, time.UTC)
	fetchLine(e, 1, tm)
	if n := testing.AllocsPerRun(1000, func() { fetchLine(e, 7, tm) }); n != 0 {
		t.Errorf("%v allocations for each line", n)
	}
	if got, want := encoded(t, false, func(e *Encoder) { fetchLine(e, 2, tm) }),
		"* 2 FETCH (UID 1002 FLAGS (\\Seen \\Answered important todo) INTERNALDATE \"17-Jul-1996 02:44:25 +0000\" RFC822.SIZE 4286 MODSEQ (12121231000))\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkEncodeFetchLines(b *testing.B) {
	e := NewEncoder(io.Discard, &Buffers{})
	tm := time.Date(1996, 7, 17, 2, 44, 25, 0, time.UTC)
	const messages = 20000
	b.ReportAllocs()
	for b.Loop() {
		for seq := uint32(1); seq <= messages; seq++ {
			fetchLine(e, seq, tm)
		}
		e.Flush()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/line")
}

func BenchmarkEncodeLiteral(b *testing.B) {
	e := NewEncoder(io.Discard, &Buffers{})
	text := strings.Repeat("x", 1<<20)
	r := strings.NewReader(text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(text)
		e.Literal(int64(len(text)), false, r)
		e.Flush()
	}
}
