//go:build linux

package internet

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"testing"
	"time"
)

// sites are domains whose mail is for mox beta, besides its own: each for one test.
var sites = []string{
	"no-tls.unsigned",
	"ipv6.example",
	"dead-mx.example",
	"socks.example",
	"dane.example",
	"dane-wrong.example",
	"dane-bogus.example",
	"dane-ignored.example",
	"sts-enforce.unsigned",
	"sts-testing.unsigned",
	"sts-gone.unsigned",
	"sts-syntax.unsigned",
	"sts-certificate.unsigned",
	"sts-host.unsigned",
	"wrong-certificate.unsigned",
	"requiretls.example",
	"requiretls-old.example",
	"requiretls-plain.example",
	"requiretls-unknown.unsigned",
	"tls-before.unsigned",
	"sts-name.unsigned",
	"forward.example",
}

// certificateNames returns the names of hosts for which mox beta has a certificate, which
// are those of all sites but some.
func certificateNames() []string {
	var names []string
	for _, s := range sites {
		switch s {
		case "sts-testing.unsigned", "sts-name.unsigned", "wrong-certificate.unsigned", "dane-wrong.example":
		default:
			names = append(names, "mx."+s)
		}
	}
	return names
}

// tlsa returns a TLSA record for the key of a certificate, at port 25 of a host.
func tlsa(host string, cert *tls.Certificate) string {
	hash := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("_25._tcp.%s TLSA 3 1 1 %s", host, hex.EncodeToString(hash[:]))
}

// TestInternet sends mail between the servers of an internet.
func TestInternet(t *testing.T) {
	t.Parallel()
	start := time.Now()
	w := newWorld(t)
	t.Run("mail", func(t *testing.T) {
		t.Run("flows", w.testFlows)
		t.Run("tls", w.testTLS)
		t.Run("delivery", w.testDelivery)
		t.Run("forwarding", w.testForwarding)
	})
	for _, m := range []*mox{w.alpha, w.beta} {
		m.stop(t)
	}
	t.Run("tls results", func(t *testing.T) { w.testResults(t, start) })
	t.Run("tls reports", w.testReports)
}
