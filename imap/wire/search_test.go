package wire

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"mox/imap"
)

// formatProgram returns a program as a client would send it.
func formatProgram(t testing.TB, p imap.SearchProgram) string {
	t.Helper()
	var b strings.Builder
	e := NewEncoder(&b, nil)
	e.SetUTF8(true)
	e.SetCommand(func(int64) bool { return true }, nil)
	e.SearchProgram(&p)
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSearchProgram(t *testing.T) {
	t.Parallel()
	format := func(d *Decoder) string {
		p := d.NeedSearchProgram()
		if d.err != nil {
			return ""
		}
		return formatProgram(t, p)
	}
	var same []parseCase
	for _, s := range []string{
		"ALL", "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN", "UNANSWERED", "UNDELETED", "UNDRAFT", "UNFLAGGED", "UNSEEN",
		"NEW", "OLD", "RECENT", "KEYWORD foo", "UNKEYWORD foo", "KEYWORD $Junk", "UNKEYWORD $Forwarded",
		"BCC a", "BODY a", "CC a", "FROM a", "SUBJECT a", "TEXT a", "TO a", "HEADER Message-ID a", `HEADER X-Foo ""`, `SUBJECT "a\"b\\c"`,
		"BEFORE 1-Feb-1994", "ON 1-Feb-1994", "SINCE 1-Feb-1994", "SENTBEFORE 1-Feb-1994", "SENTON 1-Feb-1994", "SENTSINCE 1-Feb-1994",
		"SAVEDBEFORE 1-Feb-1994", "SAVEDON 1-Feb-1994", "SAVEDSINCE 1-Feb-1994", "SAVEDATESUPPORTED",
		"UIDAFTER 25000", "UIDBEFORE 4294967295", "OLDER 10", "YOUNGER 259200", "LARGER 0", "SMALLER 9223372036854775807",
		"UID 1:*", "1,3:*", "$", "UID $", "*",
		"MODSEQ 620162338", "MODSEQ 0", `MODSEQ "/flags/\\draft" all 620162338`,
		"EMAILID M6d99ac3275bb4e", "THREADID T64b478a75b7ea9",
		"NOT SEEN", "OR SEEN FLAGGED", "OR NOT SEEN (FROM a TO b)", "NOT NOT ALL", "SEEN (FLAGGED (DRAFT ALL)) OLD",
		"CHARSET UTF-8 SUBJECT é", "CHARSET US-ASCII ALL",
	} {
		want := strings.Replace(s, "é", `"é"`, 1)
		same = append(same, parseCase{s, want, want, ""})
	}
	runCases(t, Options{}, false, format, same)
	runCases(t, Options{}, false, format, []parseCase{
		{"a charset behind keys", "or unseen keyword FOO charset UTF-8", "", "unknown search key at column 23, in search-key"},
		{"lower case", "or unseen keyword FOO", "OR UNSEEN KEYWORD foo", ""},
		{"a keyword that is a flag", "KEYWORD $JUNK", "KEYWORD $Junk", ""},
		{"a single key in parentheses", "((SEEN))", "SEEN", ""},
		{"a text in a literal", "SUBJECT {3+}\r\na b ALL", `SUBJECT "a b" ALL`, ""},
		{"a quoted date", `ON "1-Feb-1994"`, "ON 1-Feb-1994", ""},
		{"a quoted charset", `CHARSET "utf-8" ALL`, "CHARSET UTF-8 ALL", ""},
		// RFC 9051 §6.4.4
		{"the first example of the RFC", `FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"`, `FLAGGED SINCE 1-Feb-1994 NOT FROM Smith`, ""},
		{"the third example of the RFC", "CHARSET UTF-8 TEXT {12+}\r\nабвгде", `CHARSET UTF-8 TEXT "абвгде"`, ""},
		{"nothing", "", "", "expected name at column 1, in search-key"},
		{"an unknown key", "FOO", "", "unknown search key at column 1, in search-key"},
		{"a flag name as key", `\Seen`, "", "expected name at column 1, in search-key"},
		{"a space at the end", "ALL ", "", "expected name at column 5, in search-key"},
		{"empty parentheses", "()", "", "expected name at column 2, in search-key"},
		{"no end of parentheses", "(ALL", "", "expected ')' at column 5, in search-key"},
		{"too much of an end", "ALL)", "", "expected end of line at column 4"},
		{"one alternative", "OR ALL", "", "expected space at column 7, in search-key"},
		{"no argument", "SUBJECT", "", "expected space at column 8, in search-key"},
		{"no date", "ON yesterday", "", "expected date at column 4, in search-key"},
		{"zero seconds", "OLDER 0", "", "expected number without leading zero at column 7, in search-key"},
		{"a system flag as keyword", `KEYWORD \Seen`, "", "expected atom at column 9, in search-key"},
		{"an object id with other characters", "EMAILID a.b", "", "expected end of line at column 10"},
		{"an object id that is too long", "EMAILID " + strings.Repeat("x", 256), "", "objectid longer than 255 bytes at column 9, in search-key"},
		{"an unknown metadata entry", `MODSEQ "/foo" all 1`, "", "unknown metadata entry at column 8, in search-key"},
		{"an unknown metadata type", `MODSEQ "/flags/a" foo 1`, "", "unknown entry type at column 19, in search-key"},
		{"text that is not UTF-8", "SUBJECT {1+}\r\n\xff", "", "text is not UTF-8 at column 1, in search-key"},
		{"text that is not of its charset", "CHARSET UTF-8 SUBJECT {1+}\r\n\xff", "", "text is not UTF-8 at column 1, in search-key"},
		{"quoted text that is not UTF-8", "SUBJECT \"\xff\"", "", "string is not UTF-8 at column 10, in search-key"},
		{"a field name with a line end", "HEADER {2+}\r\n\r\n a", "", "expected name of a header field at column 8, in search-key"},
	})
}

func TestSearchInUnknownCharset(t *testing.T) {
	t.Parallel()
	d, _ := newTestDecoder(t, "CHARSET ISO-8859-1 SUBJECT {1+}\r\n\xe9\r\n", Options{})
	d.NeedSearchProgram()
	var perr *imap.Error
	if err := d.End(); !errors.As(err, &perr) || perr.Type != imap.TypeNO || perr.Code != "BADCHARSET (US-ASCII UTF-8)" {
		t.Errorf("got %v", err)
	}
}

func TestSearchLimits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input string
		ok          bool
	}{
		{"as many keys as allowed", "ALL" + strings.Repeat(" ALL", imap.MaxSearchKeys-1), true},
		{"more keys", "ALL" + strings.Repeat(" ALL", imap.MaxSearchKeys), false},
		{"as deep as allowed", strings.Repeat("NOT ", imap.MaxSearchDepth-1) + "ALL", true},
		{"deeper", strings.Repeat("NOT ", imap.MaxSearchDepth) + "ALL", false},
		{"many alternatives", strings.Repeat("OR ALL ", imap.MaxSearchDepth-1) + "ALL", true},
		{"more alternatives", strings.Repeat("OR ALL ", imap.MaxSearchDepth) + "ALL", false},
		{"parentheses as deep as allowed", strings.Repeat("(", imap.MaxSearchDepth-1) + "ALL" + strings.Repeat(")", imap.MaxSearchDepth-1), true},
		{"deeper parentheses", strings.Repeat("(", imap.MaxSearchDepth) + "ALL" + strings.Repeat(")", imap.MaxSearchDepth), false},
		{"only the start of parentheses", strings.Repeat("(", MaxLine), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d, _ := newTestDecoder(t, tc.input+"\r\n", Options{})
			d.NeedSearchProgram()
			err := d.End()
			var perr *imap.Error
			if tc.ok && err != nil || !tc.ok && (!errors.As(err, &perr) || perr.Code != imap.CodeLimit) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSearchReturnOptions(t *testing.T) {
	t.Parallel()
	format := func(d *Decoder) string {
		r := d.NeedSearchReturn()
		if d.err != nil {
			return ""
		}
		var b strings.Builder
		e := NewEncoder(&b, nil)
		e.SearchReturn(&r)
		e.Flush()
		return b.String()
	}
	runCases(t, Options{}, false, format, []parseCase{
		{"none is all", "()", "(ALL)", ""},
		{"all of them", "(MIN max COUNT SAVE ALL)", "(MIN MAX ALL COUNT SAVE)", ""},
		{"the same twice", "(MIN MIN)", "(MIN)", ""},
		{"updates", "(update CONTEXT COUNT)", "(COUNT CONTEXT UPDATE)", ""},
		{"updates with items", "(COUNT UPDATE (UID BODY.PEEK[HEADER.FIELDS (To)]) PARTIAL 1:2)", "(COUNT UPDATE (UID BODY.PEEK[HEADER.FIELDS (To)]) PARTIAL 1:2)", ""},
		{"updates with no items", "(UPDATE ())", "", "expected name at column 10, in search-return-opt"},
		{"a part", "(COUNT PARTIAL 1:500)", "(COUNT PARTIAL 1:500)", ""},
		// RFC 9394 §4: a range 500:400 is the same as 400:500.
		{"a reversed part", "(PARTIAL 500:1)", "(PARTIAL 1:500)", ""},
		{"a part from the end", "(PARTIAL -100:-1)", "(PARTIAL -1:-100)", ""},
		{"two parts", "(PARTIAL 1:2 PARTIAL 3:4)", "", "duplicate PARTIAL at column 14, in search-return-opt"},
		{"a part and all", "(PARTIAL 1:2 ALL)", "", "ALL and PARTIAL exclude each other at column 18, in search-return-opt"},
		{"a part with mixed signs", "(PARTIAL -1:2)", "", "expected '-' at column 13, in search-return-opt"},
		{"a part from zero", "(PARTIAL 0:2)", "", "expected number without leading zero at column 10, in search-return-opt"},
		{"a part to the end", "(PARTIAL 1:*)", "", "expected number at column 12, in search-return-opt"},
		{"an unknown option", "(FOO)", "", "unknown search return option at column 2, in search-return-opt"},
		{"no list", "ALL", "", "expected '(' at column 1, in search-return-opt"},
	})
}

func TestSortCriteria(t *testing.T) {
	t.Parallel()
	format := func(d *Decoder) []imap.SortCriterion { return d.NeedSortCriteria() }
	runCases(t, Options{}, false, format, []parseCase{
		// RFC 5256 §3
		{"the example of the RFC", "(REVERSE DATE SUBJECT)", "[{Key:DATE Reverse:true} {Key:SUBJECT Reverse:false}]", ""},
		{"all keys", "(ARRIVAL CC DATE FROM SIZE SUBJECT TO DISPLAYFROM DISPLAYTO)", "[{Key:ARRIVAL Reverse:false} {Key:CC Reverse:false} {Key:DATE Reverse:false} {Key:FROM Reverse:false} {Key:SIZE Reverse:false} {Key:SUBJECT Reverse:false} {Key:TO Reverse:false} {Key:DISPLAYFROM Reverse:false} {Key:DISPLAYTO Reverse:false}]", ""},
		{"none", "()", "", "expected name at column 2, in sort-criterion"},
		{"an unknown key", "(FOO)", "", "unknown sort key at column 2, in sort-criterion"},
		{"reverse of nothing", "(REVERSE)", "", "expected space at column 9, in sort-criterion"},
		{"reverse twice", "(REVERSE REVERSE DATE)", "", "unknown sort key at column 10, in sort-criterion"},
	})
	criteria := func(d *Decoder) string {
		p := d.NeedSearchCriteria()
		if d.err != nil {
			return ""
		}
		return formatProgram(t, p)
	}
	runCases(t, Options{}, false, criteria, []parseCase{
		{"charset and keys", "UTF-8 SINCE 1-Feb-1994", "CHARSET UTF-8 SINCE 1-Feb-1994", ""},
		{"no keys", "UTF-8", "", "expected space at column 6"},
	})
	encoded := func(d *Decoder) string {
		var b strings.Builder
		e := NewEncoder(&b, nil)
		e.SortCriteria(d.NeedSortCriteria())
		d.NeedSP()
		p := d.NeedSearchCriteria()
		if d.err != nil {
			return ""
		}
		p.Charset = ""
		e.SP()
		e.SearchCriteria(&p)
		e.Flush()
		return b.String()
	}
	runCases(t, Options{}, false, encoded, []parseCase{
		{"written as it was read", "(REVERSE DATE SUBJECT) UTF-8 UNSEEN 1:3", "(REVERSE DATE SUBJECT) UTF-8 UNSEEN 1:3", ""},
	})
}

func TestThreadAlgorithms(t *testing.T) {
	t.Parallel()
	runCases(t, Options{}, false, func(d *Decoder) imap.ThreadAlgorithm { return d.NeedThreadAlgorithm() }, []parseCase{
		{"by subject", "OrderedSubject", "ORDEREDSUBJECT", ""},
		{"by references", "REFERENCES", "REFERENCES", ""},
		{"unknown", "REFS", "", "unknown threading algorithm at column 1, in thread-alg"},
		{"a string", `"REFERENCES"`, "", "expected atom at column 1, in thread-alg"},
	})
}

func FuzzSearch(f *testing.F) {
	for _, s := range []string{
		`FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"`, "CHARSET UTF-8 TEXT {12+}\r\nабвгде", `OR (SEEN UID 1:*) NOT $ MODSEQ "/flags/\\seen" all 7`,
		"KEYWORD $Junk UNKEYWORD foo", "HEADER X-Foo \"\" LARGER 10", "EMAILID M1 OLDER 5", "((ALL) SEEN)", "1,2:* 4",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := NewDecoder(NewReader(strings.NewReader(s+"\r\n"), nil), Options{})
		if d.ReadLine() != nil {
			return
		}
		p := d.NeedSearchProgram()
		if d.End() != nil {
			return
		}
		text := formatProgram(t, p)
		d, _ = newTestDecoder(t, text+"\r\n", Options{Limits: Limits{Line: 1 << 20}})
		again := d.NeedSearchProgram()
		if err := d.End(); err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("%q is %+v, written as %q, is %+v, %v", s, p, text, again, err)
		}
	})
}
