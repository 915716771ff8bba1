package wire

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"mox/imap"
	"mox/internal/lex"
)

// newTestDecoder returns a decoder of input that has begun its first line. Each
// continuation request adds to the count.
func newTestDecoder(t testing.TB, input string, opts Options) (*Decoder, *int) {
	t.Helper()
	n := 0
	if opts.Continue == nil {
		opts.Continue = func() error { n++; return nil }
	}
	d := NewDecoder(NewReader(strings.NewReader(input), nil), opts)
	if err := d.ReadLine(); err != nil {
		t.Fatalf("first line: %v", err)
	}
	return d, &n
}

func TestStrings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input, want string
		conts             int
		err               string
	}{
		{name: "an atom is an astring", input: "foo]bar", want: "foo]bar"},
		{name: "a quoted string is unescaped", input: `"a\\b\"c\\"`, want: `a\b"c\`},
		{name: "a quoted string may be empty", input: `""`, want: ""},
		{name: "a quoted string may have UTF-8", input: `"é☃"`, want: "é☃"},
		{name: "a quoted string must be UTF-8", input: "\"\xff\"", err: "string is not UTF-8 at column 2"},
		{name: "other characters cannot be escaped", input: `"a\bc"`, err: `expected '"' or '\\' after backslash at column 4`},
		{name: "a quoted string must end", input: `"abc`, err: "expected end of quoted string at column 5"},
		{name: "a backslash at the end escapes nothing", input: `"abc\`, err: `expected '"' or '\\' after backslash at column 6`},
		{name: "a quoted string has no NUL", input: "\"a\x00b\"", err: "invalid character in string at column 2"},
		{name: "a quoted string has no CR", input: "\"a\rb\"", err: "invalid character in string at column 2"},
		{name: "a synchronizing literal is asked for", input: "{3}\r\na\"b", want: `a"b`, conts: 1},
		{name: "a non-synchronizing literal is not asked for", input: "{3+}\r\na\"b", want: `a"b`},
		{name: "a literal may be empty", input: "{0+}\r\n", want: ""},
		{name: "a literal may have line ends", input: "{4+}\r\n\r\n\r\n", want: "\r\n\r\n"},
		{name: "a literal must be UTF-8", input: "{1+}\r\n\xff", err: "string is not UTF-8 at column 1"},
		{name: "a literal has no NUL", input: "{1+}\r\n\x00", err: "literal with NUL byte before this line at column 1"},
		{name: "a literal8 is no astring", input: "~{1+}\r\na", err: "expected end of line at column 2", want: "~"},
		{name: "a literal ends its line", input: "{1+} ", err: "expected literal at end of line at column 1"},
		{name: "nothing is no astring", input: "", err: "expected astring at column 1"},
		{name: "a parenthesis is no astring", input: "(", err: "expected astring at column 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, conts := newTestDecoder(t, tc.input+"\r\n", Options{})
			got := d.NeedAString()
			checkErr(t, d.End(), tc.err)
			if got != tc.want || *conts != tc.conts {
				t.Errorf("got %q with %d continuations, want %q with %d", got, *conts, tc.want, tc.conts)
			}
		})
	}
}

// checkErr checks that err is a BAD with this syntax error, or nil if want is empty.
func checkErr(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("unexpected error: %v", err)
		}
		return
	}
	var perr *imap.Error
	var serr *lex.Error
	if !errors.As(err, &perr) || perr.Type != imap.TypeBAD || !errors.As(err, &serr) {
		t.Errorf("got error %v, want BAD with a syntax error", err)
	} else if serr.Error() != want {
		t.Errorf("got syntax error %q, want %q", serr, want)
	}
}

func TestCommandWithSeveralLiterals(t *testing.T) {
	t.Parallel()
	var lines []string
	input := "a1 LOGIN {4}\r\nuser {6+}\r\nsecret\r\na2 NOOP\r\n"
	d, conts := newTestDecoder(t, input, Options{OnLine: func(l []byte) { lines = append(lines, string(l)) }})
	tag := d.NeedTag()
	d.NeedSP()
	name := d.NeedName()
	d.NeedSP()
	user := d.NeedAString()
	d.NeedSP()
	password := d.NeedAString()
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	if got := []string{tag, name, user, password}; !reflect.DeepEqual(got, []string{"a1", "LOGIN", "user", "secret"}) {
		t.Errorf("got %q", got)
	}
	if *conts != 1 {
		t.Errorf("%d continuations, want 1", *conts)
	}
	if !reflect.DeepEqual(lines, []string{" {6+}", ""}) {
		t.Errorf("got lines %q", lines)
	}
	if err := d.ReadLine(); err != nil || string(d.Line()) != "a2 NOOP" {
		t.Errorf("next line %q, %v", d.Line(), err)
	}
	if d.NeedRest(); d.End() != nil {
		t.Error(d.Err())
	}
	if err := d.ReadLine(); err != io.EOF {
		t.Errorf("at the end: %v, want EOF", err)
	}
}
