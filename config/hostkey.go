package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// ReadHostKey reads a private key of a hostname, *rsa.PrivateKey with 2048 bits or
// *ecdsa.PrivateKey with P-256: others are not understood by all mail servers.
func ReadHostKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := ParseHostKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// ParseHostKey parses what [ReadHostKey] reads.
func ParseHostKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no private key in PEM format")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%q where a private key should be", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("private key: %s", trimPkg(err))
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if n := k.N.BitLen(); n != 2048 {
			return nil, fmt.Errorf("RSA key has %d bits, it must have 2048", n)
		}
		return k, nil
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("ECDSA key is on curve %s, it must be on P-256", k.Curve.Params().Name)
		}
		return k, nil
	}
	return nil, fmt.Errorf("key is %T, it must be RSA with 2048 bits or ECDSA with P-256", key)
}

// checkHostKeys opens the files of a listener with keys of its hostname.
func (c *checker) checkHostKeys(l Listener) {
	kinds := map[string]string{}
	for i, path := range l.TLS.HostKeyFiles {
		field := fmt.Sprintf("Listeners.%s.TLS.HostPrivateKeyFiles[%d]", l.Name, i)
		key, err := ReadHostKey(path)
		if err != nil {
			c.addf(field, "%s", trimPkg(err))
			continue
		}
		kind := fmt.Sprintf("%T", key)
		if other := kinds[kind]; other != "" {
			c.addf(field, "there is a key of this kind already, %s: one RSA and one ECDSA key can be used", other)
		}
		kinds[kind] = path
	}
}
