package wire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/imap"
)

func TestFlagLists(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, false, (*Decoder).NeedFlagList, []parseCase{
		{"none", "()", "", ""},
		{"flags and keywords", `(\Seen $junk Foo bar)`, `\Seen $Junk bar foo`, ""},
		{"a flag that clients cannot set", `(\Recent)`, "", "unknown system flag at column 2, in flag-list"},
		{"an unknown system flag", `(\Seen \Foo)`, "", "unknown system flag at column 8, in flag-list"},
		{"all flags", `(\*)`, "", "expected atom at column 3, in flag-list"},
		{"an empty element", "(a  b)", "", "expected flag at column 4, in flag-list"},
		{"a space at the end", "(a )", "", "expected flag at column 4, in flag-list"},
		{"no end", "(a", "", "expected ')' at column 3, in flag-list"},
		{"no parentheses", "a", "", "expected '(' at column 1, in flag-list"},
		{"a keyword that is too long", "(" + strings.Repeat("x", imap.MaxKeywordLen+1) + ")", "", "keyword longer than 128 bytes at column 2, in flag-list"},
		{"too many elements", "(" + strings.Repeat("a ", 2*imap.MaxKeywords) + "a)", "", "more than 200 elements in list at column 402, in flag-list"},
	})
	runCases(t, Options{}, false, (*Decoder).NeedFlags, []parseCase{
		{"flags in parentheses", `(\Seen a)`, `\Seen a`, ""},
		{"flags without parentheses", `\Seen a`, `\Seen a`, ""},
		{"nothing in parentheses", "()", "", ""},
		{"nothing without parentheses", "", "", "expected flag at column 1, in store-att-flags"},
	})
}

func TestTooManyKeywords(t *testing.T) {
	t.Parallel()
	var s strings.Builder
	for i := range imap.MaxKeywords + 1 {
		fmt.Fprintf(&s, " k%d", i)
	}
	d, _ := newTestDecoder(t, "("+s.String()[1:]+")\r\n", Options{})
	d.NeedFlagList()
	checkErr(t, d.End(), "more than 100 keywords at column 392, in flag-list")
}

func TestDates(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, false, (*Decoder).NeedDate, []parseCase{
		{"a date", "1-Feb-1994", "1-Feb-1994", ""},
		{"a quoted date", `"1-Feb-1994"`, "1-Feb-1994", ""},
		{"no date", "x", "", "expected date at column 1"},
		{"no end of the quotes", `"1-Feb-1994`, "", "expected '\"' at column 12"},
		{"nothing", "", "", "expected date at column 1"},
	})
	format := func(d *Decoder) string {
		if tm := d.NeedDateTime(); !tm.IsZero() {
			return tm.Format(time.RFC3339)
		}
		return ""
	}
	runCases(t, Options{}, false, format, []parseCase{
		{"a date and time", `"17-Jul-1996 02:44:25 -0700"`, "1996-07-17T02:44:25-07:00", ""},
		{"without quotes", `17-Jul-1996 02:44:25 -0700`, "", "expected date-time at column 1"},
		{"no quote at the end", `"17-Jul-1996 02:44:25 -0700`, "", "expected date-time at column 1"},
		{"another format", `"1996-07-17T02:44:25-07:00"`, "", "expected date-time at column 1"},
	})
}

func TestStatusItems(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, false, (*Decoder).NeedStatusItems, []parseCase{
		{"items", "(messages UIDNEXT DELETED-STORAGE)", "[MESSAGES UIDNEXT DELETED-STORAGE]", ""},
		{"none", "()", "", "expected name at column 2, in status-att"},
		{"an unknown item", "(MESSAGES FOO)", "", "unknown status item at column 11, in status-att"},
		{"too many", "(" + strings.Repeat("SIZE ", MaxListItems) + "SIZE)", "", "more than 100 elements in list at column 502, in status-att"},
	})
}

func TestFetchItems(t *testing.T) {
	t.Parallel()
	format := func(d *Decoder) string {
		var s []string
		for _, item := range d.NeedFetchItems() {
			s = append(s, item.String())
		}
		return strings.Join(s, " ")
	}
	var same []parseCase
	for _, s := range []string{
		"UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822", "RFC822.HEADER", "RFC822.TEXT",
		"MODSEQ", "SAVEDATE", "PREVIEW", "PREVIEW (LAZY)", "EMAILID", "THREADID",
		"BODY[]", "BODY.PEEK[]", "BODY[TEXT]", "BODY[HEADER]<0.100>", "BODY[1]", "BODY[1.2.3]", "BODY[1.MIME]", "BODY[1.HEADER]", "BODY[2.1.TEXT]<5.9223372036854775807>",
		"BODY[HEADER.FIELDS (DATE FROM)]", "BODY.PEEK[3.HEADER.FIELDS.NOT (Received)]",
		"BINARY[]", "BINARY.PEEK[1]<0.10>", "BINARY.SIZE[1.2]", "BINARY.SIZE[]",
	} {
		same = append(same, parseCase{s, s, s, ""})
	}
	runCases(t, Options{}, false, format, same)
	runCases(t, Options{}, false, format, []parseCase{
		{"any case", "body.peek[header.fields (from)]", "BODY.PEEK[HEADER.FIELDS (from)]", ""},
		{"a list", "(UID FLAGS BODY[] PREVIEW (LAZY) MODSEQ)", "UID FLAGS BODY[] PREVIEW (LAZY) MODSEQ", ""},
		{"a macro", "fast", "FLAGS INTERNALDATE RFC822.SIZE", ""},
		{"field names in all forms", "BODY[HEADER.FIELDS (a \"b\" {3+}\r\nc d)]", `BODY[HEADER.FIELDS (a b "c d")]`, ""},
		{"the last item before modifiers", "PREVIEW", "PREVIEW", ""},
		{"a macro in a list", "(ALL)", "", "unknown fetch item at column 2, in fetch-att"},
		{"an unknown item", "FOO", "", "unknown fetch item at column 1, in fetch-att"},
		{"nothing", "", "", "expected name at column 1, in fetch-att"},
		{"an empty list", "()", "", "expected name at column 2, in fetch-att"},
		{"too many items", "(" + strings.Repeat("UID ", MaxFetchItems) + "UID)", "", "more than 100 elements in list at column 402, in fetch-att"},
		{"PEEK without section", "BODY.PEEK", "", "expected '[' at column 10, in fetch-att/section"},
		{"MIME without part", "BODY[MIME]", "", "MIME needs a part number at column 6, in fetch-att/section"},
		{"part zero", "BODY[0]", "", "expected number without leading zero at column 6, in fetch-att/section"},
		{"a dot at the end", "BODY[1.]", "", "expected name at column 8, in fetch-att/section"},
		{"an unknown section", "BODY[FOO]", "", "unknown section at column 6, in fetch-att/section"},
		{"no end of the section", "BODY[TEXT", "", "expected ']' at column 10, in fetch-att/section"},
		{"no field names", "BODY[HEADER.FIELDS ()]", "", "expected astring at column 21, in fetch-att/section"},
		{"an empty field name", `BODY[HEADER.FIELDS ("")]`, "", "expected name of a header field at column 21, in fetch-att/section"},
		{"a field name with 8-bit characters", `BODY[HEADER.FIELDS ("é")]`, "", "expected name of a header field at column 21, in fetch-att/section"},
		{"a field name with a line end", "BODY[HEADER.FIELDS ({2+}\r\n\r\n)]", "", "expected name of a header field at column 21, in fetch-att/section"},
		{"too many field names", "BODY[HEADER.FIELDS (" + strings.Repeat("a ", imap.MaxHeaderFields) + "a)]", "", "more than 250 elements in list at column 521, in fetch-att/section"},
		{"a part too deep", "BODY[" + strings.Repeat("1.", imap.MaxPartDepth) + "1]", "", "more than 100 levels of parts at column 206, in fetch-att/section"},
		{"a partial of nothing", "BODY[]<0.0>", "", "expected number without leading zero at column 10, in fetch-att"},
		{"a partial without count", "BODY[]<0>", "", "expected '.' at column 9, in fetch-att"},
		{"a partial for structure", "BODY<0.1>", "", "expected end of line at column 5"},
		{"a partial for a size", "BINARY.SIZE[1]<0.1>", "", "expected end of line at column 15"},
		{"text of a binary section", "BINARY[TEXT]", "", "expected number at column 8, in fetch-att/section-binary"},
		{"a text behind the part of a binary section", "BINARY[1.TEXT]", "", "expected ']' at column 10, in fetch-att/section-binary"},
		{"an unknown modifier of a preview", "PREVIEW (FOO)", "", "unknown preview modifier at column 10, in fetch-att"},
	})
}

func FuzzFetchItems(f *testing.F) {
	for _, s := range []string{"ALL", "(UID BODY.PEEK[1.2.HEADER.FIELDS (a \"b c\")]<0.1>)", "PREVIEW (LAZY)", "BINARY.SIZE[1]", "BODY[MIME]", "BODY[HEADER.FIELDS ({3+}\r\na\"b)]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := NewDecoder(NewReader(strings.NewReader(s+"\r\n"), nil), Options{})
		if d.ReadLine() != nil {
			return
		}
		items := d.NeedFetchItems()
		if d.End() != nil {
			return
		}
		var b strings.Builder
		for _, item := range items {
			b.WriteString(" " + item.String())
		}
		d, _ = newTestDecoder(t, "("+b.String()[1:]+")\r\n", Options{})
		again := d.NeedFetchItems()
		if err := d.End(); err != nil || !reflect.DeepEqual(items, again) {
			t.Fatalf("%q is %v, written as %q, is %v, %v", s, items, b.String(), again, err)
		}
	})
}
