package dmarc_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"

	"mox/dmarc"
	"mox/dns"
	"mox/internal/testkit"
)

// asked returns the domains whose records were asked for.
func asked(srv *testkit.DNSServer) []string {
	var l []string
	for _, q := range srv.Queries() {
		l = append(l, strings.TrimSuffix(strings.TrimPrefix(q, "TXT _dmarc."), "."))
	}
	return l
}

func TestTreeWalkAsksAtMostEightTimes(t *testing.T) {
	t.Parallel()
	srv, r := resolver(t, testkit.DNSOptions{})
	for _, tc := range []struct {
		start string
		want  string
	}{
		{"com", "com"},
		{"mail.example.com", "mail.example.com example.com com"},
		{"a.b.c.d.e.example.com", "a.b.c.d.e.example.com b.c.d.e.example.com c.d.e.example.com d.e.example.com e.example.com example.com com"},
		{"a.b.c.d.e.f.example.com", "a.b.c.d.e.f.example.com b.c.d.e.f.example.com c.d.e.f.example.com d.e.f.example.com e.f.example.com f.example.com example.com com"},
		{"a.b.c.d.e.f.g.example.com", "a.b.c.d.e.f.g.example.com c.d.e.f.g.example.com d.e.f.g.example.com e.f.g.example.com f.g.example.com g.example.com example.com com"},
		// RFC 9989 §4.10.
		{"a.b.c.d.e.f.g.h.i.j.mail.example.com", "a.b.c.d.e.f.g.h.i.j.mail.example.com g.h.i.j.mail.example.com h.i.j.mail.example.com i.j.mail.example.com j.mail.example.com mail.example.com example.com com"},
	} {
		w := dmarc.NewWalker(nil, r)
		walk, err := w.Walk(t.Context(), domain(t, tc.start))
		if err != nil {
			t.Fatal(err)
		}
		got := asked(srv)
		if len(got) > dmarc.MaxWalkQueries || strings.Join(got, " ") != tc.want {
			t.Errorf("%s: asked for\n%s\nexpected\n%s", tc.start, strings.Join(got, " "), tc.want)
		}
		// Without records, the start is its own organizational domain.
		if walk.OrgDomain.ASCII != tc.start || walk.Suffix != nil {
			t.Errorf("%s: organizational domain %s", tc.start, walk.OrgDomain)
		}
		// All is remembered.
		if _, err := w.Walk(t.Context(), domain(t, tc.start)); err != nil || len(asked(srv)) != 0 {
			t.Errorf("%s: asked again, %v", tc.start, err)
		}
	}
}

func TestOrganizationalDomainIsFoundByTheWalk(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, start, zone string
		org, suffix       string
		last              string // The last domain asked about.
	}{
		{"fewest labels", "a.mail.example.com", `
			_dmarc.mail.example.com TXT "v=DMARC1; p=none"
			_dmarc.example.com TXT "v=DMARC1; p=none"`, "example.com", "", "com"},
		{"psd=n", "a.mail.example.com", `
			_dmarc.mail.example.com TXT "v=DMARC1; p=none; psd=n"
			_dmarc.example.com TXT "v=DMARC1; p=none"`, "mail.example.com", "", "mail.example.com"},
		{"psd=n at the start", "mail.example.com", `
			_dmarc.mail.example.com TXT "v=DMARC1; p=none; psd=n"
			_dmarc.example.com TXT "v=DMARC1; p=none"`, "mail.example.com", "", "mail.example.com"},
		{"psd=y at the top", "a.mail.example.com", `_dmarc.com TXT "v=DMARC1; p=none; psd=y"`, "example.com", "com", "com"},
		{"psd=y at the top, with others", "a.mail.example.com", `
			_dmarc.a.mail.example.com TXT "v=DMARC1; p=none"
			_dmarc.mail.example.com TXT "v=DMARC1; p=none"
			_dmarc.com TXT "v=DMARC1; p=none; psd=y"`, "example.com", "com", "com"},
		{"psd=y of two labels", "a.example.co.uk", `
			_dmarc.co.uk TXT "v=DMARC1; p=none; psd=y"
			_dmarc.uk TXT "v=DMARC1; p=none; psd=y"`, "example.co.uk", "co.uk", "co.uk"},
		{"psd=y at the start", "co.uk", `
			_dmarc.co.uk TXT "v=DMARC1; p=none; psd=y"
			_dmarc.uk TXT "v=DMARC1; p=none"`, "co.uk", "", "co.uk"},
		{"psd=y at the parent", "example.com", `_dmarc.com TXT "v=DMARC1; p=none; psd=y"`, "example.com", "com", "com"},
		{"several records are none", "a.mail.example.com", `
			_dmarc.mail.example.com TXT "v=DMARC1; p=none; psd=n"
			_dmarc.mail.example.com TXT "v=DMARC1; p=none; psd=n; t=y"
			_dmarc.example.com TXT "v=DMARC1; p=none"`, "example.com", "", "com"},
		{"others than dmarc do not count", "a.mail.example.com", `
			_dmarc.mail.example.com TXT "v=spf1 -all"
			_dmarc.mail.example.com TXT "v=DMARC1;" " p=none; psd=n"
			_dmarc.mail.example.com TXT "v=dmarc1; p=none"
			_dmarc.mail.example.com TXT "\000\255binary"`, "mail.example.com", "", "mail.example.com"},
		{"names that are cut are not asked about", "a.b.c.d.e.f.g.example.com", `
			_dmarc.b.c.d.e.f.g.example.com TXT "v=DMARC1; p=none; psd=n"`, "a.b.c.d.e.f.g.example.com", "", "com"},
		{"suffix of seven labels", "a.b.c.d.e.f.g.example.com", `
			_dmarc.c.d.e.f.g.example.com TXT "v=DMARC1; p=none; psd=y"`, "b.c.d.e.f.g.example.com", "c.d.e.f.g.example.com", "c.d.e.f.g.example.com"},
	} {
		srv, r := resolver(t, testkit.DNSOptions{Zone: strings.ReplaceAll(tc.zone, "\t", ""), Authentic: true})
		walk, err := dmarc.NewWalker(nil, r).Walk(t.Context(), domain(t, tc.start))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		suffix := ""
		if walk.Suffix != nil {
			suffix = walk.Suffix.Domain.ASCII
		}
		l := asked(srv)
		if walk.OrgDomain.ASCII != tc.org || suffix != tc.suffix || l[len(l)-1] != tc.last {
			t.Errorf("%s: organizational domain %s, suffix %q, asked for %v", tc.name, walk.OrgDomain, suffix, l)
		}
		if !walk.Authentic {
			t.Errorf("%s: not authentic", tc.name)
		}
	}
}

// The Public Suffix List is not used for DMARC (RFC 9989 §4.10). This is where it
// and the tree walk find the same organizational domain, and where not.
func TestTreeWalkDiffersFromThePublicSuffixList(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		domain string
		zone   string // Domains with records, and the values of psd other than u.
		list   string // By the list.
		walk   string
		why    string
	}{
		{"mail.example.com", "example.com", "example.com", "example.com",
			"the usual case: a record at the registered domain"},
		{"a.b.example.co.uk", "b.example.co.uk example.co.uk", "example.co.uk", "example.co.uk",
			"records below the registered domain do not matter"},
		{"mail.agency.gov.uk", "gov.uk=y", "agency.gov.uk", "agency.gov.uk",
			"the suffix says itself what the list says of it"},
		{"a.b.example.co.uk", "a.b.example.co.uk", "example.co.uk", "a.b.example.co.uk",
			"the registered domain has no record, so it does not bind its subdomains together"},
		{"mail.example.com", "", "example.com", "mail.example.com",
			"without any record each name is for itself, and DMARC is not applied"},
		{"cs.university.example.com", "university.example.com=n example.com", "example.com", "university.example.com",
			"psd=n: an independent part of an organization says so"},
		{"shop.hosting.example.com", "hosting.example.com=y example.com", "example.com", "shop.hosting.example.com",
			"psd=y: one who gives out names and is not on the list"},
		{"user.github.io", "github.io", "user.github.io", "github.io",
			"on the list as a private suffix, but its own record does not say psd=y"},
		{"user.github.io", "github.io=y", "user.github.io", "user.github.io",
			"the same with psd=y"},
		{"mail.example.com", "example.com com", "example.com", "com",
			"a suffix with a record that lacks psd=y, which its operator MUST publish"},
		{"a.b.ck", "b.ck", "a.b.ck", "b.ck",
			"a wildcard rule of the list for a suffix that has a record"},
		{"mail.corp.lan", "corp.lan", "corp.lan", "corp.lan",
			"not on the list, of which the rule for unknown ones happens to fit"},
		{"mail.site.corp.lan", "site.corp.lan=n corp.lan", "corp.lan", "site.corp.lan",
			"not on the list, and psd=n"},
		{"a.b.c.d.e.f.g.example.com", "b.c.d.e.f.g.example.com", "example.com", "a.b.c.d.e.f.g.example.com",
			"a record at a name of more than seven labels is found for that name alone"},
	} {
		var zone strings.Builder
		for _, s := range strings.Fields(tc.zone) {
			name, psd, ok := strings.Cut(s, "=")
			if !ok {
				psd = "u"
			}
			fmt.Fprintf(&zone, "_dmarc.%s TXT \"v=DMARC1; p=none; psd=%s\"\n", name, psd)
		}
		_, r := resolver(t, testkit.DNSOptions{Zone: zone.String()})
		list, err := publicsuffix.EffectiveTLDPlusOne(tc.domain)
		if err != nil || list != tc.list {
			t.Errorf("%s: the list has %q, %v, expected %q", tc.domain, list, err, tc.list)
		}
		walk, err := dmarc.NewWalker(nil, r).Walk(t.Context(), domain(t, tc.domain))
		if err != nil || walk.OrgDomain.ASCII != tc.walk {
			t.Errorf("%s with %q: the walk has %q, %v, expected %q: %s", tc.domain, tc.zone, walk.OrgDomain, err, tc.walk, tc.why)
		}
	}
}

func TestInternationalisedDomainsKeepBothForms(t *testing.T) {
	t.Parallel()
	srv, r := resolver(t, testkit.DNSOptions{Zone: `_dmarc.xn--74h.example TXT "v=DMARC1; p=none"`})
	walk, err := dmarc.NewWalker(nil, r).Walk(t.Context(), domain(t, "mail.☺.example"))
	if err != nil || walk.OrgDomain != domain(t, "☺.example") {
		t.Errorf("got %v, %v", walk.OrgDomain, err)
	}
	if l := asked(srv); !reflect.DeepEqual(l, []string{"mail.xn--74h.example", "xn--74h.example", "example"}) {
		t.Errorf("asked for %v", l)
	}
	if top := walk.Entries[2].Domain; top != domain(t, "example") {
		t.Errorf("got top-level domain %#v", top)
	}
}

func TestNamesThatAreTooLongForARecordHaveNone(t *testing.T) {
	t.Parallel()
	srv, r := resolver(t, testkit.DNSOptions{})
	long := strings.Repeat(strings.Repeat("a", 49)+".", 4) + strings.Repeat("b", 49) // 249 characters.
	e := dmarc.NewWalker(nil, r).Entry(t.Context(), domain(t, long))
	if e.Err != nil || e.Record != nil || len(srv.Queries()) != 0 {
		t.Errorf("got %+v", e)
	}
}

func TestErrorsOfDNSEndAWalk(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		fault testkit.DNSFault
		err   error
	}{{testkit.DNSServFail, dns.ErrTemporary}, {testkit.DNSRefused, dns.ErrTemporary}, {testkit.DNSBogus, dns.ErrBogus}} {
		for _, at := range []string{"a.mail.example.com", "mail.example.com", "example.com", "com"} {
			_, r := resolver(t, testkit.DNSOptions{
				Zone:   `_dmarc.mail.example.com TXT "v=DMARC1; p=none"`,
				Faults: map[string]testkit.DNSFault{"TXT _dmarc." + at: fault.fault},
			})
			walk, err := dmarc.NewWalker(nil, r).Walk(t.Context(), domain(t, "a.mail.example.com"))
			if !errors.Is(err, fault.err) || !strings.Contains(err.Error(), "dmarc record of "+at) || !walk.OrgDomain.IsZero() {
				t.Errorf("%v at %s: %v, organizational domain %q", fault.fault, at, err, walk.OrgDomain)
			}
		}
	}
}

func TestQueriesOfAWalkerAreLimited(t *testing.T) {
	t.Parallel()
	srv, r := resolver(t, testkit.DNSOptions{})
	w := dmarc.NewWalker(nil, r)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		_, err = w.Walk(t.Context(), domain(t, fmt.Sprintf("a%d.b%d.example.com", i, i)))
	}
	if n := len(asked(srv)); !errors.Is(err, dmarc.ErrTooManyQueries) || n != dmarc.MaxQueries {
		t.Errorf("got %v after %d queries", err, n)
	}
}

func BenchmarkVerifyWithAWalk(b *testing.B) {
	_, r := resolver(b, testkit.DNSOptions{Zone: `_dmarc.example.com TXT "v=DMARC1; p=reject; sp=none"`})
	args := dmarc.Args{From: domain(b, "a.example.com"), SPF: pass("b.example.com")}
	b.ReportAllocs()
	for b.Loop() {
		if res := dmarc.Verify(context.Background(), nil, r, args); res.Status != dmarc.StatusPass {
			b.Fatal(res)
		}
	}
}
