//go:build linux

package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/internal/testkit/netns"
	"mox/internal/testkit/peers"
)

// Senders at the peer, by what Postfix verifies the other server with.
const (
	withDANE = "friend@example.net"
	withSTS  = "sts@example.net"
)

// A peer is a host with a Postfix. It sends mail of one sender with DANE, and of another
// with MTA-STS, and in neither case without.
type peer struct {
	*netns.Host
	server *peers.Server
}

func (w *world) startPeer(t *testing.T, h *netns.Host) *peer {
	t.Helper()
	cert := w.authority.ca.Issue(t, testkit.ECDSA, peerName)
	hash := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	w.dns.add(t, "example.net.", fmt.Sprintf(`example.net. MX 10 %[1]s.
example.net. TXT "v=spf1 mx -all"
%[1]s. TXT "v=spf1 a -all"
_25._tcp.%[1]s. TLSA 3 1 1 %s
`, peerName, hex.EncodeToString(hash[:])))
	dir := testkit.PublicDir(t)
	ca, conf := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "sts.yml")
	testkit.WriteFile(t, ca, w.authority.trusted)
	testkit.WriteFile(t, conf, "host: 127.0.0.1\nport: 8461\ncache:\n  type: internal\ndefault_zone:\n  strict_testing: false\n  timeout: 20\n")
	sts := w.outside(t, testkit.Tool(t, "mta-sts-daemon"), "-c", conf, "-v", "debug")
	sts.Env = append(os.Environ(), "SSL_CERT_FILE="+ca)
	h.Start(t, sts).WaitLine("Server started")
	return &peer{h, peers.StartPostfix(t, peers.Options{
		Hostname: peerName, Listen: ":25", CA: w.authority.ca, Cert: cert, Domains: []string{"example.net"}, Resolver: w.resolver(), Start: h.Start,
		Config: `smtpd_tls_received_header = yes
sender_dependent_default_transport_maps = inline:{` + withSTS + `=sts:}
smtp_tls_security_level = dane-only
smtp_dns_support_level = dnssec
smtp_tls_CAfile = ` + ca + `
smtp_tls_loglevel = 1
`,
		Services: `sts unix - - n - - smtp
  -o syslog_name=postfix-sts
  -o smtp_tls_security_level=may
  -o smtp_dns_support_level=enabled
  -o smtp_tls_policy_maps=socketmap:inet:127.0.0.1:8461:postfix
`,
	})}
}

// send sends a message from the host of the peer itself.
func (p *peer) send(t testing.TB, from, to, subject string) {
	t.Helper()
	nc, err := p.Dial(t, "127.0.0.1:25")
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(nc, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := transaction(c, from, to, subject); err != nil {
		t.Fatalf("message was not accepted: %v", err)
	}
}

// arrived waits for a message with a text in it.
func (p *peer) arrived(t testing.TB, text string) (found string) {
	t.Helper()
	poll(t, "message with "+text, func() bool {
		for _, msg := range p.server.Messages(t) {
			if strings.Contains(msg, text) {
				found = msg
			}
		}
		return found != ""
	})
	return found
}
