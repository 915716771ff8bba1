//go:build linux

package internet

import (
	"regexp"
	"testing"
)

// forwards are destinations of mox beta that forward.
const forwards = `			home@forward.example:
				ForwardTo:
					- user@alpha.example
			gone@forward.example:
				ForwardTo:
					- relay@postfix.example
				ForwardOnly: true
			refused@forward.example:
				ForwardTo:
					- nobody@exim.example
				ForwardOnly: true
`

// testForwarding is about addresses at mox beta whose mail goes on to others.
func (w *world) testForwarding(t *testing.T) {
	t.Parallel()
	w.publishSite(t, "forward.example")
	w.publish(t, `forward.example TXT "v=spf1 a:mx.beta.example -all"`)
	w.wantResults(t, w.alpha, "forward.example", "no-policy-found forward.example */0", "no-policy-found mx.forward.example */0")
	t.Run("to an address elsewhere", w.testForward)
	t.Run("signed mail stays valid", w.testForwardSigned)
	t.Run("bounce comes back", w.testForwardBounce)
	t.Run("refused by the target", w.testForwardRefused)
}

// wantRewritten checks that a message has a reverse-path that was made of user@ a domain.
func wantRewritten(t *testing.T, msg, domain string) {
	t.Helper()
	re := regexp.MustCompile("(?mi)^Return-Path: <SRS0=[^=>]+=[^=>]+=" + regexp.QuoteMeta(domain) + "=user@forward\\.example>")
	if !re.MatchString(msg) {
		t.Errorf("no match of %s in:\n%s", re, msg)
	}
}

// Mail of a Postfix goes by mox beta to mox alpha, which knows from SPF that it may.
func (w *world) testForward(t *testing.T) {
	t.Parallel()
	const to, target = "home@forward.example", "user@alpha.example"
	id := w.postfix.send(t, mail{to: to})
	msg := w.alpha.arrived(t, id)
	wantBody(t, msg, id)
	wantRewritten(t, msg, "postfix.example")
	wantIn(t, msg, "Authentication-Results: mx.alpha.example;", "spf=pass")
	wantBody(t, w.beta.arrived(t, id), id) // The copy.
	w.beta.trace(t, id, "received   by smtp, from mx.postfix.example (", "delivered  <"+to+">, ok", "queued     <"+target+">")
	w.beta.trace(t, id, "queued     <"+target+">", "attempt    <"+target+">, ok, ", "to mx.alpha.example (")
	w.alpha.trace(t, id, "received   by smtp, from mx.beta.example (", "delivered  <"+target+">, ok")
}

// The signature of mox alpha is still valid when its mail comes back.
func (w *world) testForwardSigned(t *testing.T) {
	t.Parallel()
	id := w.alpha.send(t, mail{to: "home@forward.example"})
	msg := w.alpha.arrived(t, id)
	wantBody(t, msg, id)
	wantRewritten(t, msg, "alpha.example")
	wantIn(t, msg, "Authentication-Results: mx.alpha.example;", "dkim=pass", "DKIM-Signature:")
}

// The target of the forward accepts the message and notices later that it cannot deliver
// it. Its notification goes back to mox beta, which passes it on to the sender.
func (w *world) testForwardBounce(t *testing.T) {
	t.Parallel()
	const to, target = "gone@forward.example", "relay@postfix.example"
	id := w.alpha.send(t, mail{to: to})
	dsn := w.alpha.arrived(t, "Message-ID: "+id)
	wantIn(t, dsn, "Return-Path: <>", "Received: from mx.beta.example", "Received: from mx.postfix.example", "report-type=delivery-status", "Final-Recipient: rfc822; nobody@beta.example", "Action: failed", "Status: 5.1.1")
	w.beta.trace(t, id, "received   by smtp, from mx.alpha.example (", "queued     <"+target+">", "attempt    <"+target+">, ok, ", "to mx.postfix.example (")
	w.alpha.trace(t, id, "attempt    <"+to+">, ok, ", "reported   <"+to+">", "reason failed")
}

// The target refuses the message, and mox beta tells the sender.
func (w *world) testForwardRefused(t *testing.T) {
	t.Parallel()
	const to, target = "refused@forward.example", "nobody@exim.example"
	id := w.alpha.send(t, mail{to: to})
	dsn := w.alpha.arrived(t, "Message-ID: "+id)
	wantIn(t, dsn, "Return-Path: <>", "Received: from mx.beta.example", "report-type=delivery-status", "Action: failed", "Status: 5.")
	w.beta.trace(t, id, "queued     <"+target+">", "attempt    <"+target+">, failed, ", "550 ", "notified   <"+target+">")
	w.alpha.trace(t, id, "attempt    <"+to+">, ok, ", "reported   <"+to+">", "reason failed")
}
