package cli

import (
	"context"
	"flag"
	"fmt"
	"time"

	"mox/dns"
	"mox/publicsuffix"
	"mox/rdap"
)

var cmdRDAPDomainAge = command{
	words: "rdap domainage",
	args:  "domain",
	help: `Ask the registry of a domain since when it is registered.

Domains that were registered just now are often used for fraud. For a name below a domain
that can be registered, that one is asked about. Not all registries have a server, and some
do not tell the date.
`,
	setup: func(*flag.FlagSet) runFunc { return runRDAPDomainAge },
}

func runRDAPDomainAge(ctx context.Context, e *env, args []string) error {
	if len(args) != 1 {
		return usageError("")
	}
	d, err := dns.ParseDomain(args[0])
	if err != nil {
		return fmt.Errorf("domain: %w", err)
	}
	if org, ok := publicsuffix.Organization(d, false); ok {
		d = org
	}
	return domainAge(ctx, e, rdap.New(rdap.Options{}), d)
}

// domainAge prints since when a domain is registered.
func domainAge(ctx context.Context, e *env, c *rdap.Client, d dns.Domain) error {
	at, err := c.Registered(ctx, d)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s was registered %s, %d days ago\n", d, at.UTC().Format(time.DateTime), int(time.Since(at)/(24*time.Hour)))
	return err
}
