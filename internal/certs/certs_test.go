package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
)

const validity = 24 * time.Hour

// write writes a new certificate for a name, and returns its files.
func write(t *testing.T, dir, name string) config.KeyCert {
	t.Helper()
	cert, key, err := SelfSigned(time.Now(), validity, name, "127.0.0.1")
	if err != nil {
		t.Fatalf("self-signed certificate: %v", err)
	}
	kc := config.KeyCert{CertFile: filepath.Join(dir, name+".crt"), KeyFile: filepath.Join(dir, name+".key")}
	for path, data := range map[string][]byte{kc.CertFile: cert, kc.KeyFile: key} {
		if err := os.WriteFile(path, data, 0600); err != nil {
			t.Fatal(err)
		}
	}
	return kc
}

// handshake returns the certificate that a client is shown, verified with a pool
// if that is not nil.
func handshake(t *testing.T, server *tls.Config, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	t.Helper()
	addr := serve(t, server)
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, RootCAs: roots, InsecureSkipVerify: roots == nil})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// serve completes the handshake of a connection to the returned address.
func serve(t *testing.T, server *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = conn.(*tls.Conn).Handshake() // The client tells whether it worked.
		_ = conn.Close()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

func TestClientsGetTheCertificateForTheNameTheyAskFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := New(config.TLS{MinVersion: tls.VersionTLS12, KeyCerts: []config.KeyCert{write(t, dir, "a.example"), write(t, dir, "b.example")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ask, want := range map[string]string{
		"a.example":     "a.example",
		"b.example":     "b.example",
		"other.example": "a.example",
		"127.0.0.1":     "a.example", // Clients do not send addresses.
	} {
		cert, err := handshake(t, s.Config(), ask, nil)
		if err != nil || cert.Subject.CommonName != want {
			t.Errorf("%q: got %v, %v", ask, cert, err)
		}
	}
}

func TestMinimumVersionIsKept(t *testing.T) {
	t.Parallel()
	s, err := New(config.TLS{MinVersion: tls.VersionTLS13, KeyCerts: []config.KeyCert{write(t, t.TempDir(), "a.example")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", serve(t, s.Config()), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err == nil {
		_ = conn.Close()
		t.Fatal("handshake with TLS 1.2 succeeded")
	}
}

func TestSelfSignedCertificateCanBeVerifiedWithItself(t *testing.T) {
	t.Parallel()
	kc := write(t, t.TempDir(), "localhost")
	s, err := New(config.TLS{MinVersion: tls.VersionTLS12, KeyCerts: []config.KeyCert{kc}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(kc.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatal("no certificate in file")
	}
	for _, name := range []string{"localhost", "127.0.0.1"} {
		cert, err := handshake(t, s.Config(), name, pool)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := time.Until(cert.NotAfter); got > validity || got < validity-time.Minute {
			t.Errorf("certificate is valid for %s", got)
		}
	}
	if _, err := handshake(t, s.Config(), "other.example", pool); err == nil {
		t.Errorf("certificate was good for another name")
	}
}

func TestChangedFilesAreUsedOnceBothFit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kc := write(t, dir, "a.example")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, err := New(config.TLS{MinVersion: tls.VersionTLS12, KeyCerts: []config.KeyCert{kc}}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		first := (*s.certs.Load())[0].Leaf.SerialNumber
		shown := func() bool {
			cert, err := s.certificate(&tls.ClientHelloInfo{SupportedVersions: []uint16{tls.VersionTLS13}})
			if err != nil {
				t.Fatal(err)
			}
			return cert.Leaf.SerialNumber.Cmp(first) == 0
		}
		oldKey, err := os.ReadFile(kc.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "a.example")
		newKey, err := os.ReadFile(kc.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(kc.KeyFile, oldKey, 0600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ReloadInterval)
		if !shown() {
			t.Fatal("certificate was taken that does not fit its key")
		}
		if !strings.Contains(log.String(), "previous ones stay in use") {
			t.Fatalf("no line about that in log:\n%s", &log)
		}
		if err := os.WriteFile(kc.KeyFile, newKey, 0600); err != nil {
			t.Fatal(err)
		}
		if !shown() {
			t.Fatal("files were looked at too soon")
		}
		time.Sleep(ReloadInterval)
		if shown() {
			t.Fatal("new certificate is not in use")
		}
	})
}

func TestFilesThatCannotBeUsedAreErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	kc := write(t, dir, "a.example")
	other := write(t, dir, "b.example")
	for name, tc := range map[string]struct {
		kc   []config.KeyCert
		want string
	}{
		"none":    {nil, "no certificates"},
		"missing": {[]config.KeyCert{{CertFile: kc.CertFile, KeyFile: filepath.Join(dir, "none")}}, "no such file"},
		"other":   {[]config.KeyCert{{CertFile: kc.CertFile, KeyFile: other.KeyFile}}, kc.CertFile},
	} {
		_, err := New(config.TLS{KeyCerts: tc.kc}, nil)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	if _, err := New(config.TLS{KeyCerts: []config.KeyCert{{CertFile: "/nonexistent", KeyFile: "/nonexistent"}}}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v", err)
	}
}
