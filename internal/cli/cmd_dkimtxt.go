package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"mox/dkim"
)

var cmdDKIMTXT = command{
	words: "dkim txt",
	args:  "[selector domain]",
	help: `Print the TXT record for DNS that goes with a private key for DKIM.

The key is read from standard input, in PEM. A record that is longer than 255 bytes has
several strings, which are put together again by who reads it: some forms for DNS want
them one by one as printed, others want the text as one.

	mox dkim txt 2026a example.org <2026a.pem
`,
	setup: func(*flag.FlagSet) runFunc { return runDKIMTXT },
}

func runDKIMTXT(_ context.Context, e *env, args []string) error {
	if len(args) != 0 && len(args) != 2 {
		return usageError("")
	}
	name := "<selector>._domainkey.<domain>"
	if len(args) == 2 {
		n, err := parseKeyName(args[0], args[1])
		if err != nil {
			return err
		}
		name = n.String()
	}
	data, err := io.ReadAll(e.in)
	if err != nil {
		return fmt.Errorf("read private key: %w", err)
	}
	key, err := dkim.ParsePrivateKey(data)
	if err != nil {
		return fmt.Errorf("private key on standard input: %w (\"mox dkim genrsa\" makes one)", err)
	}
	r, err := dkim.NewRecord(key.Public())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s. TXT %s\n", name, txtStrings(r.String()))
	return err
}

// txtStrings returns a text as the strings of a TXT record in a zone file, each of at
// most 255 bytes (RFC 1035 §3.3.14).
func txtStrings(s string) string {
	const size = 255
	if len(s) <= size {
		return quoteTXT(s)
	}
	var b strings.Builder
	b.WriteString("(")
	for s != "" {
		n := min(len(s), size)
		b.WriteString("\n\t" + quoteTXT(s[:n]))
		s = s[n:]
	}
	b.WriteString(" )")
	return b.String()
}

// parseKeyName parses a selector and domain on a command line.
func parseKeyName(selector, domain string) (dkim.KeyName, error) {
	s, err := dkim.ParseSelector(selector)
	if err != nil {
		return dkim.KeyName{}, usageError(fmt.Sprintf("%q is not a selector, which is a name such as \"2026a\"", selector))
	}
	d, err := parseDomain(domain)
	return dkim.KeyName{Selector: s, Domain: d}, err
}
