package smtpserver

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/identity"
	"mox/smtp"
)

// bubble runs a test with a server in a bubble, where time passes when all wait.
func bubble(t *testing.T, setup testSetup, test func(t *testing.T, ts *testServer)) {
	t.Helper()
	t.Parallel()
	testUsers(t) // Outside of the bubble: it is shared.
	serverCert()
	synctest.Test(t, func(t *testing.T) {
		test(t, unstartedServer(t, setup))
	})
}

// passwords is an Authenticator without the cost of real ones: PLAIN succeeds with
// the response "ok", and fails with others.
type passwords struct{}

func (passwords) Allowed(netip.Addr) bool              { return true }
func (passwords) Mechanisms(bool, bool, bool) []string { return []string{"PLAIN"} }
func (passwords) Begin(context.Context, identity.Attempt, string) (identity.Exchange, error) {
	return passwords{}, nil
}

func (passwords) Watch(context.Context, identity.Result, func()) func() { return func() {} }

func (passwords) Next(_ context.Context, response []byte) ([]byte, bool, error) {
	switch string(response) {
	case "ok":
		return nil, true, nil
	case "secretless":
		return nil, false, fmt.Errorf("%w: %w", identity.ErrCredentials, identity.ErrNoSecret)
	case "broken":
		return nil, false, context.DeadlineExceeded
	}
	return nil, false, identity.ErrCredentials
}

func (passwords) Result() identity.Result {
	return identity.Result{Account: "ann", LoginAddress: "ann@example.org"}
}
func (passwords) Close() {}

const (
	authGood       = "AUTH PLAIN b2s="
	authBad        = "AUTH PLAIN YmFk"
	authSecretless = "AUTH PLAIN c2VjcmV0bGVzcw=="
	authBroken     = "AUTH PLAIN YnJva2Vu"
)

func TestFailedLoginsMakeTheClientWait(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.Auth = passwords{} }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{Kind: Submission})
		c.hello()
		start := time.Now()
		c.cmd(authBad, "535 ")
		c.cmd(authSecretless, "535 ")
		c.cmd(authBroken, "454 4.7.0 ")
		c.cmd(authBad, "535 ")
		took(t, start, 0, "free attempts")

		// The third failure is told slowly, and the next command read slowly.
		start = time.Now()
		c.write("%s\r\n", authBad)
		c.want("535 ")
		took(t, start, writeTimeout-slowReserve, "reply in slow mode")
		start = time.Now()
		c.write("%s\r\n", authGood)
		reply := c.want("235 ")
		took(t, start, slowDelay, "login in slow mode: "+reply)

		// After success all is fast again.
		start = time.Now()
		c.cmd("NOOP", "250 ")
		took(t, start, 0, "command after login")
	})
}

func TestManyFailedLoginsMakeEachAttemptWaitLonger(t *testing.T) {
	setup := testSetup{options: func(o *Options) { o.Auth = passwords{} }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{Kind: Submission})
		c.hello()
		for range 3 {
			c.cmd(authBad, "535 ")
		}
		for n := 1; n <= 3; n++ {
			start := time.Now()
			c.cmd(authBad, "535 ")
			want := slowDelay + time.Duration(n-1)*time.Second + writeTimeout - slowReserve
			took(t, start, want, fmt.Sprintf("attempt %d after the free ones", n))
		}
	})
}

func TestExemptNetworksHaveNoDelaysAndLimits(t *testing.T) {
	setup := testSetup{
		options: func(o *Options) { o.Auth = passwords{} },
		listener: func(l *ListenerOptions) {
			l.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			l.Limits.ConnectionsPerMinute, l.Limits.OpenConnections = 1, 1
		},
	}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		start := time.Now()
		sub := ts.pipeClient(setup, ListenerOptions{Kind: Submission})
		sub.hello()
		for range 2 * maxErrors {
			sub.cmd(authBad, "535 ")
		}
		c := ts.pipeClient(setup, ListenerOptions{Kind: Delivery})
		c.hello()
		for range 2 * maxJunkCommands {
			c.cmd("NOOP", "250 ")
		}
		for range 2 * maxBadTransactions {
			c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
			for range 3 {
				c.cmd("RCPT TO:<nobody@example.org>", "550 ")
			}
			c.cmd("RSET", "250 ")
		}
		ts.fake.fail["reject ann@example.org"] = smtp.Errorf(550, smtp.Se71NotAuthorized, "no")
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "550 ")
		c.cmd("NOOP", "250 ")
		took(t, start, 0, "all")
	})
}

func TestUnknownRecipientsMakeTheClientWait(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		for i := range maxUnknownRecipients {
			start := time.Now()
			c.cmd("RCPT TO:<nobody@example.org>", "550 5.1.1 ")
			took(t, start, min(time.Duration(i+1)*time.Second, 5*time.Second), fmt.Sprintf("recipient %d", i))
		}
		c.cmd("RCPT TO:<nobody@example.org>", "421 4.7.1 ")
		c.closed()
	})
}

func TestUnknownRecipientsAmongKnownOnesAreNoReasonToDisconnect(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		c.cmd("RCPT TO:<ann@example.org>", "250 ")
		start := time.Now()
		for range 100 {
			c.cmd("RCPT TO:<nobody@example.org>", "550 5.1.1 ")
		}
		// 1+2+3+4 seconds and then five each, until it ends.
		took(t, start, 10*time.Second+(maxDelayedRecipients-4)*5*time.Second, "100 recipients")
		c.cmd("DATA", "354 ")
		c.cmd("x\r\n.", "250 ")
	})
}

// A client that waits for a reply must have got those before.
func TestRepliesBeforeADelayAreSentFirst(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		start := time.Now()
		go c.write("MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<nobody@example.org>\r\nNOOP\r\n")
		c.want("250 ")
		c.want("250 ")
		took(t, start, 0, "replies before the delay")
		c.want("550 ")
		took(t, start, unknownDelay, "reply with delay")
		c.want("250 ")
	})
}

func TestRejectedMessageMakesTheClientSlow(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		ts.fake.fail["reject ann@example.org"] = smtp.Errorf(451, smtp.Se30SystemOther, "later")
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		start := time.Now()
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "451 ")
		took(t, start, writeTimeout-slowReserve, "reply")
		start = time.Now()
		c.write("QUIT\r\n")
		if got := c.want("221 "); time.Since(start) != slowDelay+time.Duration(len(got)+1)*slowDelay {
			t.Errorf("reply of %d octets took %v", len(got)+2, time.Since(start))
		}
	})
}

func TestFailureOfOursDoesNotMakeTheClientSlow(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		ts.fake.fail["ann@example.org"] = smtp.Errorf(452, smtp.Se22MailboxFull, "full")
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		start := time.Now()
		for range 2 * maxBadTransactions {
			c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "452 ")
		}
		took(t, start, 0, "messages")
	})
}

func TestManyBadTransactionsEndTheConnection(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		ts.fake.fail["ann@example.org"] = smtp.Errorf(554, smtp.Se60MediaOther, "bad")
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		for range maxBadTransactions + 1 {
			c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "554 ")
		}
		c.cmd("MAIL FROM:<a@elsewhere.example>", "550 5.1.0 ")
		c.closed()
	})
}

func TestBadTransactionsAfterAGoodOneAreForgiven(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		ts.fake.fail["ann@example.org"] = smtp.Errorf(554, smtp.Se60MediaOther, "bad")
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		c.message("a@elsewhere.example", []string{"bob@example.org"}, "x", "250 ")
		for range maxBadTransactions + 5 {
			c.message("a@elsewhere.example", []string{"ann@example.org"}, "x", "554 ")
		}
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
	})
}

func TestCommandsThatLeadNowhereAreLimited(t *testing.T) {
	tests := []struct {
		name, command, reply string
		limit                int
	}{
		{"noop", "NOOP", "250 ", maxJunkCommands - 1}, // EHLO was one.
		{"rset", "RSET", "250 ", maxJunkCommands - 1},
		{"ehlo", "EHLO x.example", "250-", maxJunkCommands - 1},
		{"unknown command", "WHAT", "500 ", maxErrors},
		{"syntax error", "MAIL FROM:oops", "501 ", maxErrors},
		{"bad sequence", "DATA", "503 ", maxErrors},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
				c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
				c.hello()
				for range tc.limit {
					c.cmd(tc.command, tc.reply)
				}
				c.cmd(tc.command, "421 4.7.0 ")
				c.closed()
			})
		})
	}
}

func TestGoodMessageForgivesErrors(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		for range 3 {
			for range maxErrors - 1 {
				c.cmd("WHAT", "500 ")
			}
			c.message("a@elsewhere.example", []string{"bob@example.org"}, "x", "250 ")
		}
	})
}

// More recipients than are taken must not cost the client those that were.
func TestRecipientsOverTheLimitAreRefusedForNow(t *testing.T) {
	bubble(t, testSetup{limited: true}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{limited: true}, ListenerOptions{})
		c.hello()
		c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
		for i := range maxRecipients {
			c.cmd(fmt.Sprintf("RCPT TO:<ann+%d@example.org>", i), "250 ")
		}
		for range 2 * maxErrors {
			c.cmd("RCPT TO:<bob@example.org>", "452 4.5.3 ")
		}
		c.cmd("DATA", "354 ")
		c.cmd("x\r\n.", "250 ")
		if n := len(ts.fake.messages()); n != maxRecipients {
			t.Errorf("%d messages delivered", n)
		}
	})
}

func TestListOfFailuresIsShort(t *testing.T) {
	bubble(t, testSetup{}, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(testSetup{}, ListenerOptions{})
		c.hello()
		var rcpts []string
		for i := range 100 {
			r := fmt.Sprintf("ann+%d@example.org", i)
			rcpts = append(rcpts, r)
			ts.fake.fail[r] = smtp.Errorf(450, smtp.Se20MailboxOther, "%s", strings.Repeat("text ", i))
		}
		got := c.message("a@elsewhere.example", rcpts, "x", "451-4.3.0 not delivered to any recipient")
		if !strings.Contains(got, fmt.Sprintf("and %d more", 100-maxListedFailures)) || strings.Contains(got, "ann+99") {
			t.Errorf("got reply %q", got)
		}
	})
}

// revocable has what ends the last session.
type revocable struct {
	passwords
	end     chan func()
	stopped chan struct{}
}

func (r revocable) Watch(_ context.Context, _ identity.Result, end func()) func() {
	r.end <- end
	return func() { close(r.stopped) }
}

func TestASessionEndsWithItsCredentials(t *testing.T) {
	auth := revocable{end: make(chan func(), 1), stopped: make(chan struct{})}
	setup := testSetup{options: func(o *Options) { o.Auth = auth }}
	bubble(t, setup, func(t *testing.T, ts *testServer) {
		c := ts.pipeClient(setup, ListenerOptions{Kind: Submission})
		c.hello()
		c.cmd(authGood, "235 ")
		(<-auth.end)()
		c.want("421 4.7.0 log in again")
		<-auth.stopped
	})
}
