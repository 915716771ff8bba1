package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"mox/dmarc"
	"mox/dns"
)

var cmdDMARCLookup = command{
	words: "dmarc lookup",
	args:  "domain",
	help: `Look up the DMARC policy that applies to mail from a domain.

The record is that of the domain, or else of its organizational domain, or else of the
public suffix above that, which are found by looking at its parent domains. What is
ignored in the record is printed as a note. It is an error if there is no record.
`,
	setup: func(*flag.FlagSet) runFunc { return runDMARCLookup },
}

// domainArg returns the domain that is the only argument.
func domainArg(args []string) (dns.Domain, error) {
	if len(args) != 1 {
		return dns.Domain{}, usageError("")
	}
	d, err := dns.ParseDomainLax(args[0])
	if err != nil {
		return dns.Domain{}, usageError(err.Error())
	}
	return d, nil
}

func runDMARCLookup(ctx context.Context, e *env, args []string) error {
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
	walk, walkErr := w.Walk(ctx, domain)
	if walkErr != nil {
		fmt.Fprintf(e.out, "organizational domain: unknown, %s\n", printableText(walkErr.Error()))
	} else {
		fmt.Fprintf(e.out, "organizational domain: %s\n", walk.OrgDomain)
	}
	writeDMARCRecord(e, res)
	return nil
}

// lookupDMARC finds and prints the record that applies to a domain. The error says
// so if there is none. A record without a valid policy is no error.
func lookupDMARC(ctx context.Context, e *env, w *dmarc.Walker, domain dns.Domain) (dmarc.Result, error) {
	res := w.Verify(ctx, dmarc.Args{From: domain})
	if res.Record == nil {
		if res.Err != nil {
			return res, res.Err
		}
		return res, noDMARCRecord(ctx, w, domain, res.Authentic)
	}
	fmt.Fprintf(e.out, "_dmarc.%s TXT %s\n%s\n\n", res.Domain, quoteTXT(w.Entry(ctx, res.Domain).Texts[0]), dnssec(res.Authentic))
	return res, nil
}

// noDMARCRecord returns an error that says where no record was found.
func noDMARCRecord(ctx context.Context, w *dmarc.Walker, domain dns.Domain, authentic bool) error {
	walk, err := w.Walk(ctx, domain)
	if err != nil {
		return err
	}
	var asked []string
	for _, entry := range walk.Entries {
		s := entry.Domain.ASCII
		if len(entry.Texts) > 1 {
			s += fmt.Sprintf(" (has %d, and only one may be there)", len(entry.Texts))
		}
		asked = append(asked, s)
	}
	return fmt.Errorf("no dmarc record at _dmarc. of %s (%s)", strings.Join(asked, ", "), dnssec(authentic))
}

// writeDMARCRecord prints what a record means for the domain it was looked up for.
func writeDMARCRecord(e *env, res dmarc.Result) {
	rec := res.Record
	if !rec.Usable() {
		fmt.Fprintf(e.out, "policy: none can be applied, %s\n", dmarc.ErrUnusable)
	} else {
		fmt.Fprintf(e.out, "policy for %s: %s (tag %s)\n", res.From, res.Policy, res.PolicyTag)
		if res.Domain == res.From {
			exist, tag := rec.ForSubdomain(true)
			fmt.Fprintf(e.out, "policy for subdomains that have no record: %s (tag %s)\n", exist, tag)
			absent, tag := rec.ForSubdomain(false)
			fmt.Fprintf(e.out, "policy for subdomains that do not exist: %s (tag %s)\n", absent, tag)
		}
		if res.Applied != res.Policy {
			fmt.Fprintf(e.out, "for testing, it is applied as %s (tag t)\n", res.Applied)
		}
	}
	mode := func(m dmarc.AlignMode) string {
		if m == dmarc.ModeStrict {
			return "strict"
		}
		return "relaxed"
	}
	fmt.Fprintf(e.out, "alignment: dkim %s, spf %s\n", mode(rec.ADKIM), mode(rec.ASPF))
	if rec.PSD == dmarc.PSDYes {
		fmt.Fprintf(e.out, "%s is a public suffix\n", res.Domain)
	}
	for _, u := range rec.RUA {
		fmt.Fprintf(e.out, "aggregate reports: %s\n", u)
	}
	for _, u := range rec.FailureURIs() {
		fmt.Fprintf(e.out, "failure reports: %s\n", u)
	}
	if rec.Assumed {
		fmt.Fprintf(e.out, "note: for what is wrong with the policies, p=none is assumed\n")
	}
	for _, n := range rec.Notes {
		fmt.Fprintf(e.out, "note: %s\n", printableText(n.String()))
	}
}
