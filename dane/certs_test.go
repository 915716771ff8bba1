package dane_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"mox/dane"
	"mox/dns"
)

// now is the time in these tests.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A pair is a certificate with its key.
type pair struct {
	*x509.Certificate
	key crypto.Signer
}

var serials atomic.Int64

// issue makes a certificate that issuer signs, or that is self-signed if it is nil.
func issue(t testing.TB, issuer *pair, ca bool, edit func(*x509.Certificate)) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial := serials.Add(1)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	if ca {
		tmpl.Subject = pkix.Name{CommonName: "authority", SerialNumber: big.NewInt(serial).String()}
		tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
		tmpl.KeyUsage, tmpl.ExtKeyUsage = x509.KeyUsageCertSign, nil
	}
	if edit != nil {
		edit(tmpl)
	}
	p := &pair{key: key}
	parent := issuer
	if parent == nil {
		parent = &pair{tmpl, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent.Certificate, key.Public(), parent.key)
	if err != nil {
		t.Fatal(err)
	}
	if p.Certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return p
}

func named(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// tlsa returns a record about a certificate.
func tlsa(usage, selector, match uint8, c *pair) dane.Record {
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	r := dane.Record{CertAssoc: data}
	r.Usage, r.Selector, r.MatchType = dane.Usage(usage), dane.Cert, dane.Full
	if selector == 1 {
		r.Selector = dane.SPKI
	}
	switch match {
	case 1:
		sum := sha256.Sum256(data)
		r.MatchType, r.CertAssoc = dane.SHA256, sum[:]
	case 2:
		sum := sha512.Sum512(data)
		r.MatchType, r.CertAssoc = dane.SHA512, sum[:]
	}
	return r
}

func chain(l ...*pair) []*x509.Certificate {
	var certs []*x509.Certificate
	for _, p := range l {
		certs = append(certs, p.Certificate)
	}
	return certs
}

func domains(t testing.TB, names ...string) []dns.Domain {
	t.Helper()
	var l []dns.Domain
	for _, n := range names {
		d, err := dns.ParseDomain(n)
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, d)
	}
	return l
}

func domain(t testing.TB, name string) dns.Domain {
	t.Helper()
	return domains(t, name)[0]
}

// validNow makes a certificate valid at the real time.
func validNow(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		c.DNSNames = names
	}
}
