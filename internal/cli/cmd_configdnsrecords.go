package cli

import (
	"context"
	"flag"
	"time"

	"mox/config"
	"mox/internal/admin"
)

// signedTime is how long it may take to see whether the zone of the server is signed.
const signedTime = 10 * time.Second

var cmdConfigDNSRecords = command{
	words: "config dnsrecords",
	args:  "domain",
	help: `Print the DNS records that a domain in domains.conf needs, as lines for a zone file.

Comments say what each is for. Records are printed for what is configured: keys of the
server (TLSA, for DANE), who gets mail and sends it (MX, SPF), keys for signatures (DKIM),
the policy for mail that is not proven (DMARC), that for encrypted connections (MTA-STS),
addresses for reports (DMARC and TLSRPT), how programs of users find the server, and who may
make certificates (CAA). The addresses of the server, and their reverse names, are not
among them.

Records that are not to be published as things are, are comments: those for DANE if the
zone of the server is not signed with DNSSEC, which is looked up; and those that bind the
domain to the account of this server at the authority for certificates, which are a choice.

The server is not needed. "config dnscheck" compares the records with those in DNS.

With -write, the zone is compared with them at the DNSProvider of the domain, what is
to be done is printed, and after a question, which -yes answers, it is done. Only texts that
have the same purpose as ours are replaced; all else in the zone stays as it is. -dryrun
only prints.

	mox config dnsrecords example.org >>example.org.zone
	mox config dnsrecords -write example.org
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var w zoneWrite
		fs.BoolVar(&w.write, "write", false, "write the records to the zone, at the DNSProvider of the domain")
		fs.BoolVar(&w.dry, "dryrun", false, "with -write, print what would be done, and do nothing")
		fs.BoolVar(&w.yes, "yes", false, "with -write, do not ask")
		return func(ctx context.Context, e *env, args []string) error {
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
			resolver, err := e.resolver()
			if err != nil {
				return err
			}
			lctx, cancel := context.WithTimeout(ctx, signedTime)
			defer cancel()
			// That it cannot be looked up is no reason to print nothing.
			_, r, _ := resolver.LookupIP(lctx, "ip", s.Hostname.ASCII+".")
			l, err := admin.DNSRecords(s, d, admin.RecordOptions{Signed: r.Authentic})
			if err != nil {
				return err
			}
			if w.write {
				z, err := admin.OpenZone(ctx, s, resolver, d)
				if err != nil {
					return err
				}
				return w.run(ctx, e, z, l)
			}
			return admin.WriteZone(e.out, l)
		}
	},
}
