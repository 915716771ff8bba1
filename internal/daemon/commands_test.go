package daemon

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"mox/internal/ctl"
	"mox/mlog"
)

func (d *testDaemon) dial(t *testing.T) *ctl.Client {
	t.Helper()
	c, err := ctl.Dial(t.Context(), d.DataDir())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// refused checks that a command is answered with an error.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	var rerr ctl.RemoteError
	if !errors.As(err, &rerr) || !strings.Contains(string(rerr), want) {
		t.Errorf("got error %v, expected one with %q", err, want)
	}
}

func TestDeliverCommandStoresMessage(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.dial(t)
	for _, address := range []string{"mox@localhost", "mox+x@localhost", "postmaster@localhost"} {
		if err := c.Do("deliver", address); err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		w := c.StreamWriter()
		if _, err := io.WriteString(w, "Subject: test\n\nhello\n"); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.ReadOK(); err != nil {
			t.Fatalf("%s: %v", address, err)
		}
	}
	ic := d.imap(t)
	if got := command(t, ic, "fetch 1:* body[text]"); strings.Count(got, "{7}\nhello\n") != 2 {
		t.Errorf("messages in inbox: %q", got)
	}
	if got := command(t, ic, "status Postmaster (messages)"); !strings.Contains(got, "MESSAGES 1") {
		t.Errorf("messages for postmaster: %q", got)
	}
	if err := d.dial(t).Do("deliver", "mox"); err == nil || !strings.Contains(err.Error(), "parse address") {
		t.Errorf("malformed address: got %v", err)
	}
	refused(t, c.Do("deliver", "nobody@localhost"), "address not configured")
	refused(t, c.Do("deliver", "mox@example.org"), "domain not configured")
}

func TestPasswordCommandChangesLogin(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.dial(t)
	refused(t, c.Do("setaccountpassword", "nobody", "long enough"), `no account "nobody"`)
	refused(t, c.Do("setaccountpassword", "mox", "short"), "shorter than 8")
	d.imap(t) // The old one still works.
	if err := c.Do("setaccountpassword", "mox", "another password"); err != nil {
		t.Fatal(err)
	}
	ic := d.imapConn(t)
	if err := ic.PrintfLine("a login %s %s", LocalserveAddress, LocalservePassword); err != nil {
		t.Fatal(err)
	}
	if line, err := ic.ReadLine(); err != nil || !strings.HasPrefix(line, "a NO ") {
		t.Errorf("old password: got %q, %v", line, err)
	}
	command(t, ic, "login "+LocalserveAddress+` "another password"`)
}

func TestLogLevelCommandsChangeLevels(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.dial(t)
	list := func() string {
		t.Helper()
		if err := c.Do("loglevels"); err != nil {
			t.Fatal(err)
		}
		line, err := c.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for range n {
			line, err := c.ReadLine()
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, ", ")
	}
	if got := list(); got != ": debug" {
		t.Errorf("got %q", got)
	}
	for _, params := range [][]string{{"", "error"}, {"queue", "trace"}, {"store", "info"}} {
		if err := c.Do("setloglevels", params...); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(); got != ": error, queue: trace, store: info" {
		t.Errorf("got %q", got)
	}
	if got := d.opts.Levels.Level("queue"); got != mlog.LevelTrace {
		t.Errorf("got level %v", got)
	}
	if err := c.Do("setloglevels", "queue", ""); err != nil {
		t.Fatal(err)
	}
	if got := list(); got != ": error, store: info" {
		t.Errorf("got %q", got)
	}
	refused(t, c.Do("setloglevels", "", ""), "cannot be empty")
	refused(t, c.Do("setloglevels", "", "loud"), "unknown log level")
}

func TestStatusCommandTellsOfListenersQueueAndSpace(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.dial(t)
	if err := c.Do("status"); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(c.StreamReader())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"version ", "pid ", "uptime ", "free ", "accounts  1\n", "queue     0 messages", "listener  " + d.addr(t, "SMTP") + " ", "panics "} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %q in:\n%s", want, data)
		}
	}
}

func TestStopCommandReturnsWhenTheDataIsFree(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.dial(t)
	if err := c.Send("stop"); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitClosed(); err != nil {
		t.Fatalf("waiting for the end: %v", err)
	}
	start(t, d.dir)
	<-d.done
	if d.err != nil {
		t.Errorf("stop: %v", d.err)
	}
}
