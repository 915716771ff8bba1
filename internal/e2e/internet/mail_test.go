//go:build linux

package internet

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"mox/dns"
	"mox/smtp"
	"mox/smtpclient"
)

// A mail is a message to be sent.
type mail struct {
	to      string
	subject string // Any, if it is empty.
	header  string // Further lines, each with CRLF.

	requireTLS bool
	notify     smtp.Notify
	envID      string
}

// A sender sends messages.
type sender interface {
	// send sends a message and returns its Message-ID.
	send(t testing.TB, m mail) string
	domainName() string
}

// A receiver gets messages.
type receiver interface {
	// arrived waits for a message with a text in its header and returns it.
	arrived(t testing.TB, text string) string
	domainName() string
}

func mailbox(t testing.TB, s string) smtp.Path {
	t.Helper()
	p, err := smtp.ParseMailbox(s, smtp.Strict)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// deliver sends a message over a connection.
func (m mail) deliver(t testing.TB, nc net.Conn, opts smtpclient.Options, from string) string {
	t.Helper()
	ctx := testContext(t)
	opts.Hostname = dns.IPDomain{Domain: dns.Domain{ASCII: "client.example"}}
	c, err := smtpclient.New(ctx, nc, opts)
	if err != nil {
		t.Fatalf("submission: %v", err)
	}
	defer c.Close()
	if m.subject == "" {
		m.subject = "test"
	}
	id := "<" + strings.ToLower(rand.Text()) + "@" + from[strings.IndexByte(from, '@')+1:] + ">"
	text := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: %s\r\nDate: Sat, 01 Nov 2025 10:00:00 +0000\r\n%s\r\nbody of %s\r\n.leading dot\r\n",
		from, m.to, m.subject, id, m.header, id)
	results, err := c.Deliver(ctx, smtpclient.Envelope{
		Mail:       smtp.MailCommand{ReversePath: mailbox(t, from), RequireTLS: m.requireTLS, EnvID: m.envID},
		Recipients: []smtp.RcptCommand{{ForwardPath: mailbox(t, m.to), Notify: m.notify}},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	})
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	if err != nil {
		t.Fatalf("submission: %v", err)
	}
	return id
}

// wantBody checks that a message is as it was sent.
func wantBody(t testing.TB, text, id string) {
	t.Helper()
	if want := "\r\n\r\nbody of " + id + "\r\n.leading dot\r\n"; !strings.HasSuffix(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n"), want) {
		t.Errorf("message does not end with %q:\n%s", want, text)
	}
}

// wantIn checks that texts are in another, in this order.
func wantIn(t testing.TB, text string, wants ...string) {
	t.Helper()
	if missing := firstMissing(text, wants); missing != "" {
		t.Errorf("no %q, in this order, in:\n%s", missing, text)
	}
}

// firstMissing returns the first text that is not in another, in their order. It is
// empty if all are there.
func firstMissing(text string, wants []string) string {
	for _, want := range wants {
		i := strings.Index(text, want)
		if i < 0 {
			return want
		}
		text = text[i+len(want):]
	}
	return ""
}
