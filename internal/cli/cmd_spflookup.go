package cli

import (
	"context"
	"flag"
	"fmt"

	"mox/dns"
	"mox/spf"
)

var cmdSPFLookup = command{
	words: "spf lookup",
	args:  "domain",
	help: `Look up the SPF record of a domain and say what each of its terms means.

It is an error if there is none, if there are several, or if it is malformed.
`,
	setup: func(*flag.FlagSet) runFunc { return runSPFLookup },
}

func runSPFLookup(ctx context.Context, e *env, args []string) error {
	if len(args) != 1 {
		return usageError("")
	}
	domain, err := dns.ParseDomainLax(args[0])
	if err != nil {
		return usageError(err.Error())
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	f, err := spf.Lookup(ctx, nil, r, domain)
	if f.Text != "" {
		fmt.Fprintf(e.out, "%s TXT %s\n%s\n", domain, quoteTXT(f.Text), dnssec(f.Authentic))
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out)
	return writeSPF(e, f.Record)
}
