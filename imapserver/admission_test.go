package imapserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/ratelimit"
	"mox/internal/testkit"
	"mox/mlog"
)

// fromAddr is a connection from an address.
type fromAddr struct {
	net.Conn
	ip string
}

func (f fromAddr) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.ip), Port: 1234} }

// admissionTest runs a test with a server without users, and a function that connects.
func admissionTest(t *testing.T, o Options, lo ListenerOptions, test func(t *testing.T, dial func(ip string) *lineConn)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o.Auth, o.Log = &fakeAuth{}, mlog.Discard()
		srv := New(o)
		test(t, func(ip string) *lineConn {
			client, server := net.Pipe()
			go srv.ServeConn(context.Background(), fromAddr{server, ip}, lo)
			t.Cleanup(func() { _ = client.Close() })
			return newLineConn(t, client)
		})
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

var proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}

func TestLimitsAreForTheClientBehindAProxy(t *testing.T) {
	open := ratelimit.NewConcurrent(ratelimit.ConcurrentOptions{Limits: ratelimit.Factors(1)})
	admissionTest(t, Options{}, ListenerOptions{Proxies: proxies, OpenConnections: open}, func(t *testing.T, dial func(string) *lineConn) {
		through := func(header string) *lineConn {
			c := dial("192.0.2.1")
			c.send("%s", strings.TrimSuffix(header, "\r\n"))
			return c
		}
		through("PROXY TCP4 198.51.100.1 203.0.113.25 1234 143").line("* OK")
		through("PROXY TCP4 198.51.100.1 203.0.113.25 1234 143").line("* BYE [UNAVAILABLE]")
		through("PROXY TCP4 198.51.100.2 203.0.113.25 1234 143").line("* OK")
		through("PROXY UNKNOWN").line("* OK")
		through("PROXY UNKNOWN").line("* BYE [UNAVAILABLE]")
		dial("198.51.100.3").line("* OK")
	})
}

func TestProxyMustSendAHeaderInTime(t *testing.T) {
	admissionTest(t, Options{}, ListenerOptions{Proxies: proxies}, func(t *testing.T, dial func(string) *lineConn) {
		start := time.Now()
		dial("192.0.2.1").closed()
		if d := time.Since(start); d != proxyTimeout {
			t.Errorf("closed after %v", d)
		}
		c := dial("192.0.2.1")
		go func() { _, _ = c.nc.Write([]byte("a LOGIN user password\r\n")) }()
		c.closed()
	})
}

func TestConnectionsOfAllListenersAreLimited(t *testing.T) {
	exempt := []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}
	admissionTest(t, Options{MaxConnections: 2}, ListenerOptions{Exempt: exempt}, func(t *testing.T, dial func(string) *lineConn) {
		first := dial("198.51.100.1")
		first.line("* OK")
		dial("198.51.100.2").line("* OK")
		refused := dial("198.51.100.3")
		refused.line("* BYE [UNAVAILABLE]")
		refused.closed()
		dial("203.0.113.9").line("* OK")
		first.send("a LOGOUT")
		first.line("* BYE")
		first.line("a OK")
		first.closed()
		dial("198.51.100.3").line("* OK")
	})
}

func TestConnectionsOverTheLimitAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	srv := New(Options{Auth: &fakeAuth{}, Log: mlog.Discard(), MaxConnections: 1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(context.Background(), l, ListenerOptions{}) }()
	dial := func() *lineConn {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		return newLineConn(t, nc)
	}
	dial().line("* OK")
	for range 100 {
		c := dial()
		c.line("* BYE [UNAVAILABLE]")
		c.closed()
	}
	if n := srv.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// A connection of which HTTPS has found that it is for IMAP. Its client certificate is
// not made use of.
func TestConnectionFromAnotherListener(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	ts := newTestServer(t, testSetup{})
	a, b := net.Pipe()
	conf := ca.ServerConfig(t, "localhost")
	conf.NextProtos, conf.ClientAuth = []string{"imap"}, tls.RequestClientCert
	done := make(chan struct{})
	go func() {
		defer close(done)
		tc := tls.Server(b, conf)
		if err := tc.Handshake(); err != nil {
			t.Errorf("handshake: %v", err)
		}
		ts.server.ServeALPN(context.Background(), tc, ListenerOptions{})
	}()
	cc := ca.ClientConfig("localhost")
	cc.NextProtos = []string{"imap"}
	cc.Certificates = conf.Certificates
	c := newLineConn(t, tls.Client(a, cc))
	if line := c.line("* OK"); strings.Contains(line, "STARTTLS") || strings.Contains(line, "LOGINDISABLED") || strings.Contains(line, "EXTERNAL") {
		t.Errorf("greeting %q", line)
	}
	c.send("a LOGIN mjl@mox.example test1234")
	c.line("a OK")
	c.send("b LOGOUT")
	c.line("* BYE")
	c.line("b OK")
	c.closed()
	<-done
}
