package daemon

import (
	"net/textproto"
	"strings"
	"testing"
)

func TestIMAPServeCommandLogsInWithoutPassword(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	d.deliver(t, LocalserveAddress)
	c := d.dial(t)
	for _, address := range []string{"nobody@localhost", "mox@example.org", "mox", ""} {
		refused(t, c.Do("imapserve", address), "no account can log in as")
	}
	if err := c.Do("imapserve", LocalserveAddress); err != nil {
		t.Fatal(err)
	}
	nc, err := c.Take()
	if err != nil {
		t.Fatal(err)
	}
	ic := textproto.NewConn(nc)
	if line, err := ic.ReadLine(); err != nil || !strings.HasPrefix(line, "* PREAUTH ") {
		t.Fatalf("greeting %q, %v", line, err)
	}
	if got := command(t, ic, "select inbox"); !strings.Contains(got, "* 1 EXISTS") {
		t.Errorf("select: %q", got)
	}
	c = d.dial(t)
	if !strings.Contains(d.log.String(), " result=ok protocol=imap mechanism=PREAUTH ") {
		t.Error("no line for the login")
	}
	if err := c.Do("loginattempts", "mox", "10"); err != nil {
		t.Fatal(err)
	}
	if n, err := c.ReadLine(); err != nil || n != "1" {
		t.Fatalf("%s login attempts, %v", n, err)
	}
	if line, err := c.ReadLine(); err != nil || !strings.Contains(line, "\timap\tPREAUTH\t-\t-\t") {
		t.Errorf("login attempt %q, %v", line, err)
	}
	ended := func(want string) {
		t.Helper()
		line, err := ic.ReadLine()
		if err != nil || !strings.HasPrefix(line, want) {
			t.Errorf("got %q, %v", line, err)
		}
		if _, err := ic.ReadLine(); err == nil {
			t.Error("connection is open")
		}
	}
	if err := d.dial(t).Do("accountdisabled", "mox", "moved"); err != nil {
		t.Fatal(err)
	}
	ended("* BYE log in again")
	c = d.dial(t)
	refused(t, c.Do("imapserve", LocalserveAddress), "login is disabled for account: moved")
	if err := d.dial(t).Do("accountenable", "mox"); err != nil {
		t.Fatal(err)
	}
	if err := c.Do("imapserve", LocalserveAddress); err != nil {
		t.Fatal(err)
	}
	if nc, err = c.Take(); err != nil {
		t.Fatal(err)
	}
	ic = textproto.NewConn(nc)
	if line, err := ic.ReadLine(); err != nil || !strings.HasPrefix(line, "* PREAUTH ") {
		t.Fatalf("greeting %q, %v", line, err)
	}
	d.stop()
	ended("* BYE [UNAVAILABLE] server is shutting down")
}
