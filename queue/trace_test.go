package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mox/dsn"
	"mox/internal/tracedb"
	"mox/queue/queuedb"
	"mox/smtp"
)

// stepRecorder keeps steps of messages, with the message that the context says.
type stepRecorder struct {
	mu    sync.Mutex
	steps []tracedb.Step
}

func (r *stepRecorder) Step(ctx context.Context, s tracedb.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.Ref == (tracedb.Ref{}) {
		s.Ref = tracedb.RefOf(ctx)
	}
	r.steps = append(r.steps, s)
}

// take returns a line for each step, and forgets them.
func (r *stepRecorder) take() (lines string, steps []tracedb.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var l []string
	for _, s := range r.steps {
		l = append(l, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %d %d %s %s", s.Kind, s.From, s.To, s.Result, s.Attempt, s.Code, s.Enhanced, s.Reason)), " "))
	}
	steps, r.steps = r.steps, nil
	return strings.Join(l, "\n"), steps
}

// telling is a transport that says all there is to say about an attempt.
type telling struct{ err atomic.Pointer[smtp.Error] }

func (*telling) Name() string { return "telling" }

func (tr *telling) Deliver(_ context.Context, d Delivery) []Result {
	l := allFailed(d, nil)
	for i := range l {
		l[i].Remote, l[i].Host, l[i].IP, l[i].TLS = "mx.remote.example", "mx.remote.example", netip.MustParseAddr("192.0.2.7"), "requiredstarttls+dane"
		l[i].Session = "TLS 1.3 TLS_AES_128_GCM_SHA256"
		if err := tr.err.Load(); err != nil {
			l[i].Err = err
			continue
		}
		l[i].Code, l[i].Enhanced, l[i].Text = 250, "2.0.0", "queued as 4711"
	}
	time.Sleep(time.Second)
	return l
}

func TestAttemptsAndNoticesAreRecorded(t *testing.T) {
	tr, rec := &telling{}, &stepRecorder{}
	edit := func(o *Options) {
		o.Transports, o.Trace = map[string]Transport{"": tr}, rec
	}
	testQueue(t, edit, func(t *testing.T, e *env) {
		want := func(what, lines string) []tracedb.Step {
			t.Helper()
			synctest.Wait()
			got, steps := rec.take()
			if got != lines {
				t.Errorf("%s: got\n%s\nwant\n%s", what, got, lines)
			}
			return steps
		}
		sent := e.enqueue(e.submission("ann@example.org", "x@remote.example"))
		time.Sleep(2 * time.Second)
		s := want("delivered", "attempt ann@example.org x@remote.example ok 1 250 2.0.0")[0]
		if s.Ref != (tracedb.Ref{Queue: sent[0].ID}) || s.Queue != sent[0].ID || s.MessageID != "orig@example.org" || s.Host != "mx.remote.example" || s.IP != "192.0.2.7" ||
			s.TLS != "requiredstarttls+dane (TLS 1.3 TLS_AES_128_GCM_SHA256)" || s.Text != "queued as 4711" || s.Transport != "telling" || s.Duration != time.Second || s.Account != "ann" || !s.Next.IsZero() {
			t.Errorf("got %+v", s)
		}

		tr.err.Store(smtp.Errorf(451, smtp.Se30SystemOther, "later").WithCause(errors.New("the moon is full")))
		e.enqueue(e.submission("ann@example.org", "x@remote.example"))
		time.Sleep(2 * time.Second)
		if s := want("retried", "attempt ann@example.org x@remote.example retry 1 451 4.3.0")[0]; s.Text != "later" || !slices.Equal(s.Reasons, []string{"the moon is full"}) || !s.Next.After(time.Now()) {
			t.Errorf("got %+v", s)
		}
		tr.err.Store(smtp.Errorf(550, smtp.Se11BadMailbox, "no such user"))
		time.Sleep(10 * time.Minute)
		steps := want("failed", "attempt ann@example.org x@remote.example failed 2 550 5.1.1\nnotified ann@example.org x@remote.example 0 0 failed")
		if s := steps[1]; s.Ref != steps[0].Ref || s.Account != "ann" || s.Mailbox != "Inbox" {
			t.Errorf("got %+v", s)
		}
		e.enqueue(e.submission("", "y@remote.example"))
		time.Sleep(2 * time.Second)
		want("nobody to tell", "attempt <> y@remote.example failed 1 550 5.1.1")
	})
}

func TestWhatANotificationTellsIsRecorded(t *testing.T) {
	testMatch(t, func(t *testing.T, e *env, l []queuedb.Message) {
		rec := &stepRecorder{}
		opts := e.q.opts
		opts.Trace = rec
		q := New(opts)
		for _, msg := range [][]byte{
			notification(t, "env", "", about(t, "b@one.example", dsn.Failed, "5.1.1", "550 5.1.1 no such user")),
			[]byte("Subject: hi\r\nIn-Reply-To: <orig@example.org>\r\n\r\n"),
		} {
			_, err := q.MatchDSN(ctxbg, "ann", path(t, "ann@example.org"), bytes.NewReader(msg), int64(len(msg)))
			tcheck(t, err)
		}
		lines, steps := rec.take()
		if lines != "reported ann+idb@example.org b@one.example 0 550 5.1.1 failed" || steps[0].Ref != (tracedb.Ref{Queue: l[1].ID}) || steps[0].Text != "notification from mx.remote.example: failed: 550 5.1.1 no such user" {
			t.Errorf("got\n%s\n%+v", lines, steps)
		}
	})
}
