package authdb

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mjl-/bstore"
	bolt "go.etcd.io/bbolt"
)

// Verify checks the database in a data directory that no server runs on, and returns
// what is wrong. There need not be one. An error is about checking.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := checkPages(path); err != nil {
		return []string{err.Error()}, nil
	}
	d, err := Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	perAccount := map[string]int{}
	err = bstore.QueryDB[TLSPublicKey](ctx, d.bdb).ForEach(func(k TLSPublicKey) error {
		perAccount[k.Account]++
		if perAccount[k.Account] == MaxAccountKeys+1 {
			problems = append(problems, fmt.Sprintf("account %q has more than %d public keys", k.Account, MaxAccountKeys))
		}
		if cert, err := x509.ParseCertificate(k.Certificate); err != nil || Fingerprint(cert) != k.Fingerprint {
			problems = append(problems, fmt.Sprintf("public key %s of account %q has another certificate", k.Fingerprint, k.Account))
		}
		return nil
	})
	if err != nil {
		problems = append(problems, fmt.Sprintf("reading public keys: %v", err))
	}
	return problems, d.Close()
}

// checkPages checks the pages of a database file.
func checkPages(path string) (rerr error) {
	defer func() {
		// The library panics on some broken files; what it says is a finding.
		if x := recover(); x != nil {
			rerr = fmt.Errorf("database file %s is damaged: %v", path, x)
		}
	}()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: openTimeout})
	if err != nil {
		return fmt.Errorf("database file %s: %w", path, err)
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return db.View(func(tx *bolt.Tx) error {
		var first error
		n := 0
		for err := range tx.Check() { // To its end, or its goroutine stays.
			if n++; first == nil {
				first = err
			}
		}
		if n > 0 {
			return fmt.Errorf("database file %s is damaged: %d findings, the first: %w", path, n, first)
		}
		return nil
	})
}
