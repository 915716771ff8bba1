package dmarc_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/internal/testkit"
	"mox/message"
	"mox/spf"
)

func pass(d string) dmarc.SPFIdentifier {
	dom, err := dns.ParseDomain(d)
	if err != nil {
		panic(err)
	}
	return dmarc.SPFIdentifier{Domain: dom, Status: spf.StatusPass}
}

const zone = `
_dmarc.example.com        TXT "v=DMARC1; p=reject; sp=quarantine; np=none"
sub.example.com           A   10.0.0.1
below.nodata.example.com  A   10.0.0.1
_dmarc.own.example.com    TXT "v=DMARC1; p=none; sp=reject"
_dmarc.strict.example     TXT "v=DMARC1; p=quarantine; adkim=s; aspf=s"
_dmarc.nonp.example       TXT "v=DMARC1; p=quarantine"
_dmarc.onlyp.example      TXT "v=DMARC1; p=reject"
_dmarc.pct.example        TXT "v=DMARC1; p=reject; pct=0"
_dmarc.treject.example    TXT "v=DMARC1; p=reject; sp=quarantine; np=none; t=y"
_dmarc.tquarantine.example TXT "v=DMARC1; p=quarantine; t=y"
_dmarc.tnone.example      TXT "v=DMARC1; p=none; t=y"
sub.treject.example       A   10.0.0.1
_dmarc.nop.example        TXT "v=DMARC1; sp=reject"
_dmarc.nopr.example       TXT "v=DMARC1; sp=reject; rua=mailto:a@nopr.example"
_dmarc.badsp.example      TXT "v=DMARC1; p=reject; sp=x"
_dmarc.badspr.example     TXT "v=DMARC1; p=reject; sp=x; rua=mailto:a@nopr.example"
_dmarc.two.example        TXT "v=DMARC1; p=reject"
_dmarc.two.example        TXT "v=DMARC1; p=none"
_dmarc.mid.top            TXT "v=DMARC1; p=none"
_dmarc.top                TXT "v=DMARC1; p=reject; np=quarantine; psd=y"
plain.top                 A   10.0.0.1
a.plain.top               A   10.0.0.1
_dmarc.between.plain.top  TXT "v=DMARC1; p=none"
x.between.plain.top       A   10.0.0.1
_dmarc.apart.example.com  TXT "v=DMARC1; p=none; psd=n"
`

// want is what a result is compared in.
type want struct {
	status      dmarc.Status
	domain      string // Of the record.
	policy, tag string
	applied     string
	spf, dkim   bool
	requested   dmarc.Policy
	overrides   int
}

func (w want) check(t *testing.T, name string, r dmarc.Result) {
	t.Helper()
	if w.requested == "" {
		w.requested = dmarc.PolicyNone
	}
	got := want{r.Status, r.Domain.ASCII, string(r.Policy), r.PolicyTag, string(r.Applied), r.AlignedSPF, r.AlignedDKIM, r.Requested(), len(r.Overrides)}
	if got != w {
		t.Errorf("%s:\ngot  %+v (%v)\nwant %+v", name, got, r.Err, w)
	}
}

// signatures returns identifiers from text like "pass example.com, fail example.org".
func signatures(t *testing.T, s string) []dmarc.DKIMIdentifier {
	t.Helper()
	var l []dmarc.DKIMIdentifier
	for i, f := range strings.Split(s, ", ") {
		status, d, ok := strings.Cut(f, " ")
		if ok {
			l = append(l, dmarc.DKIMIdentifier{Domain: domain(t, d), Selector: fmt.Sprint("s", i), Status: dkim.Status(status)})
		}
	}
	return l
}

func TestMessagesAreEvaluated(t *testing.T) {
	t.Parallel()
	_, r := resolver(t, testkit.DNSOptions{Zone: zone})
	const (
		q  = dmarc.PolicyQuarantine
		rj = dmarc.PolicyReject
	)
	for _, tc := range []struct {
		from, spf, dkim string // "pass example.com".
		want            want
	}{
		// Which record, and which policy of it: RFC 9989 §4.10.1.
		{"example.com", "", "", want{"fail", "example.com", "reject", "p", "reject", false, false, rj, 0}},
		{"sub.example.com", "", "", want{"fail", "example.com", "quarantine", "sp", "quarantine", false, false, q, 0}},
		{"absent.example.com", "", "", want{"fail", "example.com", "none", "np", "none", false, false, "", 0}},
		{"nodata.example.com", "", "", want{"fail", "example.com", "quarantine", "sp", "quarantine", false, false, q, 0}},
		{"own.example.com", "", "", want{"fail", "own.example.com", "none", "p", "none", false, false, "", 0}},
		{"sub.own.example.com", "", "", want{"fail", "example.com", "none", "np", "none", false, false, "", 0}},
		{"absent.nonp.example", "", "", want{"fail", "nonp.example", "quarantine", "p", "quarantine", false, false, q, 0}},
		{"none.example", "pass none.example", "", want{"none", "", "", "", "", false, false, "", 0}},
		{"two.example", "", "", want{"none", "", "", "", "", false, false, "", 0}},
		{"", "pass example.com", "", want{"none", "", "", "", "", false, false, "", 0}},

		// Public suffixes.
		{"plain.top", "", "", want{"fail", "top", "reject", "p", "reject", false, false, rj, 0}},
		{"a.plain.top", "", "", want{"fail", "top", "reject", "p", "reject", false, false, rj, 0}},
		{"absent.top", "", "", want{"fail", "top", "quarantine", "np", "quarantine", false, false, q, 0}},
		{"mid.top", "", "", want{"fail", "mid.top", "none", "p", "none", false, false, "", 0}},
		{"a.mid.top", "", "", want{"fail", "mid.top", "none", "p", "none", false, false, "", 0}},
		{"top", "", "", want{"fail", "top", "reject", "p", "reject", false, false, rj, 0}},
		// A record between the From domain and its organizational domain is not used.
		{"x.between.plain.top", "", "", want{"fail", "top", "reject", "p", "reject", false, false, rj, 0}},

		// The tags t and pct.
		{"pct.example", "", "", want{"fail", "pct.example", "reject", "p", "reject", false, false, rj, 0}},
		{"treject.example", "", "", want{"fail", "treject.example", "reject", "p", "quarantine", false, false, q, 1}},
		{"sub.treject.example", "", "", want{"fail", "treject.example", "quarantine", "sp", "none", false, false, "", 1}},
		{"absent.treject.example", "", "", want{"fail", "treject.example", "none", "np", "none", false, false, "", 0}},
		{"tquarantine.example", "", "", want{"fail", "tquarantine.example", "quarantine", "p", "none", false, false, "", 1}},
		{"tnone.example", "", "", want{"fail", "tnone.example", "none", "p", "none", false, false, "", 0}},
		{"treject.example", "pass treject.example", "", want{"pass", "treject.example", "reject", "p", "quarantine", true, false, "", 0}},

		// Records that are not valid.
		{"nop.example", "pass nop.example", "", want{"permerror", "nop.example", "", "p", "", false, false, "", 0}},
		{"nopr.example", "", "", want{"fail", "nopr.example", "none", "p", "none", false, false, "", 0}},
		{"sub.nopr.example", "", "", want{"fail", "nopr.example", "none", "p", "none", false, false, "", 0}},
		{"badsp.example", "", "", want{"permerror", "badsp.example", "", "p", "", false, false, "", 0}},
		{"badspr.example", "", "", want{"fail", "badspr.example", "none", "p", "none", false, false, "", 0}},

		// Alignment, RFC 9989 §4.10.2.
		{"onlyp.example", "pass onlyp.example", "", want{"pass", "onlyp.example", "reject", "p", "reject", true, false, "", 0}},
		{"onlyp.example", "pass a.onlyp.example", "pass b.c.onlyp.example", want{"pass", "onlyp.example", "reject", "p", "reject", true, true, "", 0}},
		{"a.onlyp.example", "pass onlyp.example", "fail a.onlyp.example", want{"pass", "onlyp.example", "reject", "p", "reject", true, false, "", 0}},
		{"onlyp.example", "fail onlyp.example", "fail onlyp.example, pass other.example, pass a.onlyp.example", want{"pass", "onlyp.example", "reject", "p", "reject", false, true, "", 0}},
		{"onlyp.example", "softfail onlyp.example", "policy onlyp.example", want{"fail", "onlyp.example", "reject", "p", "reject", false, false, rj, 0}},
		{"onlyp.example", "pass notonlyp.example", "pass example", want{"fail", "onlyp.example", "reject", "p", "reject", false, false, rj, 0}},
		{"strict.example", "pass strict.example", "pass a.strict.example", want{"pass", "strict.example", "quarantine", "p", "quarantine", true, false, "", 0}},
		{"strict.example", "pass a.strict.example", "pass b.strict.example", want{"fail", "strict.example", "quarantine", "p", "quarantine", false, false, q, 0}},
		{"own.example.com", "pass example.com", "pass sub.example.com", want{"pass", "own.example.com", "none", "p", "none", true, true, "", 0}},
		// psd=n sets a part of a domain apart, in both directions.
		{"example.com", "pass apart.example.com", "pass a.apart.example.com", want{"fail", "example.com", "reject", "p", "reject", false, false, rj, 0}},
		{"apart.example.com", "pass example.com", "", want{"fail", "apart.example.com", "none", "p", "none", false, false, "", 0}},
		{"apart.example.com", "pass a.apart.example.com", "", want{"pass", "apart.example.com", "none", "p", "none", true, false, "", 0}},
		// Two domains below a public suffix have nothing in common.
		{"plain.top", "pass mid.top", "pass a.plain.top", want{"pass", "top", "reject", "p", "reject", false, true, "", 0}},
		{"plain.top", "pass top", "", want{"fail", "top", "reject", "p", "reject", false, false, rj, 0}},

		// Results of SPF and DKIM that may be others later.
		{"onlyp.example", "temperror a.onlyp.example", "", want{"temperror", "onlyp.example", "reject", "p", "reject", false, false, "", 0}},
		{"onlyp.example", "", "temperror onlyp.example", want{"temperror", "onlyp.example", "reject", "p", "reject", false, false, "", 0}},
		{"onlyp.example", "temperror other.example", "temperror other.example", want{"fail", "onlyp.example", "reject", "p", "reject", false, false, rj, 0}},
		{"onlyp.example", "temperror onlyp.example", "pass onlyp.example", want{"pass", "onlyp.example", "reject", "p", "reject", false, true, "", 0}},
		{"strict.example", "temperror a.strict.example", "", want{"fail", "strict.example", "quarantine", "p", "quarantine", false, false, q, 0}},
	} {
		args := dmarc.Args{From: domain(t, tc.from), DKIM: signatures(t, tc.dkim)}
		if status, d, ok := strings.Cut(tc.spf, " "); ok {
			args.SPF = dmarc.SPFIdentifier{Domain: domain(t, d), Status: spf.Status(status)}
		}
		res := dmarc.Verify(t.Context(), nil, r, args)
		tc.want.check(t, fmt.Sprintf("from %q, spf %q, dkim %q", tc.from, tc.spf, tc.dkim), res)
		if res.SPF != args.SPF || len(res.DKIM) != len(args.DKIM) || res.From != args.From {
			t.Errorf("from %q: identifiers are not in the result: %+v", tc.from, res)
		}
		if wantErr := res.Status == dmarc.StatusTemperror || res.Status == dmarc.StatusPermerror; (res.Err != nil) != wantErr {
			t.Errorf("from %q: status %s with error %v", tc.from, res.Status, res.Err)
		}
	}
}

func TestErrorsOfDNSAreTemperrorWhereTheyMatter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, from, spf string
		fault           string
		want            dmarc.Status
	}{
		{"record of From", "a.sub.example.com", "a.sub.example.com", "TXT _dmarc.a.sub.example.com", "temperror"},
		{"parent of From", "a.sub.example.com", "a.sub.example.com", "TXT _dmarc.sub.example.com", "temperror"},
		{"organizational domain", "a.sub.example.com", "a.sub.example.com", "TXT _dmarc.example.com", "temperror"},
		{"top-level domain", "a.sub.example.com", "a.sub.example.com", "TXT _dmarc.com", "temperror"},
		{"existence of From", "sub.example.com", "", "MX sub.example.com", "temperror"},
		{"existence of From that passes", "sub.example.com", "sub.example.com", "MX sub.example.com", "pass"},
		{"above From with a record, nothing authenticated", "own.example.com", "", "TXT _dmarc.example.com", "fail"},
		{"above From with a record, same domain", "own.example.com", "own.example.com", "TXT _dmarc.example.com", "pass"},
		{"above From with a record, another domain", "own.example.com", "example.com", "TXT _dmarc.com", "temperror"},
		{"above From with a record, a domain elsewhere", "own.example.com", "other.example", "TXT _dmarc.example.com", "fail"},
		{"walk from the other domain", "example.com", "x.y.example.com", "TXT _dmarc.y.example.com", "temperror"},
		{"a name nobody asks about", "example.com", "x.y.example.com", "TXT _dmarc.z.example.com", "pass"},
	} {
		for fault, kind := range map[testkit.DNSFault]error{testkit.DNSServFail: dns.ErrTemporary, testkit.DNSBogus: dns.ErrBogus} {
			_, r := resolver(t, testkit.DNSOptions{Zone: zone, Faults: map[string]testkit.DNSFault{tc.fault: fault}})
			args := dmarc.Args{From: domain(t, tc.from)}
			if tc.spf != "" {
				args.SPF = pass(tc.spf)
			}
			res := dmarc.Verify(t.Context(), nil, r, args)
			if res.Status != tc.want || res.Status == dmarc.StatusTemperror && !errors.Is(res.Err, kind) {
				t.Errorf("%s: %s, %v, expected %s", tc.name, res.Status, res.Err, tc.want)
			}
			if res.Status == dmarc.StatusTemperror && res.Requested() != dmarc.PolicyNone {
				t.Errorf("%s: %s requested", tc.name, res.Requested())
			}
		}
	}
}

func TestPermanentErrorsOfDNSArePermerror(t *testing.T) {
	t.Parallel()
	res := dmarc.Verify(t.Context(), nil, invalid{}, dmarc.Args{From: domain(t, "example.com")})
	if res.Status != dmarc.StatusPermerror || !errors.Is(res.Err, dns.ErrInvalid) {
		t.Errorf("got %s, %v", res.Status, res.Err)
	}
}

// invalid is a resolver that cannot ask.
type invalid struct{ dns.Resolver }

func (invalid) LookupTXT(context.Context, string) ([]string, dns.Result, error) {
	return nil, dns.Result{}, dns.ErrInvalid
}

func TestOnlyWhatIsNeededIsAskedFor(t *testing.T) {
	t.Parallel()
	srv, r := resolver(t, testkit.DNSOptions{Zone: zone})
	for _, tc := range []struct {
		from, spf string
		want      string
	}{
		{"own.example.com", "own.example.com", "own.example.com"},
		{"own.example.com", "other.example", "own.example.com"},
		{"strict.example", "a.strict.example", "strict.example"},
		{"own.example.com", "elsewhere.com", "own.example.com example.com com"},
		{"own.example.com", "a.b.example.com", "own.example.com example.com com a.b.example.com b.example.com"},
		{"absent.onlyp.example", "", "absent.onlyp.example onlyp.example example"},
		{"absent.example.com", "", "absent.example.com example.com com MX absent.example.com."},
	} {
		args := dmarc.Args{From: domain(t, tc.from)}
		if tc.spf != "" {
			args.SPF = pass(tc.spf)
		}
		dmarc.Verify(t.Context(), nil, r, args)
		if got := strings.Join(asked(srv), " "); got+"." != tc.want+"." && got+"." != tc.want {
			t.Errorf("%+v: asked for %s", tc, got)
		}
	}
}

func TestAlignmentOfEachSignatureIsTold(t *testing.T) {
	t.Parallel()
	_, r := resolver(t, testkit.DNSOptions{Zone: zone})
	sigs := signatures(t, "pass onlyp.example, pass a.onlyp.example, pass other.example, fail onlyp.example")
	res := dmarc.Verify(t.Context(), nil, r, dmarc.Args{From: domain(t, "onlyp.example"), DKIM: sigs})
	want := []dmarc.Alignment{dmarc.AlignedStrict, dmarc.AlignedRelaxed, dmarc.Unaligned, dmarc.Unaligned}
	var words []string
	for i, d := range res.DKIM {
		words = append(words, d.Alignment.String())
		if d.Alignment != want[i] || d.DKIMIdentifier != sigs[i] {
			t.Errorf("signature %d: got %+v", i, d)
		}
	}
	if !reflect.DeepEqual(words, []string{"strict", "relaxed", "none", "none"}) {
		t.Errorf("got %v", words)
	}
}

func TestSignaturesWithManyDomainsAreBounded(t *testing.T) {
	t.Parallel()
	srv, r := resolver(t, testkit.DNSOptions{Zone: zone})
	var sigs []dmarc.DKIMIdentifier
	for i := range 1000 {
		sigs = append(sigs, dmarc.DKIMIdentifier{Domain: domain(t, fmt.Sprintf("a%d.b%d.c%d.apart.example.com", i, i, i)), Status: dkim.StatusPass})
	}
	res := dmarc.Verify(t.Context(), nil, r, dmarc.Args{From: domain(t, "example.com"), DKIM: sigs})
	want{"fail", "example.com", "reject", "p", "reject", false, false, dmarc.PolicyReject, 0}.check(t, "many domains", res)
	if n := len(srv.Queries()); n > dmarc.MaxQueries || len(res.DKIM) != dmarc.MaxIdentifiers || !errors.Is(res.Err, dmarc.ErrTooManyQueries) {
		t.Errorf("%d queries, %d signatures, %v", n, len(res.DKIM), res.Err)
	}
}

func TestResultsAreAuthenticIfAllAnswersAre(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from     string
		insecure string
		want     bool
	}{
		{"example.com", "", true},
		{"example.com", "com", false},
		{"example.com", "other.example", true},
		{"sub.example.com", "", true},
		{"sub.example.com", "_dmarc.sub.example.com", false},
		{"sub.example.com", "_dmarc.com", false},
		{"sub.example.com", "sub.example.com", false},
		{"none.example", "", true},
		{"none.example", "_dmarc.example", false},
	} {
		_, r := resolver(t, testkit.DNSOptions{Zone: zone, Authentic: true, Insecure: []string{tc.insecure + "."}})
		if tc.insecure == "" {
			_, r = resolver(t, testkit.DNSOptions{Zone: zone, Authentic: true})
		}
		if res := dmarc.Verify(t.Context(), nil, r, dmarc.Args{From: domain(t, tc.from)}); res.Authentic != tc.want {
			t.Errorf("%+v: authentic is %v", tc, res.Authentic)
		}
	}
}

func TestWithSeveralDomainsInFromTheStrictestPolicyCounts(t *testing.T) {
	t.Parallel()
	_, r := resolver(t, testkit.DNSOptions{Zone: zone, Faults: map[string]testkit.DNSFault{"TXT _dmarc.broken.example": testkit.DNSServFail}})
	for _, tc := range []struct {
		from   string
		status dmarc.Status
		domain string
	}{
		{"onlyp.example", "pass", "onlyp.example"},
		{"onlyp.example example.com", "fail", "example.com"},
		{"tnone.example strict.example own.example.com", "fail", "strict.example"},
		{"strict.example example.com pct.example", "fail", "example.com"},
		{"broken.example tnone.example", "temperror", "broken.example"},
		{"broken.example strict.example", "fail", "strict.example"},
		{"onlyp.example none.example", "none", "none.example"},
		{"onlyp.example nop.example", "permerror", "nop.example"},
		{"a.onlyp.example onlyp.example", "pass", "a.onlyp.example"},
	} {
		var from []dns.Domain
		for _, s := range strings.Fields(tc.from) {
			from = append(from, domain(t, s))
		}
		res, all := dmarc.NewWalker(nil, r).VerifyAll(t.Context(), from, dmarc.Args{SPF: pass("onlyp.example")})
		if res.Status != tc.status || res.From.ASCII != tc.domain || len(all) != len(from) {
			t.Errorf("%s: %s for %s, expected %s for %s", tc.from, res.Status, res.From, tc.status, tc.domain)
		}
	}
	for _, n := range []int{0, dmarc.MaxFromDomains + 1} {
		from := make([]dns.Domain, n)
		if res, _ := dmarc.NewWalker(nil, r).VerifyAll(t.Context(), from, dmarc.Args{}); res.Status != dmarc.StatusPermerror || !errors.Is(res.Err, dmarc.ErrFrom) {
			t.Errorf("%d domains: %s, %v", n, res.Status, res.Err)
		}
	}
}

func TestDomainsOfFromAreFound(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range dmarc.MaxFromDomains + 1 {
		fmt.Fprintf(&many, "a@d%d.example,", i)
	}
	for _, tc := range []struct {
		header string
		want   string // Empty for an error.
	}{
		{"From: a@example.com\r\n\r\n", "example.com"},
		{"From: x <a@Example.COM>, b@example.com\r\nFrom: c@example.org\r\n\r\n", "example.com example.org"},
		{"From: \"a@forged.example\" <a@xn--74h.example>\r\n\r\n", "xn--74h.example"},
		{"From: group: a@example.com;\r\n\r\n", "example.com"},
		{"To: a@example.com\r\n\r\n", ""},
		{"From: group:;\r\n\r\n", ""},
		{"From: a@\r\n\r\n", ""},
		{"From: a@example.com, b@[10.0.0.1]\r\n\r\n", ""},
		{"From: a@xn--zzzzzz.example.com\r\n\r\n", ""},
		{"From: " + many.String() + "\r\n\r\n", ""},
	} {
		h := message.ParseHeader([]byte(tc.header), message.Limits{})
		l, err := dmarc.FromDomains(&h)
		var got []string
		for _, d := range l {
			got = append(got, d.ASCII)
		}
		if s := strings.Join(got, " "); s != tc.want || (err != nil) != (tc.want == "") || err != nil && !errors.Is(err, dmarc.ErrFrom) {
			t.Errorf("%q: got %q, %v", tc.header, s, err)
		}
	}
}
