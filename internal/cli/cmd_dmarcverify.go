package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"mox/dkim"
	"mox/dmarc"
	"mox/dns"
	"mox/message"
	"mox/smtp"
	"mox/spf"
)

var cmdDMARCVerify = command{
	words: "dmarc verify",
	args:  "ip mailfrom ehlo [file]",
	help: `Verify a message with SPF, DKIM and DMARC as if it came in by SMTP.

The arguments are the address of the SMTP client, the address in MAIL FROM ("" or "<>"
for a bounce) and the name in EHLO. The message is read from standard input if no file
is given. The exit code is zero whatever the result is.

	mox dmarc verify 192.0.2.1 ann@example.org mail.example.org message.eml
`,
	setup: func(*flag.FlagSet) runFunc { return runDMARCVerify },
}

func runDMARCVerify(ctx context.Context, e *env, args []string) error {
	if len(args) != 3 && len(args) != 4 {
		return usageError("")
	}
	spfArgs, err := parseSPFArgs(args)
	if err != nil {
		return err
	}
	msg, err := readMail(e, args[3:])
	if err != nil {
		return err
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	h := message.ParseHeader(msg, message.Limits{})
	from, err := dmarc.FromDomains(&h)
	if err != nil {
		return err
	}
	spfResult := spf.Check(ctx, nil, r, spfArgs)
	sigs, err := dkim.Verify(ctx, nil, r, bytes.NewReader(msg), int64(len(msg)), dkim.VerifyOptions{})
	if err != nil {
		return fmt.Errorf("verify signatures: %w", err)
	}
	dmarcArgs := dmarc.Args{SPF: dmarc.SPFIdentifier{Domain: spfResult.Domain, Status: spfResult.Status}}
	for _, s := range sigs {
		// Results without a signature cannot pass.
		if s.Signature != nil {
			dmarcArgs.DKIM = append(dmarcArgs.DKIM, dmarc.DKIMIdentifier{Domain: s.Signature.Domain, Selector: s.Signature.Selector.ASCII, Status: s.Status})
		}
	}
	res, all := dmarc.NewWalker(nil, r).VerifyAll(ctx, from, dmarcArgs)
	writeSPFAndDKIM(e, spfResult, sigs)
	for _, one := range all {
		if len(all) > 1 {
			fmt.Fprintln(e.out)
		}
		writeDMARCResult(e, one)
	}
	if len(all) > 1 {
		_, err = fmt.Fprintf(e.out, "\nwith %d domains in From, what counts is %s for %s\n", len(all), res.Status, res.From)
	}
	return err
}

func parseSPFArgs(args []string) (spf.Args, error) {
	var a spf.Args
	var err error
	if a.RemoteIP, err = parseIP(args[0]); err != nil {
		return a, err
	}
	if args[1] != "" && args[1] != "<>" {
		addr, err := smtp.ParseAddress(args[1], smtp.Lenient)
		if err != nil {
			return a, usageError(fmt.Sprintf("%q is not an address for MAIL FROM: %s", args[1], err))
		}
		a.MailFrom = addr.Path()
	}
	if a.HELO, err = smtp.ParseEHLO(args[2], smtp.Lenient); err != nil {
		return a, usageError(fmt.Sprintf("%q is not a name for EHLO: %s", args[2], err))
	}
	return a, nil
}

// readMail reads a message from the file in args, or standard input, with the line
// ends that it has in transport.
func readMail(e *env, args []string) ([]byte, error) {
	data, err := readInput(e, args)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = message.NewCRLFWriter(&b).Write(data)
	return b.Bytes(), err
}

// readInput reads the file in args, or standard input if there is none.
func readInput(e *env, args []string) ([]byte, error) {
	if len(args) == 0 {
		return io.ReadAll(e.in)
	}
	return os.ReadFile(args[0])
}

func writeSPFAndDKIM(e *env, s spf.Result, sigs []dkim.Result) {
	fmt.Fprintf(e.out, "spf: %s", s.Status)
	if !s.Domain.IsZero() {
		fmt.Fprintf(e.out, " for %s (%s)", s.Domain, s.Identity)
	}
	fmt.Fprintln(e.out, problem(s.Err))
	if len(sigs) == 0 {
		fmt.Fprintf(e.out, "dkim: %s\n", dkim.StatusNone)
	}
	for _, sig := range sigs {
		fmt.Fprintf(e.out, "dkim: %s", sig.Status)
		if sig.Signature != nil {
			fmt.Fprintf(e.out, " for %s (selector %s)", sig.Signature.Domain, sig.Signature.Selector)
		}
		fmt.Fprintln(e.out, problem(sig.Err))
	}
}

// problem returns the end of a line about an error, if there is one.
func problem(err error) string {
	if err == nil {
		return ""
	}
	return ": " + printableText(err.Error())
}

func writeDMARCResult(e *env, res dmarc.Result) {
	fmt.Fprintf(e.out, "dmarc: %s for %s%s\n", res.Status, res.From, problem(res.Err))
	if res.Status == dmarc.StatusPass {
		if res.AlignedSPF {
			fmt.Fprintf(e.out, "aligned: spf of %s\n", res.SPF.Domain)
		}
		for _, d := range res.DKIM {
			if d.Alignment != dmarc.Unaligned {
				fmt.Fprintf(e.out, "aligned: dkim of %s (%s)\n", d.Domain, d.Alignment)
			}
		}
	}
	if res.Policy != "" {
		fmt.Fprintf(e.out, "policy: %s, tag %s of the record of %s\n", res.Policy, res.PolicyTag, res.Domain)
		fmt.Fprintf(e.out, "asked for: %s\n", whatToDo(res))
	}
	if org := res.OrgDomain; org != (dns.Domain{}) {
		fmt.Fprintf(e.out, "organizational domain: %s\n", org)
	}
	fmt.Fprintln(e.out, dnssec(res.Authentic))
}

// whatToDo says what the owner of a domain wants to become of a message.
func whatToDo(res dmarc.Result) string {
	switch {
	case res.Status != dmarc.StatusFail:
		return "nothing, since it did not fail"
	case res.Requested() == dmarc.PolicyNone && len(res.Overrides) > 0:
		return "nothing, since the policy is being tested"
	case res.Requested() == dmarc.PolicyNone:
		return "nothing"
	case len(res.Overrides) > 0:
		return string(res.Requested()) + ", since the policy is being tested"
	}
	return string(res.Requested())
}
