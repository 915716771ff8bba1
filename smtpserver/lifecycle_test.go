package smtpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mox/config"
	"mox/internal/identity"
	"mox/internal/inbound"
	"mox/internal/metrics"
)

func TestIdleClientIsToldAndDisconnected(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		start := time.Now()
		c.want("421 4.4.2 ")
		took(t, start, commandTimeout, "time-out")
		c.closed()
	})
}

// trickle sends text every minute until the function that it returns is called, or
// the connection is closed.
func (c *client) trickle(text string) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := c.nc.Write([]byte(text)); err != nil {
				return
			}
			time.Sleep(time.Minute)
		}
	}()
	return func() {
		_ = c.nc.Close()
		<-ended
	}
}

func TestSlowlySentCommandTimesOutAsAWhole(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		start := time.Now()
		defer c.trickle("N")()
		c.want("421 4.4.2 ")
		took(t, start, commandTimeout, "time-out")
		c.closed()
	})
}

func TestClientThatDoesNotReadRepliesIsDisconnected(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		start := time.Now()
		c.write("NOOP\r\n")
		time.Sleep(writeTimeout + time.Second)
		c.closed()
		took(t, start, writeTimeout+time.Second, "all")
	})
}

func TestStalledMessageTimesOut(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		c.cmd("RCPT TO:<ann@example.org>", "250 ")
		c.cmd("DATA", "354 ")
		c.write("Subject: half\r\n")
		start := time.Now()
		c.want("421 4.4.2 ")
		took(t, start, dataTimeout, "time-out")
		c.closed()
		if n := len(ts.fake.messages()); n != 0 {
			t.Errorf("%d messages delivered", n)
		}
	})
}

func TestTrickledMessageTimesOutAsAWhole(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		c.cmd("RCPT TO:<ann@example.org>", "250 ")
		c.cmd("DATA", "354 ")
		start := time.Now()
		defer c.trickle("x\r\n")()
		c.want("421 4.4.2 ")
		took(t, start, transferTimeout, "time-out")
	})
}

func TestHandshakeTimesOut(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{ImmediateTLS: true})
		start := time.Now()
		c.closed()
		took(t, start, handshakeTimeout, "time-out")
	})
}

func TestLocalserveHangsForAnHourWithoutTheMessage(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.Localserve = true }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		start := time.Now()
		c.message("a@elsewhere.example", []string{"some-timeout@example.org"}, "x", "421 4.4.2 ")
		took(t, start, hangTime, "reply")
		c.closed()
	})
}

func TestShutdownTellsIdleClients(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		done := make(chan error)
		go func() { done <- ts.Shutdown(context.Background()) }()
		c.want("421 4.3.2 ")
		c.closed()
		if err := <-done; err != nil {
			t.Errorf("shutdown: %v", err)
		}
		late := ts.pipeClient(testSetup{}, ListenerOptions{})
		late.want("421 4.3.2 ")
		late.closed()
	})
}

func TestShutdownLetsAMessageBeReceived(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		c.cmd("RCPT TO:<ann@example.org>", "250 ")
		c.cmd("DATA", "354 ")
		c.write("Subject: half\r\n\r\n")
		done := make(chan error)
		go func() { done <- ts.Shutdown(context.Background()) }()
		time.Sleep(time.Minute)
		go c.write("rest\r\n.\r\nNOOP\r\n")
		c.want("250 2.2.0 ")
		c.want("421 4.3.2 ")
		c.closed()
		if err := <-done; err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if n := len(ts.fake.messages()); n != 1 {
			t.Errorf("%d messages delivered", n)
		}
	})
}

func TestShutdownEndsDelays(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.Localserve = true }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		c.write("MAIL FROM:<mailfrom-timeout@elsewhere.example>\r\n")
		time.Sleep(time.Minute)
		start := time.Now()
		go func() { _ = ts.Shutdown(context.Background()) }()
		c.want("421 4.3.2 ")
		took(t, start, 0, "reply")
	})
}

func TestShutdownClosesConnectionsWhenItsTimeIsUp(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		c.cmd("RCPT TO:<ann@example.org>", "250 ")
		c.cmd("DATA", "354 ")
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := ts.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		took(t, start, 5*time.Second, "shutdown")
		c.closed()
	})
}

func TestServeReturnsAfterShutdown(t *testing.T) {
	t.Parallel()
	ts := unstartedServer(t, testSetup{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	done := make(chan error)
	go func() { done <- ts.Serve(context.Background(), l, ts.listenerOptions(testSetup{}, ListenerOptions{})) }()
	c := dialClient(t, l.Addr().String())
	c.hello()
	c.cmd("QUIT", "221 ")
	c.closed()
	if err := ts.Shutdown(context.Background()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-done; !errors.Is(err, ErrServerClosed) {
		t.Errorf("serve: %v", err)
	}
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	if err := ts.Serve(context.Background(), l, ListenerOptions{}); !errors.Is(err, ErrServerClosed) {
		t.Errorf("serve of a closed server: %v", err)
	}
}

func TestServeReturnsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	ts := unstartedServer(t, testSetup{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- ts.Serve(ctx, l, ts.listenerOptions(testSetup{}, ListenerOptions{})) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("serve: %v", err)
	}
}

// failingListener fails to accept a few times, as one does when there are too many
// open files.
type failingListener struct {
	net.Listener
	failures atomic.Int64
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestServeGoesOnAfterErrorsOfAccept(t *testing.T) {
	t.Parallel()
	ts := unstartedServer(t, testSetup{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	fl := &failingListener{Listener: l}
	fl.failures.Store(3)
	go func() { _ = ts.Serve(context.Background(), fl, ts.listenerOptions(testSetup{}, ListenerOptions{})) }()
	dialClient(t, l.Addr().String()).hello()
}

func TestConnectionsAreLimitedBeforeTheHandshake(t *testing.T) {
	limited := func(edit func(l *config.Limits)) func(l *ListenerOptions) {
		return func(l *ListenerOptions) { edit(&l.Limits) }
	}
	tests := []struct {
		name  string
		setup testSetup
		kind  Kind
		reply string
	}{
		{"rate", testSetup{listener: limited(func(l *config.Limits) { l.ConnectionsPerMinute = 2 })}, Delivery, "421 4.7.0 "},
		{"open", testSetup{listener: limited(func(l *config.Limits) { l.OpenConnections = 2 })}, Delivery, "421 4.7.0 "},
		{"all together", testSetup{options: func(o *Options) { o.MaxConnections = 2 }}, Delivery, "421 4.3.2 "},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, tc.setup, func(t *testing.T, ts *testServer) {
				first := ts.pipeClient(tc.setup, ListenerOptions{Kind: tc.kind})
				first.hello()
				ts.pipeClient(tc.setup, ListenerOptions{Kind: tc.kind}).hello()
				third := ts.pipeClient(tc.setup, ListenerOptions{Kind: tc.kind})
				third.want(tc.reply)
				third.closed()
				start := time.Now()
				ts.pipeClient(tc.setup, ListenerOptions{Kind: tc.kind, ImmediateTLS: true}).closed()
				took(t, start, 0, "refusal without handshake")

				// Room is made by closing, or by time.
				first.cmd("QUIT", "221 ")
				first.closed()
				time.Sleep(2 * time.Minute)
				ts.pipeClient(tc.setup, ListenerOptions{Kind: tc.kind}).hello()
			})
		})
	}
}

// blocked is an Authenticator that knows of too many failures.
type blocked struct{ passwords }

func (blocked) Allowed(netip.Addr) bool { return false }

func TestNetworksWithFailedLoginsAreRefusedForSubmissionOnly(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.Auth = blocked{} }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{Kind: Submission})
		c.want("421 4.7.0 ")
		c.closed()
		ts.pipeClient(setup, ListenerOptions{Kind: Delivery}).hello()
	})
}

func TestListenersOfOneNameShareLimits(t *testing.T) {
	setup := testSetup{listener: func(l *ListenerOptions) { l.Limits.OpenConnections = 1 }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		ts.pipeClient(setup, ListenerOptions{}).hello()
		ts.pipeClient(setup, ListenerOptions{}).want("421 ")
		other := setup
		other.listener = func(l *ListenerOptions) { setup.listener(l); l.Name = "other" }
		ts.pipeClient(other, ListenerOptions{}).hello()
	})
}

func TestNearlyFullServerIsLessPatient(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.MaxConnections = 4 }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		for range 3 {
			ts.pipeClient(setup, ListenerOptions{}).hello()
		}
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		start := time.Now()
		c.want("421 4.4.2 ")
		took(t, start, busyCommandTimeout, "time-out")
	})
}

// panicky panics where engines are called.
type panicky struct {
	*engines
	passwords
	decide bool
}

func (p panicky) Decide(context.Context, inbound.Facts) inbound.Verdict {
	if p.decide {
		panic("decide")
	}
	return inbound.Verdict{Accept: true}
}

func (panicky) Begin(context.Context, identity.Attempt, string) (identity.Exchange, error) {
	panic("begin")
}

func TestPanicEndsOneConnectionAndIsCounted(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.Auth = panicky{} }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		before := metrics.PanicCount()
		c := ts.pipeClient(setup, ListenerOptions{Kind: Submission})
		other := ts.pipeClient(setup, ListenerOptions{Kind: Submission})
		c.hello()
		other.hello()
		c.cmd(authGood, "421 4.3.0 ")
		c.closed()
		if n := metrics.PanicCount() - before; n < 1 {
			t.Errorf("%d panics counted", n)
		}
		expectedPanics.Add(1)
		other.cmd("NOOP", "250 ")
	})
}

func TestPanicInADeliveryIsATemporaryError(t *testing.T) {
	var p panicky
	setup := testSetup{options: func(o *Options) {
		p = panicky{engines: o.Deliver.(*engines), decide: true}
		o.Decide = p
	}}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "451 4.3.0 ")
		c.message("a@elsewhere.example", []string{"ann@example.org", "bob@example.org"}, "x", "451 4.3.0 ")
		expectedPanics.Add(3)
		c.cmd("NOOP", "250 ")
	})
}

// Buffers are for connections that do something.
func TestBuffersAreGivenBack(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		a, b := net.Pipe()
		defer func() { _ = a.Close() }()
		lis := ts.Server.listener(ts.listenerOptions(testSetup{}, ListenerOptions{}))
		ss := ts.newSession(lis, addrConn{b})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if ss.begin() {
				ss.serve()
			}
		}()
		c := newClient(t, a)
		c.hello()
		c.message("x@elsewhere.example", []string{"ann@example.org"}, strings.Repeat("some text\r\n", 50_000), "250 ")
		c.cmd("NOOP", "250 ")
		c.cmd("QUIT", "221 ")
		c.closed()
		<-ended
		if ss.conn.br != nil || ss.conn.out != nil {
			t.Errorf("closed connection still has buffers")
		}
	})
}

func TestOrderlyEndOfTLSIsTold(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := dialClient(t, ts.submissions)
	c.nc = tls.Client(c.nc, testCA().ClientConfig("mx.example.org"))
	c = newClient(t, c.nc)
	c.hello()
	c.cmd("QUIT", "221 ")
	// Without it, the error is io.ErrUnexpectedEOF.
	if _, err := c.br.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("end of connection: %v", err)
	}
}

// A connection that has TLS already, such as one that came in for HTTPS.
func TestConnectionWithTLSFromElsewhere(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		tc := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{serverCert()}})
		if err := tc.Handshake(); err != nil {
			_ = nc.Close()
			return
		}
		ts.ServeConn(tc, ts.listenerOptions(testSetup{}, ListenerOptions{Kind: Submission, RequireTLS: true}))
	}()
	c := dialClient(t, l.Addr().String())
	c.startTLS()
	c.want("220 ")
	got := c.cmd("EHLO client.example", "250-")
	if strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH SCRAM-SHA-256-PLUS") {
		t.Errorf("capabilities %q", got)
	}
	c.cmd("STARTTLS", "503 ")
	c.cmd("MAIL FROM:<ann@example.org>", "530 ")
	c.cmd("QUIT", "221 ")
	c.closed()
}

// silent refuses without saying why.
type silent struct{}

func (silent) Decide(context.Context, inbound.Facts) inbound.Verdict { return inbound.Verdict{} }

func TestVerdictWithoutErrorIsATemporaryOne(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.Decide = silent{} }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "451 4.3.0 ")
	})
}
