package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"mox/dns"
	"mox/smtp"
	"mox/spf"
)

var cmdSPFCheck = command{
	words: "spf check",
	args:  "domain ip",
	help: `Check with SPF whether a host may send mail for a domain.

Instead of a domain, a whole address can be given, on which the record may depend. The
exit code is zero whatever the result of the check is.

	mox spf check example.org 192.0.2.1
	mox spf check -ehlo mail.example.org ann@example.org 2001:db8::1
`,
	setup: func(fs *flag.FlagSet) runFunc {
		ehlo := fs.String("ehlo", "", "`name` that the host gives in EHLO; if not given, the domain")
		return func(ctx context.Context, e *env, args []string) error {
			return runSPFCheck(ctx, e, args, *ehlo)
		}
	},
}

func runSPFCheck(ctx context.Context, e *env, args []string, ehlo string) error {
	if len(args) != 2 {
		return usageError("")
	}
	sender := args[0]
	if !strings.Contains(sender, "@") {
		sender = "postmaster@" + sender
	}
	addr, err := smtp.ParseAddress(sender, smtp.Lenient)
	if err != nil {
		return usageError(fmt.Sprintf("%q is not a domain or address: %s", args[0], err))
	}
	spfArgs := spf.Args{MailFrom: addr.Path(), HELO: dns.IPDomain{Domain: addr.Domain}}
	if spfArgs.RemoteIP, err = parseIP(args[1]); err != nil {
		return err
	}
	if ehlo != "" {
		if spfArgs.HELO, err = smtp.ParseEHLO(ehlo, smtp.Lenient); err != nil {
			return usageError(fmt.Sprintf("flag -ehlo: %s", err))
		}
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	res := spf.Check(ctx, nil, r, spfArgs)
	fmt.Fprintf(e.out, "%s\n", res.Status)
	if res.Mechanism != "" {
		fmt.Fprintf(e.out, "because of: %s\n", printableText(res.Mechanism))
	}
	if res.Err != nil {
		fmt.Fprintf(e.out, "problem: %s\n", printableText(res.Err.Error()))
	}
	if res.Explanation != "" {
		fmt.Fprintf(e.out, "%s explains: %s\n", res.Domain, res.Explanation)
	}
	_, err = fmt.Fprintln(e.out, dnssec(res.Authentic))
	return err
}
