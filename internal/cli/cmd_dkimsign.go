package cli

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mox/dkim"
)

var cmdDKIMSign = command{
	words: "dkim sign",
	args:  "selector domain key [file]",
	help: `Sign a message with DKIM and print it with the signature in front.

The key is a file with a private key in PEM, RSA or Ed25519. The message is read from
standard input if no file is given, and printed with CRLF at the end of each line, as it
is signed and sent. It must have one From field.

	mox dkim sign 2026a example.org 2026a.pem message.eml
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var f dkimSignFlags
		fs.StringVar(&f.canon, "canon", "relaxed/relaxed", "`names` of the canonicalizations of header and body, simple or relaxed")
		fs.StringVar(&f.headers, "headers", "", "`names` of the header fields to sign, separated by commas, instead of the usual ones")
		fs.BoolVar(&f.dontSeal, "dontseal", false, "let fields be added with the names that are signed")
		fs.DurationVar(&f.expiration, "expiration", 0, "`duration` after which the signature is not valid any more, such as 72h; if not given, none")
		fs.BoolVar(&f.only, "only", false, "only print the signature, not the message")
		return func(_ context.Context, e *env, args []string) error { return runDKIMSign(e, args, f) }
	},
}

type dkimSignFlags struct {
	canon, headers string
	dontSeal, only bool
	expiration     time.Duration
}

func runDKIMSign(e *env, args []string, f dkimSignFlags) error {
	if len(args) != 3 && len(args) != 4 {
		return usageError("")
	}
	name, err := parseKeyName(args[0], args[1])
	if err != nil {
		return err
	}
	sel := dkim.Selector{Name: name.Selector, DontSeal: f.dontSeal, Expiration: f.expiration}
	header, body, ok := strings.Cut(f.canon, "/")
	if !ok {
		return usageError(fmt.Sprintf("%q is not two names with a slash between them", f.canon))
	}
	sel.HeaderCanon, sel.BodyCanon = dkim.Canonicalization(header), dkim.Canonicalization(body)
	if f.headers != "" {
		for name := range strings.SplitSeq(f.headers, ",") {
			sel.Headers = append(sel.Headers, strings.TrimSpace(name))
		}
	}
	data, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	if sel.Key, err = dkim.ParsePrivateKey(data); err != nil {
		return fmt.Errorf("%s: %w (\"mox dkim genrsa\" makes a private key)", args[2], err)
	}
	msg, err := readMail(e, args[3:])
	if err != nil {
		return err
	}
	fields, err := dkim.Sign(bytes.NewReader(msg), int64(len(msg)), name.Domain, []dkim.Selector{sel}, dkim.SignOptions{})
	if err != nil {
		return err
	}
	if _, err := io.WriteString(e.out, fields); err != nil || f.only {
		return err
	}
	_, err = e.out.Write(msg)
	return err
}
