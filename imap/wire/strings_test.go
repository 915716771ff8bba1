package wire

import (
	"fmt"
	"strings"
	"testing"

	"mox/imap"
)

// parseCase is an input for one production: what it gives, in Go syntax, or the error.
type parseCase struct {
	name, input, want, err string
}

// run parses each input as a whole line.
func runCases[T any](t *testing.T, opts Options, utf8 bool, parse func(d *Decoder) T, cases []parseCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, _ := newTestDecoder(t, tc.input+"\r\n", opts)
			d.SetUTF8(utf8)
			got := fmt.Sprintf("%+v", parse(d))
			checkErr(t, d.End(), tc.err)
			if tc.err == "" && got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, false, (*Decoder).NeedTag, []parseCase{
		{"letters and digits", "a001", "a001", ""},
		{"other characters of astring", "a.-_]/=~&[", "a.-_]/=~&[", ""},
		{"as long as allowed", strings.Repeat("x", MaxTag), strings.Repeat("x", MaxTag), ""},
		{"longer", strings.Repeat("x", MaxTag+1), "", "tag longer than 256 bytes at column 1"},
		{"a plus", "+", "", "expected tag at column 1"},
		{"a plus behind", "a+", "", "expected end of line at column 2"},
		{"a star", "*", "", "expected tag at column 1"},
		{"nothing", "", "", "expected tag at column 1"},
		{"8-bit characters", "\xe4", "", "expected tag at column 1"},
	})
}

func TestName(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, false, (*Decoder).NeedName, []parseCase{
		{"a command", "fetch", "FETCH", ""},
		{"an item", "rfc822.size", "RFC822.SIZE", ""},
		{"an option", "SPECIAL-USE", "SPECIAL-USE", ""},
		{"nothing", "", "", "expected name at column 1"},
		{"a bracket ends it", "BODY[]", "", "expected end of line at column 5"},
	})
	d, _ := newTestDecoder(t, "BODYSTRUCTURE BODY\r\n", Options{})
	if d.TryName("BODY") || !d.TryName("bodystructure") || d.TryName("BODY") || !d.TrySP() || !d.TryName("BODY") {
		t.Error("TryName is wrong")
	}
	if d.End() != nil || d.TryName("BODY") {
		t.Errorf("got %v", d.Err())
	}
}

func TestNString(t *testing.T) {
	t.Parallel()
	parse := (*Decoder).NeedNString
	runCases(t, Options{}, false, parse, []parseCase{
		{"nil", "nIl", "{Value: OK:false}", ""},
		{"a string", `"NIL"`, "{Value:NIL OK:true}", ""},
		{"a literal", "{3+}\r\nNIL", "{Value:NIL OK:true}", ""},
		{"more than nil", "NILS", "", "expected string at column 1"},
		{"an atom", "x", "", "expected string at column 1"},
		{"a literal8", "~{1+}\r\nx", "", "literal8 is not allowed here at column 1"},
		{"a tilde", "~", "", "expected string at column 1"},
	})
	runCases(t, Options{}, false, (*Decoder).NeedNString8, []parseCase{
		{"nil for a value", "NIL", "{Value: OK:false}", ""},
		{"a string for a value", `"x"`, "{Value:x OK:true}", ""},
		{"a literal8 for a value", "~{3+}\r\na\x00b", "{Value:a\x00b OK:true}", ""},
		{"bytes that are not UTF-8 for a value", "{1+}\r\n\xff", "{Value:\xff OK:true}", ""},
		{"NUL in a literal for a value", "{1+}\r\n\x00", "", "literal with NUL byte before this line at column 1"},
	})
}

func TestMailboxInUTF7(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, false, (*Decoder).NeedMailbox, []parseCase{
		{"an atom", "Archive/a", "Archive/a", ""},
		{"inbox", "inbox", "Inbox", ""},
		{"quoted inbox", `"INBOX/a b"`, "Inbox/a b", ""},
		{"a literal", "{1+}\r\na", "a", ""},
		{"nothing", `""`, "", ""},
		{"modified UTF-7", "Entw&APw-rfe", "Entwürfe", ""},
		{"inbox with encoded characters", `"&AGk-nbox"`, "", "invalid modified UTF-7: encoded ASCII at column 1"},
		{"an unencoded ampersand", `"a & b"`, "", "invalid modified UTF-7: unfinished shift at column 1"},
		{"UTF-8", `"Entwürfe"`, "", "invalid modified UTF-7: unencoded character at column 1"},
		{"UTF-8 in a literal", "{9+}\r\nEntwürfe", "", "invalid modified UTF-7: unencoded character at column 1"},
	})
	runCases(t, Options{}, false, (*Decoder).NeedListMailbox, []parseCase{
		{"wildcards", "%/a*", "%/a*", ""},
		{"quoted wildcards", `"* %"`, "* %", ""},
		{"an encoded pattern", "Entw&APw-%", "Entwü%", ""},
		{"a pattern in UTF-8", `"ü%"`, "", "invalid modified UTF-7: unencoded character at column 1"},
		{"no pattern", "(", "", "expected string at column 1"},
	})
}

func TestMailboxInUTF8(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, true, (*Decoder).NeedMailbox, []parseCase{
		{"UTF-8", `"Entwürfe"`, "Entwürfe", ""},
		{"UTF-8 in a literal", "{9+}\r\nEntwürfe", "Entwürfe", ""},
		{"an ampersand is itself", "Entw&APw-rfe", "Entw&APw-rfe", ""},
		{"inbox", "INBOX", "Inbox", ""},
		{"not UTF-8", "{1+}\r\n\xff", "", "string is not UTF-8 at column 1"},
	})
	runCases(t, Options{}, true, (*Decoder).NeedListMailbox, []parseCase{
		{"a pattern", `"ü%"`, "ü%", ""},
	})
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, false, (*Decoder).NeedNumber, []parseCase{
		{"zero", "0", "0", ""},
		{"leading zeros", "007", "7", ""},
		{"the largest of 32 bits", "4294967295", "4294967295", ""},
		{"larger than 32 bits", "4294967296", "", "number too large at column 1"},
		{"larger than 64 bits", "99999999999999999999", "", "number too large at column 1"},
		{"negative", "-1", "", "expected number at column 1"},
		{"nothing", "", "", "expected number at column 1"},
	})
	runCases(t, Options{}, false, (*Decoder).NeedNZNumber, []parseCase{
		{"one", "1", "1", ""},
		{"zero where not allowed", "0", "", "expected number without leading zero at column 1"},
		{"leading zeros where not allowed", "01", "", "expected number without leading zero at column 1"},
		{"not zero and too large", "4294967296", "", "number too large at column 1"},
	})
	runCases(t, Options{}, false, (*Decoder).NeedNumber64, []parseCase{
		{"the largest of 63 bits", "9223372036854775807", "9223372036854775807", ""},
		{"larger than 63 bits", "9223372036854775808", "", "number too large at column 1"},
	})
	runCases(t, Options{}, false, (*Decoder).NeedNZNumber64, []parseCase{
		{"large and not zero", "9223372036854775807", "9223372036854775807", ""},
		{"zero of 63 bits", "0", "", "expected number without leading zero at column 1"},
	})
	runCases(t, Options{}, false, func(d *Decoder) uint64 { return d.NeedModSeq(true) }, []parseCase{
		{"mod-sequence", "715194045007", "715194045007", ""},
		{"mod-sequence zero", "0", "0", ""},
	})
	runCases(t, Options{}, false, func(d *Decoder) uint64 { return d.NeedModSeq(false) }, []parseCase{
		{"mod-sequence zero where not allowed", "0", "", "expected number without leading zero at column 1"},
	})
}

func TestNumSets(t *testing.T) {
	t.Parallel()
	opts := Options{Limits: Limits{Ranges: 3}}
	runCases(t, opts, false, (*Decoder).NeedNumSet, []parseCase{
		{"a set", "1,3:*", "1,3:*", ""},
		{"the saved result", "$", "$", ""},
		{"as many ranges as allowed", "1,2,3", "1,2,3", ""},
		{"more ranges", "1,2,3,4", "", "more than 3 ranges in number set at column 1"},
		{"zero", "0", "", "missing non-zero number at offset 0 in number set at column 1"},
		{"nothing", "x", "", "expected sequence-set at column 1"},
	})
	runCases(t, opts, false, (*Decoder).NeedStaticSet, []parseCase{
		{"a set that depends on nothing", "5,1:3", "5,1:3", ""},
		{"a star", "1:*", "", "number set must not have '*' or '$' at column 1"},
		{"the saved result is not static", "$", "", "number set must not have '*' or '$' at column 1"},
	})
}

func TestPrimitives(t *testing.T) {
	t.Parallel()
	d, _ := newTestDecoder(t, "a (b c)\r\n", Options{})
	if c, ok := d.Peek(); c != 'a' || !ok || d.AtEnd() || d.Pos() != 0 {
		t.Error("Peek is wrong")
	}
	d.NeedByte('a')
	if !d.PeekSPList() || d.TryByte('x') {
		t.Error("PeekSPList or TryByte is wrong")
	}
	d.NeedSP()
	d.NeedByte('(')
	if rest := d.NeedRest(); rest != "b c)" || d.End() != nil {
		t.Errorf("rest is %q, %v", rest, d.Err())
	}
	if c, ok := d.Peek(); c != 0 || ok || !d.AtEnd() || d.NeedRest() != "" {
		t.Error("there is more at the end")
	}
	d.NeedSP()
	checkErr(t, d.End(), "expected space at column 8")
	d.NeedByte('x')
	checkErr(t, d.End(), "expected space at column 8") // The first error sticks.
	if d.NeedRest() != "" || d.NeedAtom() != "" || d.NeedNumber() != 0 || d.TrySP() {
		t.Error("something is read after an error")
	}
}

func TestFailWith(t *testing.T) {
	t.Parallel()
	d, _ := newTestDecoder(t, "x\r\n", Options{})
	want := imap.No(imap.CodeCannot, "no")
	d.FailWith(want)
	d.FailWith(imap.No(imap.CodeLimit, "other"))
	if d.End() != want {
		t.Errorf("got %v", d.Err())
	}
}

func TestErrorsNameProductions(t *testing.T) {
	t.Parallel()
	d, _ := newTestDecoder(t, "x\r\n", Options{})
	for range 3 {
		defer d.In("outer")()
	}
	func() {
		defer d.In("left")()
	}()
	for _, p := range []string{"a", "b", "c"} {
		defer d.In(p)()
	}
	d.NeedNumber()
	checkErr(t, d.Err(), "expected number at column 1, in outer/.../a/b/c")
}

func TestResponseText(t *testing.T) {
	t.Parallel()
	runCases(t, Options{Response: true}, false, (*Decoder).NeedText, []parseCase{
		{"text", "it is (done) \"now\"", `it is (done) "now"`, ""},
		{"no text", "", "", ""},
		{"text that is not ASCII", "é", "", "character in string that is not ASCII at column 1"},
		{"text with NUL", "a\x00", "", "invalid character in string at column 1"},
	})
	runCases(t, Options{Response: true}, true, (*Decoder).NeedText, []parseCase{
		{"text in UTF-8", "é", "é", ""},
		{"text that is not UTF-8", "\xe9", "", "string is not UTF-8 at column 1"},
	})
	runCases(t, Options{Response: true}, false, func(d *Decoder) string { s := d.NeedCodeText(); d.NeedByte(']'); return s }, []parseCase{
		{"a code", "a (b c)]", "a (b c)", ""},
		{"no code", "]", "", "expected text at column 1"},
	})
}

// What is encoded as a string must be decoded as that string.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{"", "NIL", "atom", "a b", `a"b\`, "é", "a\r\nb", "\xff", strings.Repeat("x", maxQuoted+1), "a]b", "~{3}", "{3+}", strings.Repeat(`"`, maxQuoted)} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, utf8 bool) {
		var b strings.Builder
		e := NewEncoder(&b, nil)
		e.SetUTF8(utf8)
		e.AString(s)
		e.SP()
		e.String(s)
		e.SP()
		e.Bytes(s)
		e.CRLF()
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		d, _ := newTestDecoder(t, b.String(), Options{Response: true, Limits: Limits{Line: 1 << 20, Literal: 1 << 20, LiteralTotal: 4 << 20}})
		d.SetUTF8(utf8)
		first := d.NeedAString()
		d.NeedSP()
		second := d.NeedString()
		d.NeedSP()
		third := d.NeedNString8()
		want := strings.ReplaceAll(s, "\x00", "")
		if err := d.End(); err != nil || first != want || second != want || third != imap.Str(s) {
			t.Fatalf("%q is written as %q and read as %q, %q, %v, %v", s, b.String(), first, second, third, err)
		}
	})
}

func FuzzMailbox(f *testing.F) {
	for _, s := range []string{"INBOX", "Entwürfe", "a&b", "%*", "a b", "\xff", "台北"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, utf8 bool) {
		name, err := imap.ParseMailboxName(s)
		if err != nil {
			return
		}
		var b strings.Builder
		e := NewEncoder(&b, nil)
		e.SetUTF8(utf8)
		e.Mailbox(name)
		e.SP()
		e.ListMailbox(name)
		e.CRLF()
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		d, _ := newTestDecoder(t, b.String(), Options{})
		d.SetUTF8(utf8)
		first := d.NeedMailbox()
		d.NeedSP()
		second := d.NeedListMailbox()
		if err := d.End(); err != nil || first != name || second != name {
			t.Fatalf("%q is written as %q and read as %q and %q, %v", name, b.String(), first, second, err)
		}
	})
}
