package dnsbl_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/dns"
	"mox/dnsbl"
	"mox/internal/testkit"
)

func newResolver(t *testing.T, opts testkit.DNSOptions) (*testkit.DNSServer, dns.Resolver) {
	t.Helper()
	srv := testkit.NewDNS(t, opts)
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return srv, r
}

func domain(s string) dns.Domain { return dns.Domain{ASCII: s} }

// The names and records of RFC 5782 §2.1, §2.3 and §2.4 are in this.
const zone = `
99.2.0.192.bad.example.com    A   127.0.0.2
99.2.0.192.bad.example.com    TXT "Dynamic address, see http://bad.example.com?192.0.2.99"
b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com A 127.0.0.2
b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com TXT "Spam received."
99.2.0.192.multi.example.com  A   127.0.1.2
99.2.0.192.multi.example.com  A   127.0.1.1
99.2.0.192.multi.example.com  TXT "one"
99.2.0.192.multi.example.com  TXT "and two\010"
1.2.0.192.bad.example.com     A   127.255.255.254
2.2.0.192.bad.example.com     A   192.0.2.2
3.2.0.192.bad.example.com     A   127.255.255.255
3.2.0.192.bad.example.com     A   127.0.0.4
4.2.0.192.bad.example.com     A   203.0.113.1
4.2.0.192.bad.example.com     A   127.0.0.4
5.2.0.192.bad.example.com     A   127.255.255.7
6.2.0.192.bad.example.com     TXT "no address"
7.2.0.192.bad.example.com     AAAA ::1
8.2.0.192.bad.example.com     A   127.0.0.10
`

func TestAnswersAreInterpreted(t *testing.T) {
	t.Parallel()
	long := domain(strings.Repeat("a234567890.", 19) + "example.com")
	_, r := newResolver(t, testkit.DNSOptions{Zone: zone, Authentic: true, Faults: map[string]testkit.DNSFault{
		"9.2.0.192.bad.example.com": testkit.DNSServFail, "TXT 8.2.0.192.bad.example.com": testkit.DNSServFail, "10.2.0.192.bad.example.com": testkit.DNSBogus,
	}})
	for _, tc := range []struct {
		ip          string
		zone        dns.Domain
		status      dnsbl.Status
		codes       string
		explanation string
		err         error
		text        string // In the error.
	}{
		{"192.0.2.99", domain("bad.example.com"), dnsbl.StatusListed, "[127.0.0.2]", "Dynamic address, see http://bad.example.com?192.0.2.99", nil, ""},
		{"::ffff:192.0.2.99", domain("bad.example.com"), dnsbl.StatusListed, "[127.0.0.2]", "Dynamic address, see http://bad.example.com?192.0.2.99", nil, ""},
		{"2001:db8:1:2:3:4:567:89ab", domain("ugly.example.com"), dnsbl.StatusListed, "[127.0.0.2]", "Spam received.", nil, ""},
		{"2001:db8:1:2:3:4:567:89ac", domain("ugly.example.com"), dnsbl.StatusPass, "[]", "", nil, ""},
		{"192.0.2.99", domain("multi.example.com"), dnsbl.StatusListed, "[127.0.1.1 127.0.1.2]", "and two?; one", nil, ""},
		{"192.0.2.98", domain("bad.example.com"), dnsbl.StatusPass, "[]", "", nil, ""},
		{"192.0.2.1", domain("bad.example.com"), dnsbl.StatusTemperror, "[]", "", dnsbl.ErrRefused, "zone bad.example.com: list refuses the query with 127.255.255.254: it was asked through a public resolver"},
		{"192.0.2.2", domain("bad.example.com"), dnsbl.StatusTemperror, "[]", "", dnsbl.ErrAnswer, "answer is no listing code: 192.0.2.2"},
		{"192.0.2.3", domain("bad.example.com"), dnsbl.StatusListed, "[127.0.0.4]", "", nil, ""},
		{"192.0.2.4", domain("bad.example.com"), dnsbl.StatusListed, "[127.0.0.4]", "", nil, ""},
		{"192.0.2.5", domain("bad.example.com"), dnsbl.StatusTemperror, "[]", "", dnsbl.ErrRefused, "no reason that is known"},
		{"192.0.2.6", domain("bad.example.com"), dnsbl.StatusPass, "[]", "", nil, ""},
		{"192.0.2.7", domain("bad.example.com"), dnsbl.StatusPass, "[]", "", nil, ""},
		{"192.0.2.8", domain("bad.example.com"), dnsbl.StatusListed, "[127.0.0.10]", "", nil, ""},
		{"192.0.2.9", domain("bad.example.com"), dnsbl.StatusTemperror, "[]", "", dns.ErrTemporary, ""},
		{"192.0.2.10", domain("bad.example.com"), dnsbl.StatusTemperror, "[]", "", dns.ErrBogus, ""},
		{"2001:db8::1", long, dnsbl.StatusTemperror, "[]", "", dnsbl.ErrName, ""},
		{"192.0.2.1", dns.Domain{}, dnsbl.StatusTemperror, "[]", "", dnsbl.ErrName, ""},
	} {
		got := dnsbl.Lookup(t.Context(), nil, r, tc.zone, net.ParseIP(tc.ip))
		if got.Status != tc.status || fmt.Sprint(got.Codes) != tc.codes || got.Explanation != tc.explanation || !errors.Is(got.Err, tc.err) || got.Zone != tc.zone {
			t.Errorf("%s: got %+v", tc.ip, got)
		}
		if got.Err != nil && !strings.Contains(got.Err.Error(), tc.text) {
			t.Errorf("%s: got error %v", tc.ip, got.Err)
		}
		if got.Err == nil && !got.Authentic {
			t.Errorf("%s: not authentic", tc.ip)
		}
	}
	if got := dnsbl.Lookup(t.Context(), nil, r, domain("bad.example.com"), nil); got.Status != dnsbl.StatusTemperror {
		t.Errorf("without address: got %+v", got)
	}
}

func TestExplanationsAndCodesAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "1.2.0.192.bad.example.com A 127.0.2.%d\n1.2.0.192.bad.example.com TXT \"%s%d\"\n", i, strings.Repeat("x", 200), i)
	}
	_, r := newResolver(t, testkit.DNSOptions{Zone: b.String()})
	got := dnsbl.Lookup(t.Context(), nil, r, domain("bad.example.com"), net.ParseIP("192.0.2.1"))
	if got.Status != dnsbl.StatusListed || len(got.Codes) != dnsbl.MaxCodes || len(got.Explanation) != dnsbl.MaxExplanation {
		t.Errorf("got %d codes, explanation of %d bytes, %v", len(got.Codes), len(got.Explanation), got.Err)
	}
}

func TestHealthIsThatOfTestEntries(t *testing.T) {
	t.Parallel()
	v6 := "0.0.0.f.7.f.f.f.f." + strings.Repeat("0.", 20) // Of ::ffff:127.0.0.2, after "2.0.0.".
	_, r := newResolver(t, testkit.DNSOptions{
		Zone: `
2.0.0.127.good.example A 127.0.0.2
2.0.0.` + v6 + `good.example A 127.0.0.2
2.0.0.127.four.example A 127.0.0.2
*.all.example A 127.0.0.2
*.parked.example A 203.0.113.1
empty.example A 203.0.113.1
*.refuses.example A 127.255.255.254
2.0.0.127.half.example A 127.0.0.2
`,
		Faults: map[string]testkit.DNSFault{
			"1.0.0.127.down.example": testkit.DNSServFail, "2.0.0.127.down.example": testkit.DNSServFail, "1.0.0.127.half.example": testkit.DNSServFail,
			"1.0.0.127.bad.example": testkit.DNSServFail,
		},
	})
	for _, tc := range []struct {
		zone       string
		ipv4, ipv6 error
	}{
		{"good.example", nil, nil},
		{"four.example", nil, dnsbl.ErrUnhealthy},
		{"all.example", dnsbl.ErrUnhealthy, dnsbl.ErrUnhealthy},
		{"parked.example", dnsbl.ErrUnhealthy, dnsbl.ErrUnhealthy},
		{"empty.example", dnsbl.ErrUnhealthy, dnsbl.ErrUnhealthy},
		{"nosuch.example", dnsbl.ErrUnhealthy, dnsbl.ErrUnhealthy},
		{"refuses.example", dnsbl.ErrRefused, dnsbl.ErrRefused},
		{"down.example", dns.ErrTemporary, dnsbl.ErrUnhealthy},
		{"half.example", dns.ErrTemporary, dnsbl.ErrUnhealthy},
		{"bad.example", dnsbl.ErrUnhealthy, dnsbl.ErrUnhealthy}, // One entry is missing, the other unknown.
	} {
		h := dnsbl.CheckHealth(t.Context(), nil, r, domain(tc.zone))
		if !errors.Is(h.IPv4, tc.ipv4) || !errors.Is(h.IPv6, tc.ipv6) {
			t.Errorf("%s: got %v, and %v", tc.zone, h.IPv4, h.IPv6)
		}
		if tc.ipv4 != nil && tc.ipv4 != dnsbl.ErrUnhealthy && errors.Is(h.IPv4, dnsbl.ErrUnhealthy) {
			t.Errorf("%s: unhealthy, %v", tc.zone, h.IPv4)
		}
		if h.For(net.ParseIP("192.0.2.1")) != h.IPv4 || h.For(net.ParseIP("::1")) != h.IPv6 {
			t.Errorf("%s: other errors by address", tc.zone)
		}
	}
}

// slow is a resolver whose answers take a second, except for zones that never
// answer.
type slow struct {
	dns.Resolver
	mu       sync.Mutex
	now, max int
}

func (r *slow) LookupIP(ctx context.Context, _, name string) ([]net.IP, dns.Result, error) {
	r.mu.Lock()
	r.now++
	r.max = max(r.max, r.now)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.now--
		r.mu.Unlock()
	}()
	d := time.Second
	if strings.HasSuffix(name, ".never.example") {
		d = 24 * time.Hour
	}
	select {
	case <-time.After(d):
		return nil, dns.Result{}, dns.ErrNotFound
	case <-ctx.Done():
		return nil, dns.Result{}, fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())
	}
}

func TestZonesAreAskedInParallelBeforeOneDeadline(t *testing.T) {
	t.Parallel()
	zones := func(n int, parent string) []dns.Domain {
		var l []dns.Domain
		for i := range n {
			l = append(l, domain(fmt.Sprintf("z%d.%s", i, parent)))
		}
		return l
	}
	synctest.Test(t, func(t *testing.T) {
		r := &slow{}
		start := time.Now()
		l := zones(3*dnsbl.MaxParallel, "example")
		results := dnsbl.LookupAll(t.Context(), nil, r, l, net.ParseIP("192.0.2.1"))
		if d := time.Since(start); d != 3*time.Second || r.max != dnsbl.MaxParallel {
			t.Errorf("took %v, %d at a time", d, r.max)
		}
		for i, got := range results {
			if got.Zone != l[i] || got.Status != dnsbl.StatusPass {
				t.Errorf("got %+v", got)
			}
		}

		// Those that do not answer take the time of all, and not more.
		start = time.Now()
		results = dnsbl.LookupAll(t.Context(), nil, r, slices.Concat(zones(2, "example"), zones(20, "never.example")), net.ParseIP("192.0.2.1"))
		if d := time.Since(start); d != dnsbl.LookupTimeout {
			t.Errorf("took %v", d)
		}
		for i, got := range results {
			if want := i >= 2; want != (got.Status == dnsbl.StatusTemperror) || want != errors.Is(got.Err, context.DeadlineExceeded) {
				t.Errorf("%d: got %+v", i, got)
			}
		}
		if l := dnsbl.LookupAll(t.Context(), nil, r, nil, net.ParseIP("192.0.2.1")); len(l) != 0 {
			t.Errorf("no zones: got %v", l)
		}
	})
}
