package cli

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"flag"
	"fmt"

	"mox/dkim"
)

const dkimKeyHelp = `
The key is printed as PKCS #8 in PEM. Keep it where only the mail server can read it;
"mox dkim txt" prints the record for DNS that goes with it.
`

var cmdDKIMGenEd25519 = command{
	words: "dkim gened25519",
	help: `Make an Ed25519 private key for DKIM.
` + dkimKeyHelp + `
Not everyone can verify these, so sign with an RSA key too, with another selector.

	mox dkim gened25519 >2026b.pem
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			_, key, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return fmt.Errorf("make key: %w", err)
			}
			return writeDKIMKey(e, key)
		}
	},
}

var cmdDKIMGenRSA = command{
	words: "dkim genrsa",
	help: `Make an RSA private key for DKIM.
` + dkimKeyHelp + `
A longer key than 2048 bits makes records that do not fit where many expect them.

	mox dkim genrsa >2026a.pem
`,
	setup: func(fs *flag.FlagSet) runFunc {
		bits := fs.Int("bits", 2048, "`number` of bits of the key, from 1024, which is weak, to 4096, which is what all verifiers must be able to use")
		return func(_ context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			if *bits < dkim.MinRSABits || *bits > 4096 {
				return usageError(fmt.Sprintf("a key cannot have %d bits", *bits))
			}
			key, err := rsa.GenerateKey(rand.Reader, *bits)
			if err != nil {
				return fmt.Errorf("make key: %w", err)
			}
			return writeDKIMKey(e, key)
		}
	},
}

func writeDKIMKey(e *env, key crypto.Signer) error {
	pem, err := dkim.FormatPrivateKey(key)
	if err != nil {
		return err
	}
	_, err = e.out.Write(pem)
	return err
}
