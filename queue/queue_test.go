package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/dsn"
	"mox/internal/deliver"
	"mox/queue/queuedb"
	"mox/smtp"
)

func TestMessageIsDeliveredAtOnceAndRemoved(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		start := time.Now()
		sub := e.submission("ann@example.org", "b@one.example", "a@one.example", "c@two.example")
		sub.Base.Prefix = []byte("Received: x\r\n")
		e.enqueue(sub)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %+v", l)
		}
		calls := e.tr.take()
		slices.SortFunc(calls, func(a, b call) int { return strings.Compare(a.rcpts[0], b.rcpts[0]) })
		if len(calls) != 2 || !slices.Equal(calls[0].rcpts, []string{"a@one.example", "b@one.example"}) || !calls[0].at.Equal(start) {
			t.Fatalf("calls %+v", calls)
		}
		if !strings.HasPrefix(calls[0].text, "Received: x\r\nFrom: ") || !strings.HasSuffix(calls[0].text, "\r\nbody\r\n") {
			t.Errorf("content %q", calls[0].text)
		}
		if l := e.mailbox("ann", "Inbox"); len(l) != 0 {
			t.Errorf("notification %q", l)
		}
	})
}

// The schedule of temporary failures: 8 attempts, each interval double the one
// before, a notice of delay after the fifth that tells when the last will be, and
// a notice of failure after the last.
func TestScheduleOfTemporaryFailures(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(451, "4.3.0", "come back later"))
		start := time.Now()
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		time.Sleep(24 * time.Hour)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %+v", l)
		}
		calls := e.tr.take()
		if len(calls) != DefaultMaxAttempts {
			t.Fatalf("%d attempts", len(calls))
		}
		prev, want := calls[0].at, firstBackoff
		for i, c := range calls[1:] {
			if got, slack := c.at.Sub(prev), want/jitter; (got - want).Abs() > slack {
				t.Errorf("interval %d is %v, want %v within %v", i+1, got, want, slack)
			}
			prev, want = c.at, 2*want
		}
		if total := prev.Sub(start); (total - (15*time.Hour + 52*time.Minute + 30*time.Second)).Abs() > 10*time.Minute {
			t.Errorf("last attempt after %v", total)
		}

		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 2 {
			t.Fatalf("%d notifications", len(inbox))
		}
		delay, h := report(t, inbox[0])
		r := delay.Recipients[0]
		if r.Action != dsn.Delayed || r.Status != "4.3.0" || !sameSecond(r.LastAttempt, calls[4].at) {
			t.Errorf("delayed: %+v", r)
		}
		// RFC 3464 §2.3.9: when delivery attempts will be abandoned.
		if !sameSecond(r.WillRetryUntil, prev) {
			t.Errorf("told to retry until %v, the last attempt was at %v", r.WillRetryUntil, prev)
		}
		if h.Value("Subject") != "mail delivery delayed" || !strings.Contains(inbox[0], "remaining 3 attempts") {
			t.Errorf("text %s", inbox[0])
		}
		failed, _ := report(t, inbox[1])
		if r := failed.Recipients[0]; r.Action != dsn.Failed || r.Status != "4.3.0" || !r.WillRetryUntil.IsZero() || !sameSecond(r.LastAttempt, prev) {
			t.Errorf("failed: %+v", r)
		}
	})
}

// sameSecond compares a date of a header field with a time.
func sameSecond(date, at time.Time) bool {
	return date.Equal(at.Truncate(time.Second))
}

func TestPermanentFailureIsToldAtOnce(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(_ context.Context, m queuedb.Message) error {
			if m.RecipientLocalpart == "good" {
				return nil
			}
			return &smtp.Error{Code: 550, Enhanced: "5.1.1", Text: "no such user\nreally"}
		})
		start := time.Now()
		sub := e.submission("ann@example.org", "good@one.example", "bad@one.example")
		sub.Base.FutureRelease = "for;60"
		e.enqueue(sub)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %+v", l)
		}
		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 1 {
			t.Fatalf("%d notifications", len(inbox))
		}
		rep, h := report(t, inbox[0])
		if len(rep.Recipients) != 1 || rep.ReportingMTA.Name != "mx.example.org" || !rep.ArrivalDate.Equal(start) || rep.FutureReleaseRequest != "for;60" {
			t.Errorf("report %+v", rep)
		}
		r := rep.Recipients[0]
		if r.Final.Address != "bad@one.example" || r.Action != dsn.Failed || r.Status != "5.1.1" || r.RemoteMTA.Name != "mx.remote.example" ||
			r.DiagnosticType != "smtp" || r.Diagnostic != "550 5.1.1 no such user really" {
			t.Errorf("recipient %+v", r)
		}
		for name, want := range map[string]string{
			"From": "<postmaster@mx.example.org>", "To": "<ann@example.org>", "Subject": "mail delivery failed",
			"Return-Path": "<>", "In-Reply-To": "<orig@example.org>", "Auto-Submitted": "auto-replied", "Delivered-To": "ann@example.org",
		} {
			if got := h.Value(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		for _, want := range []string{"550 5.1.1 no such user\r\n", "    really\r\n", "Subject: hi\r\n", "text/rfc822-headers", "bad@one.example"} {
			if !strings.Contains(inbox[0], want) {
				t.Errorf("%q is not in %s", want, inbox[0])
			}
		}
		if strings.Contains(inbox[0], "body") {
			t.Error("the whole message is returned")
		}
	})
}

func TestNullSendersAreNotTold(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(451, "4.0.0", "later"))
		e.enqueue(e.submission("", "a@one.example"))
		time.Sleep(24 * time.Hour)
		l := e.enqueue(e.submission("", "b@one.example"))
		synctest.Wait()
		_, err := e.db.Fail(ctxbg, queuedb.Filter{IDs: []int64{l[0].ID}}, "operator")
		tcheck(t, err)
		e.q.Kick()
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %+v", l)
		}
		if l := append(e.mailbox("ann", "Inbox"), e.mailbox("boss", "Postmaster")...); len(l) != 0 {
			t.Fatalf("notifications %q", l)
		}
	})
}

func TestPostmasterIsToldWhenTheAccountIsGone(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(550, "5.1.1", "no"))
		sub := e.submission("gone@example.org", "a@one.example")
		sub.Account = "gone"
		e.enqueue(sub)
		if l := e.mailbox("boss", "Postmaster"); len(l) != 1 || !strings.Contains(l[0], "Delivered-To: gone@example.org") {
			t.Fatalf("notifications %q", l)
		}
	})
}

// A failed message is not tried again because its sender could not be told.
func TestNotificationThatCannotBeStoredIsTriedAgain(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(550, "5.1.1", "no"))
		e.full.Store(true)
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		if l := e.queued(); len(l) != 1 || !l[0].Failed {
			t.Fatalf("queue %+v", l)
		}
		time.Sleep(time.Hour / 2)
		e.full.Store(false)
		time.Sleep(time.Hour / 2)
		if l := e.mailbox("ann", "Inbox"); len(l) != 1 {
			t.Fatalf("notifications %q", l)
		}
		// In the end, the postmaster gets it.
		e.full.Store(true)
		e.enqueue(e.submission("ann@example.org", "b@one.example"))
		time.Sleep(24 * time.Hour)
		if l := e.mailbox("boss", "Postmaster"); len(l) != 1 {
			t.Fatalf("notifications to postmaster %q", l)
		}
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %+v", l)
		}
		if n := len(e.tr.take()); n != 2 {
			t.Fatalf("%d attempts", n)
		}
	})
}

func TestDeliveriesAreLimitedInAllAndPerDomain(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(ctx context.Context, m queuedb.Message) error {
			time.Sleep(time.Minute)
			return nil
		})
		for i := range 4 * DefaultConcurrent {
			e.enqueue(e.submission("ann@example.org", fmt.Sprintf("a%d@d%d.example", i, i%DefaultConcurrent)))
		}
		synctest.Wait()
		if now, _ := e.tr.busy(); now != DefaultConcurrent {
			t.Fatalf("%d deliveries at a time", now)
		}
		time.Sleep(10 * time.Minute)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("%d left", len(l))
		}
		if _, most := e.tr.busy(); most != DefaultConcurrent {
			t.Fatalf("%d at a time", most)
		}
		e.tr.take()
		for i := range 10 {
			e.enqueue(e.submission("ann@example.org", fmt.Sprintf("a%d@one.example", i)))
		}
		synctest.Wait()
		if now, _ := e.tr.busy(); now != DefaultConcurrentLane {
			t.Fatalf("%d deliveries to one domain at a time", now)
		}
		time.Sleep(10 * time.Minute)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("%d left", len(l))
		}
	})
}

func TestMessagesWaitForTheirRelease(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		sub := e.submission("ann@example.org", "a@one.example")
		at := time.Now().Add(50 * time.Hour)
		sub.NextAttempt = at
		e.enqueue(sub)
		held := e.submission("ann@example.org", "b@two.example")
		held.Hold = true
		h := e.enqueue(held)
		time.Sleep(49 * time.Hour)
		if l := e.tr.take(); len(l) != 0 {
			t.Fatalf("too early: %+v", l)
		}
		time.Sleep(2 * time.Hour)
		if l := e.tr.take(); len(l) != 1 || !l[0].at.Equal(at) {
			t.Fatalf("calls %+v, want at %v", l, at)
		}
		_, err := e.db.SetHold(ctxbg, queuedb.Filter{IDs: []int64{h[0].ID}}, false)
		tcheck(t, err)
		e.q.Kick()
		synctest.Wait()
		if l := e.tr.take(); len(l) != 1 {
			t.Fatalf("released message: %+v", l)
		}
	})
}

func TestSenderInADisabledDomainWaits(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		sub := e.submission("off@off.example", "a@one.example")
		sub.Account = "off"
		e.enqueue(sub)
		l := e.queued()
		if r, ok := l[0].LastResult(); !ok || r.Code != 451 || !strings.Contains(r.Error, "disabled") || len(e.tr.take()) != 0 {
			t.Fatalf("message %+v", l)
		}
	})
}

func TestWithoutTransportTheMessageStaysAndSaysWhy(t *testing.T) {
	testQueue(t, func(o *Options) { o.Transports = nil }, func(t *testing.T, e *env) {
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		l := e.queued()
		if r, ok := l[0].LastResult(); len(l) != 1 || !ok || r.Success || !strings.Contains(r.Error, "no transport configured") {
			t.Fatalf("queue %+v", l)
		}
	})
}

func TestAttemptsEndInTime(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(ctx context.Context, m queuedb.Message) error {
			<-ctx.Done()
			return ctx.Err()
		})
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		time.Sleep(sessionLimit + time.Second)
		if r, ok := e.queued()[0].LastResult(); !ok || r.Duration != sessionLimit {
			t.Fatalf("result %+v", r)
		}
		e.tr.answers(nil)
	})
}

func TestPanicAndBadAnswersOfATransportAreTemporaryFailures(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(ctx context.Context, m queuedb.Message) error { panic("oops") })
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		e.q.Kick()
		if r, ok := e.queued()[0].LastResult(); !ok || !strings.Contains(r.Error, "oops") {
			t.Fatalf("result %+v", r)
		}
	})
}

func TestWrongNumberOfResultsIsAFailure(t *testing.T) {
	testQueue(t, func(o *Options) { o.Transports[""] = shortTransport{} }, func(t *testing.T, e *env) {
		e.enqueue(e.submission("ann@example.org", "a@one.example", "b@one.example"))
		for _, m := range e.queued() {
			if r, ok := m.LastResult(); !ok || !strings.Contains(r.Error, "1 results for 2") {
				t.Fatalf("result %+v", r)
			}
		}
	})
}

type shortTransport struct{}

func (shortTransport) Name() string                               { return "short" }
func (shortTransport) Deliver(context.Context, Delivery) []Result { return make([]Result, 1) }

func TestOperatorsFailureIsToldWithItsReason(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		sub := e.submission("ann@example.org", "a@one.example")
		sub.Hold = true
		l := e.enqueue(sub)
		_, err := e.db.Fail(ctxbg, queuedb.Filter{IDs: []int64{l[0].ID}}, "the operator gave up")
		tcheck(t, err)
		e.q.Kick()
		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 1 || !strings.Contains(inbox[0], "    the operator gave up\r\n") {
			t.Fatalf("notifications %q", inbox)
		}
		if rep, _ := report(t, inbox[0]); rep.Recipients[0].Status != "5.0.0" || rep.Recipients[0].Diagnostic != "" {
			t.Errorf("report %+v", rep)
		}
	})
}

func TestMessageWhoseContentIsLostFails(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		sub := e.submission("ann@example.org", "a@one.example")
		sub.Hold = true
		l := e.enqueue(sub)
		_, base, err := e.db.Get(ctxbg, l[0].ID)
		tcheck(t, err)
		removeContent(t, e.dir, base.ID)
		_, err = e.db.SetHold(ctxbg, queuedb.Filter{}, false)
		tcheck(t, err)
		e.q.Kick()
		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 1 || !strings.Contains(inbox[0], "lost from the storage") {
			t.Fatalf("notifications %q", inbox)
		}
	})
}

func TestHistoryIsKeptAndPruned(t *testing.T) {
	retain := func(account string) time.Duration { return 72 * time.Hour }
	testQueue(t, func(o *Options) { o.Retain = retain }, func(t *testing.T, e *env) {
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		synctest.Wait()
		r, err := e.db.ListRetired(ctxbg, queuedb.RetiredFilter{}, queuedb.RetiredPage{})
		tcheck(t, err)
		if len(r) != 1 || !r[0].Success {
			t.Fatalf("retired %+v", r)
		}
		time.Sleep(74 * time.Hour)
		synctest.Wait()
		if r, err = e.db.ListRetired(ctxbg, queuedb.RetiredFilter{}, queuedb.RetiredPage{}); err != nil || len(r) != 0 {
			t.Fatalf("retired %+v, %v", r, err)
		}
	})
}

func TestInternationalAddressesInNotifications(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(550, "5.1.1", "unbekannt: ü"))
		sub := e.submission("ann@example.org", "ü@☺.example")
		sub.Base.SMTPUTF8 = true
		e.enqueue(sub)
		inbox := e.mailbox("ann", "Inbox")
		rep, _ := report(t, inbox[0])
		if p, ok := dsn.Path(rep.Recipients[0].Final); !ok || !p.Equal(path(t, "ü@☺.example")) {
			t.Errorf("recipient %+v", rep.Recipients[0])
		}
	})
}

func TestBackoffOfManyAttemptsIsBounded(t *testing.T) {
	t.Parallel()
	for _, s := range []Schedule{NewSchedule(0), NewSchedule(config.DefaultQueueRetryPeriod), NewSchedule(config.MaxQueueRetryPeriod), {time.Nanosecond}} {
		for n := 1; n < 100; n++ {
			if d := s.backoff(1, n); d <= 0 || d > maxBackoff+maxBackoff/jitter {
				t.Fatalf("backoff of attempt %d is %v", n, d)
			}
		}
	}
	m := queuedb.Message{Attempts: 3, MaxAttempts: 3}
	now := time.Now()
	if at := NewSchedule(0).nextAttempt(m, now); !at.Equal(now.Add(overtime)) || overtime <= sessionLimit {
		t.Fatalf("after the last attempt: %v", at.Sub(now))
	}
}

var _ Deliverer = (*deliver.Deliverer)(nil)
