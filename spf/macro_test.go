package spf

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// evaluationFor returns one to expand macros in.
func evaluationFor(t *testing.T, ip, local, domain string, z *zone) *evaluation {
	return &evaluation{
		ctx: t.Context(), resolver: z, ip: netip.MustParseAddr(ip), sender: identity{local, domain},
		helo: "mx.example.org", receiver: "mx.receiver.example", now: time.Unix(1234567890, 0),
	}
}

// expandText expands an explain-string, without its limits.
func expandText(t *testing.T, e *evaluation, domain, s string) string {
	t.Helper()
	parts, err := parseMacroText(s, macroLetters+macroLettersExp, macroLiteral.Union(space))
	if err != nil {
		t.Fatalf("%q: %+v", s, *err)
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(e.expandPart(domain, p))
	}
	return b.String()
}

// RFC 7208 §7.4.
func TestMacrosExpandAsInTheRFC(t *testing.T) {
	t.Parallel()
	z := newZone("3.2.0.192.in-addr.arpa PTR mx.example.org\nmx.example.org A 192.0.2.3")
	e := evaluationFor(t, "192.0.2.3", "strong-bad", "email.example.com", z)
	for macro, want := range map[string]string{
		"%{s}":    "strong-bad@email.example.com",
		"%{o}":    "email.example.com",
		"%{d}":    "email.example.com",
		"%{d4}":   "email.example.com",
		"%{d3}":   "email.example.com",
		"%{d2}":   "example.com",
		"%{d1}":   "com",
		"%{dr}":   "com.example.email",
		"%{d2r}":  "example.email",
		"%{l}":    "strong-bad",
		"%{l-}":   "strong.bad",
		"%{lr}":   "strong-bad",
		"%{lr-}":  "bad.strong",
		"%{l1r-}": "strong",

		"%{ir}.%{v}._spf.%{d2}":             "3.2.0.192.in-addr._spf.example.com",
		"%{lr-}.lp._spf.%{d2}":              "bad.strong.lp._spf.example.com",
		"%{lr-}.lp.%{ir}.%{v}._spf.%{d2}":   "bad.strong.lp.3.2.0.192.in-addr._spf.example.com",
		"%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}":  "3.2.0.192.in-addr.strong.lp._spf.example.com",
		"%{d2}.trusted-domains.example.net": "example.com.trusted-domains.example.net",

		// The values that the examples have no macro for.
		"%{p}":                     "mx.example.org",
		"%{i}":                     "192.0.2.3",
		"%{c}":                     "192.0.2.3",
		"%{h}":                     "mx.example.org",
		"%{r}":                     "mx.receiver.example",
		"%{t}":                     "1234567890",
		"%%%_%-":                   "% %20",
		"%{S}":                     "strong-bad%40email.example.com",
		"%{D999}":                  "email.example.com",
		"%{D99999999999999999999}": "email.example.com",
	} {
		if got := expandText(t, e, "email.example.com", macro); got != want {
			t.Errorf("%s: got %q, expected %q", macro, got, want)
		}
	}
	e = evaluationFor(t, "2001:db8::cb01", "strong-bad", "email.example.com", z)
	want := "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"
	if got := expandText(t, e, "email.example.com", "%{ir}.%{v}._spf.%{d2}"); got != want {
		t.Errorf("IPv6: got %q", got)
	}
	if got := expandText(t, e, "email.example.com", "%{c} %{p}"); got != "2001:db8::cb01 unknown" {
		t.Errorf("IPv6: got %q", got)
	}
}

func TestPartsMayBeEmpty(t *testing.T) {
	t.Parallel()
	e := evaluationFor(t, "192.0.2.3", ".a--b+c=", "example.org", newZone(""))
	for macro, want := range map[string]string{
		"%{l.}":     ".a--b+c=",
		"%{l-}":     ".a..b+c=", // The dot is in the first part.
		"%{lr-}":    "b+c=...a", // Parts ".a", "" and "b+c=", in reverse.
		"%{l2-}":    ".b+c=",
		"%{l-+=}":   ".a..b.c.",
		"%{l1=}":    "",
		"%{l3r+=-}": "b...a", // Parts ".a", "", "b", "c" and ""; the last three in reverse are "b", "" and ".a".
	} {
		if got := expandText(t, e, "example.org", macro); got != want {
			t.Errorf("%s: got %q, expected %q", macro, got, want)
		}
	}
}

func TestLongNamesLoseLabelsOnTheLeft(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("b", 62)                                              // With its dot 63.
	name := strings.Repeat(label+".", 3) + strings.Repeat("c", 64-8) + ".example" // 189 + 64 = 253.
	if len(name) != 253 {
		t.Fatalf("test is wrong: %d", len(name))
	}
	e := evaluationFor(t, "192.0.2.3", "x", name, newZone(""))
	for spec, want := range map[string]string{
		"%{d}":                              name,
		"%{d}.":                             name,
		"a.%{d}":                            name,
		"aaa.bbb.%{d}":                      name,
		"a%{d}":                             name[63:], // The first label is as long as it has become.
		strings.Repeat("y.", 4000) + "%{d}": name,
	} {
		parts, merr := parseMacros(spec, macroLetters)
		if merr != nil {
			t.Fatal(merr)
		}
		if got, kind := e.name(name, parts); kind != nameOK || got != want {
			t.Errorf("%.20s: got %q, %v", spec, got, kind)
		}
	}
	for _, spec := range []string{strings.Repeat("a", 254), "%{l}." + strings.Repeat("a", 300) + ".", "a..b", ".", ".a", "%{d}.."} {
		parts, merr := parseMacros(spec, macroLetters)
		if merr != nil {
			t.Fatal(merr)
		}
		if got, kind := e.name("d.example", parts); kind != nameMalformed {
			t.Errorf("%.20s: got %q, %v", spec, got, kind)
		}
	}
}

func TestMacroPPrefersNamesOfTheDomain(t *testing.T) {
	t.Parallel()
	z := newZone(`
1.2.0.192.in-addr.arpa PTR forged.example.org
1.2.0.192.in-addr.arpa PTR other.example
1.2.0.192.in-addr.arpa PTR Mail.Example.org
1.2.0.192.in-addr.arpa PTR deep.mail.example.org
other.example A 192.0.2.1
mail.example.org A 192.0.2.1
deep.mail.example.org A 192.0.2.1
forged.example.org A 192.0.2.2
bad.example A 192.0.2.9
9.2.0.192.in-addr.arpa PTR bad..example
8.2.0.192.in-addr.arpa TIMEOUT x
`)
	for _, tc := range []struct{ ip, domain, want string }{
		{"192.0.2.1", "mail.example.org", "Mail.Example.org"},
		{"192.0.2.1", "MAIL.example.org", "Mail.Example.org"},
		{"192.0.2.1", "example.org", "Mail.Example.org"},
		{"192.0.2.1", "deep.mail.example.org", "deep.mail.example.org"},
		{"192.0.2.1", "elsewhere.example", "other.example"},
		{"192.0.2.1", "ample.org", "other.example"},
		{"192.0.2.9", "bad.example", "unknown"},
		{"192.0.2.8", "bad.example", "unknown"},
		{"192.0.2.7", "bad.example", "unknown"},
	} {
		e := evaluationFor(t, tc.ip, "x", "y.example", z)
		if got := e.clientName(tc.domain); got != tc.want {
			t.Errorf("%s, %s: got %q, expected %q", tc.ip, tc.domain, got, tc.want)
		}
	}
}

func TestExplanationIsOneLineOfASCII(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ local, record, text, want string }{
		{"x", "-all exp=e.example", "See http://%{d}/why.html?s=%{S}&i=%{I}", "See http://d.example/why.html?s=x%40d.example&i=192.0.2.1"},
		{"x", "-all exp=e.example", "%{i} is not one of %{d}'s designated mail servers.", "192.0.2.1 is not one of d.example's designated mail servers."},
		{"x", "-all exp=e.example", "%{r} %{h}", "mx.receiver.example helo.example"},
		{"grå", "-all exp=e.example", "%{l}", "gr??"},
		{"a\r\nb", "-all exp=e.example", "%{l}", "a??b"},
		{"x", "-all exp=e.example", "a\tb", ""},
		{"x", "-all exp=e.example", "grå", ""},
		{"x", "-all exp=e.example", "%{x}", ""},
		{"x", "-all exp=e.example", "", ""},
		{"x", "-all exp=none.example", "x", ""},
		{"x", "-all exp=a..b.example", "x", ""},
		{"x", "-all exp=t.example", "x", ""},
		{"x", "~all exp=e.example", "x", ""},
		{"x", "exp=e.example", "x", ""},
		{"x", "redirect=f.example exp=e.example", "x", "of f"},
		{"x", "-include:g.example exp=e.example", "of d", "of d"},
	} {
		z := newZone("t.example TIMEOUT x\nf.example TXT v=spf1 -all exp=of.f.example\nof.f.example TXT of f\ng.example TXT v=spf1 all exp=of.f.example")
		z.add("d.example", "TXT", "v=spf1 "+tc.record)
		z.add("e.example", "TXT", tc.text)
		r := ask(t, z, "192.0.2.1", tc.local+"@d.example")
		if r.Explanation != tc.want {
			t.Errorf("%s, %q: got %q, expected %q", tc.record, tc.text, r.Explanation, tc.want)
		}
		checkResult(t, r)
	}
}
