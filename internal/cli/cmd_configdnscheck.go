package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"mox/config"
	"mox/internal/admin"
)

// dnsCheckTime is how long all lookups of a check may take.
const dnsCheckTime = 2 * time.Minute

var cmdConfigDNSCheck = command{
	words: "config dnscheck",
	args:  "domain",
	help: `Compare DNS with what a domain in domains.conf needs.

Looked at are, each with its name in the output:

	DNSSEC      signatures of the zone
	HOST        addresses of the server
	IPREV       reverse names of the addresses that mail is sent from
	MX          where mail goes
	TLS         the certificate at each address that mail goes to
	DANE        keys of the server in TLSA records
	MTA-STS     the policy for encrypted connections, as others get it
	SPF         who may send, for the domain and the server, from each address
	DKIM        the keys of the configuration
	DMARC       the policy, and addresses for reports, with the consent of their domains
	TLSRPT      addresses for reports about encrypted connections
	SRV         how programs of users find the server
	CLIENT      the names and ports that they connect to
	AUTOCONFIG  settings for mail programs, and for Outlook (autodiscover)
	CAA         whether the authority may make the certificates

Each line is a result: ok, warning or error, with what to do. The exit code is 1 if there
are errors. It connects to the servers that mail and mail programs are led to, from this
machine, which behind NAT may not be what others see; with -skipdial only DNS is looked at.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		skipDial := fs.Bool("skipdial", false, "connect to no server, only look up in DNS")
		quiet := fs.Bool("quiet", false, "print warnings and errors only")
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
			servers, err := e.resolvers()
			if err != nil {
				return err
			}
			resolver, err := e.resolverAt(servers)
			if err != nil {
				return err
			}
			roots, err := s.Authorities.Pool()
			if err != nil {
				return err
			}
			c := admin.DNSChecker{Resolver: resolver, Log: e.log, CAA: admin.CAALookup(servers), NoDial: *skipDial, Roots: roots}
			ctx, cancel := context.WithTimeout(ctx, dnsCheckTime)
			defer cancel()
			l, err := c.Check(ctx, s, d)
			return errors.Join(e.printFindings(l, *quiet), err)
		}
	},
}

// printFindings prints results of checks. It returns an error if one is.
func (e *env) printFindings(l []admin.Finding, quiet bool) error {
	failed := 0
	for _, f := range l {
		if f.Severity == admin.Failure {
			failed++
		}
		if quiet && f.Severity == admin.OK {
			continue
		}
		if _, err := fmt.Fprintf(e.out, "%-7s %-10s %s\n", f.Severity, f.Check, strings.ReplaceAll(f.Text, "\n", " ")); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d errors", failed)
	}
	return nil
}
