package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAuthoritiesAreChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, want string }{
		{"TLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- a.pem\n\t\t\t- ", "mox.conf: TLS.CA.CertFiles[1]: file is empty"},
		{"TLS:\n\tCA:\n\t\tAdditionalToSystem: true\n", "mox.conf: TLS.CA.CertFiles: required field CertFiles is missing"},
	} {
		_, err := testLoad(testStatic+tc.text, testDynamic)
		if got := errorLines(t, err); !strings.Contains(got, strings.TrimPrefix(tc.want, "mox.conf: ")) {
			t.Errorf("%q: got %q, expected %q", tc.text, got, tc.want)
		}
	}
	s, err := testLoad(testStatic, testDynamic)
	if err != nil || s.Authorities != nil {
		t.Fatalf("without TLS section: %+v, %v", s, err)
	}
	if pool, err := s.Authorities.Pool(); pool != nil || err != nil {
		t.Fatalf("pool without TLS section: %v, %v", pool, err)
	}
}

// writeAuthority writes a certificate of a new authority to a file, and returns it.
func writeAuthority(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestAuthoritiesOfFilesAreTrusted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.pem"), filepath.Join(dir, "b.pem")
	certA, certB := writeAuthority(t, a), writeAuthority(t, b)
	for _, tc := range []struct {
		authorities Authorities
		a, b        bool
	}{
		{Authorities{CertFiles: []string{a}}, true, false},
		{Authorities{CertFiles: []string{a, b}, AdditionalToSystem: true}, true, true},
	} {
		pool, err := tc.authorities.Pool()
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			cert *x509.Certificate
			want bool
		}{{certA, tc.a}, {certB, tc.b}} {
			_, err := x.cert.Verify(x509.VerifyOptions{Roots: pool})
			if (err == nil) != x.want {
				t.Errorf("%+v: %v", tc.authorities, err)
			}
		}
	}
}

func TestAuthoritiesThatCannotBeReadAreReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, absent := filepath.Join(dir, "empty.pem"), filepath.Join(dir, "absent.pem")
	if err := os.WriteFile(empty, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{empty: "no certificate in PEM format", absent: "no such file"} {
		a := &Authorities{CertFiles: []string{path}}
		if _, err := a.Pool(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pool: %v", err)
		}
		c := &checker{file: "mox.conf"}
		c.checkAuthorities(a)
		if err := c.errs.err(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "TLS.CA.CertFiles[0]") {
			t.Errorf("check: %v", err)
		}
	}
}
