//go:build linux

package internet

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/smtp"
)

// testDelivery is about finding a host that takes the mail, and about hosts that do not.
func (w *world) testDelivery(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(*testing.T){
		"451 first":                w.test451First,
		"null MX":                  w.testNullMX,
		"unknown domain":           w.testUnknownDomain,
		"IPv6 only":                w.testIPv6Only,
		"hosts that are dead":      w.testDeadHosts,
		"SOCKS proxy":              w.testSocks,
		"delivered notification":   w.testDelivered,
		"notification from a peer": w.testPeerNotifies,
		"refused by a peer":        w.testPeerRefuses,
		"refused by mox":           w.testMoxRefuses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t)
		})
	}
}

// A server that says 451 gets the message when it is tried again.
func (w *world) test451First(t *testing.T) {
	w.publish(t, "greylist.example MX 10 mx.greylist.example", fmt.Sprintf("mx.greylist.example A %s", w.exim.IP4()))
	w.wantResults(t, w.alpha, "greylist.example", "no-policy-found greylist.example */0", "no-policy-found mx.greylist.example */0")
	const to = "user@greylist.example"
	id := w.alpha.send(t, mail{to: to})
	w.alpha.trace(t, id, "attempt    <"+to+">, retry, ", "attempt 1, ", "to mx.greylist.example (10.77.0.40", "451 come back later", "next attempt ")
	testkit.WriteFile(t, filepath.Join(w.exim.server.Dir, "open"), "")
	w.alpha.retry(t, to)
	wantBody(t, w.exim.arrived(t, id), id)
	w.alpha.trace(t, id, "attempt    <"+to+">, retry, ", "attempt    <"+to+">, ok, ", "attempt 2, ", "to mx.greylist.example (10.77.0.40")
}

// wantFailed checks that a message of mox alpha failed at the first attempt, without a
// connection, and that the sender was told.
func (w *world) wantFailed(t *testing.T, to, code, status string) {
	t.Helper()
	id := w.alpha.send(t, mail{to: to})
	w.alpha.trace(t, id, "attempt    <"+to+">, failed, ", "attempt 1, ", code+" "+status, "notified   <"+to+">", "reason failed")
	wantIn(t, w.alpha.arrived(t, id), "Return-Path: <>", "Final-Recipient: rfc822; "+to, "Action: failed", "Status: "+status, "Message-ID: "+id)
	if out := w.alpha.trace(t, id); strings.Contains(out, "reported ") {
		t.Errorf("notification of the server itself is taken for one from elsewhere:\n%s", out)
	}
}

// A domain with a null MX takes no mail, RFC 7505 §3.
func (w *world) testNullMX(t *testing.T) {
	w.publish(t, "null-mx.example MX 0 .", "null-mx.example A 10.77.0.20")
	w.wantResults(t, w.alpha, "null-mx.example")
	w.wantFailed(t, "user@null-mx.example", "556", "5.1.10")
}

func (w *world) testUnknownDomain(t *testing.T) {
	w.wantResults(t, w.alpha, "absent.example")
	w.wantFailed(t, "user@absent.example", "550", "5.1.2")
}

func (w *world) testIPv6Only(t *testing.T) {
	const to = "user@ipv6.example"
	w.publishSite(t, "ipv6.example", fmt.Sprintf("mx.ipv6.example AAAA %s", w.beta.IP6()))
	w.wantResults(t, w.alpha, "ipv6.example", "no-policy-found ipv6.example 1/0", "no-policy-found mx.ipv6.example 1/0")
	id := w.alpha.send(t, mail{to: to})
	msg := w.beta.arrived(t, id)
	wantBody(t, msg, id)
	wantIn(t, msg, "([IPv6:"+w.alpha.IP6()+"])")
	w.alpha.trace(t, id, "attempt    <"+to+">, ok, ", "to mx.ipv6.example ("+w.beta.IP6())
	w.beta.trace(t, id, "received   by smtp, from mx.alpha.example ("+w.alpha.IP6(), "delivered  <"+to+">, ok")
}

// The first host refuses connections, the second does not answer, the third takes the mail,
// in one attempt.
func (w *world) testDeadHosts(t *testing.T) {
	const to = "user@dead-mx.example"
	w.publish(t, "dead-mx.example MX 10 refuses.dead-mx.example", fmt.Sprintf("refuses.dead-mx.example A %s", w.web.IP4()),
		"dead-mx.example MX 20 silent.dead-mx.example", fmt.Sprintf("silent.dead-mx.example A %s%d", network4, numberAbsent))
	w.publish(t, "dead-mx.example MX 30 mx.dead-mx.example")
	w.publishHost(t, "mx.dead-mx.example", numberBeta)
	w.wantResults(t, w.alpha, "dead-mx.example", "no-policy-found dead-mx.example 1/0", "no-policy-found mx.dead-mx.example 1/0")
	id := w.alpha.send(t, mail{to: to})
	wantBody(t, w.beta.arrived(t, id), id)
	w.alpha.trace(t, id, "attempt    <"+to+">, ok, ", "attempt 1, ", "to mx.dead-mx.example (")
	w.beta.trace(t, id, "delivered  <"+to+">, ok")
}

// A route leads through the proxy, from whose address the mail comes then.
func (w *world) testSocks(t *testing.T) {
	const to = "user@socks.example"
	w.publishSite(t, "socks.example")
	w.wantResults(t, w.alpha, "socks.example", "no-policy-found mx.socks.example 1/0", "no-policy-found socks.example 1/0")
	id := w.alpha.send(t, mail{to: to})
	msg := w.beta.arrived(t, id)
	wantBody(t, msg, id)
	wantIn(t, msg, "Received: from proxy.example", " with ESMTPS ")
	w.alpha.trace(t, id, "attempt    <"+to+">, ok, ", "transport proxy", "to mx.socks.example (")
	w.beta.trace(t, id, "received   by smtp, from proxy.example (10.77.0.108", "delivered  <"+to+">, ok")
}

// A sender that wants to know hears of the delivery by a peer, and by mox.
func (w *world) testDelivered(t *testing.T) {
	for _, to := range []interface {
		receiver
		address() string
	}{w.postfix, w.exim, w.beta} {
		t.Run(to.domainName(), func(t *testing.T) {
			t.Parallel()
			id := w.alpha.send(t, mail{to: to.address(), notify: smtp.NotifySuccess | smtp.NotifyFailure, envID: "alpha-to-" + to.domainName()})
			wantBody(t, to.arrived(t, id), id)
			dsn := w.alpha.arrived(t, "Original-Envelope-Id: alpha-to-"+to.domainName())
			wantIn(t, dsn, "Return-Path: <>", "report-type=delivery-status", "Action: delivered", "Status: 2.")
			wantIn(t, dsn, "Final-Recipient: rfc822;", to.address())
			w.alpha.trace(t, id, "attempt    <"+to.address()+">, ok, ", "reported   <"+to.address()+">", "reason delivered")
		})
		if to == receiver(w.postfix) {
			continue
		}
		t.Run(to.domainName()+" to postfix", func(t *testing.T) {
			t.Parallel()
			id := w.postfix.send(t, mail{to: to.address(), notify: smtp.NotifySuccess, envID: "postfix-to-" + to.domainName()})
			wantBody(t, to.arrived(t, id), id)
			dsn := w.postfix.arrived(t, ": postfix-to-"+to.domainName())
			wantIn(t, dsn, "Return-Path: <>", "Action: delivered", "Status: 2.")
		})
	}
}

// A Postfix that has taken a message finds that its address leads to one that mox beta does
// not know, and tells the sender.
func (w *world) testPeerNotifies(t *testing.T) {
	const to = "relay@postfix.example"
	id := w.alpha.send(t, mail{to: to})
	dsn := w.alpha.arrived(t, id)
	wantIn(t, dsn, "Return-Path: <>", "report-type=delivery-status", "Final-Recipient: rfc822; "+postmasterNobody+"@beta.example", "Action: failed", "Status: 5.1.1", "Message-ID: "+id)
	w.alpha.trace(t, id, "attempt    <"+to+">, ok, ", "reported   <"+to+">", "reason failed")
	w.beta.trace(t, w.alpha.address(), "refused    <"+postmasterNobody+"@beta.example>, by smtp, from mx.postfix.example (", "from <"+w.alpha.address()+">, 550 5.1.1")
}

// Peers refuse an address, and mox tells the sender.
func (w *world) testPeerRefuses(t *testing.T) {
	for _, p := range []*peer{w.postfix, w.exim} {
		t.Run(p.domain, func(t *testing.T) {
			t.Parallel()
			to := postmasterNobody + "@" + p.domain
			id := w.alpha.send(t, mail{to: to})
			wantIn(t, w.alpha.arrived(t, id), "Return-Path: <>", "Final-Recipient: rfc822; "+to, "Action: failed", "Status: 5.", "Remote-MTA: dns; mx."+p.domain, "Diagnostic-Code: smtp; 550 ", "Message-ID: "+id)
			w.alpha.trace(t, id, "attempt    <"+to+">, failed, ", "to mx."+p.domain+" (", "550 ", "notified   <"+to+">")
		})
	}
}

// Mox refuses an address, and the peers tell the senders.
func (w *world) testMoxRefuses(t *testing.T) {
	const to = postmasterNobody + "@beta.example"
	for _, p := range []*peer{w.postfix, w.exim} {
		t.Run(p.domain, func(t *testing.T) {
			t.Parallel()
			id := p.send(t, mail{to: to, subject: "refused by mox"})
			wantIn(t, p.arrived(t, id), "report-type=delivery-status", to, "550 5.1.1")
			w.beta.trace(t, p.address(), "refused    <"+to+">, by smtp, from mx."+p.domain+" (", "from <"+p.address()+">, 550 5.1.1")
		})
	}
}
