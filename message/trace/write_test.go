package trace

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFieldsAreWrittenFolded(t *testing.T) {
	t.Parallel()
	a := AuthResults{"mail.example.org", 0, []Result{
		{Method: "iprev", Result: "pass", Comment: "without dnssec", Props: []Prop{{"policy", "iprev", "2001:db8::1", ""}}},
		{Method: "dkim", Result: "pass", Comment: "2048 bit rsa, with dnssec", Props: []Prop{
			{"header", "d", "example.net", ""}, {"header", "s", "20240101", ""}, {"header", "a", "rsa-sha256", ""}, {"header", "b", "aB/+c=12", ""},
		}},
		{Method: "dkim", Result: "policy", Reason: "subject not signed", Props: []Prop{{"policy", "dkim-rules", "unsigned-subject", ""}}},
		{Method: "spf", Result: "softfail", Props: []Prop{{"smtp", "mailfrom", "x@example.net", ""}}},
	}}
	want := "Authentication-Results: mail.example.org; iprev=pass (without dnssec)\r\n" +
		"\tpolicy.iprev=\"2001:db8::1\"; dkim=pass (2048 bit rsa, with dnssec)\r\n" +
		"\theader.d=example.net header.s=20240101 header.a=rsa-sha256\r\n" +
		"\theader.b=\"aB/+c=12\"; dkim=policy reason=\"subject not signed\"\r\n" +
		"\tpolicy.dkim-rules=unsigned-subject; spf=softfail\r\n" +
		"\tsmtp.mailfrom=x@example.net\r\n"
	if got := a.Header(); got != want {
		t.Errorf("got:\n%s\nexpected:\n%s", got, want)
	}
	back, err := Parse(strings.TrimPrefix(want, FieldName+":"))
	if err != nil || !reflect.DeepEqual(back, a) {
		t.Errorf("parsed again: got %+v, %v", back, err)
	}
	if got, want := (AuthResults{AuthservID: "a.example", Version: 1}).Header(), "Authentication-Results: a.example 1; none\r\n"; got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
}

func TestNoTextAddsAnythingToAField(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"a\r\nBcc: b@example.org", "a; spf=pass", `a"; spf=pass "`, `\`, `a\"`, "a) spf=pass (", "a (b", "\x00\x7f", "\xff\xfe", "", " ",
		"☺ a", "=?utf-8?q?a?=", `"a b"@example.org`, `"a; spf=pass"@example.org`, "a@b; spf=pass", `a@"b`, "@", "a@b@c", strings.Repeat("\"", 10_000),
	} {
		a := AuthResults{text, 0, []Result{{text, 0, text, text, text, []Prop{{text, text, text, text}}}, {Method: "dmarc", Result: "fail"}}}
		h := a.Header()
		if !utf8.ValidString(h) {
			t.Errorf("%q: not UTF-8: %q", text, h)
		}
		lines := strings.SplitAfter(strings.TrimSuffix(h, "\r\n"), "\r\n")
		for i, line := range lines {
			if i > 0 && !strings.HasPrefix(line, "\t") || len(line) > 998 {
				t.Errorf("%q: bad line %q", text, line)
			}
		}
		got, err := Parse(strings.TrimPrefix(h, FieldName+":"))
		if err != nil || len(got.Results) != 2 || len(got.Results[0].Props) != 1 || !got.Results[1].Is("dmarc") {
			t.Errorf("%q: written as %q, parsed as %+v, %v", text, h, got, err)
		}
	}
}

func TestAddressesAreWrittenWithoutQuotesAroundThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a@example.org":       "a@example.org",
		"@example.org":        "@example.org",
		"example.org":         "example.org",
		"a+b/c=d@example.org": "a+b/c=d@example.org",
		`"a b"@example.org`:   `"a b"@example.org`,
		"j\u00fc@☺.example":   "j\u00fc@☺.example",
		"a b@example.org":     `"a b@example.org"`,
		"a@[192.0.2.1]":       `"a@[192.0.2.1]"`,
		"☺.example":           `"☺.example"`,
		"":                    `""`,
	} {
		if got := formatPropValue(in); got != want {
			t.Errorf("%q: got %s, expected %s", in, got, want)
		}
	}
}

func TestLongTextIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for n := range 4 {
		got := clean(strings.Repeat("a", n) + strings.Repeat("☺", MaxText))
		if !strings.HasSuffix(got, "☺") || len(got) > MaxText || len(got) < MaxText-utf8.UTFMax {
			t.Errorf("got %q", got)
		}
	}
}
