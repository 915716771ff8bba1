package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"mox/imap"
)

// smallLimits make the limits easy to reach.
var smallLimits = Limits{Line: 100, Literal: 10, LiteralTotal: 30, Literals: 3, Drain: 50}

func TestLiteralLimits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input string
		n           int
		code        imap.Code // Empty for no error.
	}{
		{"a literal as large as allowed", "{10+}\r\n0123456789", 1, ""},
		{"a larger literal", "{11+}\r\n0123456789a", 1, imap.CodeTooBig},
		{"a literal of a size beyond numbers", "{99999999999999999999}", 1, imap.CodeTooBig},
		{"as many literals as allowed", "{1+}\r\na {1+}\r\nb {1+}\r\nc", 3, ""},
		{"more literals", "{1+}\r\na {1+}\r\nb {1+}\r\nc {1+}\r\nd", 4, imap.CodeTooBig},
		{"more bytes in all", "{10+}\r\n0123456789 {10+}\r\n0123456789 {10+}\r\n0123456789", 3, imap.CodeTooBig},
		{"more bytes in the lines after literals", "{10+}\r\n0123456789 a b c d e f g h i j k l", 1, imap.CodeTooBig},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, conts := newTestDecoder(t, tc.input+"\r\n", Options{Limits: smallLimits})
			for i := range tc.n {
				if i > 0 {
					d.NeedSP()
				}
				d.NeedAString()
			}
			err := d.End()
			var perr *imap.Error
			if tc.code == "" && err != nil || tc.code != "" && (!errors.As(err, &perr) || perr.Type != imap.TypeBAD || perr.Code != tc.code) {
				t.Errorf("got error %v, want code %q", err, tc.code)
			}
			if *conts > 0 {
				t.Error("a literal that is refused was asked for")
			}
		})
	}
}

func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	d := NewDecoder(NewReader(strings.NewReader(""), nil), Options{})
	if d.opts.Limits != ServerLimits() {
		t.Errorf("got %+v", d.opts.Limits)
	}
	d = NewDecoder(NewReader(strings.NewReader(""), nil), Options{Limits: Limits{Line: 7}})
	want := ServerLimits()
	want.Line = 7
	if d.opts.Limits != want {
		t.Errorf("got %+v", d.opts.Limits)
	}
}

func TestLineTooLongEndsTheConnection(t *testing.T) {
	t.Parallel()
	d := NewDecoder(NewReader(strings.NewReader(strings.Repeat("x", 200)+"\r\nnext\r\n"), nil), Options{Limits: smallLimits})
	var perr *imap.Error
	if err := d.ReadLine(); !errors.As(err, &perr) || perr.Type != imap.TypeBYE || !errors.Is(err, ErrLineTooLong) {
		t.Errorf("got %v, want BYE", err)
	}
	if err := d.Abandon(); err == nil {
		t.Error("the command can be abandoned")
	}
}

// After a refused command the next one must be read from where it starts.
func TestAbandon(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input string
		fatal       bool // The connection must be closed.
	}{
		{"a line", "x y z\r\n", false},
		{"an empty line", "\r\n", false},
		{"a line without CR", "x y z\n", false},
		{"a synchronizing literal, which is not sent", "x {5}\r\n", false},
		{"a non-synchronizing literal", "x {5+}\r\nab\r\nc\r\n", false},
		{"a non-synchronizing literal after a line without CR", "x {5+}\nab\r\nc\r\n", false},
		{"a literal8", "x ~{5+}\r\nabcde\r\n", false},
		{"two literals", "x {5+}\r\nabcde {3+}\r\nabc z\r\n", false},
		{"a literal and one that is not sent", "x {5+}\r\nabcde {3}\r\n", false},
		{"a literal with what looks like a literal", "x {6+}\r\n{9+}\r\n\r\n", false},
		{"an empty literal", "x {0+}\r\n\r\n", false},
		{"an unknown command with a literal", "x FOO{3+}\r\nabc\r\n", false},
		{"what is no literal", "x {+}\r\n", false},
		{"what is no literal either", "x 5+}\r\n", false},
		{"a literal as large as can be skipped", "x {50+}\r\n" + strings.Repeat("x", 50) + "\r\n", false},
		{"a larger literal", "x {51+}\r\n" + strings.Repeat("x", 51) + "\r\n", true},
		{"a literal with a line that is larger in all", "x {50+}\r\n" + strings.Repeat("x", 50) + "y\r\n", true},
		{"literals that are larger in all", "x {30+}\r\n" + strings.Repeat("x", 30) + "{30+}\r\n" + strings.Repeat("x", 30) + "\r\n", true},
		{"a literal of a size beyond numbers", "x {99999999999999999999+}\r\nabc\r\n", true},
		{"a literal of the largest size", "x {9223372036854775807+}\r\nabc\r\n", true},
		{"a literal with a line that is too long", "x {1+}\r\na" + strings.Repeat("x", 200) + "\r\n", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := NewDecoder(NewReader(strings.NewReader(tc.input+"next\r\n"), nil), Options{Limits: smallLimits})
			if err := d.ReadLine(); err == nil {
				d.Fail("refused")
			}
			before := d.Err()
			err := d.Abandon()
			if tc.fatal {
				if err == nil {
					t.Error("the connection is not given up")
				}
				if again := d.Abandon(); again == nil {
					t.Error("abandoning again succeeds")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Err() != before {
				t.Errorf("the error has become %v", d.Err())
			}
			if err := d.ReadLine(); err != nil || string(d.Line()) != "next" {
				t.Errorf("next line is %q, %v", d.Line(), err)
			}
		})
	}
}

func TestAbandonAfterTheEndOfTheInput(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"x {5+}\r\nab", "x {2+}\r\nab", "x {2+}\r\nab more"} {
		d, _ := newTestDecoder(t, input, Options{})
		if err := d.Abandon(); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: got %v", input, err)
		}
	}
}

func TestMessageLiteral(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input string
		want        Literal
		conts       int
	}{
		{"synchronizing", "{5}\r\nhello", Literal{Size: 5}, 1},
		{"non-synchronizing", "{5+}\r\nhello", Literal{Size: 5, NonSync: true}, 0},
		{"binary", "~{5}\r\nhello", Literal{Size: 5, Binary: true}, 1},
		{"binary and non-synchronizing", "~{5+}\r\nh\x00llo", Literal{Size: 5, NonSync: true, Binary: true}, 0},
		{"larger than a string may be", "{200000+}\r\n" + strings.Repeat("x", 200000), Literal{Size: 200000, NonSync: true}, 0},
		{"empty", "{0}\r\n", Literal{}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, conts := newTestDecoder(t, tc.input+")\r\nnext\r\n", Options{})
			lit := d.NeedMessage()
			if lit != tc.want || *conts != 0 {
				t.Fatalf("got %+v with %d continuations, %v", lit, *conts, d.Err())
			}
			b, err := io.ReadAll(d.OpenMessage())
			if err != nil || string(b) != tc.input[strings.Index(tc.input, "\n")+1:] {
				t.Fatalf("got message of %d bytes, %v", len(b), err)
			}
			d.CloseMessage()
			d.NeedByte(')')
			if err := d.End(); err != nil || *conts != tc.conts {
				t.Errorf("got %v after %d continuations", err, *conts)
			}
			if err := d.ReadLine(); err != nil || string(d.Line()) != "next" {
				t.Errorf("next line is %q, %v", d.Line(), err)
			}
		})
	}
}

func TestSeveralMessageLiterals(t *testing.T) {
	t.Parallel()
	const n = 2000 // More than string literals are allowed.
	d, _ := newTestDecoder(t, strings.Repeat(" {5+}\r\nhello", n)+"\r\n", Options{})
	for range n {
		d.NeedSP()
		d.NeedMessage()
		r := d.OpenMessage()
		if _, err := r.Read(make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
		d.CloseMessage() // Skips the rest.
	}
	if err := d.End(); err != nil {
		t.Error(err)
	}
}

func TestMessageLiteralIsRefused(t *testing.T) {
	t.Parallel()
	for name, input := range map[string]string{
		"synchronizing":     "APPEND {1000000}\r\n",
		"non-synchronizing": "APPEND {5+}\r\nhello {3}\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, conts := newTestDecoder(t, input+"next\r\n", Options{})
			d.NeedName()
			d.NeedSP()
			d.NeedMessage()
			if err := d.Abandon(); err != nil || *conts != 0 {
				t.Fatalf("got %v after %d continuations", err, *conts)
			}
			if err := d.ReadLine(); err != nil || string(d.Line()) != "next" {
				t.Errorf("next line is %q, %v", d.Line(), err)
			}
		})
	}
}

// A message that fails while it is read, such as on a full disk.
func TestMessageLiteralIsAbandonedInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input string
		fatal       bool
	}{
		{"a rest that can be skipped", "{20}\r\n01234567890123456789 {5+}\r\nhello\r\n", false},
		{"a rest that is followed by another", "{20}\r\n01234567890123456789 {5}\r\n", false},
		{"a rest that is too large", "{200}\r\n" + strings.Repeat("0123456789", 20) + "\r\n", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, _ := newTestDecoder(t, tc.input+"next\r\n", Options{Limits: smallLimits})
			d.NeedMessage()
			if _, err := io.ReadFull(d.OpenMessage(), make([]byte, 7)); err != nil {
				t.Fatal(err)
			}
			err := d.Abandon()
			if (err != nil) != tc.fatal {
				t.Fatalf("got %v", err)
			}
			if err == nil && (d.ReadLine() != nil || string(d.Line()) != "next") {
				t.Errorf("next line is %q, %v", d.Line(), d.Err())
			}
		})
	}
}

func TestMessageLiteralEndsTooEarly(t *testing.T) {
	t.Parallel()
	d, _ := newTestDecoder(t, "{20}\r\nhello", Options{})
	d.NeedMessage()
	b, err := io.ReadAll(d.OpenMessage())
	if err != io.ErrUnexpectedEOF || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	if d.CloseMessage(); d.End() != io.ErrUnexpectedEOF {
		t.Errorf("got %v", d.Err())
	}
	if err := d.Abandon(); err == nil {
		t.Error("the command can be abandoned")
	}
}

func TestMessageReaderWithoutLiteral(t *testing.T) {
	t.Parallel()
	d, _ := newTestDecoder(t, "hello\r\n", Options{})
	if _, err := d.OpenMessage().Read(make([]byte, 1)); err == nil {
		t.Error("a message can be read")
	}
}

func TestContinuationThatCannotBeSent(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, f := range []func(d *Decoder){
		func(d *Decoder) { d.NeedAString() },
		func(d *Decoder) { d.NeedMessage(); d.OpenMessage() },
	} {
		d, _ := newTestDecoder(t, "{5}\r\nhello\r\n", Options{Continue: func() error { return boom }})
		f(d)
		if err := d.End(); err != boom {
			t.Errorf("got %v", err)
		}
		if err := d.Abandon(); err != boom {
			t.Errorf("abandon: got %v", err)
		}
	}
}

func TestLiteralsOfResponses(t *testing.T) {
	t.Parallel()
	d, conts := newTestDecoder(t, "{3}\r\n\xff\x01b ~{2}\r\n\x00a\r\n", Options{Response: true})
	a := d.NeedString()
	d.NeedSP()
	b := d.NeedNString8()
	if err := d.End(); err != nil || a != "\xff\x01b" || b != imap.Str("\x00a") || *conts != 0 {
		t.Errorf("got %q and %v, %v, %d continuations", a, b, err, *conts)
	}
	d, _ = newTestDecoder(t, "{3+}\r\nabc\r\n", Options{Response: true})
	d.NeedString()
	checkErr(t, d.End(), "server must not send a non-synchronizing literal at column 1")
	d, _ = newTestDecoder(t, "\"é\"\r\n", Options{Response: true})
	d.NeedString()
	checkErr(t, d.End(), "character in string that is not ASCII at column 2")
	d, _ = newTestDecoder(t, "\"é\"\r\n", Options{Response: true})
	d.SetUTF8(true)
	if s := d.NeedString(); s != "é" || d.End() != nil {
		t.Errorf("got %q, %v", s, d.Err())
	}
}

func TestLargeLiteralGrowsWithWhatIsSent(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 128 << 10, 128<<10 + 1, 1000000} {
		want := strings.Repeat("x", n)
		b, err := readFull(strings.NewReader(want), n)
		if err != nil || string(b) != want {
			t.Errorf("%d: got %d bytes, %v", n, len(b), err)
		}
		if _, err := readFull(strings.NewReader(want), n+1); err != io.ErrUnexpectedEOF {
			t.Errorf("%d: got %v", n, err)
		}
	}
	if _, err := readFull(strings.NewReader("x"), 1<<50); err != io.ErrUnexpectedEOF { // More than there is memory.
		t.Errorf("got %v", err)
	}
}

func TestLiteralSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{"{5}": 5, "x {0}": 0, "~{7+}": 7, "a{12}": 12, "{5} ": -1, "5}": -1, "{}": -1, "{a}": -1, "": -1} {
		size, ok := LiteralSize([]byte(in))
		if !ok {
			size = -1
		}
		if size != want {
			t.Errorf("%q: got %d", in, size)
		}
	}
}

// A command of the largest size that is allowed, for its cost.
func BenchmarkLargestCommand(b *testing.B) {
	var s strings.Builder
	for range MaxLiterals {
		s.WriteString(" {900+}\r\n")
		s.WriteString(strings.Repeat("x", 900))
	}
	s.WriteString("\r\n")
	b.SetBytes(int64(s.Len()))
	b.ReportAllocs()
	for b.Loop() {
		d := NewDecoder(NewReader(strings.NewReader(s.String()), nil), Options{})
		if err := d.ReadLine(); err != nil {
			b.Fatal(err)
		}
		for range MaxLiterals {
			d.NeedSP()
			d.NeedAString()
		}
		if err := d.End(); err != nil {
			b.Fatal(fmt.Errorf("largest command: %w", err))
		}
	}
}
