package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// TLSClientFields is the TLS section of mox.conf, for connections to others.
type TLSClientFields struct {
	CA *CAFields `sconf:"optional" sconf-doc:"Authorities that are trusted to say who other servers are, instead of those that the system trusts. For connections to mail servers that must have a valid certificate, and for policies that are fetched with HTTPS."`
}

// CAFields is the CA section within TLS in mox.conf.
type CAFields struct {
	AdditionalToSystem bool     `sconf:"optional" sconf-doc:"Trust the authorities of the system too."`
	CertFiles          []string `sconf-doc:"Files with certificates of authorities, in PEM format. A relative path starts at the directory of this file. They are read at start."`
}

// Authorities says which authorities are trusted when connecting to others.
type Authorities struct {
	AdditionalToSystem bool
	CertFiles          []string // Absolute if the path of the configuration is.
}

// authorities checks the TLS section of mox.conf. The files are opened by
// [Authorities.Pool], and by [Snapshot.CheckFiles].
func (c *checker) authorities(s *Snapshot) {
	f := s.Static.TLS.CA
	if f == nil {
		return
	}
	a := &Authorities{AdditionalToSystem: f.AdditionalToSystem}
	for i, path := range f.CertFiles {
		if path == "" {
			c.addf(fmt.Sprintf("TLS.CA.CertFiles[%d]", i), "file is empty")
			continue
		}
		a.CertFiles = append(a.CertFiles, relative(filepath.Dir(s.Path), path))
	}
	if len(f.CertFiles) == 0 {
		c.addf("TLS.CA.CertFiles", "at least one file is needed")
	}
	s.Authorities = a
}

// Pool reads the certificates. It is nil, which stands for the authorities of the
// system, if a is.
func (a *Authorities) Pool() (*x509.CertPool, error) {
	if a == nil {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if a.AdditionalToSystem {
		var err error
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("authorities of the system: %w", err)
		}
	}
	for _, path := range a.CertFiles {
		if err := addAuthorities(pool, path); err != nil {
			return nil, err
		}
	}
	return pool, nil
}

// addAuthorities adds the certificates of a file to a pool.
func addAuthorities(pool *x509.CertPool, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(data) {
		return fmt.Errorf("%s: %w", path, errNoCertificate)
	}
	return nil
}

var errNoCertificate = errors.New("no certificate in PEM format")

// checkAuthorities opens the files with certificates of authorities.
func (c *checker) checkAuthorities(a *Authorities) {
	if a == nil {
		return
	}
	for i, path := range a.CertFiles {
		if err := addAuthorities(x509.NewCertPool(), path); err != nil {
			c.addf(fmt.Sprintf("TLS.CA.CertFiles[%d]", i), "%s", trimPkg(err))
		}
	}
}
