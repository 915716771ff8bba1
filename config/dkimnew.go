package config

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mox/dkim"
	"mox/dns"
	"mox/internal/safefile"
)

// dkimDir is the directory for keys, in that of the configuration.
const dkimDir = "dkim"

// newRSABits is the size of new RSA keys: a record with a larger one does not fit in
// one string, and in some forms for DNS not at all.
const newRSABits = 2048

// defaultExpiration is for how long signatures of new selectors are valid: for longer
// than mail is on the way.
const defaultExpiration = 72 * time.Hour

// NewDKIM makes keys for a new domain, writes them below the directory of the
// configuration, and returns the section for them. There are two pairs of an RSA and
// an Ed25519 key, named after the year: one to sign with, and one that is there to
// change to, with its records in DNS already.
func NewDKIM(dir string, domain dns.Domain, now time.Time) (*DKIMFields, error) {
	f := &DKIMFields{Selectors: map[string]SelectorFields{}}
	for i, letter := range []string{"a", "b", "c", "d"} {
		var key crypto.Signer
		var err error
		if i%2 == 0 {
			key, err = rsa.GenerateKey(rand.Reader, newRSABits)
		} else {
			_, key, err = ed25519.GenerateKey(rand.Reader)
		}
		if err != nil {
			return nil, fmt.Errorf("make key for dkim: %w", err)
		}
		name := fmt.Sprintf("%d%s", now.UTC().Year(), letter)
		if f.Selectors[name], err = NewSelector(dir, name, domain, key, now); err != nil {
			return nil, err
		}
		if i < 2 {
			f.Sign = append(f.Sign, name)
		}
	}
	return f, nil
}

// NewSelector writes a key for a selector of a domain to a new file below the directory
// of the configuration, and returns the fields for it.
func NewSelector(dir, selector string, domain dns.Domain, key crypto.Signer, now time.Time) (SelectorFields, error) {
	if _, err := dkim.AlgorithmOf(key); err != nil {
		return SelectorFields{}, err
	}
	kind := "ed25519"
	if pub, ok := key.Public().(*rsa.PublicKey); ok {
		kind = fmt.Sprintf("rsa%d", pub.N.BitLen())
	}
	data, err := dkim.FormatPrivateKey(key)
	if err != nil {
		return SelectorFields{}, err
	}
	keys := filepath.Join(dir, dkimDir)
	err = os.Mkdir(keys, 0770)
	if err == nil {
		err = safefile.SyncDir(dir)
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return SelectorFields{}, fmt.Errorf("directory for keys: %w", err)
	}
	name := fmt.Sprintf("%s._domainkey.%s.%s.%s.privatekey.pkcs8.pem", selector, domain.ASCII, now.UTC().Format("20060102T150405"), kind)
	if err := safefile.CreateExcl(filepath.Join(keys, name), data, 0660); err != nil {
		return SelectorFields{}, fmt.Errorf("write key for dkim: %w", err)
	}
	if err := safefile.SyncDir(keys); err != nil {
		return SelectorFields{}, fmt.Errorf("sync directory for keys: %w", err)
	}
	return SelectorFields{PrivateKeyFile: filepath.Join(dkimDir, name), Expiration: defaultExpiration}, nil
}
