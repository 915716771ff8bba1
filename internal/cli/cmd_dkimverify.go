package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"mox/dkim"
)

var cmdDKIMVerify = command{
	words: "dkim verify",
	args:  "[file]",
	help: `Verify the DKIM signatures of a message, with keys from DNS.

The message is read from standard input if no file is given. It is as it was received:
a program that has changed it since may have broken signatures. Bare line feeds count as
CRLF. The exit code is zero whatever the results are.

Results are none, pass, fail, policy (it may verify, and is not acceptable, such as
because the subject is not signed), neutral (it cannot be parsed), temperror (a lookup
failed in a way that may pass) and permerror.
`,
	setup: func(*flag.FlagSet) runFunc { return runDKIMVerify },
}

func runDKIMVerify(ctx context.Context, e *env, args []string) error {
	if len(args) > 1 {
		return usageError("")
	}
	msg, err := readMail(e, args)
	if err != nil {
		return err
	}
	r, err := e.resolver()
	if err != nil {
		return err
	}
	results, err := dkim.Verify(ctx, nil, r, bytes.NewReader(msg), int64(len(msg)), dkim.VerifyOptions{})
	if err != nil {
		return err
	}
	if len(results) == 0 {
		_, err := fmt.Fprintln(e.out, "none: the message has no DKIM signature")
		return err
	}
	for i, res := range results {
		if i > 0 {
			fmt.Fprintln(e.out)
		}
		if err := writeDKIMResult(e, res); err != nil {
			return err
		}
	}
	return nil
}

func writeDKIMResult(e *env, r dkim.Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", r.Status)
	if r.Err != nil {
		fmt.Fprintf(&b, ": %s", printableText(r.Err.Error()))
	}
	b.WriteString("\n")
	if s := r.Signature; s != nil {
		fmt.Fprintf(&b, "  domain %s, selector %s, %s, %s/%s\n", s.Domain, s.Selector, s.Algorithm, s.HeaderCanon, s.BodyCanon)
		fmt.Fprintf(&b, "  signed: %s\n", printableText(strings.Join(s.SignedHeaders, ", ")))
		if s.Identity != nil {
			fmt.Fprintf(&b, "  on behalf of: %s\n", printableText(s.Identity.String()))
		}
		if s.Length >= 0 {
			fmt.Fprintf(&b, "  only the first %d bytes of the body are signed\n", s.Length)
		}
		writeDKIMTime(&b, "signed at", s.SignTime)
		writeDKIMTime(&b, "expires", s.ExpireTime)
	}
	if r.Record != nil {
		fmt.Fprintf(&b, "  key: %s\n", dkimKeyText(r.Record))
	}
	if r.Record != nil || r.RecordAuthentic {
		fmt.Fprintf(&b, "  %s\n", dnssec(r.RecordAuthentic))
	}
	_, err := e.out.Write([]byte(b.String()))
	return err
}

// writeDKIMTime writes a time of a signature, if it has one that is in a year of four
// digits.
func writeDKIMTime(b *strings.Builder, what string, seconds int64) {
	const end = 253402300800 // The year 10000.
	if seconds >= 0 && seconds < end {
		fmt.Fprintf(b, "  %s: %s\n", what, time.Unix(seconds, 0).UTC().Format(time.RFC3339))
	}
}
