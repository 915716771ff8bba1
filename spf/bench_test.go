package spf_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"mox/dns"
	"mox/internal/testkit"
	"mox/smtp"
	"mox/spf"
)

// BenchmarkCheck checks a sender whose record has ten includes, with a DNS server in
// this process, whose allocations are in the figures.
func BenchmarkCheck(b *testing.B) {
	var zone strings.Builder
	record := "v=spf1"
	for i := range spf.MaxTerms {
		fmt.Fprintf(&zone, "_spf%d.example.org TXT \"v=spf1 ip4:10.%d.0.0/16 ip4:10.%d.0.0/16 ip6:2001:db8:%d::/48 ~all\"\n", i, i, i+100, i)
		record += fmt.Sprintf(" include:_spf%d.example.org", i)
	}
	fmt.Fprintf(&zone, "example.org TXT \"%s -all\"\n", record)
	srv := testkit.NewDNS(b, testkit.DNSOptions{Zone: zone.String(), Authentic: true})
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		b.Fatal(err)
	}
	args := spf.Args{
		MailFrom: smtp.Path{Localpart: "user", IPDomain: dns.IPDomain{Domain: dns.Domain{ASCII: "example.org"}}},
		HELO:     dns.IPDomain{Domain: dns.Domain{ASCII: "mail.example.org"}},
	}
	for _, bm := range []struct {
		name, ip string
		want     spf.Status
	}{
		{"includes=10", "192.0.2.1", spf.StatusFail},
		{"includes=1", "10.0.0.1", spf.StatusPass},
	} {
		b.Run(bm.name, func(b *testing.B) {
			args := args
			args.RemoteIP = net.ParseIP(bm.ip)
			b.ReportAllocs()
			for b.Loop() {
				r := spf.Check(b.Context(), nil, resolver, args)
				if r.Status != bm.want || !r.Authentic {
					b.Fatalf("got %+v", r)
				}
			}
		})
	}
}
