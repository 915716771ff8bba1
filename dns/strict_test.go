package dns_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/dns"
	"mox/internal/testkit"
)

const zone = `
example.org              MX    10 mail.example.org
example.org              MX    5  mx5.example.org
example.org              TXT   "v=spf1 " "-all"
example.org              TXT   "other"
example.org              NS    ns.example.org
mail.example.org         A     10.0.0.1
mail.example.org         AAAA  2001:db8::1
alias.example.org        CNAME mail.example.org
alias2.example.org       CNAME alias.example.org
null.example.org         MX    0 .
_25._tcp.mail.example.org TLSA 3 1 1 133b919c9d65d8b1488157315327334ead8d83372db57465ecabf53ee5748aee
_imaps._tcp.example.org  SRV   10 5 993 mail.example.org
1.0.0.10.in-addr.arpa    PTR   mail.example.org
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mail.example.org
insecure.example         A     10.0.0.2
half.example.org         CNAME insecure.example
dangling.example.org     CNAME absent.example.org
bad.example.org          TXT   "x"
loop1.example.org        CNAME loop2.example.org
loop2.example.org        CNAME loop1.example.org
oddmx.example.org        MX    10 a\ b.example.org
mixedmx.example.org      MX    10 a\ b.example.org
mixedmx.example.org      MX    20 mail.example.org
`

func resolver(t *testing.T, srv *testkit.DNSServer, edit func(*dns.ResolverOptions)) *dns.StrictResolver {
	t.Helper()
	opts := dns.ResolverOptions{Servers: []string{srv.Addr}}
	if edit != nil {
		edit(&opts)
	}
	r, err := dns.NewStrictResolver(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lookups are one of each kind, with what they return for the zone.
var lookups = []struct {
	name string
	do   func(ctx context.Context, r dns.Resolver) (any, dns.Result, error)
	want any
}{
	{"txt", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		l, res, err := r.LookupTXT(ctx, "example.org")
		slices.Sort(l)
		return l, res, err
	}, []string{"other", "v=spf1 -all"}},
	{"mx", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupMX(ctx, "Example.ORG."))
	}, []*net.MX{{Host: "mx5.example.org", Pref: 5}, {Host: "mail.example.org", Pref: 10}}},
	{"null mx", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupMX(ctx, "null.example.org"))
	}, []*net.MX{{Host: ".", Pref: 0}}},
	{"ip", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return addresses(r.LookupIP(ctx, "ip", "mail.example.org"))
	}, []string{"10.0.0.1", "2001:db8::1"}},
	{"ip4 through aliases", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return addresses(r.LookupIP(ctx, "ip4", "alias2.example.org"))
	}, []string{"10.0.0.1"}},
	{"ip6", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return addresses(r.LookupIP(ctx, "ip6", "mail.example.org"))
	}, []string{"2001:db8::1"}},
	{"addr", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupAddr(ctx, net.IPv4(10, 0, 0, 1)))
	}, []string{"mail.example.org"}},
	{"addr6", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupAddr(ctx, net.ParseIP("2001:db8::1")))
	}, []string{"mail.example.org"}},
	{"cname", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupCNAME(ctx, "Alias2.example.org"))
	}, "alias.example.org"},
	{"no cname", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupCNAME(ctx, "mail.example.org"))
	}, "mail.example.org"},
	{"ns", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupNS(ctx, "example.org"))
	}, []*net.NS{{Host: "ns.example.org"}}},
	{"srv", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupSRV(ctx, "imaps", "tcp", "example.org"))
	}, []*net.SRV{{Target: "mail.example.org", Port: 993, Priority: 10, Weight: 5}}},
	{"srv of a name", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		return wrap(r.LookupSRV(ctx, "", "", "_imaps._tcp.example.org"))
	}, []*net.SRV{{Target: "mail.example.org", Port: 993, Priority: 10, Weight: 5}}},
	{"tlsa", func(ctx context.Context, r dns.Resolver) (any, dns.Result, error) {
		l, res, err := r.LookupTLSA(ctx, 25, "tcp", "mail.example.org")
		var s []string
		for _, x := range l {
			s = append(s, x.Record())
		}
		return s, res, err
	}, []string{"3 1 1 133b919c9d65d8b1488157315327334ead8d83372db57465ecabf53ee5748aee"}},
}

func wrap[T any](v T, res dns.Result, err error) (any, dns.Result, error) { return v, res, err }

func addresses(ips []net.IP, res dns.Result, err error) (any, dns.Result, error) {
	var l []string
	for _, ip := range ips {
		l = append(l, ip.String())
	}
	slices.Sort(l)
	return l, res, err
}

func TestLookupsReturnRecordsAndAuthenticity(t *testing.T) {
	t.Parallel()
	for _, authentic := range []bool{true, false} {
		srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Authentic: authentic})
		r := resolver(t, srv, nil)
		for _, tc := range lookups {
			got, res, err := tc.do(t.Context(), r)
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%s: got %v, %v, want %v", tc.name, got, err, tc.want)
			}
			if res.Authentic != authentic {
				t.Errorf("%s: authentic %v, want %v", tc.name, res.Authentic, authentic)
			}
		}
	}
}

func TestNegativeAnswersCanBeAuthentic(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Authentic: true, Insecure: []string{"insecure.example"}})
	r := resolver(t, srv, nil)
	for _, tc := range []struct {
		name      string
		authentic bool
	}{
		{"absent.example.org", true},  // No such name.
		{"mail.example.org", true},    // No such record.
		{"x.insecure.example", false}, // No such name, in an unsigned zone.
		{"insecure.example.", false},  // No such record.
		{"half.example.org", false},   // A signed alias to an unsigned name.
		{"+.example.org", true},       // Not a host name.
		{"*.example.org", true},
	} {
		_, res, err := r.LookupTXT(t.Context(), tc.name)
		if !errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrTemporary) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if res.Authentic && !tc.authentic {
			t.Errorf("%s: authentic", tc.name)
		}
	}
	_, res, err := r.LookupTXT(t.Context(), "absent.example.org")
	if !res.Authentic || err == nil {
		t.Errorf("authenticated denial: %v, %v", res, err)
	}
	// An alias that is signed while what it leads to is not.
	ips, res, err := r.LookupIP(t.Context(), "ip4", "half.example.org")
	if err != nil || len(ips) != 1 || res.Authentic {
		t.Errorf("half-signed chain: %v, %v, %v", ips, res, err)
	}
}

func TestAliasIsAuthenticAloneWhereItsTargetIsNot(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Authentic: true, Insecure: []string{"insecure.example"}})
	r := resolver(t, srv, nil)
	for _, tc := range []struct {
		host, target string
		authentic    bool
	}{
		{"half.example.org", "insecure.example", true},
		{"insecure.example", "insecure.example", false},
		{"mail.example.org", "mail.example.org", true},
		{"dangling.example.org", "absent.example.org", true},
	} {
		target, res, err := r.LookupCNAME(t.Context(), tc.host)
		if err != nil || target != tc.target || res.Authentic != tc.authentic {
			t.Errorf("%s: %s, %v, %v, want %s, %v", tc.host, target, res, err, tc.target, tc.authentic)
		}
	}
	if target, _, err := r.LookupCNAME(t.Context(), "absent.example.org"); !errors.Is(err, dns.ErrNotFound) {
		t.Errorf("no such name: %s, %v", target, err)
	}
}

func TestConcurrentLookupsOfOneHostAreAllAuthentic(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Authentic: true})
	r := resolver(t, srv, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, res, err := r.LookupIP(t.Context(), "ip", "mail.example.org"); err != nil || !res.Authentic {
				t.Errorf("got %v, %v", res, err)
			}
		})
	}
	wg.Wait()
}

func TestErrorsHaveOneKind(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Authentic: true, Faults: map[string]testkit.DNSFault{
		"servfail.example.org": testkit.DNSServFail,
		"refused.example.org":  testkit.DNSRefused,
		"TXT bad.example.org":  testkit.DNSBogus,
		"bogus.example.org":    testkit.DNSBogus,
	}})
	var mu sync.Mutex
	var seen []string
	r := resolver(t, srv, func(o *dns.ResolverOptions) {
		o.Observe = func(ob dns.Observation) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, ob.Pkg+" "+ob.Type+" "+ob.Result)
		}
	}).ForPackage("test")
	kinds := []error{dns.ErrNotFound, dns.ErrTemporary, dns.ErrBogus, dns.ErrInvalid}
	for _, tc := range []struct {
		name string
		want error
		seen string
	}{
		{"absent.example.org", dns.ErrNotFound, "notfound"},
		{"servfail.example.org", dns.ErrTemporary, "temporary"},
		{"refused.example.org", dns.ErrTemporary, "temporary"},
		{"loop1.example.org", dns.ErrTemporary, "temporary"},
		{"bad.example.org", dns.ErrBogus, "bogus"},
		{"", dns.ErrInvalid, "invalid"},
		{".", dns.ErrInvalid, "invalid"},
		{"a..b", dns.ErrInvalid, "invalid"},
		{"10.0.0.1", dns.ErrInvalid, "invalid"},
		{strings.Repeat("a", 64) + ".example.org", dns.ErrInvalid, "invalid"},
		{strings.Repeat("a.", 130) + "example.org", dns.ErrInvalid, "invalid"},
	} {
		_, res, err := r.LookupTXT(t.Context(), tc.name)
		for _, k := range kinds {
			if errors.Is(err, k) != (k == tc.want) {
				t.Errorf("%.20q: %v is %v: %v", tc.name, err, k, errors.Is(err, k))
			}
		}
		if res.Authentic && tc.want != dns.ErrNotFound {
			t.Errorf("%.20q: authentic", tc.name)
		}
		if got, want := seen[len(seen)-1], "test txt "+tc.seen; got != want {
			t.Errorf("%.20q: observed %q, want %q", tc.name, got, want)
		}
	}
	// For each kind of lookup, so that no caller needs to know how adns words it.
	for _, fault := range []struct {
		f    testkit.DNSFault
		want error
	}{{testkit.DNSServFail, dns.ErrTemporary}, {testkit.DNSRefused, dns.ErrTemporary}, {testkit.DNSBogus, dns.ErrBogus}} {
		faults := map[string]testkit.DNSFault{}
		for _, q := range []string{"example.org", "null.example.org", "mail.example.org", "alias2.example.org", "1.0.0.10.in-addr.arpa",
			"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "_imaps._tcp.example.org", "_25._tcp.mail.example.org"} {
			faults[q] = fault.f
		}
		srv.Set(t, testkit.DNSOptions{Zone: zone, Authentic: true, Faults: faults})
		for _, l := range lookups {
			if _, res, err := l.do(t.Context(), r); !errors.Is(err, fault.want) || res.Authentic {
				t.Errorf("%s with fault %d: %v, %v", l.name, fault.f, res, err)
			}
		}
	}
}

func TestNamesThatDoNotExistAreToldFromThoseWithoutRecords(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone})
	r := resolver(t, srv, nil)
	for _, tc := range []struct {
		name     string
		lookup   func() error
		noDomain bool
	}{
		{"absent", func() error { _, _, err := r.LookupTXT(t.Context(), "absent.example.org"); return err }, true},
		{"absent, two questions", func() error { _, _, err := r.LookupIP(t.Context(), "ip", "absent.example.org"); return err }, true},
		{"no records of the type", func() error { _, _, err := r.LookupTXT(t.Context(), "mail.example.org"); return err }, false},
		{"no records of both types", func() error { _, _, err := r.LookupIP(t.Context(), "ip", "example.org"); return err }, false},
		{"only names below", func() error { _, _, err := r.LookupMX(t.Context(), "_tcp.mail.example.org"); return err }, false},
		{"alias to an absent name", func() error { _, _, err := r.LookupTXT(t.Context(), "dangling.example.org"); return err }, true},
	} {
		err := tc.lookup()
		if !errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrNoDomain) != tc.noDomain {
			t.Errorf("%s: got %v, expected that the name does not exist: %v", tc.name, err, tc.noDomain)
		}
	}
	srv.Set(t, testkit.DNSOptions{Zone: zone, Faults: map[string]testkit.DNSFault{"absent.example.org": testkit.DNSServFail}})
	if _, _, err := r.LookupTXT(t.Context(), "absent.example.org"); errors.Is(err, dns.ErrNotFound) {
		t.Errorf("server failure: %v", err)
	}
}

func TestMalformedHostsAreLeftOut(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone})
	r := resolver(t, srv, nil)
	l, _, err := r.LookupMX(t.Context(), "mixedmx.example.org")
	if err != nil || len(l) != 1 || l[0].Host != "mail.example.org" {
		t.Errorf("one of two is malformed: %v, %v", l, err)
	}
	l, _, err = r.LookupMX(t.Context(), "oddmx.example.org")
	if !errors.Is(err, dns.ErrInvalid) || l != nil {
		t.Errorf("all are malformed: %v, %v", l, err)
	}
}

func TestNextServerIsAskedWhenOneFails(t *testing.T) {
	t.Parallel()
	good := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Authentic: true})
	broken := testkit.NewDNS(t, testkit.DNSOptions{Faults: map[string]testkit.DNSFault{"example.org": testkit.DNSServFail}})
	// A port on which nothing listens: it was ours until now.
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	absent := pc.LocalAddr().String()
	if err := pc.Close(); err != nil {
		t.Fatal(err)
	}
	for _, first := range []string{broken.Addr, absent} {
		r := resolver(t, good, func(o *dns.ResolverOptions) { o.Servers = []string{first, good.Addr} })
		l, res, err := r.LookupMX(t.Context(), "example.org")
		if err != nil || len(l) != 2 || !res.Authentic {
			t.Errorf("got %v, %v, %v", l, res, err)
		}
	}
}

func TestLongAnswersComeOverTCP(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for range 30 {
		b.WriteString(`big.example.org TXT "` + strings.Repeat("x", 200) + strings.Repeat("y", b.Len()%50) + "\"\n")
	}
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: b.String(), Authentic: true})
	l, res, err := resolver(t, srv, nil).LookupTXT(t.Context(), "big.example.org")
	if err != nil || len(l) != 30 || !res.Authentic {
		t.Errorf("got %d records, %v, %v", len(l), res, err)
	}
	if q := srv.Queries(); len(q) != 2 {
		t.Errorf("queries: %v", q)
	}
}

func TestTimeoutsAndCancellationAreTemporary(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Faults: map[string]testkit.DNSFault{"slow.example.org": testkit.DNSDrop}})
	results := make(chan string, 1)
	r := resolver(t, srv, func(o *dns.ResolverOptions) {
		o.Observe = func(ob dns.Observation) { results <- ob.Result }
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := r.LookupTXT(ctx, "slow.example.org")
	if !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.DeadlineExceeded) || <-results != "timeout" {
		t.Errorf("deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, _, err = r.LookupIP(ctx, "ip", "slow.example.org")
	if !errors.Is(err, dns.ErrTemporary) || !errors.Is(err, context.Canceled) || <-results != "canceled" {
		t.Errorf("cancelled: %v", err)
	}
}

func TestOnlyTrustedServersAreAuthentic(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "127.0.0.1", "localhost:53", "ns.example.org:53", "127.0.0.1:dns"} {
		if _, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{s}}); err == nil {
			t.Errorf("server %q is accepted", s)
		}
	}
	// The addresses of this machine other than loopback, of which one may be absent.
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Authentic: true})
	_, port, err := net.SplitHostPort(srv.Addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ipn, ok := a.(*net.IPNet)
		if !ok || ipn.IP.IsLoopback() || ipn.IP.To4() == nil {
			continue
		}
		// The server listens on loopback only, so put both in the list: the word of the
		// second is not taken because of the first.
		remote := net.JoinHostPort(ipn.IP.String(), port)
		for _, trust := range []bool{false, true} {
			r := resolver(t, srv, func(o *dns.ResolverOptions) {
				o.Servers = []string{srv.Addr, remote}
				o.TrustAD = trust
			})
			_, res, err := r.LookupTXT(t.Context(), "example.org")
			if err != nil || res.Authentic != trust {
				t.Errorf("with %s, TrustAD %v: %v, %v", remote, trust, res, err)
			}
		}
		return
	}
	testkit.Missing(t, "this machine has no IPv4 address other than loopback")
}

func TestLookupsAreLoggedAtDebug(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone})
	var buf bytes.Buffer
	r := resolver(t, srv, func(o *dns.ResolverOptions) {
		o.Log = slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}).ForPackage("spf")
	if _, _, err := r.LookupMX(t.Context(), "null.example.org"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.LookupMX(t.Context(), "absent.example.org"); err == nil {
		t.Fatal("found")
	}
	lines := strings.Split(buf.String(), "\n")
	for i, want := range []string{"type=mx name=null.example.org result=ok authentic=false", "type=mx name=absent.example.org result=notfound"} {
		if !strings.Contains(lines[i], want) || !strings.Contains(lines[i], "pkg=spf") {
			t.Errorf("line %q does not have %q", lines[i], want)
		}
	}
}

func TestErrorsNameTheServersThatWereAsked(t *testing.T) {
	t.Parallel()
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{"127.0.0.1:1", "127.0.0.2:1"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = r.LookupTXT(t.Context(), "example.org")
	if !errors.Is(err, dns.ErrTemporary) || !strings.Contains(err.Error(), "127.0.0.1:1 or 127.0.0.2:1") {
		t.Errorf("got %v", err)
	}
}
