package authdb

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"path/filepath"

	"github.com/mjl-/bstore"

	"mox/internal/dbformat"
)

// Verify checks the database in a data directory that no server runs on, and returns
// what is wrong. There need not be one. An error is about checking.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	open := func() (*DB, error) { return Open(ctx, Options{Dir: dir}) }
	return dbformat.Verify(filepath.Join(dir, FileName), open, func(d *DB, add func(format string, args ...any)) {
		for _, check := range []struct {
			what string
			fn   func(context.Context, func(format string, args ...any)) error
		}{
			{"public keys", d.verifyKeys}, {"app passwords", d.verifyAppPasswords}, {"login attempts", d.verifyAttempts},
		} {
			if err := check.fn(ctx, add); err != nil {
				add("reading %s: %v", check.what, err)
			}
		}
	})
}

// verifyKeys checks the public keys.
func (d *DB) verifyKeys(ctx context.Context, add func(format string, args ...any)) error {
	perAccount := map[string]int{}
	return bstore.QueryDB[TLSPublicKey](ctx, d.bdb).ForEach(func(k TLSPublicKey) error {
		perAccount[k.Account]++
		if perAccount[k.Account] == MaxAccountKeys+1 {
			add("account %q has more than %d public keys", k.Account, MaxAccountKeys)
		}
		if cert, err := x509.ParseCertificate(k.Certificate); err != nil || Fingerprint(cert) != k.Fingerprint {
			add("public key %s of account %q has another certificate", k.Fingerprint, k.Account)
		}
		return nil
	})
}

// verifyAppPasswords checks the app passwords. That no name is there twice is seen to
// by the database.
func (d *DB) verifyAppPasswords(ctx context.Context, add func(format string, args ...any)) error {
	perAccount := map[string]int{}
	return bstore.QueryDB[AppPassword](ctx, d.bdb).ForEach(func(p AppPassword) error {
		perAccount[p.Account]++
		if perAccount[p.Account] == MaxAppPasswords+1 {
			add("account %q has more than %d app passwords", p.Account, MaxAppPasswords)
		}
		if p.Scope&^ScopeAll != 0 || len(p.Hash) != sha256.Size || !p.SCRAMSHA1.valid(sha1.Size) || !p.SCRAMSHA256.valid(sha256.Size) {
			add("app password %q of account %q cannot be used", p.Name, p.Account)
		}
		return nil
	})
}

// valid reports whether keys are of a hash function with a size.
func (k SCRAMKeys) valid(size int) bool {
	return len(k.StoredKey) == size && len(k.ServerKey) == size && len(k.Salt) > 0 && k.Iterations > 0
}

// verifyAttempts checks the login attempts.
func (d *DB) verifyAttempts(ctx context.Context, add func(format string, args ...any)) error {
	failed := map[string]int{}
	return bstore.QueryDB[LoginAttempt](ctx, d.bdb).ForEach(func(a LoginAttempt) error {
		if a.Failed {
			failed[a.Account]++
		}
		if failed[a.Account] == MaxFailedAttempts+1 && a.Failed {
			add("account %q has more than %d failed login attempts", a.Account, MaxFailedAttempts)
		}
		if key := a.key(); !bytes.Equal(a.Key, key[:]) || a.Failed != (a.Result != ResultOK) || a.Count < 1 || a.Last.Before(a.First) {
			add("login attempt %x of account %q is not what its key says, or its numbers cannot be", a.Key, a.Account)
		}
		return nil
	})
}
