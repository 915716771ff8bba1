package dmarc_test

import (
	"testing"

	"mox/dns"
	"mox/internal/testkit"
)

// resolver returns a resolver for a DNS server with opts.
func resolver(t testing.TB, opts testkit.DNSOptions) (*testkit.DNSServer, *dns.StrictResolver) {
	t.Helper()
	srv := testkit.NewDNS(t, opts)
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return srv, r
}

func domain(t testing.TB, s string) dns.Domain {
	t.Helper()
	if s == "" {
		return dns.Domain{}
	}
	d, err := dns.ParseDomainLax(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
