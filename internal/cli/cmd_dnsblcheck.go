package cli

import (
	"context"
	"flag"
	"fmt"
	"net"
	"slices"

	"mox/dns"
	"mox/dnsbl"
)

var cmdDNSBLCheck = command{
	words: "dnsbl check",
	args:  "zone ... ip",
	help: `Ask DNS blocklists whether they list an address.

Lists that refuse to answer, often because they are asked through a public resolver, or
that do not answer as lists do, are printed as such and do not count as listings. The
exit code is zero whether or not the address is listed, and 1 if a list gave no answer.

	mox dnsbl check sbl.spamhaus.org bl.spamcop.net 192.0.2.1
`,
	setup: func(*flag.FlagSet) runFunc { return runDNSBLCheck },
}

func runDNSBLCheck(ctx context.Context, e *env, args []string) error {
	if len(args) < 2 {
		return usageError("")
	}
	ip, err := parseIP(args[len(args)-1])
	if err != nil {
		return err
	}
	zones, err := parseZones(args[:len(args)-1])
	if err != nil {
		return err
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	results := dnsbl.LookupAll(ctx, nil, r, zones, ip)
	for _, res := range results {
		switch res.Status {
		case dnsbl.StatusListed:
			fmt.Fprintf(e.out, "%s: listed with %v (%s)\n", res.Zone, res.Codes, dnssec(res.Authentic))
			if res.Explanation != "" {
				fmt.Fprintf(e.out, "%s explains: %s\n", res.Zone, res.Explanation)
			}
		case dnsbl.StatusPass:
			fmt.Fprintf(e.out, "%s: not listed (%s)\n", res.Zone, dnssec(res.Authentic))
		default:
			fmt.Fprintf(e.out, "%s: no answer: %s\n", res.Zone, printableText(res.Err.Error()))
		}
	}
	if slices.ContainsFunc(results, func(r dnsbl.Result) bool { return r.Err != nil }) {
		return fmt.Errorf("a list gave no answer (\"mox dnsbl checkhealth\" says whether it works)")
	}
	return nil
}

// parseZones parses names of blocklists on a command line.
func parseZones(args []string) ([]dns.Domain, error) {
	var zones []dns.Domain
	for _, s := range args {
		d, err := dns.ParseDomainLax(s)
		if err != nil {
			if net.ParseIP(s) != nil {
				return nil, usageError(fmt.Sprintf("%q is an address where the name of a blocklist is needed", s))
			}
			return nil, usageError(fmt.Sprintf("name of blocklist: %s", err))
		}
		zones = append(zones, d)
	}
	return zones, nil
}
