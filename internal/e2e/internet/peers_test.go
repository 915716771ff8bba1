//go:build linux

package internet

import (
	"fmt"
	"strings"
	"testing"

	"mox/internal/testkit/netns"
	"mox/internal/testkit/peers"
	"mox/smtpclient"
)

// A peer is a host with a mail server that is not mox. Mail for user@ its domain stays
// there, and programs on the host may send to everyone.
type peer struct {
	*netns.Host
	domain string
	server *peers.Server
}

func (p *peer) domainName() string { return p.domain }

func (p *peer) address() string { return "user@" + p.domain }

// send sends a message from the host itself.
func (p *peer) send(t testing.TB, m mail) string {
	t.Helper()
	nc, err := p.Dial(t, "127.0.0.1:25")
	if err != nil {
		t.Fatal(err)
	}
	return m.deliver(t, nc, smtpclient.Options{TLS: smtpclient.TLSOptions{Mode: smtpclient.TLSSkip}}, p.address())
}

// arrived waits for the message with a text in it and returns it. There must be one.
func (p *peer) arrived(t testing.TB, text string) string {
	t.Helper()
	var found []string
	poll(t, "message with "+text+" at "+p.domain, func() bool {
		for _, msg := range p.server.Messages(t) {
			if strings.Contains(msg, text) {
				found = append(found, msg)
			}
		}
		return len(found) > 0
	})
	if len(found) > 1 {
		t.Errorf("%d messages with %s", len(found), text)
	}
	return found[0]
}

// waitLog waits until texts are in the log, in this order.
func (p *peer) waitLog(t testing.TB, wants ...string) {
	t.Helper()
	missing := ""
	poll(t, fmt.Sprintf("%q in the log of %s", wants, p.domain), func() bool {
		missing = firstMissing(p.server.Log(), wants)
		return missing == ""
	})
}

// newPeer makes a host, and what its server has in common with others.
func (w *world) newPeer(t *testing.T, number int, domain string) (*peer, peers.Options) {
	t.Helper()
	p := &peer{Host: w.cable.Host(t, number), domain: domain}
	cert := w.certificate(t, "mx."+domain)
	w.publish(t, tlsa("mx."+domain, cert))
	return p, peers.Options{
		Hostname: "mx." + domain, Listen: ":25", CA: w.ca, Cert: *cert, Domains: []string{domain}, User: "user",
		Resolver: fmt.Sprintf("%s%d", network4, numberDNS), Start: p.Start,
	}
}

// startPostfix starts a Postfix that verifies with DANE. It offers STARTTLS with a
// certificate of the authority. Mail for relay@ its domain goes on to an address that
// does not exist.
func (w *world) startPostfix(t *testing.T) *peer {
	t.Helper()
	p, o := w.newPeer(t, numberPostfix, "postfix.example")
	o.Config = `virtual_alias_maps = inline:{relay@postfix.example=` + postmasterNobody + `@beta.example}
smtp_tls_security_level = dane
smtp_dns_support_level = dnssec
smtp_tls_CAfile = $DIR/conf/ca.pem
smtp_tls_loglevel = 1
`
	p.server = peers.StartPostfix(t, o)
	return p
}

// startExim starts an exim4 that verifies with DANE. It takes mail for user@greylist.example
// too, but only once there is a file "open" in its directory; it answers 451 before.
func (w *world) startExim(t *testing.T) *peer {
	t.Helper()
	p, o := w.newPeer(t, numberExim, "exim.example")
	o.Domains = append(o.Domains, "greylist.example")
	o.Config = `log_selector = +tls_peerdn
dns_dnssec_ok = 1
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
begin acl
rcpt:
  accept hosts = 127.0.0.1
  require domains = +locals
  require verify = recipient
  defer domains = greylist.example
    condition = ${if exists{$DIR/open}{no}{yes}}
    message = come back later
  accept
`
	o.Routers = `others:
  driver = dnslookup
  domains = ! +locals
  dnssec_request_domains = *
  transport = remote
  no_more
`
	o.Transports = `remote:
  driver = smtp
  hosts_try_dane = *
  dnssec_request_domains = *
  tls_verify_certificates = $DIR/conf/ca.pem
`
	p.server = peers.NewExim(t, o).Serve(t)
	return p
}
