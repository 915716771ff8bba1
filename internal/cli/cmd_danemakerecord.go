package cli

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"mox/dane"
)

var cmdDANEMakeRecord = command{
	words: "dane makerecord",
	args:  "usage selector matchtype [pem]",
	help: `Print the data of a TLSA record for a certificate or key.

Usage is pkix-ta (0), pkix-ee (1), dane-ta (2) or dane-ee (3); for SMTP it is one of the
last two. Selector is cert (0) or spki (1), which is the public key alone. Match type is
full (0), sha2-256 (1) or sha2-512 (2).

The PEM file, or standard input, has a certificate, or for selector spki also a public or
private key, of which the first is taken. For a mail server whose key stays the same:

	mox dane makerecord dane-ee spki sha2-256 key.pem

The record is published in a zone with DNSSEC, before the key is used:

	_25._tcp.mail.example.org TLSA 3 1 1 ...
`,
	setup: func(*flag.FlagSet) runFunc { return runDANEMakeRecord },
}

func runDANEMakeRecord(_ context.Context, e *env, args []string) error {
	if len(args) != 3 && len(args) != 4 {
		return usageError("")
	}
	usage, err := tlsaParam("usage", args[0], "pkix-ta", "pkix-ee", "dane-ta", "dane-ee")
	if err != nil {
		return err
	}
	selector, err := tlsaParam("selector", args[1], "cert", "spki")
	if err != nil {
		return err
	}
	match, err := tlsaParam("match type", args[2], "full", "sha2-256", "sha2-512")
	if err != nil {
		return err
	}
	var data []byte
	if len(args) == 4 {
		data, err = os.ReadFile(args[3])
	} else {
		data, err = io.ReadAll(e.in)
	}
	if err != nil {
		return err
	}
	der, err := tlsaData(data, selector == 1)
	if err != nil {
		return err
	}
	switch match {
	case 1:
		sum := sha256.Sum256(der)
		der = sum[:]
	case 2:
		sum := sha512.Sum512(der)
		der = sum[:]
	}
	r, err := dane.ParseRecord(fmt.Sprintf("%d %d %d %x", usage, selector, match, der))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, r.Record())
	return err
}

// tlsaParam returns the number of a parameter that is given as number or as name.
func tlsaParam(what, s string, names ...string) (int, error) {
	for i, name := range names {
		if s == name || s == strconv.Itoa(i) {
			return i, nil
		}
	}
	return 0, usageError(fmt.Sprintf("unknown %s %q, use one of %q or its number", what, s, names))
}

// tlsaData returns the certificate, or the public key, that is first in PEM.
func tlsaData(data []byte, spki bool) ([]byte, error) {
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			if spki {
				return c.RawSubjectPublicKeyInfo, nil
			}
			return c.Raw, nil
		}
		if !spki {
			continue
		}
		if key, err := publicKey(block); err != nil {
			return nil, err
		} else if key != nil {
			return x509.MarshalPKIXPublicKey(key)
		}
	}
	if spki {
		return nil, errors.New("no certificate or key in pem")
	}
	return nil, errors.New("no certificate in pem")
}

// publicKey returns the public key of a block with a key, or nil.
func publicKey(block *pem.Block) (crypto.PublicKey, error) {
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key of type %T cannot be used in a certificate", key)
	}
	return signer.Public(), nil
}
