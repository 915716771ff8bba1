package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"mox/spf"
)

var cmdSPFParse = command{
	words: "spf parse",
	args:  "record",
	help: `Parse an SPF record and say what each of its terms means.

The record is text as in a TXT record, best in quotes. Nothing is looked up.

	mox spf parse "v=spf1 mx include:_spf.example.net -all"
`,
	setup: func(*flag.FlagSet) runFunc { return runSPFParse },
}

func runSPFParse(_ context.Context, e *env, args []string) error {
	if len(args) == 0 {
		return usageError("")
	}
	r, err := spf.Parse(strings.Join(args, " "))
	if err != nil {
		return err
	}
	return writeSPF(e, r)
}

// writeSPF writes a record in words.
func writeSPF(e *env, r spf.Record) error {
	w := tabwriter.NewWriter(e.out, 0, 8, 2, ' ', 0)
	lookups := 0
	all := false
	for _, d := range r.Directives {
		fmt.Fprintf(w, "%s\t%s: %s\n", d, d.Qualifier.Status(), matchText(d))
		switch d.Mechanism {
		case spf.IP4, spf.IP6:
		case spf.All:
			all = true
		default:
			lookups++
		}
	}
	if r.Redirect != "" {
		fmt.Fprintf(w, "redirect=%s\tif nothing matches, the record of %s decides\n", r.Redirect, r.Redirect)
		if !all {
			lookups++
		}
	}
	if r.Exp != "" {
		fmt.Fprintf(w, "exp=%s\ta text for a fail is in the TXT record of %s\n", r.Exp, r.Exp)
	}
	for _, m := range r.Modifiers {
		fmt.Fprintf(w, "%s=%s\tunknown, ignored\n", m.Name, m.Value)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.out, "terms that need DNS lookups: %d here, of at most %d with those in records it refers to\n", lookups, spf.MaxTerms)
	for _, s := range spfNotes(r, all) {
		fmt.Fprintln(e.out, "note:", s)
	}
	return err
}

// matchText says when a directive matches.
func matchText(d spf.Directive) string {
	domain := d.Domain
	if domain == "" {
		domain = "the domain"
	}
	switch d.Mechanism {
	case spf.All:
		return "any address"
	case spf.Include:
		return "addresses that pass for " + domain
	case spf.A:
		return "addresses of " + domain + near(d)
	case spf.MX:
		return "addresses of the MX hosts of " + domain + near(d)
	case spf.PTR:
		return "addresses with a verified name in " + domain
	case spf.IP4, spf.IP6:
		if d.Net.IsSingleIP() {
			return "address " + d.Net.Addr().String()
		}
		return "addresses in " + d.Net.Masked().String()
	case spf.Exists:
		return "any address, if " + domain + " has an A record"
	}
	return ""
}

// near returns the words for prefix lengths of a directive.
func near(d spf.Directive) string {
	var l []string
	if d.IP4Len != nil {
		l = append(l, fmt.Sprintf("/%d for IPv4", *d.IP4Len))
	}
	if d.IP6Len != nil {
		l = append(l, fmt.Sprintf("/%d for IPv6", *d.IP6Len))
	}
	if l == nil {
		return ""
	}
	return " and their networks (" + strings.Join(l, ", ") + ")"
}

// spfNotes returns what an operator may not have meant.
func spfNotes(r spf.Record, all bool) []string {
	var l []string
	for i, d := range r.Directives {
		switch {
		case d.Mechanism == spf.All && d.Qualifier.Status() == spf.StatusPass:
			l = append(l, "all hosts of the world may send for this domain")
		case d.Mechanism == spf.PTR:
			l = append(l, "ptr is slow and unreliable, and should not be published (RFC 7208 §5.5)")
		}
		if d.Mechanism == spf.All && i < len(r.Directives)-1 {
			l = append(l, "what follows all is never used")
			break
		}
	}
	switch {
	case all && r.Redirect != "":
		l = append(l, "redirect is ignored next to all")
	case !all && r.Redirect == "":
		l = append(l, "without all at the end, other addresses are neutral")
	}
	return l
}
