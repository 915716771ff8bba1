package imapserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/ratelimit"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/store"
)

// lineConn is a client that sends and reads lines.
type lineConn struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

func newLineConn(t testing.TB, nc net.Conn) *lineConn {
	t.Cleanup(func() { nc.Close() })
	return &lineConn{t, nc, bufio.NewReader(nc)}
}

func (c *lineConn) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.nc, format+"\r\n", args...); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// line reads a line that begins with prefix.
func (c *lineConn) line(prefix string) string {
	c.t.Helper()
	line, err := c.br.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read, waiting for %q: %v", prefix, err)
	}
	if !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("got %q, want %q", line, prefix)
	}
	return strings.TrimRight(line, "\r\n")
}

// until reads lines up to one that begins with prefix, and returns them all.
func (c *lineConn) until(prefix string) []string {
	c.t.Helper()
	var l []string
	for {
		l = append(l, c.line(""))
		if strings.HasPrefix(l[len(l)-1], prefix) {
			return l
		}
	}
}

// closed checks that the server has closed the connection.
func (c *lineConn) closed() {
	c.t.Helper()
	if line, err := c.br.ReadString('\n'); err == nil || line != "" {
		c.t.Fatalf("connection is open, got %q", line)
	}
}

func (ts *testServer) connect(name string) *lineConn {
	ts.t.Helper()
	nc, err := ts.dial(context.Background(), name)
	if err != nil {
		ts.t.Fatalf("dial: %v", err)
	}
	return newLineConn(ts.t, nc)
}

func TestFailedLoginsMakeTheClientWait(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := ts.connect("raw")
	c.line("* OK")
	waited := func() (n int) {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		n = len(ts.delays)
		ts.delays = nil
		return n
	}
	for i := range 2 {
		c.send("a%d LOGIN mjl@mox.example wrong", i)
		c.line(fmt.Sprintf("a%d NO", i))
	}
	if n := waited(); n != 0 {
		t.Errorf("%d waits before the third failure", n)
	}
	c.send("a2 LOGIN mjl@mox.example wrong")
	line := c.line("a2 NO")
	if n := waited(); n != len(line)+2 {
		t.Errorf("%d waits for an answer of %d bytes", n, len(line)+2)
	}
	c.send("a3 NOOP")
	line = c.line("a3 OK")
	if n := waited(); n != len(line)+3 {
		t.Errorf("%d waits for a line and an answer of %d bytes", n, len(line)+2)
	}
	c.send("a4 LOGIN mjl@mox.example test1234")
	c.line("a4 OK")
	waited()
	c.send("a5 NOOP")
	c.line("a5 OK")
	if n := waited(); n != 0 {
		t.Errorf("%d waits after a success", n)
	}
}

// Who has no secret for a mechanism is not guessing.
func TestLoginsWithoutSecretDoNotMakeTheClientWait(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := ts.connect("raw")
	c.line("* OK")
	for i := range 5 {
		c.send("a%d AUTHENTICATE SCRAM-SHA-256 AAAA", i)
		c.line("+ ")
		c.send("")
		c.line(fmt.Sprintf("a%d NO [AUTHENTICATIONFAILED]", i))
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if n := len(ts.delays); n != 0 {
		t.Errorf("%d waits", n)
	}
}

func TestConnectionsAreRefusedBeforeTLS(t *testing.T) {
	t.Parallel()
	limit := ratelimit.Limits{1, 100, 100}
	for name, setup := range map[string]func(*ListenerOptions){
		"rate": func(l *ListenerOptions) {
			l.ConnectionRate = ratelimit.New(ratelimit.Options{Windows: []ratelimit.Window{{Period: time.Hour, Limits: limit}}})
		},
		"open": func(l *ListenerOptions) {
			l.OpenConnections = ratelimit.NewConcurrent(ratelimit.ConcurrentOptions{Limits: limit})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts := newTestServer(t, testSetup{listener: setup})
			c := ts.connect("raw")
			c.line("* OK")
			d := ts.connect("raw")
			d.line("* BYE [UNAVAILABLE]")
			d.closed()
			c.send("a LOGOUT")
			c.until("a OK")
			c.closed()
			if name == "open" {
				ts.connect("raw").line("* OK")
			}
		})
	}
	t.Run("failed logins", func(t *testing.T) {
		t.Parallel()
		ts := newTestServer(t, testSetup{})
		ts.auth.block()
		c := ts.connect("raw")
		c.line("* BYE [UNAVAILABLE]")
		c.closed()
	})
	t.Run("immediate tls", func(t *testing.T) {
		t.Parallel()
		ca := testkit.NewCA(t)
		ts := newTestServer(t, testSetup{listener: func(l *ListenerOptions) {
			l.ImmediateTLS, l.TLSConfig = true, ca.ServerConfig(t, "localhost")
		}})
		ts.auth.block()
		ts.connect("raw").closed()
	})
}

func TestImmediateTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	ts := newTestServer(t, testSetup{listener: func(l *ListenerOptions) {
		l.ImmediateTLS, l.TLSConfig, l.AllowPlaintextLogin = true, ca.ServerConfig(t, "localhost"), false
	}})
	nc, err := tls.Dial("tcp", ts.addr, ca.ClientConfig("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	c := newLineConn(t, nc)
	if line := c.line("* OK"); strings.Contains(line, "STARTTLS") || strings.Contains(line, "LOGINDISABLED") {
		t.Errorf("greeting %q", line)
	}
	c.send("a STARTTLS")
	c.line("a BAD")
	c.send("b LOGIN mjl@mox.example test1234")
	c.line("b OK")
	// A peer that speaks something else does no harm.
	plain := ts.connect("raw")
	plain.send("a NOOP")
	if _, err := io.ReadAll(plain.br); err != nil && !mlog.IsClosed(err) {
		t.Errorf("read: %v", err)
	}
}

func TestLineThatIsTooLongEndsTheConnection(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := ts.connect("imap")
	c.send("a NOOP %s", strings.Repeat("x", 16000))
	c.line("a BAD")
	go fmt.Fprintf(c.nc, "b NOOP %s\r\n", strings.Repeat("x", 20000))
	c.line("* BYE")
	c.closed()
}

func TestSeveralMessagesHaveLimits(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := ts.connect("imap")
	msg := " {14+}\r\nSubject: a\r\n\r\n"
	c.send("a APPEND Inbox%s", strings.Repeat(msg, maxAppendMessages))
	if line := c.line("a OK [APPENDUID "); !strings.Contains(line, fmt.Sprintf(" 1:%d]", maxAppendMessages)) {
		t.Errorf("got %q", line)
	}
	c.send("b APPEND Inbox%s", strings.Repeat(msg, maxAppendMessages+1))
	c.line(fmt.Sprintf("b NO [MESSAGELIMIT %d]", maxAppendMessages))
	c.send("c STATUS Inbox (MESSAGES)")
	c.line(fmt.Sprintf("* STATUS Inbox (MESSAGES %d)", maxAppendMessages))
	c.line("c OK")
}

// bubble runs a test in a synctest bubble with a server on a pipe.
func bubble(t *testing.T, test func(t *testing.T, ts *testServer, pipe func() *lineConn)) {
	synctest.Test(t, func(t *testing.T) {
		ts := &testServer{t: t, dir: t.TempDir(), auth: &fakeAuth{}, log: mlog.Discard()}
		var err error
		if ts.store, err = store.Open(context.Background(), store.Options{Dir: ts.dir, Log: ts.log}); err != nil {
			t.Fatal(err)
		}
		ts.server = New(Options{Store: ts.store, Auth: ts.auth, Log: ts.log})
		test(t, ts, func() *lineConn {
			client, server := net.Pipe()
			go ts.server.ServeConn(context.Background(), server, ListenerOptions{AllowPlaintextLogin: true})
			return newLineConn(t, client)
		})
		if err := ts.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		ts.verify()
	})
}

func TestClientsThatSayNothingAreDisconnected(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, _ *testServer, pipe func() *lineConn) {
		within := func(c *lineConn, want time.Duration) {
			t.Helper()
			start := time.Now()
			c.line("* BYE")
			if d := time.Since(start); d != want {
				t.Errorf("disconnected after %v, want %v", d, want)
			}
			c.closed()
		}
		c := pipe()
		c.line("* OK")
		within(c, loginTimeout)

		c = pipe()
		c.line("* OK")
		if _, err := c.nc.Write([]byte("a LOG")); err != nil {
			t.Fatal(err)
		}
		within(c, loginTimeout)

		c = pipe()
		c.line("* OK")
		c.send("a LOGIN mjl@mox.example test1234")
		c.line("a OK")
		within(c, idleTimeout)

		c = pipe()
		c.line("* OK")
		c.send("a LOGIN mjl@mox.example test1234")
		c.line("a OK")
		if _, err := c.nc.Write([]byte("b NO")); err != nil {
			t.Fatal(err)
		}
		within(c, commandTimeout)

		c = pipe()
		c.line("* OK")
		c.send("a LOGIN mjl@mox.example test1234")
		c.line("a OK")
		c.send("b IDLE")
		c.line("+ ")
		within(c, idleTimeout)
	})
}

func TestClientThatDoesNotReadIsDisconnected(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, ts *testServer, pipe func() *lineConn) {
		c := pipe()
		c.line("* OK")
		c.send("a LOGIN mjl@mox.example test1234")
		c.line("a OK")
		start := time.Now()
		c.send("b LIST \"\" *")
		for ts.server.Connections() > 0 {
			time.Sleep(time.Second)
		}
		if d := time.Since(start); d < writeTimeout || d > writeTimeout+2*time.Second {
			t.Errorf("disconnected after %v, want %v", d, writeTimeout)
		}
	})
}

func TestShutdownDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, ts *testServer, pipe func() *lineConn) {
		c := pipe()
		c.line("* OK")
		c.send("a LOGIN mjl@mox.example test1234")
		c.line("a OK")
		c.send("b LIST \"\" *") // And does not read the answer.
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := ts.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		if n := ts.server.Connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		d := pipe()
		d.line("* BYE")
	})
}

func TestRemoteWithoutIPIsServed(t *testing.T) {
	t.Parallel()
	if ratelimit.RemoteIP(&net.UnixAddr{}) != (netip.Addr{}) {
		t.Fatal("a unix socket has an ip")
	}
	bubble(t, func(t *testing.T, _ *testServer, pipe func() *lineConn) {
		c := pipe()
		c.line("* OK")
	})
}
