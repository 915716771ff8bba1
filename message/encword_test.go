package message

import (
	"strings"
	"testing"
)

func TestDecodeText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		// RFC 2047 §8, as unstructured text.
		{"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"},
		{"=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld Jørn Simonsen"},
		{"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
			"If you can read this you understand the example."},
		{"=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=", "םולש ןב ילטפנ"},
		{"=?ISO-8859-1?Q?a?=", "a"},
		{"=?ISO-8859-1?Q?a?= b", "a b"},
		{"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"},
		{"=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"},
		{"=?ISO-8859-1?Q?a_b?=", "a b"},
		{"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"},
		{"x =?ISO-8859-1?Q?a?= y =?ISO-8859-1?Q?b?= z", "x a y b z"},
		// RFC 2231 §5
		{"=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"},
		// Charsets.
		{"=?gb2312?B?xOO6ww==?=", "你好"},
		{"=?GB18030?B?xOO6ww==?=", "你好"},
		{"=?ks_c_5601-1987?B?sbnA/A==?=", "국전"},
		{"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"=?Shift_JIS?B?k/qWew==?=", "日本"},
		{"=?cp932?B?k/qWew==?=", "日本"},
		{"=?big5?B?p0Gmbg==?=", "你好"},
		{"=?koi8-r?B?8NLJ18XU?=", "Привет"},
		{"=?windows-1251?Q?=CF=F0=E8=E2=E5=F2?=", "Привет"},
		{"=?windows-1252?Q?=80?=", "€"},
		{"=?utf-16?B?/v8A6Q==?=", "é"},
		{"=?utf-8?Q?=E2=82=AC?=", "€"},
		// Tolerance.
		{"=?utf-8?Q?=E2=82?= =?utf-8?Q?=AC?=", "€"},
		{"=?utf-8?B?4oKs?==?utf-8?B?4oKs?=", "€€"},
		{"a=?utf-8?Q?b?=c", "abc"},
		{"=?utf-8?Q?a b?=", "a b"},
		{"=?utf-8?b?4oKs?=", "€"},
		{"=?utf-8?B?4oKs4oK?=", "€\u00e2\u201a"},
		{"=?utf-8?Q??=", ""},
		{"=?utf-8?Q?=zz=4?=", "=zz=4"},
		{"=?utf-8?Q?caf=E9?=", "café"},
		{"=?utf-8?Q?a=0D=0ABcc:_x=00?=", "a  Bcc: x "},
		{"caf\xe9", "café"},
		{"café", "café"},
		{"a\x01b\x7f\tc", "a b \tc"},
		// Left as it is.
		{"=?x-unknown?Q?a=E9?= =?x-unknown?Q?b?=", "=?x-unknown?q?a=E9?= =?x-unknown?q?b?="},
		{"=?iso-2022-kr?Q?a?=", "=?iso-2022-kr?q?a?="},
		{"=?utf-8?X?a?=", "=?utf-8?X?a?="},
		{"=?utf-8?Q?a", "=?utf-8?Q?a"},
		{"=?utf-8?Q?a?b?=", "=?utf-8?Q?a?b?="},
		{"=??Q?a?=", "=??Q?a?="},
		{"=?=?=?", "=?=?=?"},
		{"=?", "=?"},
		{"", ""},
	} {
		if got := DecodeText(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestEncodeTextReadsBack(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"plain text", "café", "one café two", "café au lait à trois", "  spaces  around café  ",
		"=?utf-8?q?literal?=", "日本語のとても長い件名がここにありますので分割されます日本語のとても長い件名",
		strings.Repeat("é", 200), strings.Repeat("x", 100) + " é", "é a é", "",
	} {
		enc := EncodeText(s)
		if !isASCII(enc) {
			t.Errorf("%q: not ASCII: %q", s, enc)
		}
		for w := range strings.FieldsSeq(enc) {
			if strings.HasPrefix(w, "=?") && len(w) > maxEncodedWord {
				t.Errorf("%q: a word of %d characters", s, len(w))
			}
			// RFC 2047 §5: no character is split over words.
			if d := DecodeText(w); strings.Contains(d, "\ufffd") {
				t.Errorf("%q: split character in %q", s, w)
			}
		}
		if got := DecodeText(enc); got != s {
			t.Errorf("%q\nencoded as %q\nreads back as %q", s, enc, got)
		}
	}
	if got := EncodeText("Re: café now"); got != "Re: =?utf-8?q?caf=C3=A9?= now" {
		t.Errorf("only words that need it are encoded: %q", got)
	}
}

func TestLookupCharset(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]charsetKind{
		"utf-8": charsetUTF8, "US-ASCII": charsetUTF8, ` "UTF8" `: charsetUTF8, "utf-8*en": charsetUTF8, "unicode-1-1-utf-8": charsetUTF8,
		"iso-8859-1": charsetOther, "ISO-8859-15": charsetOther, "windows-1258": charsetOther, "gb2312": charsetOther, "gbk": charsetOther,
		"ks_c_5601-1987": charsetOther, "iso-2022-jp": charsetOther, "euc-jp": charsetOther, "cp1252": charsetOther, "macintosh": charsetOther,
		"hz-gb-2312": charsetOther, "utf-16le": charsetOther, "cp437": charsetOther, "latin1": charsetOther, "tis-620": charsetOther,
		"": charsetUnknown, "x-user-defined-nonsense": charsetUnknown, "iso-2022-kr": charsetUnknown, "utf-7": charsetUnknown,
		strings.Repeat("a", 1000): charsetUnknown,
	} {
		enc, got := lookupCharset(name)
		if got != kind || (enc != nil) != (kind == charsetOther) {
			t.Errorf("%q: got %d, %v", name, got, enc)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 5, "abc"}, {"abc", 2, "ab"}, {"aé", 2, "a"}, {"a€", 3, "a"}, {"a€", 4, "a€"}, {"€", 1, "\xe2"}, {"\xa9\xa9\xa9\xa9\xa9", 4, "\xa9\xa9\xa9\xa9"}} {
		if got := clip(c.in, c.n); got != c.want {
			t.Errorf("%q to %d: %q", c.in, c.n, got)
		}
	}
}
