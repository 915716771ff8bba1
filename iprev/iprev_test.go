package iprev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"mox/dns"
	"mox/internal/testkit"
	"mox/iprev"
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

func TestAddressesAreCheckedAgainstTheirNames(t *testing.T) {
	t.Parallel()
	var zone strings.Builder
	zone.WriteString(`
1.2.0.192.in-addr.arpa PTR mail.example.org
mail.example.org A 192.0.2.7
mail.example.org A 192.0.2.1
mail.example.org AAAA 2001:db8::1
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mail.example.org
2.2.0.192.in-addr.arpa PTR mail.example.org
3.2.0.192.in-addr.arpa PTR nosuch.example.org
4.2.0.192.in-addr.arpa PTR down.example
4.2.0.192.in-addr.arpa PTR four.example.org
four.example.org A 192.0.2.4
5.2.0.192.in-addr.arpa PTR down.example
5.2.0.192.in-addr.arpa PTR mail.example.org
6.2.0.192.in-addr.arpa PTR insecure.example
insecure.example A 192.0.2.6
7.2.0.192.in-addr.arpa TXT "no name"
8.2.0.192.in-addr.arpa CNAME 8.0.2.0.192.in-addr.arpa
8.0.2.0.192.in-addr.arpa PTR eight.example.org
eight.example.org A 192.0.2.8
9.2.0.192.in-addr.arpa PTR xn--bcher-kva.example.org
xn--bcher-kva.example.org A 192.0.2.9
10.2.0.192.in-addr.arpa PTR six.example.org
six.example.org AAAA ::ffff:192.0.2.10
`)
	_, r := newResolver(t, testkit.DNSOptions{
		Zone: zone.String(), Authentic: true, Insecure: []string{"insecure.example"},
		Faults: map[string]testkit.DNSFault{"down.example": testkit.DNSServFail, "11.2.0.192.in-addr.arpa": testkit.DNSServFail, "12.2.0.192.in-addr.arpa": testkit.DNSBogus},
	})
	for _, tc := range []struct {
		ip        string
		status    iprev.Status
		name      string
		authentic bool
		err       error
	}{
		{"192.0.2.1", iprev.StatusPass, "mail.example.org", true, nil},
		{"::ffff:192.0.2.1", iprev.StatusPass, "mail.example.org", true, nil},
		{"2001:db8::1", iprev.StatusPass, "mail.example.org", true, nil},
		{"192.0.2.2", iprev.StatusFail, "", true, iprev.ErrNoMatch},
		{"192.0.2.3", iprev.StatusFail, "", true, iprev.ErrNoMatch},
		{"192.0.2.4", iprev.StatusPass, "four.example.org", true, nil}, // Another name cannot be looked up.
		{"192.0.2.5", iprev.StatusTemperror, "", false, dns.ErrTemporary},
		{"192.0.2.6", iprev.StatusPass, "insecure.example", false, nil},
		{"192.0.2.7", iprev.StatusPermerror, "", true, iprev.ErrNoName},
		{"192.0.2.99", iprev.StatusPermerror, "", true, iprev.ErrNoName},
		{"192.0.2.8", iprev.StatusPass, "eight.example.org", true, nil}, // RFC 2317.
		{"192.0.2.9", iprev.StatusPass, "bücher.example.org", true, nil},
		{"192.0.2.10", iprev.StatusFail, "", true, iprev.ErrNoMatch},
		{"192.0.2.11", iprev.StatusTemperror, "", false, dns.ErrTemporary},
		{"192.0.2.12", iprev.StatusTemperror, "", false, dns.ErrBogus},
	} {
		got := iprev.Check(t.Context(), nil, r, net.ParseIP(tc.ip))
		if got.Status != tc.status || got.Name.Name() != tc.name || got.Authentic != tc.authentic || !errors.Is(got.Err, tc.err) {
			t.Errorf("%s: got %+v", tc.ip, got)
		}
	}
}

func TestNamesAreLimited(t *testing.T) {
	t.Parallel()
	var zone strings.Builder
	for i := range iprev.MaxNames + 5 {
		fmt.Fprintf(&zone, "1.2.0.192.in-addr.arpa PTR n%d.example.org\nn%d.example.org A 192.0.2.200\n", i, i)
	}
	srv, r := newResolver(t, testkit.DNSOptions{Zone: zone.String()})
	got := iprev.Check(t.Context(), nil, r, net.ParseIP("192.0.2.1"))
	if got.Status != iprev.StatusFail || len(got.Names) != iprev.MaxNames {
		t.Errorf("got %+v", got)
	}
	if n := len(srv.Queries()); n != 1+iprev.MaxNames {
		t.Errorf("%d lookups", n)
	}
}

// strange is a resolver whose names are no names.
type strange struct{ dns.Resolver }

func (strange) LookupAddr(context.Context, net.IP) ([]string, dns.Result, error) {
	return []string{"a b.example", "x\r\ny.example", "192.0.2.1", "", "."}, dns.Result{Authentic: true}, nil
}

func TestMalformedNamesAreLeftOut(t *testing.T) {
	t.Parallel()
	got := iprev.Check(t.Context(), nil, strange{}, net.ParseIP("192.0.2.1"))
	if got.Status != iprev.StatusFail || len(got.Names) != 0 || !errors.Is(got.Err, iprev.ErrNoMatch) {
		t.Errorf("got %+v", got)
	}
}

func TestADeadlineThatPassesIsTemporary(t *testing.T) {
	t.Parallel()
	_, r := newResolver(t, testkit.DNSOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := iprev.Check(ctx, nil, r, net.ParseIP("192.0.2.1"))
	if got.Status != iprev.StatusTemperror || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("got %+v", got)
	}
}
