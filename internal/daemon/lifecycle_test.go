package daemon

import (
	"crypto/tls"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"mox/internal/tracedb"
)

// login logs in as ann and selects the inbox.
func (d *testDaemon) login(t *testing.T) *textproto.Conn {
	t.Helper()
	c := d.imapConn(t)
	command(t, c, "login ann@localhost annannann")
	command(t, c, "select inbox")
	return c
}

// ended checks that a session is told that it ends, and that no more comes.
func ended(t *testing.T, c *textproto.Conn) {
	t.Helper()
	if line, err := c.ReadLine(); err != nil || !strings.HasPrefix(line, "* BYE") {
		t.Errorf("got %q, %v", line, err)
	}
	if line, err := c.ReadLine(); err == nil {
		t.Errorf("got %q", line)
	}
}

func TestSessionsEndWhenTheirAccountIsRenamedOrRemoved(t *testing.T) {
	t.Parallel()
	d, ctx := start(t, newDir(t)), t.Context()
	if err := d.admin.AddAccount(ctx, "ann", "ann@localhost"); err != nil {
		t.Fatal(err)
	}
	if err := d.checker.SetPassword(ctx, "ann", "annannann"); err != nil {
		t.Fatal(err)
	}
	d.deliver(t, "ann@localhost")
	other, waits, idles := d.imap(t), d.login(t), d.login(t)
	if err := idles.PrintfLine("i idle"); err != nil {
		t.Fatal(err)
	}
	if line, err := idles.ReadLine(); err != nil || !strings.HasPrefix(line, "+") {
		t.Fatalf("idle: %q, %v", line, err)
	}
	nc, err := tls.Dial("tcp", d.addr(t, "Submissions"), d.clientTLS(t))
	if err != nil {
		t.Fatal(err)
	}
	sc, err := smtp.NewClient(nc, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sc.Close() })
	if err := sc.Auth(smtp.PlainAuth("", "ann@localhost", "annannann", "localhost")); err != nil {
		t.Fatal(err)
	}

	if err := d.dial(t).Do("accountrename", "ann", "anna"); err != nil {
		t.Fatal(err)
	}
	ended(t, waits)
	ended(t, idles)
	if err := sc.Mail("ann@localhost"); err == nil || !strings.HasPrefix(err.Error(), "421 ") {
		t.Errorf("submission goes on: %v", err)
	}
	command(t, other, "noop")
	c := d.login(t)
	if got := command(t, c, "fetch 1 body[text]"); !strings.Contains(got, "\nhello\n") {
		t.Errorf("got %q", got)
	}
	d.deliver(t, "ann@localhost")
	if got := command(t, c, "noop"); !strings.Contains(got, "* 2 EXISTS") {
		t.Errorf("got %q", got)
	}

	traces, err := d.trace.List(ctx, tracedb.Query{Find: "ann@localhost"})
	if err != nil || len(traces) != 2 {
		t.Fatalf("traces %v, %v", traces, err)
	}
	for _, m := range traces {
		if !slices.ContainsFunc(m.Steps, func(s tracedb.Step) bool { return s.Kind == tracedb.Delivered && s.Account == "anna" }) {
			t.Errorf("steps %+v", m.Steps)
		}
	}

	if err := d.dial(t).Do("accountrm", "anna", "", ""); err != nil {
		t.Fatal(err)
	}
	ended(t, c)
	command(t, other, "noop")
	c = d.imapConn(t)
	if err := c.PrintfLine("x login ann@localhost annannann"); err != nil {
		t.Fatal(err)
	}
	if line, err := c.ReadLine(); err != nil || !strings.HasPrefix(line, "x NO ") {
		t.Errorf("login: %q, %v", line, err)
	}
}
