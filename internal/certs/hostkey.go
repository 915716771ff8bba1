package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"mox/config"
	"mox/dane"
)

// Kind is a kind of private key.
type Kind string

// Kinds of keys. Both are what mail servers everywhere understand.
const (
	P256    Kind = "p256"
	RSA2048 Kind = "rsa2048"
)

// kinds are all kinds, those that are preferred first: ECDSA is faster, and its
// certificates are smaller.
var kinds = [...]Kind{P256, RSA2048}

// A HostKey is a private key of a hostname.
type HostKey struct {
	Path string
	Kind Kind
	Key  crypto.Signer
}

// readHostKey reads a key.
func readHostKey(path string) (HostKey, error) {
	return parseHostKey(path, os.ReadFile)
}

// parseHostKey is readHostKey with what reads files.
func parseHostKey(path string, read func(path string) ([]byte, error)) (HostKey, error) {
	data, err := read(path)
	if err != nil {
		return HostKey{}, err
	}
	key, err := config.ParseHostKey(data)
	if err != nil {
		return HostKey{}, fmt.Errorf("%s: %w", path, err)
	}
	switch key.(type) {
	case *ecdsa.PrivateKey:
		return HostKey{path, P256, key}, nil
	case *rsa.PrivateKey:
		return HostKey{path, RSA2048, key}, nil
	}
	return HostKey{}, fmt.Errorf("%s: key is %T", path, key)
}

// Record returns the TLSA record for the key: 3 1 1, which is about the key and not
// about a certificate, RFC 7672 §3.1.1.
func (k HostKey) Record() (dane.Record, error) {
	spki, err := x509.MarshalPKIXPublicKey(k.Key.Public())
	if err != nil {
		return dane.Record{}, fmt.Errorf("public key of %s: %w", k.Path, err)
	}
	sum := sha256.Sum256(spki)
	return dane.Record{Usage: dane.DANEEE, Selector: dane.SPKI, MatchType: dane.SHA256, CertAssoc: sum[:]}, nil
}

// certifies reports whether a certificate is for a key.
func certifies(cert *x509.Certificate, key crypto.Signer) bool {
	pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && cert != nil && pub.Equal(cert.PublicKey)
}

// Records returns the TLSA records to publish at _25._tcp of the hostname whose
// keys are in files: for the keys in use, for those that will be after a rollover,
// and for those of before one that is not over yet.
func Records(paths []string) ([]dane.Record, error) {
	var records []dane.Record
	for _, path := range paths {
		keys, err := hostKeys(path)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			r, err := k.Record()
			if err != nil {
				return nil, err
			}
			records = append(records, r)
		}
	}
	return records, nil
}

// hostKeys returns the key in a file and those next to it, of a rollover.
func hostKeys(path string) ([]HostKey, error) {
	key, err := readHostKey(path)
	if err != nil {
		return nil, err
	}
	keys := []HostKey{key}
	for _, suffix := range []string{nextSuffix, previousSuffix} {
		k, err := readHostKey(path + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if k.Kind != key.Kind {
			return nil, fmt.Errorf("%s has a key of another kind than %s, remove it to end the rollover", k.Path, path)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// exists reports whether there is a file.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
