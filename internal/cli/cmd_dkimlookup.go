package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"mox/dkim"
	"mox/dns"
)

var cmdDKIMLookup = command{
	words: "dkim lookup",
	args:  "selector domain",
	help: `Look up the record with a key for DKIM and say what it means.

It is an error if there is none, if there are several, or if it is malformed.

	mox dkim lookup 2026a example.org
`,
	setup: func(*flag.FlagSet) runFunc { return runDKIMLookup },
}

func runDKIMLookup(ctx context.Context, e *env, args []string) error {
	if len(args) != 2 {
		return usageError("")
	}
	name, err := parseKeyName(args[0], args[1])
	if err != nil {
		return err
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	res := dkim.LookupKey(ctx, r, name)
	if res.Err != nil {
		return fmt.Errorf("%w (%s, %s)", res.Err, res.Status, dnssec(res.Authentic))
	}
	fmt.Fprintf(e.out, "%s TXT %s\n%s\n\n", name, quoteTXT(res.TXT), dnssec(res.Authentic))
	return writeDKIMRecord(e.out, res.Record)
}

// writeDKIMRecord says what a record means.
func writeDKIMRecord(w io.Writer, r *dkim.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "key: %s\n", dkimKeyText(r))
	if len(r.Hashes) > 0 {
		fmt.Fprintf(&b, "only for signatures with hash: %s\n", strings.Join(r.Hashes, ", "))
		if !r.HashAllowed(dkim.RSASHA256.Hash) {
			fmt.Fprintf(&b, "  so no signature can be good: sha1 must not be used\n")
		}
	}
	if len(r.Services) > 0 {
		fmt.Fprintf(&b, "only for services: %s\n", strings.Join(r.Services, ", "))
		if !r.ServiceAllowed("email") {
			fmt.Fprintf(&b, "  so it is not for e-mail\n")
		}
	}
	if r.Testing() {
		fmt.Fprintf(&b, "flag y: the domain is testing; signatures that do not verify count as none\n")
	}
	if r.Strict() {
		fmt.Fprintf(&b, "flag s: the domain of i= in signatures must be that of d=, not one below it\n")
	}
	if r.Notes != "" {
		fmt.Fprintf(&b, "notes: %s\n", printableText(r.Notes))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// dkimKeyText describes the key in a record.
func dkimKeyText(r *dkim.Record) string {
	switch {
	case r.Revoked():
		return "revoked, no signature with this selector is good"
	case r.PublicKey == nil:
		return fmt.Sprintf("of unknown type %s", printableText(r.KeyType))
	case r.Bits() == 0:
		return r.KeyType
	}
	text := fmt.Sprintf("%s with %d bits", r.KeyType, r.Bits())
	switch {
	case r.Bits() < dkim.MinRSABits:
		text += ", too few for any signature to be good"
	case r.Bits() > dkim.MaxRSABits:
		text += ", too many for verifiers"
	case r.Bits() < 2048:
		text += ", better are 2048"
	}
	return text
}

// parseDomain parses a domain on a command line.
func parseDomain(s string) (dns.Domain, error) {
	d, err := dns.ParseDomainLax(strings.TrimSuffix(s, "."))
	if err != nil {
		return dns.Domain{}, usageError(err.Error())
	}
	return d, nil
}
