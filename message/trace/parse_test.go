package trace

import (
	"reflect"
	"strings"
	"testing"
)

// The examples of RFC 8601 §B, and the fields in the example of RFC 8617 §B.
var examples = []struct {
	name  string
	value string
	want  AuthResults
}{
	{"B.2", "example.org 1; none", AuthResults{"example.org", 1, nil}},
	{"B.3", "example.com;\r\n          spf=pass smtp.mailfrom=example.net", AuthResults{"example.com", 0, []Result{
		{Method: "spf", Result: "pass", Props: []Prop{{"smtp", "mailfrom", "example.net", ""}}},
	}}},
	{"B.4", "example.com;\r\n\tauth=pass (cram-md5) smtp.auth=sender@example.net;\r\n\tspf=pass smtp.mailfrom=example.net", AuthResults{"example.com", 0, []Result{
		{Method: "auth", Result: "pass", Comment: "cram-md5", Props: []Prop{{"smtp", "auth", "sender@example.net", ""}}},
		{Method: "spf", Result: "pass", Props: []Prop{{"smtp", "mailfrom", "example.net", ""}}},
	}}},
	{"B.4 iprev", "example.com; iprev=pass\r\n          policy.iprev=192.0.2.200", AuthResults{"example.com", 0, []Result{
		{Method: "iprev", Result: "pass", Props: []Prop{{"policy", "iprev", "192.0.2.200", ""}}},
	}}},
	{"B.5", "example.com;\r\n dkim=pass (good signature) header.d=example.com", AuthResults{"example.com", 0, []Result{
		{Method: "dkim", Result: "pass", Comment: "good signature", Props: []Prop{{"header", "d", "example.com", ""}}},
	}}},
	{"B.6", "example.com;\r\n dkim=pass reason=\"good signature\"\r\n  header.i=@mail-router.example.net;\r\n dkim=fail reason=\"bad signature\"\r\n  header.i=@newyork.example.com", AuthResults{"example.com", 0, []Result{
		{Method: "dkim", Result: "pass", Reason: "good signature", Props: []Prop{{"header", "i", "@mail-router.example.net", ""}}},
		{Method: "dkim", Result: "fail", Reason: "bad signature", Props: []Prop{{"header", "i", "@newyork.example.com", ""}}},
	}}},
	{"B.7", "foo.example.net (foobar) 1 (baz);\r\n    dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n      policy (A dot can go here) . (like that) expired\r\n      (this surprised me) = (as I wasn't expecting it) 1362471462", AuthResults{"foo.example.net", 1, []Result{
		{Method: "dkim", Version: 1, Result: "fail", Props: []Prop{{"policy", "expired", "1362471462", ""}}},
	}}},
	{"RFC 8617 B", " clochette.example.org; spf=fail\r\n    smtp.from=jqd@d1.example; dkim=fail (512-bit key)\r\n    header.i=@d1.example; dmarc=fail; arc=pass (as.2.gmail.example=pass,\r\n    ams.1.lists.example.org=fail (message has been altered))", AuthResults{"clochette.example.org", 0, []Result{
		{Method: "spf", Result: "fail", Props: []Prop{{"smtp", "from", "jqd@d1.example", ""}}},
		{Method: "dkim", Result: "fail", Comment: "512-bit key", Props: []Prop{{"header", "i", "@d1.example", ""}}},
		{Method: "dmarc", Result: "fail"},
		{Method: "arc", Result: "pass", Comment: "as.2.gmail.example=pass, ams.1.lists.example.org=fail (message has been altered)"},
	}}},
	{"quoted identifier", `"my server"; none`, AuthResults{"my server", 0, nil}},
	{"UTF-8", "☺.example; spf=pass smtp.mailfrom=j\u00fcrgen@☺.example", AuthResults{"☺.example", 0, []Result{
		{Method: "spf", Result: "pass", Props: []Prop{{"smtp", "mailfrom", "j\u00fcrgen@☺.example", ""}}},
	}}},
	{"quoted local-part", `a.example; spf=pass smtp.mailfrom="a b"@b.example (c)`, AuthResults{"a.example", 0, []Result{
		{Method: "spf", Result: "pass", Props: []Prop{{"smtp", "mailfrom", `"a b"@b.example`, "c"}}},
	}}},
	{"folded and escaped quoted string", "a.example; x-new=odd reason=\"a\r\n b \\\"c\\\\\"", AuthResults{"a.example", 0, []Result{
		{Method: "x-new", Result: "odd", Reason: `a b "c\`},
	}}},
	{"value that should be quoted", "a.example; dkim=pass header.b=aB/+c=; iprev=pass policy.iprev=2001:db8::1; spf=none smtp.mailfrom=<>;", AuthResults{"a.example", 0, []Result{
		{Method: "dkim", Result: "pass", Props: []Prop{{"header", "b", "aB/+c=", ""}}},
		{Method: "iprev", Result: "pass", Props: []Prop{{"policy", "iprev", "2001:db8::1", ""}}},
		{Method: "spf", Result: "none", Props: []Prop{{"smtp", "mailfrom", "<>", ""}}},
	}}},
	{"empty value", "a.example; spf=none smtp.mailfrom=; dkim=none", AuthResults{"a.example", 0, []Result{
		{Method: "spf", Result: "none", Props: []Prop{{"smtp", "mailfrom", "", ""}}},
		{Method: "dkim", Result: "none"},
	}}},
	{"property without type", "a.example;dmarc=pass action=none header.from=b.example", AuthResults{"a.example", 0, []Result{
		{Method: "dmarc", Result: "pass", Props: []Prop{{"", "action", "none", ""}, {"header", "from", "b.example", ""}}},
	}}},
	{"method named none", "a.example; none=pass", AuthResults{"a.example", 0, []Result{{Method: "none", Result: "pass"}}}},
	{"none with comments", "(a) a.example (b) ; (c) NONE (d)", AuthResults{"a.example", 0, nil}},
}

func TestFieldsAreParsedAsRFC8601Says(t *testing.T) {
	t.Parallel()
	for _, tc := range examples {
		got, err := Parse(tc.value)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %#v, expected %#v", tc.name, got, tc.want)
		}
	}
}

func TestMalformedFieldsGiveAnErrorThatSaysWhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, value, want string }{
		{"empty", "", "expected authserv-id at column 1"},
		{"only a comment", "(a)", "expected authserv-id at column 4"},
		{"no results", "a.example", `expected ";" at column 10`},
		{"no results after semicolon", "a.example;", "expected method at column 11"},
		{"no identifier", "spf=pass smtp.mailfrom=a", `expected ";" at column 4`},
		{"no result", "a.example; spf=; dkim=pass", "expected result at column 16"},
		{"nothing between semicolons", "a.example; ; spf=pass", "expected method at column 12"},
		{"open comment", "a.example; spf=pass (abc", `expected ")" at column 25`},
		{"open quoted string", `a.example; spf=pass reason="abc`, "in authres-payload/resinfo/propspec/quoted-string"},
		{"line end in quoted string", "a.example; spf=pass reason=\"a\r\nb\"", "expected white space after line end"},
		{"NUL", "a.example; spf=pass reason=\"\x00\"", "quoted-string"},
		{"large version", "a.example 99999999999; none", "number larger than 65536"},
		{"property without value", "a.example; spf=pass smtp.mailfrom", `expected "="`},
		{"text after none", "a.example; none b", `expected "="`},
	} {
		got, err := Parse(tc.value)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %+v, error %v, expected error with %q", tc.name, got, err, tc.want)
		}
	}
}

func TestParsingIsBounded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, value, want string }{
		{"length", "a.example; spf=pass (" + strings.Repeat("a", MaxLen), "input longer than"},
		{"results", "a.example" + strings.Repeat("; a=b", MaxResults+1), "more than 200 results"},
		{"properties", "a.example; a=b" + strings.Repeat(" c.d=e", MaxProps+1), "more than 100 properties"},
		{"nesting", "a.example; a=b " + strings.Repeat("(", MaxCommentDepth+1), "nested more than 20 deep"},
	} {
		if _, err := Parse(tc.value); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got error %v, expected %q", tc.name, err, tc.want)
		}
	}
	for _, value := range []string{
		"a.example" + strings.Repeat("; a=b", MaxResults),
		"a.example; a=b" + strings.Repeat(" c.d=e", MaxProps),
		"a.example; a=b " + strings.Repeat("(", MaxCommentDepth) + strings.Repeat(")", MaxCommentDepth),
	} {
		if _, err := Parse(value); err != nil {
			t.Errorf("at the limit: %v", err)
		}
	}
}

func TestResultsAndPropertiesAreFoundByName(t *testing.T) {
	t.Parallel()
	a, err := Parse("a.example; DKIM=pass Header.D=b.example header.d=c.example")
	if err != nil {
		t.Fatal(err)
	}
	r := a.Results[0]
	if v, ok := r.Prop("header", "d"); !r.Is("dkim") || !ok || v != "b.example" {
		t.Errorf("got %q, %v", v, ok)
	}
	if _, ok := r.Prop("header", "s"); ok {
		t.Errorf("found a property that is not there")
	}
}

func TestServiceIdentifiersAreComparedAsDomains(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"example.org", "EXAMPLE.org", true},
		{"example.org.", "example.org", true},
		{"☺.example", "xn--74h.example", true},
		{"xn--74h.☺.example", "☺.xn--74h.EXAMPLE", true},
		{"my server", "My Server", true},
		{"mail.example.org", "example.org", false},
		{"", "example.org", false},
	} {
		if got := SameAuthservID(tc.a, tc.b); got != tc.want {
			t.Errorf("%q and %q: got %v", tc.a, tc.b, got)
		}
	}
}

func TestInstancesAreParsed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		value string
		n     int
		rest  string
	}{
		{" i=1; a.example; none", 1, " a.example; none"},
		{"i=50;", 50, ""},
		{"(a) i (b) =\r\n (c) 03 (d) ; x", 3, " x"},
		{"i=100; x", 0, ""},
		{"i=; x", 0, ""},
		{"i=1", 0, ""},
		{"I=1; x", 0, ""},
		{"a.example; none", 0, ""},
		{"", 0, ""},
	} {
		n, rest, err := ParseInstance(tc.value)
		if n != tc.n || rest != tc.rest || (err == nil) != (tc.n > 0) {
			t.Errorf("%q: got %d, %q, %v", tc.value, n, rest, err)
		}
	}
}
