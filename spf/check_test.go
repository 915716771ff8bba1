package spf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/dns"
	"mox/smtp"
)

// ask checks an address and sender against a zone.
func ask(t testing.TB, z *zone, ip, sender string) Result {
	t.Helper()
	local, domain, _ := strings.Cut(sender, "@")
	return checkHost(t.Context(), nil, z, netip.MustParseAddr(ip), identity{local, domain}, "helo.example", "mx.receiver.example")
}

// wantStatus checks a result, and that its problem contains a text.
func wantStatus(t *testing.T, r Result, status Status, problem string) {
	t.Helper()
	if r.Status != status || !strings.Contains(r.Problem, problem) {
		t.Errorf("got %q, %q, expected %q, %q", r.Status, r.Problem, status, problem)
	}
	if wrapped, ok := r.Err.(*Error); r.Err != nil && (!ok || wrapped.Status != status) {
		t.Errorf("error %#v", r.Err)
	}
}

func TestIncludesAndRedirectsThatLoopEndAtTheLimit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, zone string
		status     Status
	}{
		{"redirect to itself", `a.example TXT v=spf1 redirect=a.example`, StatusPermerror},
		{"include of itself", `a.example TXT v=spf1 include:a.example`, StatusPermerror},
		{"include of itself by macro", `a.example TXT v=spf1 ?include:%{d} -all`, StatusPermerror},
		{"redirects in a circle", "a.example TXT v=spf1 redirect=b.example\nb.example TXT v=spf1 redirect=a.example", StatusPermerror},
		{"include and redirect in a circle", "a.example TXT v=spf1 include:b.example -all\nb.example TXT v=spf1 redirect=a.example", StatusPermerror},
		{"redirect in an include before another", "a.example TXT v=spf1 include:b.example include:b.example -all\nb.example TXT v=spf1 include:c.example redirect=c.example\nc.example TXT v=spf1 ip4:10.9.9.9 -all", StatusFail},
	} {
		z := newZone(tc.zone)
		r := ask(t, z, "192.0.2.1", "x@a.example")
		if r.Status != tc.status {
			t.Errorf("%s: got %q, %v", tc.name, r.Status, r.Err)
		}
		if tc.status == StatusPermerror && !errors.Is(r.Err, ErrTooManyTerms) {
			t.Errorf("%s: %v", tc.name, r.Err)
		}
		// The first record, and those of ten terms.
		if len(z.queries) > 1+MaxTerms {
			t.Errorf("%s: %d lookups", tc.name, len(z.queries))
		}
	}
}

func TestTermsAreCountedOverAllRecords(t *testing.T) {
	t.Parallel()
	chain := func(n int, end string) string {
		var b strings.Builder
		for i := range n {
			typ := []string{"include:", "redirect="}[i%2]
			fmt.Fprintf(&b, "d%d.example TXT v=spf1 %sd%d.example\n", i, typ, i+1)
		}
		fmt.Fprintf(&b, "d%d.example TXT v=spf1 %s\n", n, end)
		return b.String()
	}
	const host = "h.example A 192.0.2.1\nh.example MX 10 h.example\n1.2.0.192.in-addr.arpa PTR h.example\n"
	for _, tc := range []struct {
		name, zone string
		want       Status
	}{
		{"ten", chain(10, "ip4:192.0.2.1"), StatusPass},
		{"eleven", chain(11, "ip4:192.0.2.1"), StatusPermerror},
		{"terms that take no lookup", chain(10, "ip4:10.0.0.1 ip6:::1 x=%{p} ip4:192.0.2.1"), StatusPass},
		{"eleventh a", chain(10, "a:h.example"), StatusPermerror},
		{"eleventh mx", chain(10, "mx:h.example"), StatusPermerror},
		{"eleventh ptr", chain(10, "ptr:h.example"), StatusPermerror},
		{"eleventh exists", chain(10, "exists:h.example"), StatusPermerror},
		{"tenth exists", chain(9, "exists:h.example"), StatusPass},
		{"macro p is the eleventh", chain(9, "exists:%{p}"), StatusPermerror},
		{"macro p is the tenth", chain(8, "exists:%{p}"), StatusPass},
		{"each macro p", chain(7, "a:%{p}.%{P}.nosuch.example ip4:192.0.2.1"), StatusPass},
		{"each macro p, one more", chain(8, "a:%{p}.%{P}.nosuch.example ip4:192.0.2.1"), StatusPermerror},
		{"macro p in redirect", chain(9, "redirect=%{p}"), StatusPermerror},
		{"macro p in exp", "d0.example TXT v=spf1 a a a a a a a a a a -all exp=%{p}.%{p}.exp.example\nd0.example A 10.0.0.1", StatusFail},
	} {
		r := ask(t, newZone(host+tc.zone), "192.0.2.1", "x@d0.example")
		if r.Status != tc.want || r.Err != nil && !errors.Is(r.Err, ErrTooManyTerms) {
			t.Errorf("%s: got %q, %v, expected %q", tc.name, r.Status, r.Err, tc.want)
		}
	}
}

func TestVoidLookupsAreLimited(t *testing.T) {
	t.Parallel()
	const host = `
h.example A 192.0.2.1
dual.example MX 10 h6a.example
dual.example MX 20 h6b.example
dual.example MX 30 h6c.example
h6a.example AAAA 2001:db8::1
h6b.example AAAA 2001:db8::2
h6c.example AAAA 2001:db8::3
late.example MX 10 n1.example
late.example MX 20 h.example
null.example MX 0 .
unknown.inc.example TXT v=spf1 ip4:10.0.0.1
h.example/unknown.match.example A 192.0.2.1
`
	long := strings.Repeat("x", 64) + ".example"
	for _, tc := range []struct {
		name, record, ip string
		want             Status
	}{
		{"two and then others", "a:n1.example exists:n2.example a:h.example/32 -all", "192.0.2.1", StatusPass},
		{"two and then one that has records and does not match", "a:n1.example mx:n2.example a:h.example ip4:10.0.0.1 -all", "10.0.0.1", StatusPass},
		{"three", "a:n1.example mx:n2.example exists:n3.example ip4:192.0.2.1", "192.0.2.1", StatusPermerror},
		{"the same thrice", "a:n1.example a:n1.example a:n1.example ip4:192.0.2.1", "192.0.2.1", StatusPermerror},
		{"a name with records of another type", "a:h6a.example mx:h.example a:h6b.example all", "192.0.2.1", StatusPermerror},
		{"names that cannot be", "a:a..example a:" + long + " exists:b..c.example exists:" + long + " a:h.example -all", "192.0.2.1", StatusPass},
		{"an mx with three such hosts counts once", "mx:dual.example a:n1.example ip4:192.0.2.1 -all", "192.0.2.1", StatusPass},
		{"an mx with three such hosts counts", "mx:dual.example a:n1.example a:n2.example ip4:192.0.2.1 -all", "192.0.2.1", StatusPermerror},
		{"a term that matches does not count", "a:n1.example a:n2.example mx:late.example -all", "192.0.2.1", StatusPass},
		{"a null mx", "mx:null.example mx:null.example mx:null.example ip4:192.0.2.1", "192.0.2.1", StatusPass},
		{"ptr", "ptr a:n1.example a:n2.example all", "192.0.2.1", StatusPermerror},
		{"ptr, which is looked up once", "ptr ptr ptr a:n1.example ip4:192.0.2.1", "192.0.2.1", StatusPass},
		{"macro p", "exists:%{p}.example a:n1.example a:n2.example all", "192.0.2.1", StatusPermerror},
		{"macro p in include", "include:%{p}.inc.example a:n1.example a:n2.example all", "192.0.2.1", StatusPermerror},
		{"macro p in redirect", "a:n1.example a:n2.example redirect=%{p}.inc.example", "192.0.2.1", StatusPermerror},
		{"macro p in a term that matches", "a:n1.example a:n2.example a:h.example/%{p}.match.example all", "192.0.2.1", StatusPass},
		{"names of ptr without address", "ptr a:n1.example ip4:192.0.2.9", "192.0.2.9", StatusPass},
	} {
		z := newZone(host + "d.example TXT v=spf1 " + tc.record + "\n9.2.0.192.in-addr.arpa PTR n7.example\n9.2.0.192.in-addr.arpa PTR n8.example\n9.2.0.192.in-addr.arpa PTR n9.example")
		r := ask(t, z, tc.ip, "x@d.example")
		if r.Status != tc.want || r.Err != nil && !errors.Is(r.Err, ErrTooManyVoid) {
			t.Errorf("%s: got %q, %v, expected %q", tc.name, r.Status, r.Err, tc.want)
		}
	}
}

func TestHostsOfMXAndNamesOfPTRAreLimited(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 11 {
		fmt.Fprintf(&b, "mx11.example MX %d h%d.example\nh%d.example A 192.0.2.%d\n", i, i, i, i)
		fmt.Fprintf(&b, "99.2.0.192.in-addr.arpa PTR n%d.names.example\n", i)
		if i < 10 {
			fmt.Fprintf(&b, "mx10.example MX %d h%d.example\n", i, i)
		}
	}
	b.WriteString("n9.names.example A 192.0.2.99\nn10.names.example A 192.0.2.99\n")
	b.WriteString("mx10.example TXT v=spf1 mx -all\nmx11.example TXT v=spf1 mx -all\n")
	b.WriteString("ninth.example TXT v=spf1 ptr:n9.names.example -all\ntenth.example TXT v=spf1 ptr:n10.names.example -all\n")
	z := newZone(b.String())
	wantStatus(t, ask(t, z, "192.0.2.9", "x@mx10.example"), StatusPass, "")
	wantStatus(t, ask(t, z, "192.0.2.0", "x@mx11.example"), StatusPermerror, `record of mx11.example: term "mx": more than 10 mx hosts`)
	wantStatus(t, ask(t, z, "192.0.2.99", "x@ninth.example"), StatusPass, "")
	z.queries = nil
	wantStatus(t, ask(t, z, "192.0.2.99", "x@tenth.example"), StatusFail, "")
	if len(z.queries) != 1+1+MaxPTR {
		t.Errorf("%d lookups", len(z.queries))
	}
}

func TestErrorsNameRecordTermAndProblem(t *testing.T) {
	t.Parallel()
	z := newZone(`
a.example TXT v=spf1 include:b.example -all
b.example TXT v=spf1 mox:x -all
c.example TXT v=spf1 a:timeout.example -all
timeout.example TIMEOUT x
d.example TXT v=spf1 include:none.example -all
e.example TXT v=spf1 -all
e.example TXT v=spf1 +all
f.example TXT v=spf1 include:timeout.example ~all
g.example TXT v=spf1 redirect=a..b.example
h.example TXT v=spf1 exists:timeout.example
i.example TXT v=spf1 mx:timeout.example
j.example TXT v=spf1 mx:mx.j.example
mx.j.example MX 10 timeout.example
k.example TXT not spf
`)
	for _, tc := range []struct {
		domain  string
		status  Status
		problem string
		cause   error
	}{
		{"a.example", StatusPermerror, `record of b.example: malformed spf record: term "mox:x": unknown mechanism at column 8`, ErrSyntax},
		{"c.example", StatusTemperror, `record of c.example: term "a:timeout.example": dns: temporary`, dns.ErrTemporary},
		{"d.example", StatusPermerror, `record of d.example: term "include:none.example": record of none.example: no spf record`, ErrNoRecord},
		{"e.example", StatusPermerror, `record of e.example: several spf records`, ErrMultipleRecords},
		{"f.example", StatusTemperror, `record of timeout.example: dns: temporary`, dns.ErrTemporary},
		{"g.example", StatusPermerror, `record of g.example: term "redirect=a..b.example": record of a..b.example: not a domain name`, ErrNoDomain},
		{"h.example", StatusTemperror, `term "exists:timeout.example": dns: temporary`, dns.ErrTemporary},
		{"i.example", StatusTemperror, `term "mx:timeout.example": dns: temporary`, dns.ErrTemporary},
		{"j.example", StatusTemperror, `term "mx:mx.j.example": dns: temporary`, dns.ErrTemporary},
		{"k.example", StatusNone, `record of k.example: no spf record`, ErrNoRecord},
		{"none.example", StatusNone, `record of none.example: no spf record`, ErrNoRecord},
		{"localhost", StatusNone, "not a domain name with several labels", ErrNoDomain},
		{"", StatusNone, "not a domain name", ErrNoDomain},
		{"a\nb.example", StatusNone, "record of a?b.example: not a domain name", ErrNoDomain},
	} {
		r := ask(t, z, "192.0.2.1", "x@"+tc.domain)
		wantStatus(t, r, tc.status, tc.problem)
		if !errors.Is(r.Err, tc.cause) {
			t.Errorf("%s: %v", tc.domain, r.Err)
		}
		checkResult(t, r)
	}
}

func TestIdentityIsMailFromOrElseEHLO(t *testing.T) {
	t.Parallel()
	z := newZone("from.example TXT v=spf1 exists:%{l}.%{o}.%{h}.ok.example -all\nhelo.example TXT v=spf1 exists:%{l}.%{o}.%{h}.ok.example ~all\n" +
		"xn--bcher-kva.example TXT v=spf1 ip4:192.0.2.0/24 -all\n" +
		"user.from.example.helo.example.ok.example A 127.0.0.1\npostmaster.helo.example.helo.example.ok.example A 127.0.0.1")
	helo := dns.IPDomain{Domain: dns.Domain{ASCII: "helo.example"}}
	idn, err := dns.ParseDomain("bücher.example")
	if err != nil {
		t.Fatal(err)
	}
	literal := dns.IPDomain{IP: net.ParseIP("192.0.2.1")}
	path := func(d dns.Domain) smtp.Path { return smtp.Path{Localpart: "user", IPDomain: dns.IPDomain{Domain: d}} }
	from := dns.Domain{ASCII: "from.example"}
	ip4 := net.ParseIP("192.0.2.1") // 16 bytes: mapped.
	for _, tc := range []struct {
		name string
		args Args
		want Status
		id   Identity
		dom  dns.Domain
	}{
		{"mail from", Args{RemoteIP: ip4, MailFrom: path(from), HELO: helo}, StatusPass, IdentityMailFrom, from},
		{"null reverse-path", Args{RemoteIP: ip4, HELO: helo}, StatusPass, IdentityHELO, helo.Domain},
		{"no name at all", Args{RemoteIP: ip4}, StatusNone, IdentityHELO, dns.Domain{}},
		{"address literal in ehlo", Args{RemoteIP: ip4, HELO: literal}, StatusNone, IdentityHELO, dns.Domain{}},
		{"address literal in mail from", Args{RemoteIP: ip4, MailFrom: smtp.Path{Localpart: "user", IPDomain: literal}, HELO: helo}, StatusNone, IdentityMailFrom, dns.Domain{}},
		{"internationalised", Args{RemoteIP: ip4, MailFrom: path(idn), HELO: helo}, StatusPass, IdentityMailFrom, idn},
		{"no client", Args{MailFrom: path(from), HELO: helo}, StatusNone, IdentityMailFrom, from},
		{"ehlo name that is not published", Args{RemoteIP: ip4, MailFrom: path(from), HELO: dns.IPDomain{Domain: from}}, StatusFail, IdentityMailFrom, from},
	} {
		r := Check(t.Context(), nil, z, tc.args)
		if r.Status != tc.want || r.Identity != tc.id || r.Domain != tc.dom {
			t.Errorf("%s: got %+v", tc.name, r)
		}
	}
	r := CheckHELO(t.Context(), nil, z, Args{RemoteIP: ip4, MailFrom: path(from), HELO: helo})
	if r.Status != StatusPass || r.Identity != IdentityHELO || r.Domain != helo.Domain {
		t.Errorf("ehlo: got %+v", r)
	}
}

// RFC 8616 §4.
func TestTermsWithLocalPartsBeyondASCIIDoNotMatch(t *testing.T) {
	t.Parallel()
	const hosts = "ok.example A 127.0.0.1\ninc.example TXT v=spf1 +all\n"
	for record, want := range map[string]Status{
		"exists:%{l}.example ~all":          StatusSoftfail,
		"exists:%{s}.example ~all":          StatusSoftfail,
		"a:%{L}.example ~all":               StatusSoftfail,
		"include:%{l}.example ~all":         StatusSoftfail,
		"redirect=%{l}.example":             StatusNeutral,
		"exists:ok.example -all":            StatusPass,
		"exists:%{o}.nosuch.example ~all":   StatusSoftfail,
		"exp=%{l}.example -all":             StatusFail,
		"include:inc.example exists:%{s}.b": StatusPass,
	} {
		z := newZone(hosts + "d.example TXT v=spf1 " + record)
		r := ask(t, z, "192.0.2.1", "grå@d.example")
		if r.Status != want {
			t.Errorf("%s: got %q, %v", record, r.Status, r.Err)
		}
		for _, q := range z.queries {
			if !isASCII(q) {
				t.Errorf("%s: asked for %q", record, q)
			}
		}
	}
}

func TestResultIsAuthenticIfAllAnswersAre(t *testing.T) {
	t.Parallel()
	const lines = "a.example TXT v=spf1 include:b.example mx a:no.example -all exp=x.example\nb.example TXT v=spf1 ip4:10.0.0.0/8\na.example MX 10 m.example\nm.example A 192.0.2.1\nx.example TXT no"
	for _, tc := range []struct {
		insecure, ip string
		want         bool
	}{
		{"", "192.0.2.9", true},
		{"TXT a.example", "192.0.2.9", false},
		{"TXT b.example", "192.0.2.9", false},
		{"MX a.example", "192.0.2.9", false},
		{"A m.example", "192.0.2.9", false},
		{"A no.example", "192.0.2.9", false},
		{"A no.example", "192.0.2.1", true}, // Was not asked for.
		{"TXT x.example", "192.0.2.9", true},
	} {
		z := newZone(lines)
		z.insecure = map[string]bool{tc.insecure: true}
		if r := ask(t, z, tc.ip, "x@a.example"); r.Authentic != tc.want {
			t.Errorf("%q, %s: got %+v", tc.insecure, tc.ip, r)
		}
	}
	if r := ask(t, newZone(""), "192.0.2.1", "x@localhost"); r.Authentic {
		t.Error("authentic without an answer")
	}
	f, err := Lookup(t.Context(), nil, newZone("a.example TXT v=spf1 -all"), dns.Domain{ASCII: "a.example"})
	if err != nil || f.Text != "v=spf1 -all" || !f.Authentic || len(f.Record.Directives) != 1 {
		t.Errorf("got %+v, %v", f, err)
	}
}

// slow is a resolver that does not answer.
type slow struct{ *zone }

func (slow) LookupTXT(ctx context.Context, _ string) ([]string, dns.Result, error) {
	<-ctx.Done()
	return nil, dns.Result{}, fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())
}

func TestTimeIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		args := Args{RemoteIP: net.ParseIP("192.0.2.1"), HELO: dns.IPDomain{Domain: dns.Domain{ASCII: "a.example"}}}
		wantStatus(t, Check(t.Context(), nil, slow{}, args), StatusTemperror, "record of a.example: dns: temporary")
		if d := time.Since(start); d != CheckTimeout {
			t.Errorf("took %v", d)
		}
	})
	// A deadline that passes is no missing record or name, whichever term it hits.
	for _, record := range []string{"a", "mx", "ptr", "exists:%{p}.b.example", "include:b.example", "redirect=b.example", "a:%{p}"} {
		z := newZone("a.example TXT v=spf1 " + record)
		ctx, cancel := context.WithCancel(t.Context())
		e := &evaluation{ctx: ctx, resolver: z, ip: netip.MustParseAddr("192.0.2.1"), sender: identity{"x", "a.example"}}
		f, err := e.load("a.example")
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_, status, err := e.step(&f)
		if err == nil || status != "" || statusOf(err) != StatusTemperror {
			t.Errorf("%s: %q, %v", record, status, err)
		}
	}
}

func TestHostileRecordsTakeLittle(t *testing.T) {
	t.Parallel()
	// As many macros as fit, each with a long value.
	z := newZone("")
	z.add("a.example", "TXT", "v=spf1 exists:"+strings.Repeat("%{s}", 16_000)+".b.example a:"+strings.Repeat("a.", 100)+"b -all exp=x.example")
	z.add("x.example", "TXT", strings.Repeat("%{s}", 16_000))
	r := ask(t, z, "192.0.2.1", strings.Repeat("l", 200)+"@a.example")
	if r.Status != StatusFail || len(r.Explanation) != MaxExplanation {
		t.Errorf("got %q, explanation of %d bytes, %v", r.Status, len(r.Explanation), r.Err)
	}
	for _, q := range z.queries {
		if len(q) > len("TXT ")+dns.MaxNameLen {
			t.Errorf("asked for %d bytes", len(q))
		}
	}
	// Binary data, in records and beside them.
	z = newZone("")
	z.add("b.example", "TXT", "\x00\xff\xfe")
	z.add("b.example", "TXT", "v=spf1 \x00 -all")
	wantStatus(t, ask(t, z, "192.0.2.1", "x@b.example"), StatusPermerror, "expected a term at column 8")
	// Names that look internationalised and are not are asked for as they are.
	z = newZone("c.example TXT v=spf1 a:xn--.xn--a.example include:xn--\\x80.xn--zz--.example -all\nxn--\\x80.xn--zz--.example TXT v=spf1 ip4:192.0.2.1")
	wantStatus(t, ask(t, z, "192.0.2.1", "x@c.example"), StatusPass, "")
	wantStatus(t, ask(t, z, "192.0.2.2", "x@c.example"), StatusFail, "")
}
