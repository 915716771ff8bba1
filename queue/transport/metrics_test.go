package transport

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"

	"mox/dane"
	"mox/internal/metrics"
	"mox/internal/testkit"
)

// metricValue returns the value of a series, as it is shown.
func metricValue(t *testing.T, series string) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for s := bufio.NewScanner(w.Body); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), series+" "); ok {
			return v
		}
	}
	return ""
}

func TestVerificationWithDANEIsCounted(t *testing.T) {
	t.Parallel()
	cs := serverState(t)
	before, errsBefore := metricValue(t, "mox_dane_verify_total"), metricValue(t, "mox_dane_verify_errors_total")
	h := &dane.Host{Status: dane.StatusUsable, Records: []dane.Record{{Usage: dane.DANEEE, Selector: dane.SPKI, MatchType: dane.SHA256, CertAssoc: make([]byte, 32)}}}
	if err := verifyDANE(h, cs); err == nil {
		t.Errorf("a certificate was verified by a record that is not about it")
	}
	if after, errs := metricValue(t, "mox_dane_verify_total"), metricValue(t, "mox_dane_verify_errors_total"); after == before || errs == errsBefore {
		t.Errorf("got %s after %s, and %s after %s errors", after, before, errs, errsBefore)
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
