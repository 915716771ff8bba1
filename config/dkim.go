package config

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mox/dkim"
	"mox/dns"
)

// Limits of DKIM sections.
const (
	// maxKeyFile is the size in bytes of the largest file with a private key that is
	// read. One with an RSA key of 8192 bits has less than 7 KB.
	maxKeyFile = 32 << 10

	// maxSign is how many signatures each message of a domain gets. Receivers look at a
	// limited number only, see [dkim.MaxSignatures].
	maxSign = dkim.MaxSignatures / 2

	// maxSignedHeaders is how many names of header fields can be listed.
	maxSignedHeaders = 100
)

// unsignable are header fields that are added or replaced on the way to each reader, so
// that a signature over them would never hold.
var unsignable = []string{"DKIM-Signature", "Received", "Return-Path"}

// addDKIM checks the DKIM section of a domain and loads its keys, from files relative
// to the directory of domains.conf.
func (c *checker) addDKIM(s *Snapshot, field string, d *Domain, f *DKIMFields) {
	if f == nil {
		return
	}
	d.Selectors = make(map[string]dkim.Selector, len(f.Selectors))
	for _, name := range slices.Sorted(maps.Keys(f.Selectors)) {
		d.Selectors[name] = c.selector(s, join(field+".Selectors", name), name, f.Selectors[name])
	}
	if len(f.Sign) > maxSign {
		c.addf(field+".Sign", "more than %d signatures", maxSign)
	}
	c.dkimRotation(field+".Rotation", f)
	for i, name := range f.Sign {
		sf := fmt.Sprintf("%s.Sign[%d]", field, i)
		sel, ok := d.Selectors[name]
		switch {
		case !ok:
			c.addf(sf, "selector %q is not in Selectors", name)
		case slices.Contains(f.Sign[:i], name):
			c.addf(sf, "selector %q is listed twice", name)
		default:
			d.Sign = append(d.Sign, sel)
		}
	}
}

// selector checks a selector and loads its key.
func (c *checker) selector(s *Snapshot, field, name string, f SelectorFields) dkim.Selector {
	sel := dkim.Selector{HeaderCanon: dkim.Relaxed, BodyCanon: dkim.Relaxed, DontSeal: f.DontSealHeaders, Expiration: f.Expiration}
	d, err := dkim.ParseSelector(name)
	switch {
	case err != nil:
		c.addf(field, "%q is not a selector: %s", name, trimPkg(err))
	case d.Name() != name:
		c.addf(field, "selector %q must be written in unicode and lower case, as %q", name, d.Name())
	default:
		sel.Name = d
	}
	switch f.Hash {
	case "", "sha256":
	case "sha1":
		c.addf(field+".Hash", "sha1 is not possible: nobody accepts such signatures any more (RFC 8301), use sha256")
	default:
		c.addf(field+".Hash", "%q is not a hash, use sha256", f.Hash)
	}
	if isFalse(f.Canonicalization.HeaderRelaxed) {
		sel.HeaderCanon = dkim.Simple
	}
	if isFalse(f.Canonicalization.BodyRelaxed) {
		sel.BodyCanon = dkim.Simple
	}
	if f.Expiration < 0 || f.Expiration%time.Second != 0 {
		c.addf(field+".Expiration", "must be in whole seconds, and cannot be negative")
	}
	sel.Headers = c.signedHeaders(field+".Headers", f.Headers)
	dir := ""
	if s.Path != "" {
		dir = filepath.Dir(s.Path)
	}
	if f.PrivateKeyFile == "" {
		c.addf(field+".PrivateKeyFile", "file name is empty")
	} else if sel.Key, err = s.loadKey(relative(dir, f.PrivateKeyFile)); err != nil {
		c.addf(field+".PrivateKeyFile", "%s", err)
	}
	return sel
}

func isFalse(b *bool) bool { return b != nil && !*b }

// signedHeaders checks names of header fields to sign. None stands for the default.
func (c *checker) signedHeaders(field string, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	if len(names) > maxSignedHeaders {
		c.addf(field, "more than %d header fields", maxSignedHeaders)
	}
	fold := func(l []string, name string) bool {
		return slices.ContainsFunc(l, func(n string) bool { return strings.EqualFold(n, name) })
	}
	for i, name := range names {
		f := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' || r == ';' }):
			c.addf(f, "%q is not the name of a header field", name)
		case fold(unsignable, name):
			c.addf(f, "%s cannot be signed: it is added or replaced on the way", name)
		case fold(names[:i], name):
			c.addf(f, "%s is listed twice", name)
		}
	}
	if !fold(names, "From") {
		c.addf(field, "From must be among the header fields")
	}
	return slices.Clone(names)
}

// SignsFor returns the domain whose selectors sign what the system sends with a domain
// in From, such as the hostname: that domain, or the closest one above it, that has
// selectors to sign with. Mail of users is only signed by the domain itself.
func (s *Snapshot) SignsFor(from dns.Domain) (Domain, bool) {
	for name := from.ASCII; name != ""; {
		d, err := dns.ParseDomainLax(name)
		if err != nil {
			break
		}
		if dom, ok := s.domains[d]; ok && len(dom.Sign) > 0 && !dom.Disabled {
			return dom, true
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return Domain{}, false
}

// loadKey reads a file with a private key and checks that it can sign.
func (s *Snapshot) loadKey(path string) (crypto.Signer, error) {
	data, err := s.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := dkim.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: not a private key: %s", path, trimPkg(err))
	}
	return key, nil
}

// ReadFile reads a file with a secret that the configuration names. Those that only root can
// read are as they were at the start, or at the last reload.
func (s *Snapshot) ReadFile(path string) ([]byte, error) {
	if s.readKey == nil {
		return readKeyFile(path)
	}
	return s.readKey(path)
}

// readKeyFile reads a file with a secret.
func readKeyFile(path string) (data []byte, rerr error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxKeyFile)
	}
	return data, err
}
