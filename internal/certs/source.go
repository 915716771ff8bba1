package certs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mox/config"
	"mox/mlog"
)

// ReloadInterval is how long a change to a file may go unnoticed.
const ReloadInterval = 5 * time.Second

// Source has the certificates of a listener, from files.
type Source struct {
	conf  config.TLS
	read  func(path string) ([]byte, error)
	log   *slog.Logger
	certs atomic.Pointer[[]tls.Certificate]
	next  atomic.Int64 // Unix nanoseconds from which on the files are looked at again.

	mu    sync.Mutex // Held while looking at the files.
	files [][]byte   // Content of all files, as last read without error.
}

// New reads the certificates of a listener. A nil logger logs nothing.
func New(conf config.TLS, log *slog.Logger) (*Source, error) {
	return newSource(conf, os.ReadFile, log)
}

// newSource is New with what reads files.
func newSource(conf config.TLS, read func(path string) ([]byte, error), log *slog.Logger) (*Source, error) {
	if log == nil {
		log = mlog.Discard()
	}
	s := &Source{conf: conf, read: read, log: log}
	if _, err := s.load(); err != nil {
		return nil, err
	}
	s.next.Store(time.Now().Add(ReloadInterval).UnixNano())
	return s, nil
}

// Config returns the configuration for the connections of a listener. Each caller
// gets its own, with its own keys for session tickets. A client that asks for a
// name that no certificate has, or for none, gets the first certificate: most mail
// servers do not verify names, and a client that does can say best what is wrong.
func (s *Source) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     s.conf.MinVersion,
		GetCertificate: s.certificate,
	}
}

// certificate returns the certificate for a client.
func (s *Source) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if time.Now().UnixNano() >= s.next.Load() && s.mu.TryLock() {
		_ = s.reload() // It is logged.
		s.mu.Unlock()
	}
	certs := *s.certs.Load()
	for i := range certs {
		if hello.SupportsCertificate(&certs[i]) == nil {
			return &certs[i], nil
		}
	}
	return &certs[0], nil
}

// load reads the files, and reports whether they have changed.
func (s *Source) load() (changed bool, err error) {
	var files [][]byte
	for _, kc := range s.conf.KeyCerts {
		for _, path := range []string{kc.CertFile, kc.KeyFile} {
			data, err := s.read(path)
			if err != nil {
				return false, err
			}
			files = append(files, data)
		}
	}
	if len(files) == 0 {
		return false, errors.New("no certificates")
	}
	if slices.EqualFunc(files, s.files, bytes.Equal) {
		return false, nil
	}
	var certs []tls.Certificate
	for i, kc := range s.conf.KeyCerts {
		cert, err := tls.X509KeyPair(files[2*i], files[2*i+1])
		if err != nil {
			return false, fmt.Errorf("certificate %s with key %s: %w", kc.CertFile, kc.KeyFile, err)
		}
		observe(cert.Leaf, "file")
		certs = append(certs, cert)
	}
	s.certs.Store(&certs)
	s.files = files
	return true, nil
}

// Reload reads the files again now. When that fails, the previous certificates stay.
func (s *Source) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reload()
}

// reload reads the files again, and uses them if they have changed. When that fails,
// perhaps because only one of two has been replaced so far, the previous certificates
// stay and another attempt follows. It must be called with mu held.
func (s *Source) reload() error {
	changed, err := s.load()
	s.next.Store(time.Now().Add(ReloadInterval).UnixNano())
	if err != nil {
		s.log.Error("certificates cannot be read again, previous ones stay in use", mlog.Err(err))
	} else if changed {
		s.log.Info("certificates were read again")
	}
	return err
}
