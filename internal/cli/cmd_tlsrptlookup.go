package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"mox/dns"
	"mox/tlsrpt"
)

var cmdTLSRPTLookup = command{
	words: "tlsrpt lookup",
	args:  "domain",
	help: `Look up where a domain wants reports about TLS.

It is an error if there is no record, if there are several, or if it is malformed.
`,
	setup: func(*flag.FlagSet) runFunc { return runTLSRPTLookup },
}

func runTLSRPTLookup(ctx context.Context, e *env, args []string) error {
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
	record, txt, res, err := tlsrpt.Lookup(ctx, e.log, r, domain)
	if txt != "" {
		fmt.Fprintf(e.out, "_smtp._tls.%s TXT %s\n%s\n", domain, quoteTXT(txt), dnssec(res.Authentic))
	}
	if errors.Is(err, tlsrpt.ErrNoRecord) {
		return fmt.Errorf("%w (%s)", err, dnssec(res.Authentic))
	} else if err != nil {
		return err
	}
	fmt.Fprintln(e.out)
	for _, u := range record.RUA {
		fmt.Fprintln(e.out, describeRUA(u))
	}
	for _, x := range record.Extensions {
		fmt.Fprintf(e.out, "%s=%s: unknown, ignored\n", x.Name, x.Value)
	}
	return nil
}

// describeRUA returns what a URI of a record means.
func describeRUA(u tlsrpt.RUA) string {
	switch u.Scheme() {
	case "mailto":
		a, err := u.Address()
		if err != nil {
			return fmt.Sprintf("not usable: %s", err)
		}
		return fmt.Sprintf("reports by mail to %s", a)
	case "https":
		v, err := u.URL()
		if err != nil {
			return fmt.Sprintf("not usable: %s", err)
		}
		return fmt.Sprintf("reports by POST to %s", v)
	}
	return fmt.Sprintf("not usable: %q has another scheme than mailto and https", string(u))
}
