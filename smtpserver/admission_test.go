package smtpserver

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"mox/config"
)

// proxied is a setup with the network of pipeClient as proxies.
func proxied(edit func(l *ListenerOptions)) testSetup {
	return testSetup{limited: true, listener: func(l *ListenerOptions) {
		l.Proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		l.TLSConfig = &tls.Config{Certificates: []tls.Certificate{serverCert()}}
		if edit != nil {
			edit(l)
		}
	}}
}

func TestProxyTellsWhoTheClientIs(t *testing.T) {
	setup := proxied(nil)
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		for _, tc := range []struct{ header, want string }{
			{"PROXY TCP4 198.51.100.77 203.0.113.25 1234 25\r\n", "([198.51.100.77]) by mx.example.org ([203.0.113.25])"},
			{"PROXY TCP6 2001:db8::77 2001:db8::25 1234 25\r\n", "([IPv6:2001:db8::77]) by mx.example.org ([IPv6:2001:db8::25])"},
			{"PROXY UNKNOWN\r\n", "([192.0.2.1]) by mx.example.org ([198.51.100.1])"},
			{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x4d\xcb\x00\x71\x19\x04\xd2\x00\x19", "([198.51.100.77]) by mx.example.org ([203.0.113.25])"},
			{"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "([192.0.2.1]) by mx.example.org ([198.51.100.1])"},
		} {
			c := ts.pipeClient(setup, ListenerOptions{})
			c.write("%s", tc.header)
			c.hello()
			c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "250 ")
			l := ts.fake.messages()
			if got := strings.Join(strings.Fields(l[len(l)-1].trace), " "); !strings.Contains(got, tc.want) {
				t.Errorf("%q: trace %q", tc.header, got)
			}
		}
	})
}

func TestProxyMustSendAHeaderInTime(t *testing.T) {
	setup := proxied(nil)
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		for _, text := range []string{"EHLO client.example\r\n", "PROXY TCP4 198.51.100.77\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"} {
			c := ts.pipeClient(setup, ListenerOptions{})
			go func() { _, _ = c.nc.Write([]byte(text)) }() // It need not be read to its end.
			c.closed()
		}
		start := time.Now()
		c := ts.pipeClient(setup, ListenerOptions{})
		go func() {
			for _, b := range []byte("PROXY TCP4 198.51.100.77 ") {
				time.Sleep(time.Second)
				_, _ = c.nc.Write([]byte{b})
			}
		}()
		c.closed()
		took(t, start, proxyTimeout, "the end of the connection")
		_ = c.nc.Close()
		time.Sleep(time.Minute) // Until all of it was written.
	})
}

// Who is not a proxy cannot claim to be from elsewhere.
func TestHeaderOfOthersIsNoHeader(t *testing.T) {
	setup := proxied(func(l *ListenerOptions) { l.Proxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")} })
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.want("220 ")
		c.cmd("PROXY TCP4 198.51.100.77 203.0.113.25 1234 25", "500 5.5.2 ")
		c.closed()
		ts.pipeClient(setup, ListenerOptions{}).hello()
	})
}

func TestLimitsAreForTheClientBehindAProxy(t *testing.T) {
	setup := proxied(func(l *ListenerOptions) {
		l.Limits.OpenConnections = 1
		l.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("198.51.100.99/32")}
	})
	setup.options = func(o *Options) { o.MaxConnections = 4 }
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		dial := func(ip string) *client {
			c := ts.pipeClient(setup, ListenerOptions{})
			c.write("PROXY TCP4 %s 203.0.113.25 1234 25\r\n", ip)
			return c
		}
		dial("198.51.100.1").hello()
		dial("198.51.100.1").want("421 4.7.0 ")
		other := dial("203.0.113.2")
		other.hello()
		for range 3 {
			dial("198.51.100.99").hello()
		}
		other.cmd("QUIT", "221 ")
		other.closed()
		dial("203.0.113.2").hello()
	})
}

func TestProxiedConnectionWithImmediateTLS(t *testing.T) {
	t.Parallel()
	setup := testSetup{listener: func(l *ListenerOptions) { l.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }}
	ts := newTestServer(t, setup)
	c := dialClient(t, ts.submissions)
	c.write("PROXY TCP4 198.51.100.77 203.0.113.25 1234 465\r\n")
	c.startTLS()
	c.hello()
}

func TestUnknownRecipientsOfANetworkAreLimited(t *testing.T) {
	setup := testSetup{limited: true, listener: func(l *ListenerOptions) { l.Limits.UnknownRecipientsPerHour = 5 }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		var c *client
		for i := range 5 {
			if i%2 == 0 {
				c = ts.pipeClient(setup, ListenerOptions{})
				c.hello()
				c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
				c.cmd("RCPT TO:<ann@example.org>", "250 ")
			}
			c.cmd("RCPT TO:<nobody@example.org>", "550 5.1.1 ")
		}
		c.cmd("RCPT TO:<nobody@example.org>", "421 4.7.1 ")
		c.closed()
		c = ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		c.cmd("RCPT TO:<ann@example.org>", "250 ")
		c.cmd("RCPT TO:<nobody@example.org>", "421 4.7.1 ")
		time.Sleep(2 * time.Hour)
		c = ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		c.cmd("RCPT TO:<nobody@example.org>", "550 5.1.1 ")
	})
}

// Many connections over the limit get their reply, and cost no goroutines. Not parallel: it
// counts those of the process.
func TestConnectionsOverTheLimitAreRefusedAtOnce(t *testing.T) {
	ts := unstartedServer(t, testSetup{options: func(o *Options) { o.MaxConnections = 1 }})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := ListenerOptions{Name: "test", MaxMessageSize: 1000, Limits: config.Limits{ConnectionsPerMinute: -1, OpenConnections: -1}}
	go func() { _ = ts.Serve(context.Background(), l, o) }()
	served := dialClient(t, l.Addr().String())
	served.hello()
	before := runtime.NumGoroutine()
	var clients []*client
	for range 300 {
		clients = append(clients, dialClient(t, l.Addr().String()))
	}
	for _, c := range clients {
		c.want("421 4.3.2 ")
		c.closed()
	}
	if n := runtime.NumGoroutine() - before; n > 100 {
		t.Errorf("%d goroutines more", n)
	}
	served.cmd("QUIT", "221 ")
	served.closed()
	for !func() bool {
		c := dialClient(t, l.Addr().String())
		return strings.HasPrefix(c.reply(), "220 ")
	}() {
	}
}

// A connection of which HTTPS has found that it is for SMTP. Its client certificate is
// not made use of.
func TestConnectionFromAnotherListener(t *testing.T) {
	t.Parallel()
	ts := unstartedServer(t, testSetup{})
	a, b := net.Pipe()
	conf := &tls.Config{Certificates: []tls.Certificate{serverCert()}, NextProtos: []string{"smtp"}, ClientAuth: tls.RequestClientCert}
	go func() {
		tc := tls.Server(addrConn{b}, conf)
		if err := tc.Handshake(); err != nil {
			t.Errorf("handshake: %v", err)
		}
		ts.ServeALPN(tc, ts.listenerOptions(testSetup{}, ListenerOptions{}))
	}()
	cc := testCA().ClientConfig("mx.example.org")
	cc.NextProtos = []string{"smtp"}
	cc.Certificates = []tls.Certificate{serverCert()}
	tc := tls.Client(a, cc)
	c := newClient(t, tc)
	c.want("220 ")
	caps := c.cmd("EHLO client.example", "250-")
	if strings.Contains(caps, "STARTTLS") || !strings.Contains(caps, " 250-AUTH SCRAM") || strings.Contains(caps, "EXTERNAL") {
		t.Errorf("got %q", caps)
	}
	c.cmd("MAIL FROM:<ann@example.org>", "530 5.7.0 ")
	cs := tc.ConnectionState()
	if got := c.auth(mechanismClient(t, "SCRAM-SHA-256-PLUS", credentials("ann@example.org", testPassword), &cs), true); !strings.HasPrefix(got, "235 ") {
		t.Errorf("got %q", got)
	}
	c.message("ann@example.org", []string{"x@elsewhere.example"}, "x", "250 ")
	c.cmd("QUIT", "221 ")
	if l := ts.fake.submissions(); len(l) != 1 || !strings.Contains(l[0].trace, "ESMTPSA") {
		t.Errorf("got %v", l)
	}
}
