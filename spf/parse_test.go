package spf

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func ptr(n int) *int { return &n }

func TestRecordsAreParsed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want Record
		text string // If not in.
	}{
		{"v=spf1", Record{}, ""},
		{"V=SPF1   ", Record{}, "v=spf1"},
		{"v=spf1 +mx a:colo.example.com/28 -all", Record{Directives: []Directive{
			{Qualifier: Pass, Mechanism: MX},
			{Qualifier: Pass, Mechanism: A, Domain: "colo.example.com", IP4Len: ptr(28)},
			{Qualifier: Fail, Mechanism: All},
		}}, "v=spf1 mx a:colo.example.com/28 -all"},
		{"v=spf1 A/24//64 Mx//0 ?PTR:example.org. ~exists:%{iR}.%{L1r+-}._spf.%{d}", Record{Directives: []Directive{
			{Qualifier: Pass, Mechanism: A, IP4Len: ptr(24), IP6Len: ptr(64)},
			{Qualifier: Pass, Mechanism: MX, IP6Len: ptr(0)},
			{Qualifier: Neutral, Mechanism: PTR, Domain: "example.org."},
			{Qualifier: Softfail, Mechanism: Exists, Domain: "%{iR}.%{L1r+-}._spf.%{d}"},
		}}, "v=spf1 a/24//64 mx//0 ?ptr:example.org. ~exists:%{iR}.%{L1r+-}._spf.%{d}"},
		{"v=spf1 ip4:192.0.2.1 ip4:192.0.2.0/24 ip6:2001:DB8::CD30 ip6:2001:db8::/32 ip6:::ffff:1.2.3.4/96", Record{Directives: []Directive{
			{Qualifier: Pass, Mechanism: IP4, Net: netip.MustParsePrefix("192.0.2.1/32")},
			{Qualifier: Pass, Mechanism: IP4, Net: netip.MustParsePrefix("192.0.2.0/24")},
			{Qualifier: Pass, Mechanism: IP6, Net: netip.MustParsePrefix("2001:db8::cd30/128")},
			{Qualifier: Pass, Mechanism: IP6, Net: netip.MustParsePrefix("2001:db8::/32")},
			{Qualifier: Pass, Mechanism: IP6, Net: netip.PrefixFrom(netip.MustParseAddr("::ffff:1.2.3.4"), 96)},
		}}, "v=spf1 ip4:192.0.2.1 ip4:192.0.2.0/24 ip6:2001:db8::cd30 ip6:2001:db8::/32 ip6:::ffff:1.2.3.4/96"},
		{"v=spf1 exp=explain._spf.%{d} include:a.example redirect=%{d2}", Record{
			Directives: []Directive{{Qualifier: Pass, Mechanism: Include, Domain: "a.example"}},
			Redirect:   "%{d2}",
			Exp:        "explain._spf.%{d}",
		}, "v=spf1 include:a.example redirect=%{d2} exp=explain._spf.%{d}"},
		{"v=spf1 moo.cow-far_out=man:dog/cat a= x=%{c}", Record{Modifiers: []Modifier{
			{"moo.cow-far_out", "man:dog/cat"}, {"a", ""}, {"x", "%{c}"},
		}}, ""},
		{"v=spf1 a:foo:bar/baz.example.com a:b%%", Record{Directives: []Directive{
			{Qualifier: Pass, Mechanism: A, Domain: "foo:bar/baz.example.com"},
			{Qualifier: Pass, Mechanism: A, Domain: "b%%"},
		}}, ""},
	} {
		r, err := Parse(tc.in)
		if err != nil || !reflect.DeepEqual(r, tc.want) {
			t.Errorf("%q: got %+v, %v", tc.in, r, err)
		}
		want := tc.text
		if want == "" {
			want = tc.in
		}
		if s := r.String(); s != want {
			t.Errorf("%q: got text %q, expected %q", tc.in, s, want)
		}
	}
}

func TestMalformedRecordsAreRefusedWithWhereAndWhat(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"", `expected "v=spf1" and a space at column 1`},
		{"v=spf10 -all", `expected "v=spf1"`},
		{"v=spf1\t-all", `expected "v=spf1"`},
		{"v=spf1 -all\t", "expected a visible character of ASCII at column 12"},
		{"v=spf1 \x80all", "expected a term at column 8"},
		{"v=spf1 a\x00", "expected a visible character of ASCII at column 9"},
		{"v=spf1 moo", `term "moo": unknown mechanism at column 8`},
		{"v=spf1 -ip5:1.2.3.4", `unknown mechanism at column 9`},
		{"v=spf1 --all", "unknown mechanism"},
		{"v=spf1 =all", "unknown mechanism"},
		{"v=spf1 1up=foo", "unknown mechanism"},
		{"v=spf1 all.", "expected a space at column 11"},
		{"v=spf1 all:x.example", "expected a space"},
		{"v=spf1 include", `expected ":" and a domain`},
		{"v=spf1 include:", "expected a domain at column 16"},
		{"v=spf1 include:a.example/24", "expected a domain that ends with a dot"},
		{"v=spf1 exists:museum", "expected a domain that ends with a dot"},
		{"v=spf1 a:museum.", "expected a domain that ends with a dot"},
		{"v=spf1 a:111.222.33.44", "expected a domain that ends with a dot"},
		{"v=spf1 a:example.-com", "expected a domain that ends with a dot"},
		{"v=spf1 a:example.com-", "expected a domain that ends with a dot"},
		{"v=spf1 a:%{d}com", "expected a domain that ends with a dot"},
		{"v=spf1 a:bücher.example", "expected a visible character"}, // IDNA must be in A-labels.
		{"v=spf1 a/33", "expected a prefix length from 0 to 32 at column 10"},
		{"v=spf1 a/024", "expected a prefix length from 0 to 32"},
		{"v=spf1 a//129", "expected a prefix length from 0 to 128 at column 11"},
		{"v=spf1 a/24/64", "expected a prefix length from 0 to 32"},
		{"v=spf1 a/", "expected a space"},
		{"v=spf1 a/99999999999999999999", "expected a prefix length"},
		{"v=spf1 ptr/0", "expected a space"},
		{"v=spf1 ip4", `expected ":" and an address`},
		{"v=spf1 ip4:1.2.3", "expected an address of IPv4 at column 12"},
		{"v=spf1 ip4:01.2.3.4", "expected an address of IPv4"},
		{"v=spf1 ip4:1.2.3.4:80", "expected an address of IPv4"},
		{"v=spf1 ip4:::1", "expected an address of IPv4"},
		{"v=spf1 ip4:1.2.3.4/", "expected a prefix length"},
		{"v=spf1 ip4:1.2.3.4/+8", "expected a prefix length"},
		{"v=spf1 ip4:1.2.3.4//32", "expected a prefix length"},
		{"v=spf1 ip6:1.2.3.4", "expected an address of IPv6"},
		{"v=spf1 ip6:fe80::1%eth0", "expected an address of IPv6"},
		{"v=spf1 ip6:::1/129", "expected a prefix length from 0 to 128"},
		{"v=spf1 exists:%(ir).example", `expected "{", "%", "_" or "-" after "%" at column 15`},
		{"v=spf1 exists:%", `expected "{"`},
		{"v=spf1 exists:%{", "expected a macro letter"},
		{"v=spf1 exists:%{a}", "expected a macro letter"},
		{"v=spf1 exists:%{c}", "expected a macro letter"}, // In exp only.
		{"v=spf1 exists:%{\x13}", "expected a visible character"},
		{"v=spf1 exists:%{s0}", "number of parts is zero"},
		{"v=spf1 exists:%{s1r2}", `expected "}"`},
		{"v=spf1 exists:%{s", `expected "}"`},
		{"v=spf1 foo=%abc", `expected "{"`},
		{"v=spf1 exp=", "expected a domain"},
		{"v=spf1 exp=-all", "expected a domain that ends"},
		{"v=spf1 exp=a.b exp=a.b", "second modifier of this name at column 16"},
		{"v=spf1 redirect=a.b Redirect=a.b", "second modifier of this name"},
		{"v=spf1 redirect:a.b", "unknown mechanism"},
		{"v=spf1 " + strings.Repeat("x", MaxRecord), "input longer than 65535 bytes"},
	} {
		_, err := Parse(tc.in)
		if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.60q: got %v, expected %q", tc.in, err, tc.want)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%.60q: error of %d bytes", tc.in, len(err.Error()))
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{
		"v=spf1 +mx a:colo.example.com/28//64 -all", "v=spf1 ip4:1.2.3.4/8 ip6:::1.2.3.4/0 redirect=%{d}", "v=spf1 exists:%{L1r+-}.%{ir}.a.b. exp=%{o}.c",
		"v=spf1 a:%% mx:%_ ptr:%- x.y=%{C12R,/}", "v=spf1 a//0 ?all", "v=spf1 a:b/c.d/24", "V=SPF1", "v=spf1 a:%{p}/024",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q: %#v, and its text %q: %#v, %v", s, r, r.String(), again, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 a mx:example.org include:_spf.example.com exists:%{ir}.%{l1r+-}._spf.%{d} -all"); err != nil {
			b.Fatal(err)
		}
	}
}
