package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mox/config"
	"mox/dns"
	"mox/internal/testkit"
)

// checkZone has all that example.org of recordsConfig needs.
const checkZone = `example.org NS ns.example.org
com NS ns.example
mail.example.org A 192.0.2.1
mail.example.org AAAA 2001:db8::1
1.2.0.192.in-addr.arpa PTR mail.example.org
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mail.example.org
mail.example.org TXT "v=spf1 a -all"
_smtp._tls.mail.example.org TXT "v=TLSRPTv1;rua=mailto:tlsreports@mail.example.org"
example.org MX 10 mail.example.org
2026b._domainkey.example.org TXT "v=DKIM1;k=ed25519;p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="
example.org TXT "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 mx ~all"
_dmarc.example.org TXT "v=DMARC1;p=reject;rua=mailto:dmarc%21reports@example.org!10m"
_smtp._tls.example.org TXT "v=TLSRPTv1;rua=mailto:tlsreports@example.org"
`

// findings checks example.org, with a zone and without connecting to anything. It has no
// policy for MTA-STS, which is told.
func findings(t *testing.T, s *config.Snapshot, opts testkit.DNSOptions) []Finding {
	t.Helper()
	server := testkit.NewDNS(t, opts)
	log := slog.New(slog.DiscardHandler)
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}, TrustAD: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	l, err := DNSChecker{Resolver: resolver, Log: log, NoDial: true}.Check(t.Context(), s, dns.Domain{ASCII: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCheckOfCompleteZoneFindsNothing(t *testing.T) {
	t.Parallel()
	s := recordsConfig(t)
	checks := map[string]int{}
	for _, f := range findings(t, s, testkit.DNSOptions{Zone: checkZone, Authentic: true}) {
		checks[f.Check]++
		if f.Severity != OK && f.Check != "MTA-STS" {
			t.Errorf("%+v", f)
		}
	}
	if got := fmt.Sprint(checks); got != "map[DKIM:1 DMARC:1 DNSSEC:1 HOST:2 IPREV:2 MTA-STS:1 MX:1 SPF:4 TLSRPT:2]" {
		t.Errorf("got %s", got)
	}
	if _, err := (DNSChecker{}).Check(t.Context(), s, dns.Domain{ASCII: "x.example"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got error %v", err)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := recordsConfig(t)
	withIMAPS := *s
	withIMAPS.Listeners = append([]config.Listener(nil), s.Listeners...)
	withIMAPS.Listeners[1].IMAPS = config.TLSService{Enabled: true, Port: 993}
	withIMAPS.Listeners[1].TLS = &config.TLS{}
	withIMAPS.Listeners[1].Submission = config.PlainService{}
	for name, tc := range map[string]struct {
		s        *config.Snapshot
		old, new string // In the zone.
		opts     testkit.DNSOptions
		want     []string // All that is not ok.
	}{
		"no dnssec by the resolver":  {opts: testkit.DNSOptions{}, want: []string{"warning DNSSEC: the resolver does not verify"}},
		"zone is not signed":         {opts: testkit.DNSOptions{Authentic: true, Insecure: []string{"example.org"}}, want: []string{"warning DNSSEC: the zone of example.org is not signed"}},
		"no mx":                      {old: "example.org MX 10 mail.example.org\n", want: []string{"error MX: there is no MX record"}},
		"null mx":                    {old: "MX 10 mail.example.org", new: "MX 0 .", want: []string{"error MX: the MX record says that the domain takes no mail"}},
		"mx is another server":       {old: "MX 10 mail.example.org", new: "MX 10 x.example\nx.example A 192.0.2.9", want: []string{"warning MX: mail goes to x.example, which is not this server"}},
		"mx is another name":         {old: "MX 10 mail.example.org", new: "MX 10 x.example\nx.example A 192.0.2.1", want: []string{"warning MX: mail goes to x.example, with addresses of this server"}},
		"mx is partly ours":          {old: "MX 10 mail.example.org", new: "MX 10 x.example\nx.example A 192.0.2.1\nx.example A 192.0.2.9", want: []string{"error MX: mail goes to x.example, only some"}},
		"mx without addresses":       {old: "MX 10 mail.example.org", new: "MX 10 x.example", want: []string{"error MX: mail goes to x.example, which has no addresses"}},
		"host is loopback":           {old: "mail.example.org AAAA 2001:db8::1\n", new: "mail.example.org A 127.0.1.1\nmail.example.org AAAA 2001:db8::1\n", want: []string{"error HOST: mail.example.org has the address 127.0.1.1, at which nobody"}},
		"host has another address":   {old: "mail.example.org AAAA 2001:db8::1\n", new: "mail.example.org AAAA 2001:db8::1\nmail.example.org A 192.0.2.9\n", want: []string{"error HOST: mail.example.org has the address 192.0.2.9, which no listener"}},
		"no reverse name":            {old: "1.2.0.192.in-addr.arpa PTR mail.example.org\n", want: []string{"error IPREV: reverse name of 192.0.2.1: permerror"}},
		"another reverse name":       {old: "1.2.0.192.in-addr.arpa PTR mail.example.org", new: "1.2.0.192.in-addr.arpa PTR x.example\nx.example A 192.0.2.1", want: []string{"warning IPREV: reverse name of 192.0.2.1 is x.example, and not mail.example.org"}},
		"spf has not all addresses":  {old: `"v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 mx ~all"`, new: `"v=spf1 ip4:192.0.2.1 ~all"`, want: []string{"error SPF: mail from example.org sent by 2001:db8::1: softfail"}},
		"no spf of the host":         {old: `mail.example.org TXT "v=spf1 a -all"` + "\n", want: []string{"error SPF: mail from mail.example.org sent by 192.0.2.1: none", "error SPF: mail from mail.example.org sent by 2001:db8::1: none"}},
		"another key":                {old: "p=O2on", new: "p=P2on", want: []string{"error DKIM: the record at 2026b._domainkey.example.org has another key"}},
		"two keys":                   {old: "2026b._domainkey", new: "2026b._domainkey.example.org TXT \"x\"\n2026b._domainkey", want: []string{"error DKIM: 2 TXT records"}},
		"no key":                     {old: "2026b._domainkey", new: "2026x._domainkey", want: []string{"error DKIM: there is no TXT record at 2026b._domainkey.example.org"}},
		"no dmarc":                   {old: "_dmarc.example.org TXT \"v=DMARC1", new: "_dmarc.example.org TXT \"x", want: []string{"error DMARC: 0 DMARC records"}},
		"dmarc policies are none":    {old: "p=reject", new: "p=none;sp=none", want: []string{"warning DMARC: the policy is none", "warning DMARC: the policy for names below"}},
		"dmarc reports go elsewhere": {old: "mailto:dmarc%21reports", new: "mailto:other", want: []string{"error DMARC: reports do not go to mailto:dmarc%21reports@example.org"}},
		"tls reports go elsewhere":   {old: "tlsreports@mail", new: "other@mail", want: []string{"error TLSRPT: reports about mail.example.org do not go to"}},
		"no record for tls reports":  {old: "_smtp._tls.example.org", new: "x.example.org", want: []string{"error TLSRPT: there is no record at _smtp._tls.example.org"}},
		"failing lookups":            {opts: testkit.DNSOptions{Authentic: true, Faults: map[string]testkit.DNSFault{"_dmarc.example.org": testkit.DNSServFail}}, want: []string{"error DMARC: _dmarc.example.org: "}},
		"services": {s: &withIMAPS, old: "example.org NS", new: "_imap._tcp.example.org SRV 0 0 0 .\n_pop3._tcp.example.org SRV 0 1 110 pop.example\nexample.org NS",
			want: []string{"warning DANE: mail.example.org has no keys that stay the same", "error SRV: there is no record for imaps", "warning SRV: no record says that there is no service submissions", "warning SRV: no record says that there is no service submission", "error SRV: the record for pop3 leads to pop.example port 110, but", "warning SRV: no record says that there is no service pop3s"}},
		"service elsewhere": {s: &withIMAPS, old: "example.org NS", new: "_imaps._tcp.example.org SRV 0 0 993 x.example\n_imap._tcp.example.org SRV 0 0 0 .\n_pop3._tcp.example.org SRV 0 0 0 .\n_pop3s._tcp.example.org SRV 0 0 0 .\n_submission._tcp.example.org SRV 0 0 0 .\n_submissions._tcp.example.org SRV 0 0 0 .\nexample.org NS",
			want: []string{"warning DANE: mail.example.org has no keys that stay the same", "error SRV: the record for imaps leads to x.example port 993, and not to mail.example.org port 993"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf, opts := tc.s, tc.opts
			if conf == nil {
				conf = s
			}
			if tc.old != "" {
				opts.Authentic = true
			}
			if !strings.Contains(checkZone, tc.old) {
				t.Fatalf("%q is not in the zone", tc.old)
			}
			opts.Zone = strings.Replace(checkZone, tc.old, tc.new, 1)
			var got []string
			for _, f := range findings(t, conf, opts) {
				if f.Severity != OK && f.Check != "MTA-STS" {
					got = append(got, fmt.Sprintf("%s %s: %s", f.Severity, f.Check, f.Text))
				}
			}
			for i := range max(len(got), len(tc.want)) {
				if i >= len(got) || i >= len(tc.want) || !strings.HasPrefix(got[i], tc.want[i]) {
					t.Fatalf("got %q, expected %q", got, tc.want)
				}
			}
		})
	}
}
