package smtpserver

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/inbound"
)

// strangers is a Decider that knows nobody.
type strangers struct{}

func (strangers) Decide(_ context.Context, f inbound.Facts) inbound.Verdict {
	return inbound.Verdict{Accept: true, Reason: "test", FirstTime: !f.Exempt}
}

const strangerDelay = 15 * time.Second

func strangerSetup(exempt bool) testSetup {
	return testSetup{
		options: func(o *Options) { o.Decide = strangers{} },
		listener: func(l *ListenerOptions) {
			l.FirstTimeSenderDelay = strangerDelay
			if exempt {
				l.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			}
		},
	}
}

// send sends a message and does not wait for the reply.
func (c *client) sendMessage(content string) {
	c.t.Helper()
	c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
	c.cmd("DATA", "354 ")
	c.write("%s\r\n.\r\n", content)
}

func TestStrangersWaitForTheReply(t *testing.T) {
	setup := strangerSetup(false)
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		for range 2 {
			start := time.Now()
			c.sendMessage(strings.Repeat("x\r\n", 150_000))
			synctest.Wait()
			if n := len(ts.fake.messages()); n == 0 {
				t.Error("the message is not delivered first")
			}
			if l, err := os.ReadDir(ts.opts.TempDir); ts.receiving.Load() != 0 || len(l) != 0 || err != nil {
				t.Errorf("the message is held while the client waits: %v, %v", l, err)
			}
			c.want("250 2.2.0 ")
			took(t, start, strangerDelay, "reply")
		}
		start := time.Now()
		c.cmd("NOOP", "250 ")
		took(t, start, 0, "next command")
	})
}

// TestStrangersWithTLSWaitToo is not in a bubble: what matters is that the TLS connection
// works after the wait.
func TestStrangersWithTLSWaitToo(t *testing.T) {
	t.Parallel()
	setup := strangerSetup(false)
	setup.limited = true
	setup.listener = func(l *ListenerOptions) { l.FirstTimeSenderDelay = 50 * time.Millisecond }
	ts := newTestServer(t, setup)
	c := dialClient(t, ts.delivery)
	c.hello()
	c.cmd("STARTTLS", "220 ")
	c.startTLS()
	c.cmd("EHLO client.example", "250")
	for range 2 {
		start := time.Now()
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "250 ")
		if d := time.Since(start); d < 50*time.Millisecond {
			t.Errorf("reply after %v", d)
		}
	}
	c.cmd("QUIT", "221 ")
}

func TestStrangersOfExemptNetworksDoNotWait(t *testing.T) {
	setup := strangerSetup(true)
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		start := time.Now()
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "250 ")
		took(t, start, 0, "reply")
	})
}

func TestStrangerThatDoesNotWaitIsForgotten(t *testing.T) {
	setup := strangerSetup(false)
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		start := time.Now()
		c.sendMessage("x")
		synctest.Wait()
		_ = c.nc.Close()
		ts.wg.Wait()
		took(t, start, 0, "end of the session")
	})
}

func TestStrangerThatSendsMoreWaitsToo(t *testing.T) {
	setup := strangerSetup(false)
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		start := time.Now()
		c.sendMessage("x")
		synctest.Wait()
		c.write("QUIT\r\n")
		c.want("250 2.2.0 ")
		took(t, start, strangerDelay, "reply")
		c.want("221 ")
	})
}

func TestStrangersGetTheReplyWhenTheServerStops(t *testing.T) {
	for _, early := range []string{"", "QUIT\r\n"} {
		t.Run("sends "+early, func(t *testing.T) {
			setup := strangerSetup(false)
			bubble(t, setup, func(t *testing.T, ts *testServer) {
				c := ts.pipeClient(setup, ListenerOptions{})
				c.hello()
				start := time.Now()
				c.sendMessage("x")
				synctest.Wait()
				if early != "" {
					c.write("%s", early)
					synctest.Wait()
				}
				go func() { _ = ts.Shutdown(context.Background()) }()
				c.want("250 2.2.0 ")
				took(t, start, 0, "reply")
			})
		})
	}
}

func TestFloodForAnAccountIsRefused(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.Decide = inbound.New(inbound.Options{}) }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{})
		c.hello()
		for range 500 {
			c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "250 ")
		}
		c.message("a@elsewhere.example", []string{"bob@example.org"}, "x", "250 ")
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "452 4.2.2 ")
		time.Sleep(2 * time.Minute)
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "250 ")
	})
}
