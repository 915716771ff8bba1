package lex

import (
	"testing"
)

// checkClass compares a class with a predicate for each byte.
func checkClass(t *testing.T, name string, c Class, want func(b byte) bool) {
	t.Helper()
	n := 0
	for i := range 256 {
		b := byte(i)
		if want(b) {
			n++
		}
		if c.Has(b) != want(b) {
			t.Errorf("%s: byte %#02x: in class %v, by the RFC %v", name, b, c.Has(b), want(b))
		}
	}
	if c.Len() != n {
		t.Errorf("%s: Len is %d, want %d", name, c.Len(), n)
	}
}

// in returns a predicate for inclusive ranges, given in pairs.
func in(ranges ...byte) func(byte) bool {
	return func(b byte) bool {
		for i := 0; i < len(ranges); i += 2 {
			if b >= ranges[i] && b <= ranges[i+1] {
				return true
			}
		}
		return false
	}
}

// The predicates are the rules as they are printed in the RFCs, and do not use
// the package.
func TestNamedClassesEqualTheirABNF(t *testing.T) {
	t.Parallel()
	alpha := in(0x41, 0x5a, 0x61, 0x7a)
	digit := in(0x30, 0x39)
	ctl := in(0x00, 0x1f, 0x7f, 0x7f)
	char := in(0x01, 0x7f)
	any := func(s string) func(byte) bool {
		return func(b byte) bool {
			for i := 0; i < len(s); i++ {
				if s[i] == b {
					return true
				}
			}
			return false
		}
	}
	// RFC 9051 §9: atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards /
	// quoted-specials / resp-specials.
	atomSpecials := func(b byte) bool { return any("(){ %*\"\\]")(b) || ctl(b) }
	atomChar := func(b byte) bool { return char(b) && !atomSpecials(b) }
	// RFC 2045 §5.1.
	token := func(b byte) bool { return char(b) && b != ' ' && !ctl(b) && !any("()<>@,;:\\\"/[]?=")(b) }

	for _, tc := range []struct {
		name string
		c    Class
		want func(byte) bool
	}{
		{"OCTET RFC 5234 §B.1", Octet, in(0x00, 0xff)},
		{"CHAR RFC 5234 §B.1", Char, char},
		{"CTL RFC 5234 §B.1", CTL, ctl},
		{"VCHAR RFC 5234 §B.1", VChar, in(0x21, 0x7e)},
		{"ALPHA RFC 5234 §B.1", Alpha, alpha},
		{"DIGIT RFC 5234 §B.1", Digit, digit},
		{"HEXDIG RFC 5234 §B.1", HexDig, in(0x30, 0x39, 0x41, 0x46, 0x61, 0x66)},
		{"WSP RFC 5234 §B.1", WSP, in(0x20, 0x20, 0x09, 0x09)},
		{"CRLF RFC 5234 §B.1", CRLF, in(0x0d, 0x0d, 0x0a, 0x0a)},

		{"atext RFC 5322 §3.2.3", AText, func(b byte) bool {
			return alpha(b) || digit(b) || any("!#$%&'*+-/=?^_`{|}~")(b)
		}},
		{"ctext RFC 5322 §3.2.2", CText, in(33, 39, 42, 91, 93, 126)},
		{"qtext RFC 5322 §3.2.4", QText, in(33, 33, 35, 91, 93, 126)},
		{"dtext RFC 5322 §3.4.1", DText, in(33, 90, 94, 126)},
		{"ftext RFC 5322 §3.6.8", FText, in(33, 57, 59, 126)},
		{"obs-NO-WS-CTL RFC 5322 §4.1", ObsNoWSCTL, in(1, 8, 11, 11, 12, 12, 14, 31, 127, 127)},
		{"NonASCII", NonASCII, in(0x80, 0xff)},

		{"Let-dig RFC 5321 §4.1.2", LetDig, func(b byte) bool { return alpha(b) || digit(b) }},
		{"Ldh-str RFC 5321 §4.1.2", LDH, func(b byte) bool { return alpha(b) || digit(b) || b == '-' }},
		{"qtextSMTP RFC 5321 §4.1.2", QTextSMTP, in(32, 33, 35, 91, 93, 126)},
		{"quoted-pairSMTP RFC 5321 §4.1.2", QPairSMTP, in(32, 126)},
		{"dcontent RFC 5321 §4.1.3", DContent, in(33, 90, 94, 126)},
		{"esmtp-keyword RFC 5321 §4.1.2", ESMTPKeyword, func(b byte) bool { return alpha(b) || digit(b) || b == '-' }},
		{"esmtp-value RFC 5321 §4.1.2", ESMTPValue, in(33, 60, 62, 126)},
		{"xchar RFC 3461 §4", XChar, func(b byte) bool { return b >= 33 && b <= 126 && b != '+' && b != '=' }},
		{"textstring RFC 5321 §4.2", SMTPTextChar, in(9, 9, 32, 126)},

		{"tspecials RFC 2045 §5.1", TSpecials, any("()<>@,;:\\\"/[]?=")},
		{"token RFC 2045 §5.1", Token, token},
		{"attribute-char RFC 2231 §7", AttributeChar, func(b byte) bool { return token(b) && !any("*'%")(b) }},
		{"base64-char RFC 9051 §9", Base64Char, func(b byte) bool { return alpha(b) || digit(b) || b == '+' || b == '/' }},
		{"base64url RFC 4648 §5", Base64URLChar, func(b byte) bool { return alpha(b) || digit(b) || b == '-' || b == '_' }},
		{"encoded-text RFC 2047 §2", EncodedWord, func(b byte) bool { return b > 32 && b < 127 && b != '?' }},

		{"list-wildcards RFC 9051 §9", ListWildcards, any("%*")},
		{"quoted-specials RFC 9051 §9", QuotedSpecial, any("\"\\")},
		{"resp-specials RFC 9051 §9", RespSpecial, any("]")},
		{"atom-specials RFC 9051 §9", AtomSpecial, atomSpecials},
		{"ATOM-CHAR RFC 9051 §9", AtomChar, atomChar},
		{"ASTRING-CHAR RFC 9051 §9", AStringChar, func(b byte) bool { return atomChar(b) || b == ']' }},
		{"list-char RFC 9051 §9", ListChar, func(b byte) bool { return atomChar(b) || any("%*]")(b) }},
		{"tag RFC 9051 §9", TagChar, func(b byte) bool { return (atomChar(b) || b == ']') && b != '+' }},
		{"TEXT-CHAR RFC 9051 §9", TextChar, func(b byte) bool { return char(b) && b != '\r' && b != '\n' }},
		{"QUOTED-CHAR RFC 9051 §9", QuotedChar, func(b byte) bool {
			return char(b) && b != '\r' && b != '\n' && b != '"' && b != '\\'
		}},
		{"flag-keyword RFC 9051 §9", KeywordChar, atomChar},
	} {
		checkClass(t, tc.name, tc.c, tc.want)
	}
}

func TestClassesCombineAsSets(t *testing.T) {
	t.Parallel()
	abc, bcd := Bytes("abc"), Range('b', 'd')
	checkClass(t, "union", abc.Union(bcd, Bytes("z")), func(b byte) bool { return b >= 'a' && b <= 'd' || b == 'z' })
	checkClass(t, "without", abc.Without(bcd), func(b byte) bool { return b == 'a' })
	checkClass(t, "without several", abc.Without(Bytes("a"), Bytes("c")), func(b byte) bool { return b == 'b' })
	checkClass(t, "not", abc.Not(), func(b byte) bool { return b < 'a' || b > 'c' })
	checkClass(t, "empty range", Range('b', 'a'), func(byte) bool { return false })
	checkClass(t, "range to the last byte", Range(0xfe, 0xff), func(b byte) bool { return b >= 0xfe })
	checkClass(t, "original after union", abc, func(b byte) bool { return b >= 'a' && b <= 'c' })
	if abc != Range('a', 'c') {
		t.Error("classes with the same bytes differ")
	}
}

func TestClassesFindBytesInStrings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		s           string
		span, index int
		all         bool
	}{
		{"", 0, -1, false},
		{"12", 2, 0, true},
		{"12x", 2, 0, false},
		{"x12", 0, 1, false},
		{"x", 0, -1, false},
	} {
		if got := Digit.Span(tc.s); got != tc.span {
			t.Errorf("Span(%q) is %d, want %d", tc.s, got, tc.span)
		}
		if got := Digit.Index(tc.s); got != tc.index {
			t.Errorf("Index(%q) is %d, want %d", tc.s, got, tc.index)
		}
		if got := Digit.All(tc.s); got != tc.all {
			t.Errorf("All(%q) is %v, want %v", tc.s, got, tc.all)
		}
	}
}

func BenchmarkSpan(b *testing.B) {
	s := "an-atom-of-some-length-as-in-a-command"
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		AtomChar.Span(s)
	}
}
