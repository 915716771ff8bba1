package spf

import (
	"strings"
	"testing"
)

// appendixA is the setup of RFC 7208 Appendix A. Its PTR record for
// mail-c.example.org is that of 140, in example.org.
const appendixA = `
example.com MX 10 mail-a.example.com
example.com MX 20 mail-b.example.com
example.com A 192.0.2.10
example.com A 192.0.2.11
amy.example.com A 192.0.2.65
bob.example.com A 192.0.2.66
mail-a.example.com A 192.0.2.129
mail-b.example.com A 192.0.2.130
www.example.com CNAME example.com
example.org MX 10 mail-c.example.org
mail-c.example.org A 192.0.2.140
10.2.0.192.in-addr.arpa PTR example.com
11.2.0.192.in-addr.arpa PTR example.com
65.2.0.192.in-addr.arpa PTR amy.example.com
66.2.0.192.in-addr.arpa PTR bob.example.com
129.2.0.192.in-addr.arpa PTR mail-a.example.com
130.2.0.192.in-addr.arpa PTR mail-b.example.com
140.2.0.192.in-addr.arpa PTR mail-c.example.org
4.0.0.10.in-addr.arpa PTR bob.example.com
`

// clients are addresses to check each record with.
var clients = []string{
	"192.0.2.10", "192.0.2.11", "192.0.2.65", "192.0.2.66", "192.0.2.129", "192.0.2.130", "192.0.2.131", "192.0.2.140", "192.0.2.143", "192.0.2.144",
	"10.0.0.4", "203.0.113.9", "2001:db8::1",
}

// passing returns which clients pass for a sender.
func passing(t *testing.T, z *zone, sender string) string {
	t.Helper()
	var l []string
	for _, ip := range clients {
		if ask(t, z, ip, sender).Status == StatusPass {
			l = append(l, strings.TrimPrefix(ip, "192.0.2."))
		}
	}
	return strings.Join(l, " ")
}

// RFC 7208 §A.1.
func TestSimpleExamplesOfTheRFC(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ record, want string }{
		{"v=spf1 +all", "10 11 65 66 129 130 131 140 143 144 10.0.0.4 203.0.113.9 2001:db8::1"},
		{"v=spf1 a -all", "10 11"},
		{"v=spf1 a:www.example.com -all", "10 11"}, // The alias.
		{"v=spf1 a:example.org -all", ""},
		{"v=spf1 mx -all", "129 130"},
		{"v=spf1 mx:example.org -all", "140"},
		{"v=spf1 mx mx:example.org -all", "129 130 140"},
		{"v=spf1 mx/30 mx:example.org/30 -all", "129 130 131 140 143"},
		{"v=spf1 ptr -all", "10 11 65 66 129 130"},
		{"v=spf1 ip4:192.0.2.128/28 -all", "129 130 131 140 143"},
	} {
		z := newZone(appendixA + "example.com TXT " + tc.record)
		if got := passing(t, z, "x@example.com"); got != tc.want {
			t.Errorf("%s: %q pass, expected %q", tc.record, got, tc.want)
		}
		for _, ip := range clients {
			if r := ask(t, z, ip, "x@example.com"); r.Status != StatusPass && r.Status != StatusFail {
				t.Errorf("%s, %s: got %q, %v", tc.record, ip, r.Status, r.Err)
			}
		}
	}
}

// RFC 7208 §A.2.
func TestMultipleDomainExampleOfTheRFC(t *testing.T) {
	t.Parallel()
	z := newZone(appendixA + `
example.org TXT v=spf1 include:example.com include:example.net -all
example.com TXT v=spf1 mx -all
example.net TXT v=spf1 ip4:203.0.113.0/24 -all
la.example.org TXT v=spf1 redirect=example.org
ny.example.org TXT v=spf1 redirect=example.org
sf.example.org TXT v=spf1 redirect=example.org
`)
	for _, domain := range []string{"example.org", "la.example.org", "ny.example.org", "sf.example.org"} {
		if got := passing(t, z, "x@"+domain); got != "129 130 203.0.113.9" {
			t.Errorf("%s: %q pass", domain, got)
		}
	}
}

// RFC 7208 §A.3.
func TestBlocklistStyleExampleOfTheRFC(t *testing.T) {
	t.Parallel()
	z := newZone(appendixA + `
example.com TXT v=spf1 mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all
mobile-users._spf.example.com TXT v=spf1 exists:%{l1r+}.%{d}
remote-users._spf.example.com TXT v=spf1 exists:%{ir}.%{l1r+}.%{d}
mary.mobile-users._spf.example.com A 127.0.0.2
fred.mobile-users._spf.example.com A 127.0.0.2
15.15.168.192.joel.remote-users._spf.example.com A 127.0.0.2
16.15.168.192.joel.remote-users._spf.example.com A 127.0.0.2
`)
	for _, tc := range []struct {
		ip, sender string
		want       Status
	}{
		{"192.0.2.129", "anyone@example.com", StatusPass},
		{"198.51.100.1", "mary@example.com", StatusPass},
		{"198.51.100.1", "fred+list@example.com", StatusPass},
		{"198.51.100.1", "joel@example.com", StatusFail},
		{"192.168.15.15", "joel@example.com", StatusPass},
		{"192.168.15.16", "joel+x@example.com", StatusPass},
		{"192.168.15.17", "joel@example.com", StatusFail},
		{"192.168.15.15", "jane@example.com", StatusFail},
	} {
		if r := ask(t, z, tc.ip, tc.sender); r.Status != tc.want {
			t.Errorf("%s, %s: got %q, %v", tc.ip, tc.sender, r.Status, r.Err)
		}
	}
}

// RFC 7208 §A.4, with TXT records instead of those of type SPF, which are obsolete.
func TestMultipleRequirementsExampleOfTheRFC(t *testing.T) {
	t.Parallel()
	z := newZone(appendixA + `
example.com TXT v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all
ip4._spf.example.com TXT v=spf1 -ip4:192.0.2.0/24 +all
ptr._spf.example.com TXT v=spf1 -ptr:example.com +all
`)
	if got := passing(t, z, "x@example.com"); got != "10 11 65 66 129 130" {
		t.Errorf("%q pass", got)
	}
	// As printed, "ptr" is about ptr._spf.example.com, the domain of the record it is
	// in, below which there is no host: nobody passes.
	z = newZone(appendixA + `
example.com TXT v=spf1 -include:ip4._spf.%{d} -include:ptr._spf.%{d} +all
ip4._spf.example.com TXT v=spf1 -ip4:192.0.2.0/24 +all
ptr._spf.example.com TXT v=spf1 -ptr +all
`)
	if got := passing(t, z, "x@example.com"); got != "" {
		t.Errorf("as printed, %q pass", got)
	}
}

// The examples in RFC 7208 §3.5, §5.2, §5.7, §6.1 and §6.2.
func TestExamplesInTheTextOfTheRFC(t *testing.T) {
	t.Parallel()
	z := newZone(`
example.net TXT v=spf1 include:example.com include:example.org -all
example.com TXT v=spf1 ip4:192.0.2.1 -all
example.org TXT v=spf1 ip4:192.0.2.2 ~all
exists.example.com TXT v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d} -all
1.2.0.192.someuser._spf.exists.example.com A 127.0.0.2
la.example.com TXT v=spf1 redirect=_spf.example.com
_spf.example.com TXT v=spf1 mx:mx.example.com -all
mx.example.com MX 10 mx.example.com
mx.example.com A 203.0.113.1
exp.example.com TXT v=spf1 mx -all exp=explain._spf.%{d}
explain._spf.exp.example.com TXT See http://%{d}/why.html?s=%{S}&i=%{I}
exp.example.com MX 10 mx.example.com
`)
	for _, tc := range []struct {
		ip, sender  string
		want        Status
		explanation string
	}{
		{"192.0.2.1", "x@example.net", StatusPass, ""},
		{"192.0.2.2", "x@example.net", StatusPass, ""},
		{"192.0.2.3", "x@example.net", StatusFail, ""},
		{"192.0.2.1", "someuser@exists.example.com", StatusPass, ""},
		{"192.0.2.1", "someuser+x-y@exists.example.com", StatusPass, ""},
		{"192.0.2.1", "other@exists.example.com", StatusFail, ""},
		{"203.0.113.1", "x@la.example.com", StatusPass, ""},
		{"203.0.113.2", "x@la.example.com", StatusFail, ""},
		{"192.0.2.1", "x@exp.example.com", StatusFail, "See http://exp.example.com/why.html?s=x%40exp.example.com&i=192.0.2.1"},
	} {
		if r := ask(t, z, tc.ip, tc.sender); r.Status != tc.want || r.Explanation != tc.explanation {
			t.Errorf("%s, %s: got %q, %q, %v", tc.ip, tc.sender, r.Status, r.Explanation, r.Err)
		}
	}
}
