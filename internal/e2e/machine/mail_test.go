//go:build linux

package machine

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// testMail sends mail in both directions, and lets the other side verify.
func (w *world) testMail(t *testing.T) {
	t.Run("in with DANE", func(t *testing.T) { w.testMailIn(t, withDANE, "postfix/smtp") })
	t.Run("in with MTA-STS", func(t *testing.T) { w.testMailIn(t, withSTS, "postfix-sts/smtp") })
	t.Run("out", w.testMailOut)
}

// testMailIn receives a message of a sender, and looks for what the Postfix that sends says
// about the connection.
func (w *world) testMailIn(t *testing.T, from, service string) {
	subject := "From " + from
	w.peer.send(t, from, address, subject)
	msg := w.arrived(t, subject)
	for _, want := range []string{`with (ESMTPS|UTF8SMTPS) id `, `spf=pass\s`, `iprev=pass `} {
		if !regexp.MustCompile(want).MatchString(msg) {
			t.Errorf("no %q in\n%s", want, msg)
		}
	}
	verified := regexp.MustCompile(service + `\[\d+\]: Verified TLS connection established to ` + regexp.QuoteMeta(hostname) + `\[\S+\]:25: TLSv1\.3 `)
	poll(t, "postfix has verified", func() bool { return verified.MatchString(w.peer.server.Output()) })
}

// testMailOut sends a message and has it checked where it arrives.
func (w *world) testMailOut(t *testing.T) {
	const subject = "To the world"
	w.submit(t, peerMail, subject)
	msg := w.peer.arrived(t, subject)
	for _, want := range []string{"DKIM-Signature: ", "from " + hostname + " (" + hostname + " [", "(using TLSv1.3 ", "Return-Path: <" + address + ">"} {
		if !strings.Contains(msg, want) {
			t.Errorf("no %q in\n%s", want, msg)
		}
	}
	id := regexp.MustCompile(`(?mi)^Message-ID: (\S+)`).FindStringSubmatch(msg)
	if id == nil {
		t.Fatalf("no Message-ID in\n%s", msg)
	}
	if trace := w.machine.mox(t, "trace", id[1]); !strings.Contains(trace, "tls requiredstarttls+dane (TLS 1.3 ") {
		t.Errorf("trace says nothing about DANE:\n%s", trace)
	}

	// The message as it was received, below what Postfix has added.
	path := filepath.Join(testkit.PublicDir(t), "message")
	testkit.WriteFile(t, path, strings.ReplaceAll(msg, "\n", "\r\n"))
	const check = `import sys, dkim, spf
msg = open(sys.argv[1], "rb").read()
d = dkim.DKIM(msg)
signatures = sum(1 for n, _ in d.headers if n.lower() == b"dkim-signature")
print("dkim", signatures, [d.verify(i) for i in range(signatures)])
print("spf", spf.check2(i=sys.argv[2], s=sys.argv[3], h=sys.argv[4])[0])
`
	testkit.Tool(t, "python3")
	cmd := w.outside(t, "/usr/bin/python3", "-c", check, path, w.machine.IP4(), address, hostname)
	var out []byte
	var err error
	w.client.Do(t, func() { out, err = cmd.CombinedOutput() })
	if err != nil {
		t.Fatalf("verifying: %v\n%s", err, out)
	}
	if want := "dkim 2 [True, True]\nspf pass\n"; string(out) != want {
		t.Errorf("signatures and sender are verified as %q instead of %q", out, want)
	}
}
