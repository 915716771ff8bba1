package testkit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mox/internal/safefile"
)

// A KeyType is the kind of key that a certificate is issued for.
type KeyType int

// Kinds of keys.
const (
	ECDSA   KeyType = iota // P-256, what public authorities issue for.
	Ed25519                // Small and fast.
)

// certLife is for how long certificates of a test are valid, around now.
const certLife = 24 * time.Hour

// A CA is a certificate authority for tests. It is safe for concurrent use.
type CA struct {
	Cert *x509.Certificate
	key  crypto.Signer
	ser  atomic.Int64
}

// NewCA returns a new authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{key: newKey(t, ECDSA)}
	tmpl := &x509.Certificate{
		SerialNumber:          big.NewInt(ca.ser.Add(1)),
		Subject:               pkix.Name{CommonName: "mox test authority"},
		NotBefore:             time.Now().Add(-certLife),
		NotAfter:              time.Now().Add(certLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	ca.Cert = sign(t, tmpl, tmpl, ca.key.Public(), ca.key)
	return ca
}

func newKey(t testing.TB, typ KeyType) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch typ {
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatalf("generating key: %v", err)
	}
	return key
}

func sign(t testing.TB, tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatalf("creating certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("parsing certificate: %v", err)
	}
	return cert
}

// Pool returns a pool with the authority, for RootCAs and ClientCAs.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return pool
}

// Issue returns a certificate for a server, for names and IP addresses.
func (ca *CA) Issue(t testing.TB, typ KeyType, names ...string) tls.Certificate {
	t.Helper()
	return ca.issue(t, typ, x509.ExtKeyUsageServerAuth, func(tmpl *x509.Certificate) {
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
			} else {
				tmpl.DNSNames = append(tmpl.DNSNames, name)
			}
		}
	})
}

// IssueExpired returns a certificate for a server that is not valid any more.
func (ca *CA) IssueExpired(t testing.TB, typ KeyType, names ...string) tls.Certificate {
	t.Helper()
	return ca.issue(t, typ, x509.ExtKeyUsageServerAuth, func(tmpl *x509.Certificate) {
		tmpl.DNSNames = names
		tmpl.NotBefore = time.Now().Add(-2 * certLife)
		tmpl.NotAfter = time.Now().Add(-certLife)
	})
}

// IssueClient returns a certificate for a client with a common name.
func (ca *CA) IssueClient(t testing.TB, typ KeyType, commonName string) tls.Certificate {
	t.Helper()
	return ca.issue(t, typ, x509.ExtKeyUsageClientAuth, func(tmpl *x509.Certificate) {
		tmpl.Subject.CommonName = commonName
	})
}

func (ca *CA) issue(t testing.TB, typ KeyType, use x509.ExtKeyUsage, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newKey(t, typ)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(ca.ser.Add(1)),
		NotBefore:    time.Now().Add(-certLife),
		NotAfter:     time.Now().Add(certLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{use},
	}
	edit(tmpl)
	cert := sign(t, tmpl, ca.Cert, key.Public(), ca.key)
	return tls.Certificate{
		Certificate: [][]byte{cert.Raw, ca.Cert.Raw},
		PrivateKey:  key,
		Leaf:        cert,
	}
}

// ServerConfig returns a TLS configuration for a server with a new certificate for
// names.
func (ca *CA) ServerConfig(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, ECDSA, names...)}}
}

// ClientConfig returns a TLS configuration for a client that trusts the authority
// and expects a server name.
func (ca *CA) ClientConfig(serverName string) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), ServerName: serverName}
}

// WritePEM writes a certificate chain and its key, in PEM, to cert.pem and key.pem
// in dir, and the authority to ca.pem. It returns the first two paths.
func (ca *CA) WritePEM(t testing.TB, dir string, cert tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	var chain []byte
	for _, der := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatalf("encoding key: %v", err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, data := range map[string][]byte{
		certFile:                     chain,
		keyFile:                      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		filepath.Join(dir, "ca.pem"): pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Cert.Raw}),
	} {
		if err := safefile.WriteFile(path, data, 0600); err != nil {
			t.Fatalf("writing %s: %v", path, err)
		}
	}
	return certFile, keyFile
}
