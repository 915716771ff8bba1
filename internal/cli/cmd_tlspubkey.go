package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"mox/internal/authdb"
	"mox/internal/ctl"
	"mox/internal/safefile"
)

var cmdTLSPubKeyList = command{
	words: "config tlspubkey list",
	args:  "[account]",
	help: `List the public keys of client certificates that users can log in with.

For each there is a line with fingerprint, account, login address, type of key, when it
was added, and name, with tabs in between, and the word no-imap-preauth behind them for those that were
added with it. The server must be running.
`,
	setup: withServer(0, 1, func(e *env, c *ctl.Client, args []string) error {
		account := strings.Join(args, "")
		if err := c.Do("tlspubkeylist", account); err != nil {
			return err
		}
		return e.printLines(c)
	}),
}

var cmdTLSPubKeyGet = command{
	words: "config tlspubkey get",
	args:  "fingerprint",
	help: `Print a public key that a user can log in with, and its certificate.

The server must be running.
`,
	setup: withServer(1, 1, func(e *env, c *ctl.Client, args []string) error {
		if err := c.Do("tlspubkeyget", args[0]); err != nil {
			return err
		}
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		cert, err := c.ReadLine()
		if err != nil {
			return err
		}
		der, err := base64.StdEncoding.DecodeString(cert)
		if err != nil {
			return fmt.Errorf("answer of server: %w", err)
		}
		if _, err := fmt.Fprintln(e.out, line); err != nil {
			return err
		}
		return pem.Encode(e.out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}),
	dashed: true,
}

var cmdTLSPubKeyAdd = command{
	words: "config tlspubkey add",
	args:  "[-no-imap-preauth] address [name]",
	help: `Add a public key that a user can log in with, by its certificate on standard input.

The certificate is in PEM format. Only its key matters: who issued it, for which name
and for how long, does not. Mail programs that use it log in with SASL EXTERNAL, over SMTP
and IMAP, or need not log in at all: an IMAP connection that begins with TLS is logged in
at once. With -no-imap-preauth it is not, for programs that fail then because they log in
all the same. The server must be running.

	mox config tlspubkey add ann@example.org phone <phone.crt
`,
	setup: setupTLSPubKeyAdd,
}

func setupTLSPubKeyAdd(fs *flag.FlagSet) runFunc {
	noPreauth := fs.Bool("no-imap-preauth", false, "do not log in IMAP connections that begin with TLS at once")
	return withServer(1, 2, func(e *env, c *ctl.Client, args []string) error {
		data, err := io.ReadAll(io.LimitReader(e.in, maxCertificate))
		if err != nil {
			return fmt.Errorf("read certificate: %w", err)
		}
		block, _ := pem.Decode(data)
		for block != nil && block.Type != "CERTIFICATE" {
			block, data = pem.Decode(data)
		}
		if block == nil {
			return errors.New("no certificate in PEM format on standard input")
		}
		name := strings.Join(args[1:], "")
		option := ""
		if *noPreauth {
			option = "no-imap-preauth"
		}
		if err := c.Do("tlspubkeyadd", args[0], name, base64.StdEncoding.EncodeToString(block.Bytes), option); err != nil {
			return err
		}
		fingerprint, err := c.ReadLine()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(e.out, fingerprint)
		return err
	})(fs)
}

// maxCertificate is how much of standard input can be a certificate, in octets. With
// base64 it must fit in a line to the server.
const maxCertificate = 8 << 10

var cmdTLSPubKeyRemove = command{
	words: "config tlspubkey rm",
	args:  "fingerprint",
	help: `Remove a public key, with which no one can log in any more.

Sessions that have logged in with it end. The server must be running.
`,
	setup: withServer(1, 1, func(_ *env, c *ctl.Client, args []string) error {
		return c.Do("tlspubkeyrm", args[0])
	}),
	dashed: true,
}

var cmdTLSPubKeyGen = command{
	words: "config tlspubkey gen",
	args:  "stem",
	help: `Make a private key and a certificate for logging in, in stem.key and stem.crt.

The key is an Ed25519 key in PKCS #8. Both files are in PEM format, and must not exist.
The fingerprint of the key is printed. The server is not needed.

	mox config tlspubkey gen phone
	mox config tlspubkey add ann@example.org phone <phone.crt
`,
	setup: func(*flag.FlagSet) runFunc { return runTLSPubKeyGen },
}

// certificateValidity is for a certificate whose end has no meaning to us. Some clients
// do not use one after it.
const certificateValidity = 100 * 365 * 24 * time.Hour

func runTLSPubKeyGen(_ context.Context, e *env, args []string) error {
	if len(args) != 1 {
		return usageError("")
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "mox client"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(certificateValidity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return fmt.Errorf("check key: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("check certificate: %w", err)
	}
	if err := safefile.CreateExcl(args[0]+".key", keyPEM, 0600); err != nil {
		return err
	}
	if err := safefile.CreateExcl(args[0]+".crt", certPEM, 0644); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, authdb.Fingerprint(cert))
	return err
}

// withServer returns the setup of a command without flags, with a number of arguments
// in a range, that talks to the server.
func withServer(minArgs, maxArgs int, run func(e *env, c *ctl.Client, args []string) error) func(*flag.FlagSet) runFunc {
	return func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) < minArgs || len(args) > maxArgs {
				return usageError("")
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			return run(e, c, args)
		}
	}
}
