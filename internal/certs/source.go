package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
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
	log   *slog.Logger
	certs atomic.Pointer[[]tls.Certificate]
	next  atomic.Int64 // Unix nanoseconds from which on the files are looked at again.

	mu    sync.Mutex // Held while looking at the files.
	infos []fs.FileInfo
}

// New reads the certificates of a listener. A nil logger logs nothing.
func New(conf config.TLS, log *slog.Logger) (*Source, error) {
	if log == nil {
		log = mlog.Discard()
	}
	s := &Source{conf: conf, log: log}
	infos, err := s.stat()
	if err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.infos = infos
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
		s.reload()
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

// stat returns what tells of changes of the files.
func (s *Source) stat() ([]fs.FileInfo, error) {
	var infos []fs.FileInfo
	for _, kc := range s.conf.KeyCerts {
		for _, path := range []string{kc.CertFile, kc.KeyFile} {
			info, err := os.Stat(path)
			if err != nil {
				return nil, err
			}
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// load reads the files.
func (s *Source) load() error {
	var certs []tls.Certificate
	for _, kc := range s.conf.KeyCerts {
		cert, err := tls.LoadX509KeyPair(kc.CertFile, kc.KeyFile)
		if err != nil {
			return fmt.Errorf("certificate %s with key %s: %w", kc.CertFile, kc.KeyFile, err)
		}
		observe(cert.Leaf, "file")
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return errors.New("no certificates")
	}
	s.certs.Store(&certs)
	return nil
}

// reload reads the files again if they have changed. When that fails, perhaps
// because only one of two has been replaced so far, the previous certificates stay
// and another attempt follows. It must be called with mu held.
func (s *Source) reload() {
	defer func() {
		s.next.Store(time.Now().Add(ReloadInterval).UnixNano())
	}()
	infos, err := s.stat()
	if err == nil && unchanged(infos, s.infos) {
		return
	}
	if err == nil {
		err = s.load()
	}
	if err != nil {
		s.log.Error("certificates cannot be read again, previous ones stay in use", mlog.Err(err))
		return
	}
	s.infos = infos
	s.log.Info("certificates were read again")
}

func unchanged(a, b []fs.FileInfo) bool {
	for i := range a {
		if i >= len(b) || !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return len(a) == len(b)
}
