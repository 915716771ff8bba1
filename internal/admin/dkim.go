package admin

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"mox/config"
	"mox/config/edit"
	"mox/dkim"
	"mox/internal/safefile"
)

// oldKeys is the directory, beside keys, for those that are not used any more.
const oldKeys = "old"

// rsaBits is the size of new RSA keys, as of those of new domains.
const rsaBits = 2048

// Kinds of DKIM keys.
const (
	KeyRSA     = "rsa"
	KeyEd25519 = "ed25519"
)

// AddDKIM makes a DKIM key for a domain, which signs messages if sign is set. Its record
// should be in DNS before it does.
func (a *Admin) AddDKIM(ctx context.Context, domain, selector, kind string, sign bool) (rerr error) {
	d, err := parseDomain(domain)
	if err != nil {
		return err
	}
	sel, err := dkim.ParseSelector(selector)
	if err != nil {
		return errorf(ErrInvalid, "selector %q: %s", selector, err)
	}
	check := func(s *config.Snapshot) error {
		f, ok := s.Dynamic.Domains[d.Name()]
		if !ok {
			return noDomain(d.Name())
		}
		if f.DKIM != nil {
			if _, ok := f.DKIM.Selectors[sel.Name()]; ok {
				return errorf(ErrExists, "domain %s has selector %s already", d, sel)
			}
		}
		return nil
	}
	if err := check(a.opts.Config.Snapshot()); err != nil {
		return err
	}
	key, err := newKey(kind)
	if err != nil {
		return err
	}
	fields, err := config.NewSelector(a.dir(), sel.Name(), d, key, a.opts.Now())
	if err != nil {
		return err
	}
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, os.Remove(filepath.Join(a.dir(), fields.PrivateKeyFile)))
		}
	}()
	return a.edit(ctx, "dkim key added", func(doc *edit.Doc, s *config.Snapshot) error {
		if err := check(s); err != nil {
			return err
		}
		path := edit.At("Domains", d.Name(), "DKIM")
		if err := doc.Set(path.Key("Selectors", sel.Name()), fields); err != nil || !sign {
			return err
		}
		return doc.Add(path.Key("Sign"), sel.Name())
	}, "domain", d, "selector", sel.Name(), "kind", kind, "sign", sign)
}

func newKey(kind string) (crypto.Signer, error) {
	switch kind {
	case KeyRSA:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case KeyEd25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, errorf(ErrInvalid, "%q is not a kind of key, use %s or %s", kind, KeyRSA, KeyEd25519)
}

// RemoveDKIM removes a DKIM key of a domain. Its record should stay in DNS for some days,
// for messages that are on the way.
func (a *Admin) RemoveDKIM(ctx context.Context, domain, selector string) error {
	d, err := parseDomain(domain)
	if err != nil {
		return err
	}
	var files []string
	err = a.edit(ctx, "dkim key removed", func(doc *edit.Doc, s *config.Snapshot) error {
		f := s.Dynamic.Domains[d.Name()].DKIM
		if f == nil {
			return errorf(ErrNotFound, "domain %s has no DKIM keys", d)
		}
		sel, ok := f.Selectors[selector]
		if !ok {
			return errorf(ErrNotFound, "domain %s has no selector %s", d, selector)
		}
		if r := f.Rotation; r != nil && (slices.Contains(r.Sign, selector) || slices.Contains(r.Old, selector)) {
			return errorf(ErrInUse, "selector %s is part of a change of keys that has been begun", selector)
		}
		files = []string{sel.PrivateKeyFile}
		path := edit.At("Domains", d.Name(), "DKIM")
		if len(f.Selectors) == 1 {
			return doc.Remove(path)
		}
		if i := slices.Index(f.Sign, selector); i >= 0 {
			if err := doc.Remove(path.Key("Sign").Item(i)); err != nil {
				return err
			}
		}
		return doc.Remove(path.Key("Selectors", selector))
	}, "domain", d, "selector", selector)
	if err != nil {
		return err
	}
	return a.retireKeys(files)
}

// keyFiles returns the files of the keys in a section.
func keyFiles(f *config.DKIMFields) []string {
	if f == nil {
		return nil
	}
	var l []string
	for _, sel := range f.Selectors {
		l = append(l, sel.PrivateKeyFile)
	}
	return l
}

// removeKeys removes files of keys that have not come into use.
func (a *Admin) removeKeys(f *config.DKIMFields) error {
	var errs []error
	for _, name := range keyFiles(f) {
		errs = append(errs, os.Remove(a.keyPath(name)))
	}
	return errors.Join(errs...)
}

func (a *Admin) keyPath(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(a.dir(), name)
}

// retireKeys moves files of keys to a directory for old ones, unless they are still in
// the configuration. An error is about that only: the keys are out of use.
func (a *Admin) retireKeys(files []string) error {
	used := map[string]bool{}
	for _, f := range a.opts.Config.Snapshot().Dynamic.Domains {
		for _, name := range keyFiles(f.DKIM) {
			used[a.keyPath(name)] = true
		}
	}
	var errs []error
	for _, name := range files {
		if path := a.keyPath(name); !used[path] {
			errs = append(errs, moveToOld(path))
			used[path] = true
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the configuration was changed, but key files that are not used any more cannot be moved away: %w", err)
	}
	return nil
}

func moveToOld(path string) error {
	dir := filepath.Join(filepath.Dir(path), oldKeys)
	if err := os.Mkdir(dir, 0770); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// A link fails where a file of that name is, which a rename would replace.
	to := filepath.Join(dir, filepath.Base(path))
	if err := os.Link(path, to); err != nil {
		return err
	}
	if err := safefile.SyncDir(dir); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return safefile.SyncDir(filepath.Dir(path))
}
