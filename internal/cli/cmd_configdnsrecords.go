package cli

import (
	"context"
	"flag"

	"mox/config"
	"mox/internal/admin"
)

var cmdConfigDNSRecords = command{
	words: "config dnsrecords",
	args:  "domain",
	help: `Print the DNS records that a domain in domains.conf needs, as lines for a zone file.

Comments say what each is for. Records are printed for what is configured: for who gets
mail and sends it (MX, SPF), keys for signatures (DKIM), the policy for mail that is not
proven (DMARC), addresses for reports (DMARC and TLSRPT), and how programs of users find
the server (SRV). The addresses of the server, and their reverse names, are not among
them. The server is not needed; "config dnscheck" compares the records with those in DNS.

	mox config dnsrecords example.org >>example.org.zone
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return usageError("")
			}
			d, err := parseDomain(args[0])
			if err != nil {
				return err
			}
			s, err := config.Load(e.configPath, e.overrides...)
			if err != nil {
				return err
			}
			l, err := admin.DNSRecords(s, d)
			if err != nil {
				return err
			}
			return admin.WriteZone(e.out, l)
		}
	},
}
