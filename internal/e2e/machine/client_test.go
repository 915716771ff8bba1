//go:build linux

package machine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/smtp"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit/netns"
)

// dial connects from a host to a port of the machine with TLS, and verifies it.
func (w *world) dial(t testing.TB, h *netns.Host, port string) (*tls.Conn, error) {
	t.Helper()
	nc, err := h.Dial(t, net.JoinHostPort(w.machine.IP4(), port))
	if err != nil {
		return nil, err
	}
	return w.secure(nc)
}

// secure goes on with TLS, and verifies the machine.
func (w *world) secure(nc net.Conn) (*tls.Conn, error) {
	conf := &tls.Config{ServerName: hostname, RootCAs: x509.NewCertPool()}
	conf.RootCAs.AppendCertsFromPEM([]byte(w.authority.trusted))
	conn := tls.Client(nc, conf)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := conn.Handshake(); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// imap returns a connection with IMAP of the user.
func (w *world) imap(t testing.TB) *imapclient.Client {
	t.Helper()
	conn, err := w.dial(t, w.client, "993")
	if err != nil {
		t.Fatalf("imap: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := imapclient.New(ctx, conn, imapclient.Options{})
	if err != nil {
		t.Fatalf("imap: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Login(ctx, address, w.machine.password); err != nil {
		t.Fatalf("imap login: %v", err)
	}
	return c
}

// arrived waits for the message with a text in it in the inbox, and returns it.
func (w *world) arrived(t testing.TB, text string) string {
	t.Helper()
	c := w.imap(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if _, err := c.Select(ctx, "INBOX", imapclient.SelectOptions{}); err != nil {
		t.Fatalf("imap select: %v", err)
	}
	var found []uint32
	poll(t, "message with "+text, func() bool {
		res, err := c.Search(ctx, imapclient.UID, imap.SearchProgram{Key: imap.SearchKey{Op: imap.SearchText, Text: text}}, imapclient.SearchOptions{})
		if err != nil {
			t.Fatalf("imap search: %v", err)
		}
		found = res.Nums
		return len(found) > 0
	})
	item := imap.FetchItem{Attr: imap.FetchBodySection, Peek: true}
	l, _, err := c.Fetch(ctx, imapclient.UID, imap.NewRanges(found[0]).NumSet(), []imap.FetchItem{item}, imapclient.FetchOptions{})
	if err != nil || len(l) != 1 || len(l[0].Sections) != 1 {
		t.Fatalf("imap fetch: %d responses, %v", len(l), err)
	}
	return string(l[0].Sections[0].Data)
}

// submit sends a message of the user.
func (w *world) submit(t testing.TB, to, subject string) {
	t.Helper()
	conn, err := w.dial(t, w.client, "465")
	if err != nil {
		t.Fatalf("submission: %v", err)
	}
	c, err := smtp.NewClient(conn, hostname)
	if err != nil {
		t.Fatalf("submission: %v", err)
	}
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", address, w.machine.password, hostname)); err != nil {
		t.Fatalf("submission: %v", err)
	}
	if err := transaction(c, address, to, subject); err != nil {
		t.Fatalf("submission: %v", err)
	}
}

// transaction sends a message.
func transaction(c *smtp.Client, from, to, subject string) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	wc, err := c.Data()
	if err != nil {
		return err
	}
	now := time.Now()
	msg := fmt.Sprintf("From: <%[1]s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%d.%[1]s>\r\n\r\nGood morning.\r\n", from, to, subject, now.Format(time.RFC1123Z), now.UnixNano())
	if _, err := wc.Write([]byte(msg)); err != nil {
		return err
	}
	return wc.Close()
}
