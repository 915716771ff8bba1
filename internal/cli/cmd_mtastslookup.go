package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"mox/dns"
	"mox/mtasts"
)

var cmdMTASTSLookup = command{
	words: "mtasts lookup",
	args:  "domain",
	help: `Look up the MTA-STS record of a domain, fetch its policy, and check its MX hosts.

It is an error if there is no policy, or if a host in the MX records of the domain is not
allowed by it.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) error {
			return runMTASTSLookup(ctx, e, args, mtasts.FetchOptions{})
		}
	},
}

func runMTASTSLookup(ctx context.Context, e *env, args []string, opts mtasts.FetchOptions) error {
	if len(args) != 1 {
		return usageError("")
	}
	domain, err := dns.ParseDomain(args[0])
	if err != nil {
		return usageError(err.Error())
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	record, res, err := mtasts.LookupRecord(ctx, e.log, r, domain)
	if err != nil {
		return fmt.Errorf("%w (%s)", err, dnssec(res.Authentic))
	}
	fmt.Fprintf(e.out, "_mta-sts.%s TXT %s\n%s\n\n", domain, quoteTXT(record.String()), dnssec(res.Authentic))
	fmt.Fprintf(e.out, "%s\n", mtasts.PolicyURL(domain))
	policy, text, err := mtasts.Fetch(ctx, e.log, r, domain, opts)
	for line := range strings.SplitSeq(strings.TrimRight(text, "\r\n"), "\n") {
		if text != "" {
			fmt.Fprintf(e.out, "\t%s\n", printableText(strings.TrimSuffix(line, "\r")))
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "valid for %s\n\n", policy.MaxAge.Round(time.Second))
	return checkPolicyHosts(ctx, e, r, domain, policy)
}

// checkPolicyHosts prints whether the hosts of a domain are allowed by its policy.
func checkPolicyHosts(ctx context.Context, e *env, r dns.Resolver, domain dns.Domain, policy mtasts.Policy) error {
	records, _, err := r.LookupMX(ctx, domain.ASCII)
	if err != nil && !errors.Is(err, dns.ErrNotFound) {
		return err
	}
	hosts := []string{domain.ASCII}
	if err == nil {
		hosts = nil
		for _, mx := range records {
			hosts = append(hosts, mx.Host)
		}
	}
	refused := 0
	for _, h := range hosts {
		d, err := dns.ParseDomainLax(h)
		if err == nil && policy.Matches(d) {
			fmt.Fprintf(e.out, "mx %s is allowed\n", name2text(h))
			continue
		}
		refused++
		fmt.Fprintf(e.out, "mx %s is NOT allowed\n", name2text(h))
	}
	if refused > 0 {
		return fmt.Errorf("policy does not allow %d of %d mx hosts", refused, len(hosts))
	}
	return nil
}
