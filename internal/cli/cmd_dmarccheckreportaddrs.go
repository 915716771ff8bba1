package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"mox/dmarc"
)

var cmdDMARCCheckReportAddrs = command{
	words: "dmarc checkreportaddrs",
	args:  "domain",
	help: `Check that the addresses in a DMARC record will be sent reports about the domain.

Others send reports to an address in another organization only if its domain has a
record that says that it wants them. For each address that lacks one, the record to
publish is printed, and the exit code is 1.
`,
	setup: func(*flag.FlagSet) runFunc { return runDMARCCheckReportAddrs },
}

func runDMARCCheckReportAddrs(ctx context.Context, e *env, args []string) error {
	domain, err := domainArg(args)
	if err != nil {
		return err
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	w := dmarc.NewWalker(nil, r)
	res, err := lookupDMARC(ctx, e, w, domain)
	if err != nil {
		return err
	}
	rec := res.Record
	for _, n := range rec.Notes {
		if n.Tag == "rua" || n.Tag == "ruf" {
			fmt.Fprintf(e.out, "note: %s\n", printableText(n.String()))
		}
	}
	bad := 0
	check := func(tag string, uris []dmarc.URI, kind dmarc.ReportKind) {
		for _, u := range uris {
			d := w.CheckDestination(ctx, res.Domain, u, kind)
			fmt.Fprintf(e.out, "%s %s: %s\n", tag, u, destinationText(d))
			if errors.Is(d.Err, dmarc.ErrUnauthorized) && len(d.Send) == 0 && d.Name != "" {
				fmt.Fprintf(e.out, "\tto be published: %s. TXT \"%s\"\n", d.Name, d.Record)
			}
			if d.Err != nil {
				bad++
			}
		}
	}
	check("rua", rec.RUA, dmarc.Aggregate)
	check("ruf", rec.FailureURIs(), dmarc.Failure)
	if n := len(rec.RUF) - len(rec.FailureURIs()); n > 0 {
		fmt.Fprintf(e.out, "ruf: not used, since %s is a public suffix\n", res.Domain)
	}
	switch total := len(rec.RUA) + len(rec.FailureURIs()); {
	case bad > 0:
		return fmt.Errorf("%d of %d addresses will not be sent reports", bad, total)
	case total == 0:
		_, err = fmt.Fprintln(e.out, "the record asks for no reports")
	}
	return err
}

func destinationText(d dmarc.Destination) string {
	switch {
	case d.Err != nil:
		return printableText(d.Err.Error())
	case !d.External:
		return "ok, in the same organization"
	case len(d.Send) != 1 || d.Send[0] != d.URI:
		return fmt.Sprintf("ok, reports go to %s instead (%s)", d.Send, dnssec(d.Authentic))
	}
	return fmt.Sprintf("ok, accepted by %s (%s)", d.Host, dnssec(d.Authentic))
}
