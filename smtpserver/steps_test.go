package smtpserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/internal/inbound"
	"mox/internal/tracedb"
	"mox/smtp"
)

// recorder keeps steps of messages.
type recorder struct {
	mu    sync.Mutex
	steps []tracedb.Step
}

func (r *recorder) Step(_ context.Context, s tracedb.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, s)
}

// take returns a line for each step, and forgets them.
func (r *recorder) take() (lines string, steps []tracedb.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var l []string
	for _, s := range r.steps {
		l = append(l, strings.Join(strings.Fields(fmt.Sprintf("%d %s %s %s %s %d %s", s.Ref.N, s.Kind, s.From, s.To, s.Result, s.Code, s.Reason)), " "))
	}
	steps, r.steps = r.steps, nil
	return strings.Join(l, "\n"), steps
}

func tracedServer(t *testing.T) (*testServer, *recorder) {
	t.Helper()
	r := &recorder{}
	return newTestServer(t, testSetup{options: func(o *Options) { o.Trace = r }}), r
}

func TestStepsOfMessagesFromElsewhereAreRecorded(t *testing.T) {
	t.Parallel()
	ts, rec := tracedServer(t)
	ts.fake.fail["reject bob@example.org"] = smtp.Errorf(550, smtp.Se71NotAuthorized, "no")
	want := func(what, lines string) []tracedb.Step {
		t.Helper()
		got, steps := rec.take()
		if got != lines {
			t.Errorf("%s: got\n%s\nwant\n%s", what, got, lines)
		}
		return steps
	}
	c := dialClient(t, ts.delivery)
	c.hello()
	const msg = "Message-ID: <One@Remote.Example>\r\nSubject: secret\r\n\r\nhi"
	c.message("x@remote.example", []string{"ann@example.org"}, msg, "250 ")
	steps := want("accepted", "1 received x@remote.example 0") // The rest is for who delivers.
	if s := steps[0]; s.MessageID != "one@remote.example" || s.Host != "client.example" || s.IP == "" || s.Service != "smtp" || s.Size != int64(len(msg)+2) || s.Cid == 0 || s.Connection == "" || s.Time.IsZero() || s.TLS != "" {
		t.Errorf("got %+v", s)
	}
	c.message("x@remote.example", []string{"bob@example.org"}, "\r\nhi", "550 ")
	steps = want("refused", "2 received x@remote.example 0\n2 verdict x@remote.example bob@example.org refused 550 test\n2 refused x@remote.example 550")
	if s := steps[1]; s.Account != "bob" || s.Enhanced != "5.7.1" || s.Text != "no" {
		t.Errorf("got %+v", s)
	}
	c.message("", []string{"one@example.org"}, "\r\nhi", "550 ")
	want("alias", "3 received <> 0\n3 verdict <> one@example.org refused 550 test\n3 refused <> 550")

	c.cmd("MAIL FROM:<x@remote.example>", "250 ")
	c.cmd("RCPT TO:<nobody@example.org>", "550 ")
	c.cmd("RCPT TO:<gone@example.org>", "550 ")
	c.cmd("RCPT TO:<ann@off.example>", "450 ")
	c.cmd("RCPT TO:<relay@elsewhere.example>", "550 ")
	c.cmd("RSET", "250 ")
	steps = want("recipients", "4 refused x@remote.example nobody@example.org 550\n4 refused x@remote.example gone@example.org 550\n4 refused x@remote.example ann@off.example 450")
	if s := steps[0]; s.Host != "client.example" || s.IP == "" || s.Text == "" {
		t.Errorf("got %+v", s)
	}

	c.cmd("MAIL FROM:<x@remote.example>", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
	c.cmd("DATA", "354 ")
	c.write("a\rb\r\n.\r\n") // A bare CR is refused, before there is a message.
	c.want("5")
	want("bad message", "5 refused x@remote.example ann@example.org 500")
}

func TestNumberOfRecordedRefusalsIsLimited(t *testing.T) {
	t.Parallel()
	ts, rec := tracedServer(t)
	for range 3 {
		c := dialClient(t, ts.delivery)
		c.hello()
		c.cmd("MAIL FROM:<x@remote.example>", "250 ")
		c.cmd("RCPT TO:<ann@example.org>", "250 ")
		for i := range maxTracedRecipients + 3 {
			c.cmd(fmt.Sprintf("RCPT TO:<nobody%d@example.org>", i), "5")
		}
		if lines, steps := rec.take(); len(steps) != maxTracedRecipients {
			t.Errorf("got\n%s", lines)
		}
	}
	for ts.tracedRefusals.Add(netip.MustParseAddr("127.0.0.1"), time.Now(), 1) {
	}
	c := dialClient(t, ts.delivery)
	c.hello()
	c.cmd("MAIL FROM:<x@remote.example>", "250 ")
	c.cmd("RCPT TO:<nobody@example.org>", "5")
	if lines, steps := rec.take(); len(steps) > 0 {
		t.Errorf("got\n%s", lines)
	}
}

func TestStepsOfSubmittedMessagesAreRecorded(t *testing.T) {
	t.Parallel()
	ts, rec := tracedServer(t)
	ts.fake.fail["x@remote.example"] = smtp.Errorf(550, smtp.Se71NotAuthorized, "From is not yours").WithCause(errors.New("bad From"))
	c := dialClient(t, ts.submission)
	c.hello()
	c.cmd("STARTTLS", "220 ")
	c.startTLS()
	c.cmd("EHLO client.example", "250")
	if got := c.auth(mechanismClient(t, "PLAIN", credentials("ann@example.org", testPassword), nil), true); !strings.HasPrefix(got, "235 ") {
		t.Fatal(got)
	}
	c.message("ann@example.org", []string{"y@remote.example"}, "Message-ID: <out@example.org>\r\n\r\nhi", "250 ")
	lines, steps := rec.take()
	if lines != "1 received ann@example.org 0" || steps[0].Account != "ann" || steps[0].Service != "submission" || !strings.HasPrefix(steps[0].TLS, "TLS 1.3 TLS_") {
		t.Errorf("got\n%s\n%+v", lines, steps)
	}
	c.message("ann@example.org", []string{"y@remote.example", "x@remote.example"}, "\r\nhi", "550 ")
	lines, _ = rec.take()
	if lines != "2 received ann@example.org 0\n2 refused ann@example.org y@remote.example 550\n2 refused ann@example.org x@remote.example 550" {
		t.Errorf("got\n%s", lines)
	}
}

func TestContextSaysWhichMessageItIs(t *testing.T) {
	t.Parallel()
	refs := make(chan tracedb.Ref, 2)
	ts := newTestServer(t, testSetup{options: func(o *Options) {
		o.Decide = deciderFunc(func(ctx context.Context) { refs <- tracedb.RefOf(ctx) })
	}})
	c := dialClient(t, ts.delivery)
	c.hello()
	for range 2 {
		c.message("x@remote.example", []string{"ann@example.org"}, "\r\nhi", "250 ")
	}
	a, b := <-refs, <-refs
	if a.Cid == 0 || a.Cid != b.Cid || a.N != 1 || b.N != 2 {
		t.Errorf("got %+v, %+v", a, b)
	}
}

// deciderFunc accepts all messages.
type deciderFunc func(ctx context.Context)

func (f deciderFunc) Decide(ctx context.Context, _ inbound.Facts) inbound.Verdict {
	f(ctx)
	return inbound.Verdict{Accept: true, Reason: "test"}
}
