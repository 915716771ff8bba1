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

Looked up are signatures of the zone (DNSSEC), the addresses of the server (HOST) and
their reverse names (IPREV), where mail goes (MX), who may send (SPF, for the domain and
the server, from each address), the keys of the configuration (DKIM), the policy and the
addresses for reports (DMARC and TLSRPT), and how programs of users find the server (SRV).
Each line is a result: ok, warning or error. The exit code is 1 if there are errors. No
connections to mail servers are made, and the server is not needed.
`,
	setup: func(fs *flag.FlagSet) runFunc {
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
			resolver, err := e.resolver()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, dnsCheckTime)
			defer cancel()
			l, err := admin.DNSChecker{Resolver: resolver, Log: e.log}.Check(ctx, s, d)
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
		if _, err := fmt.Fprintf(e.out, "%-7s %-8s %s\n", f.Severity, f.Check, strings.ReplaceAll(f.Text, "\n", " ")); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d errors", failed)
	}
	return nil
}
