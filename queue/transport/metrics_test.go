package transport

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"mox/dane"
	"mox/internal/testkit"
)

func TestVerificationWithDANEIsCounted(t *testing.T) {
	t.Parallel()
	cs := serverState(t)
	before, errsBefore := testkit.Metric(t, "mox_dane_verify_total"), testkit.Metric(t, "mox_dane_verify_errors_total")
	h := &dane.Host{Status: dane.StatusUsable, Records: []dane.Record{{Usage: dane.DANEEE, Selector: dane.SPKI, MatchType: dane.SHA256, CertAssoc: make([]byte, 32)}}}
	if err := verifyDANE(h, cs); err == nil {
		t.Errorf("a certificate was verified by a record that is not about it")
	}
	if after, errs := testkit.Metric(t, "mox_dane_verify_total"), testkit.Metric(t, "mox_dane_verify_errors_total"); after == before || errs == errsBefore {
		t.Errorf("got %v after %v, and %v after %v errors", after, before, errs, errsBefore)
	}
}

// serverState returns what a client knows of a server with a certificate.
func serverState(t *testing.T) tls.ConnectionState {
	t.Helper()
	cert := testkit.NewCA(t).Issue(t, testkit.ECDSA, "mx.one.example")
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, ServerName: "mx.one.example"}
}
