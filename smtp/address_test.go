package smtp

import (
	"net"
	"strings"
	"testing"

	"mox/dns"
)

func TestLocalpartParsing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in        string
		want            Localpart
		strict, lenient bool
		canonical       string // If not as in.
	}{
		{"atom", "user", "user", true, true, ""},
		{"atoms with dots", "first.last", "first.last", true, true, ""},
		{"all special characters of atext", "!#$%&'*+-/=?^_`{|}~", "!#$%&'*+-/=?^_`{|}~", true, true, ""},
		{"quoted without need", `"user"`, "user", true, true, "user"},
		{"quoted and escaped without need", `"\u\ser"`, "user", true, true, "user"},
		{"quoted space", `"a b"`, "a b", true, true, ""},
		{"quoted specials", `"a@b\"c\\d,e"`, `a@b"c\d,e`, true, true, ""},
		{"example of RFC 5321", `"Joe\,Smith"`, "Joe,Smith", true, true, `"Joe,Smith"`},
		{"empty quoted string", `""`, "", true, true, ""},
		{"UTF-8", "пример", "пример", true, true, ""},
		{"UTF-8 in quotes", `"α β"`, "α β", true, true, ""},
		{"composed by normalisation", "re\u0301sume\u0301", "résumé", true, true, "résumé"},
		{"normalised to an ASCII character", "a\u037eb", "a;b", true, true, `"a;b"`},
		{"two dots", "a..b", "a..b", false, true, `"a..b"`},
		{"dot first", ".a", ".a", false, true, `".a"`},
		{"dot last", "a.", "a.", false, true, `"a."`},
		{"65 octets", strings.Repeat("a", 65), Localpart(strings.Repeat("a", 65)), false, true, ""},
		{"64 octets", strings.Repeat("a", 64), Localpart(strings.Repeat("a", 64)), true, true, ""},
		{"128 octets", strings.Repeat("a", 128), Localpart(strings.Repeat("a", 128)), false, true, ""},
		{"129 octets", strings.Repeat("a", 129), "", false, false, ""},
		{"65 octets in UTF-8", strings.Repeat("é", 32) + "a", Localpart(strings.Repeat("é", 32) + "a"), false, true, ""},
		{"nothing", "", "", false, false, ""},
		{"space", "a b", "", false, false, ""},
		{"at sign", "a@b", "", false, false, ""},
		{"missing quote", `"a`, "", false, false, ""},
		{"quote within", `a"b"`, "", false, false, ""},
		{"escape at the end", `"a\`, "", false, false, ""},
		{"control character", "a\x01", "", false, false, ""},
		{"control character in quotes", "\"a\x7f\"", "", false, false, ""},
		{"C1 control character", "a\u0085", "", false, false, ""},
		{"NUL in quotes", "\"a\x00\"", "", false, false, ""},
		{"escaped CR", "\"a\\\r\"", "", false, false, ""},
		{"not UTF-8", "a\xff", "", false, false, ""},
		{"parenthesis", "a(b)", "", false, false, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for mode, ok := range map[Mode]bool{Strict: tc.strict, Lenient: tc.lenient} {
				got, err := ParseLocalpart(tc.in, mode)
				if (err == nil) != ok || ok && got != tc.want {
					t.Fatalf("mode %d: got %q, %v, want %q, %v", mode, got, err, tc.want, ok)
				}
			}
			if !tc.lenient {
				return
			}
			want := tc.canonical
			if want == "" {
				want = tc.in
			}
			if got := tc.want.String(); got != want {
				t.Fatalf("written as %q, want %q", got, want)
			}
			made, err := NewLocalpart(string(tc.want), Lenient)
			if err != nil || made != tc.want {
				t.Fatalf("made %q, %v, of its decoded form", made, err)
			}
		})
	}
}

func mustDomain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPathParsing(t *testing.T) {
	t.Parallel()
	domain := func(l Localpart, s string) Path { return Path{l, dns.IPDomain{Domain: mustDomain(t, s)}} }
	ip := func(l Localpart, s string) Path { return Path{l, dns.IPDomain{IP: net.ParseIP(s)}} }
	tests := []struct {
		name, in        string
		want            Path
		strict, lenient bool
		canonical       string // Of String, if not as in.
	}{
		{"plain", "<a@example.org>", domain("a", "example.org"), true, true, ""},
		{"null reverse-path", "<>", Path{}, true, true, ""},
		{"upper case domain", "<A@EXAMPLE.org>", domain("A", "example.org"), true, true, "<A@example.org>"},
		{"source route", "<@a.example,@b.example:c@d.example>", domain("c", "d.example"), true, true, "<c@d.example>"},
		{"empty quoted local-part", `<""@example.org>`, domain("", "example.org"), true, true, ""},
		{"quoted local-part with brackets", `<"<>"@example.org>`, domain("<>", "example.org"), true, true, ""},
		{"U-labels", "<a@ëxample.org>", domain("a", "ëxample.org"), true, true, ""},
		{"A-labels", "<a@xn--xample-ova.org>", domain("a", "ëxample.org"), true, true, "<a@ëxample.org>"},
		{"single label", "<a@localhost>", domain("a", "localhost"), true, true, ""},
		{"IPv4 literal", "<a@[10.0.0.1]>", ip("a", "10.0.0.1"), true, true, ""},
		{"IPv4 literal with leading zeros", "<a@[010.000.000.001]>", ip("a", "10.0.0.1"), true, true, "<a@[10.0.0.1]>"},
		{"IPv6 literal", "<a@[IPv6:2001:db8::1]>", ip("a", "2001:db8::1"), true, true, ""},
		{"IPv6 literal with lower case tag", "<a@[ipv6:::1]>", ip("a", "::1"), true, true, "<a@[IPv6:::1]>"},
		{"IPv6 literal with IPv4 in it", "<a@[IPv6:::ffff:10.0.0.1]>", ip("a", "10.0.0.1"), true, true, "<a@[10.0.0.1]>"},
		{"IPv6 literal without tag", "<a@[::1]>", ip("a", "::1"), false, true, "<a@[IPv6:::1]>"},
		{"IPv4 literal with tag", "<a@[IPv6:10.0.0.1]>", Path{}, false, false, ""},
		{"IPv4 number too large", "<a@[10.0.0.256]>", Path{}, false, false, ""},
		{"IPv4 number too long", "<a@[10.0.0.0001]>", Path{}, false, false, ""},
		{"general address literal", "<a@[X400:something]>", Path{}, false, false, ""},
		{"IPv6 with zone", "<a@[IPv6:fe80::1%eth0]>", Path{}, false, false, ""},
		{"literal not closed", "<a@[10.0.0.1>", Path{}, false, false, ""},
		{"no brackets", "a@example.org", Path{}, false, false, ""},
		{"not closed", "<a@example.org", Path{}, false, false, ""},
		{"without domain", "<a>", Path{}, false, false, ""},
		{"empty domain", "<a@>", Path{}, false, false, ""},
		{"trailing dot", "<a@example.org.>", Path{}, false, false, ""},
		{"underscore in domain", "<a@a_b.example>", Path{"a", dns.IPDomain{Domain: dns.Domain{ASCII: "a_b.example"}}}, false, true, ""},
		{"bare address as domain", "<a@10.0.0.1>", Path{}, false, false, ""},
		{"source route without mailbox", "<@a.example:>", Path{}, false, false, ""},
		{"source route without colon", "<@a.example>", Path{}, false, false, ""},
		{"text after it", "<a@example.org> b", Path{}, false, false, ""},
		{"longest", "<a@" + longDomain(253) + ">", domain("a", longDomain(253)), false, false, ""},
		{"256 octets", "<a@" + longDomain(252) + ">", domain("a", longDomain(252)), true, true, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for mode, ok := range map[Mode]bool{Strict: tc.strict, Lenient: tc.lenient} {
				got, err := ParseReversePath(tc.in, mode)
				if (err == nil) != ok || ok && !got.Equal(tc.want) {
					t.Fatalf("mode %d: got %v, %v, want %v, %v", mode, got, err, tc.want, ok)
				}
				got, err = ParseForwardPath(tc.in, mode)
				if tc.in != "<>" && ((err == nil) != ok || ok && !got.Equal(tc.want)) {
					t.Fatalf("forward-path, mode %d: got %v, %v", mode, got, err)
				}
			}
			if !tc.lenient {
				return
			}
			want := tc.canonical
			if want == "" {
				want = tc.in
			}
			if got := tc.want.String(); got != want {
				t.Fatalf("written as %s, want %s", got, want)
			}
		})
	}
}

// longDomain returns a domain of n octets, n from 200 to 253.
func longDomain(n int) string {
	label := strings.Repeat("a", 63) + "."
	return label + label + label + strings.Repeat("b", n-3*len(label))
}

func TestNullPathIsNoForwardPath(t *testing.T) {
	t.Parallel()
	if p, err := ParseForwardPath("<>", Lenient); err == nil {
		t.Fatalf("got %v", p)
	}
}

func TestPostmasterNeedsNoDomain(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"<Postmaster>", "<postmaster>", "<POSTMASTER>"} {
		p, err := ParseForwardPath(s, Strict)
		if err != nil || !p.IsPostmaster() || p.IsZero() || p.String() != s {
			t.Fatalf("%s: got %v, %v", s, p, err)
		}
		if _, ok := p.Address(); ok {
			t.Fatalf("%s is an address", s)
		}
		if p, err := ParseReversePath(s, Lenient); err == nil {
			t.Fatalf("%s is a reverse-path: %v", s, p)
		}
	}
	p, err := ParseForwardPath("<postmaster@example.org>", Strict)
	if err != nil || p.IsPostmaster() {
		t.Fatalf("got %v, %v", p, err)
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	a, err := ParseAddress("a b@example.org", Lenient)
	if err == nil {
		t.Fatalf("got %v", a)
	}
	if a, err = ParseAddress("a@[10.0.0.1]", Lenient); err == nil {
		t.Fatalf("got %v", a)
	}
	a, err = ParseAddress(`"a b"@ëxample.org`, Lenient)
	if err != nil || a != NewAddress("a b", mustDomain(t, "ëxample.org")) {
		t.Fatalf("got %v, %v", a, err)
	}
	if a.String() != `"a b"@ëxample.org` || a.XString(false) != `"a b"@xn--xample-ova.org` || a.Localpart.IsInternational() {
		t.Fatalf("written as %v, %v", a, a.XString(false))
	}
	if back, ok := a.Path().Address(); !ok || back != a {
		t.Fatalf("got %v, %v", back, ok)
	}
	if !(Address{}).IsZero() || (Address{}).String() != "" || a.IsZero() {
		t.Fatal("zero address")
	}
	if p := a.Path(); p.XString(false) != a.XString(false) || p.IsInternational() || !(Path{Localpart: "é"}).IsInternational() {
		t.Fatal("path of an address")
	}
}

func TestEHLOArgument(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in, want        string
		strict, lenient bool
	}{
		{"mail.example.org", "mail.example.org", true, true},
		{"[10.0.0.1]", "10.0.0.1", true, true},
		{"[IPv6:2001:db8::1]", "2001:db8::1", true, true},
		{"[2001:db8::1]", "2001:db8::1", false, true},
		{"[10.0.0.1] whatever", "10.0.0.1", false, true},
		{"mail_1.example.org", "mail_1.example.org", false, true},
		{"localhost ", "localhost", false, true},
		{"a b", "", false, false},
		{"10.0.0.1", "", false, false},
		{"", "", false, false},
	}
	for _, tc := range tests {
		for mode, ok := range map[Mode]bool{Strict: tc.strict, Lenient: tc.lenient} {
			got, err := ParseEHLO(tc.in, mode)
			if (err == nil) != ok || ok && got.String() != tc.want {
				t.Errorf("%q, mode %d: got %v, %v, want %q, %v", tc.in, mode, got, err, tc.want, ok)
			}
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{
		"<>", "<a@example.org>", `<"a b"@example.org>`, "<@a,@b:c@d>", "<a@[10.0.0.1]>", "<a@[IPv6:::1]>", "<Postmaster>", "<é@ëxample.org>",
		"<a..b@c>", `<""@a>`, "<a\u037e@b>", "<a@xn--a>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, mode := range []Mode{Strict, Lenient} {
			for name, parse := range map[string]func(string, Mode) (Path, error){"reverse": ParseReversePath, "forward": ParseForwardPath} {
				p, err := parse(s, mode)
				if err != nil {
					continue
				}
				for _, utf8 := range []bool{false, true} {
					out := "<" + p.XString(utf8) + ">"
					if len(out) > MaxPath {
						continue // Quoted, or in A-labels, a path can get longer.
					}
					again, err := parse(out, mode)
					if err != nil || !again.Equal(p) {
						t.Fatalf("%s, %d: %q became %q, which is %v, %v", name, mode, s, out, again, err)
					}
				}
			}
		}
		if _, err := ParseReversePath(s, Strict); err == nil {
			if _, err := ParseReversePath(s, Lenient); err != nil {
				t.Fatalf("%q is valid, and lenient parsing refuses it: %v", s, err)
			}
		}
	})
}

func FuzzParseEHLO(f *testing.F) {
	for _, s := range []string{"example.org", "[10.0.0.1]", "[IPv6:::1] x", "é.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseEHLO(s, Lenient)
		if err != nil {
			return
		}
		out := FormatDomain(d, false)
		again, err := ParseEHLO(out, Lenient)
		if err != nil || !again.IP.Equal(d.IP) || again.Domain != d.Domain {
			t.Fatalf("%q became %q, which is %v, %v", s, out, again, err)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b.example", `"a b"@b.example`, "é@ëxample.org", "a..b@c", "a@[10.0.0.1]", `""@a`, "a;b", `"\""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, mode := range []Mode{Strict, Lenient} {
			if l, err := ParseLocalpart(s, mode); err == nil {
				if again, err := ParseLocalpart(l.String(), mode); err != nil || again != l {
					t.Fatalf("local-part %q became %q, which is %q, %v", s, l.String(), again, err)
				}
				if made, err := NewLocalpart(string(l), mode); err != nil || made != l {
					t.Fatalf("local-part %q became %q, %v", s, made, err)
				}
			}
			p, perr := ParseMailbox(s, mode)
			a, aerr := ParseAddress(s, mode)
			if aerr == nil && (perr != nil || !a.Path().Equal(p)) {
				t.Fatalf("%q is address %v and path %v, %v", s, a, p, perr)
			}
			if perr != nil || len(p.XString(false)) > MaxPath {
				continue
			}
			if again, err := ParseMailbox(p.XString(false), mode); err != nil || !again.Equal(p) {
				t.Fatalf("mailbox %q became %q, which is %v, %v", s, p.XString(false), again, err)
			}
			if _, ok := p.Address(); ok != (aerr == nil) {
				t.Fatalf("%q: path %v, address %v, %v", s, p, a, aerr)
			}
		}
	})
}
