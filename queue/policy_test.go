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
	"mox/queue/queuedb"
	"mox/smtp"
)

// named is a transport that answers always the same and remembers its recipients.
type named struct {
	*fakeTransport
	name string
}

func (n named) Name() string { return n.name }

// routed returns a configuration with routes: of the account bob, of the domain
// example.org, and of all.
func routed(t *testing.T, dir string) *config.Holder {
	t.Helper()
	conf := testConfig(t, dir).Snapshot()
	static, dynamic := conf.Static, conf.Dynamic
	static.Transports = map[string]config.TransportFields{}
	for _, name := range []string{"a", "b", "c", "later"} {
		static.Transports[name] = config.TransportFields{Fail: &config.FailTransportFields{}}
	}
	acc := dynamic.Accounts["ann"]
	acc.Routes = []config.RouteFields{{ToDomain: []string{".account.example"}, Transport: "a"}}
	acc.KeepRetiredMessagePeriod = time.Hour
	dynamic.Accounts["ann"] = acc
	dom := dynamic.Domains["example.org"]
	dom.LocalpartCatchallSeparator = "+"
	dom.Routes = []config.RouteFields{
		{ToDomain: []string{"domain.example", "x.account.example"}, Transport: "b"},
		{ToDomain: []string{"slow.example"}, MinimumAttempts: 2, Transport: "later"},
	}
	dynamic.Domains["example.org"] = dom
	dynamic.Routes = []config.RouteFields{
		{FromDomain: []string{"example.org"}, ToDomain: []string{"global.example"}, Transport: "c"},
		{ToDomain: []string{"missing.example"}, Transport: "a"},
	}
	snap, err := config.New(static, dynamic)
	tcheck(t, err)
	return config.NewHolder(snap)
}

func TestRoutesChooseTheTransportAtEachAttempt(t *testing.T) {
	transports := map[string]*fakeTransport{}
	edit := func(o *Options) {
		o.Config = routed(t, o.TempDir)
		o.Transports = map[string]Transport{}
		for _, name := range []string{"", "b", "c", "later", "local"} {
			f := &fakeTransport{}
			if name == "" {
				f.answer = fail(451, "4.0.0", "later")
			}
			transports[name] = f
			o.Transports[name] = named{f, name}
		}
		o.Local = o.Transports["local"]
	}
	testQueue(t, edit, func(t *testing.T, e *env) {
		took := func(name string, want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for _, c := range transports[name].take() {
				got = append(got, c.rcpts...)
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("transport %q got %v, want %v", name, got, want)
			}
		}
		e.enqueue(e.submission("ann@example.org", "x@domain.example", "x@global.example", "x@slow.example", "boss@example.org", "nobody@example.org"))
		e.enqueue(e.submission("ann@other.example", "y@domain.example", "y@global.example"))
		took("b", "x@domain.example")
		took("c", "x@global.example")
		took("local", "boss@example.org", "nobody@example.org")
		took("", "x@slow.example", "y@domain.example", "y@global.example")
		took("later")
		sub := e.submission("ann@example.org", "z@domain.example", "z@example.org")
		sub.Transport = "c"
		e.enqueue(sub)
		took("b")
		took("local")
		took("c", "z@domain.example", "z@example.org")
		time.Sleep(time.Hour) // The attempt after two.
		took("later", "x@slow.example")

		// A transport that is in the configuration only, of the first route that matches.
		l := e.enqueue(e.submission("ann@example.org", "x@account.example", "x@x.account.example"))
		synctest.Wait()
		for _, m := range l {
			m, _, err := e.db.Get(ctxbg, m.ID)
			tcheck(t, err)
			if r, _ := m.LastResult(); r.Code != 451 || r.Error != `transport "a" is not configured` || m.Failed {
				t.Errorf("without transport: %+v", r)
			}
		}
	})
}

func TestHistoryHasTheAttempts(t *testing.T) {
	edit := func(o *Options) { o.Config = routed(t, o.TempDir) }
	testQueue(t, edit, func(t *testing.T, e *env) {
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		gone := e.submission("gone@example.org", "b@one.example")
		gone.Account = "gone"
		e.enqueue(gone)
		other := e.submission("mox@example.org", "c@one.example")
		other.Account = "mox"
		e.enqueue(other)
		synctest.Wait()
		l, err := e.db.ListRetired(ctxbg, queuedb.RetiredFilter{}, queuedb.RetiredPage{Asc: true})
		tcheck(t, err)
		if len(l) != 2 || l[0].Message.Account != "ann" || l[0].KeepUntil.Sub(l[0].LastActivity) != time.Hour ||
			l[1].Message.Account != "gone" || l[1].KeepUntil.Sub(l[1].LastActivity) != 7*24*time.Hour {
			t.Fatalf("retired %+v", l)
		}
		if r, _ := l[0].Message.LastResult(); r.Transport != "fake" || !r.Success || r.Code != 250 {
			t.Errorf("result %+v", r)
		}
	})
}

// RFC 5321 §4.2.1: each of the recipients was refused for good, so none is tried
// again.
func TestAllRecipientsOfABatchThatAreRefusedFailAtOnce(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(552, "5.3.4", "too large"))
		var rcpts []string
		for i := range 5 {
			rcpts = append(rcpts, fmt.Sprintf("a%d@one.example", i))
		}
		e.enqueue(e.submission("ann@example.org", rcpts...))
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %d", len(l))
		}
		inbox := e.mailbox("ann", "Inbox")
		if len(e.tr.take()) != 1 || len(inbox) != 5 {
			t.Fatalf("%d notifications", len(inbox))
		}
		for _, text := range inbox {
			if rep, _ := report(t, text); rep.Recipients[0].RemoteMTA.Name != "mx.remote.example" || rep.Recipients[0].Status != "5.3.4" {
				t.Errorf("report %+v", rep)
			}
		}
	})
}

func TestSuppressedRecipientsFailWithoutAConnection(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		_, err := e.db.AddSuppression(ctxbg, "ann", path(t, "a@one.example"), "asked for it")
		tcheck(t, err)
		e.enqueue(e.submission("ann@example.org", "A@one.example", "b@one.example"))
		inbox := e.mailbox("ann", "Inbox")
		if calls := e.tr.take(); len(calls) != 1 || !slices.Equal(calls[0].rcpts, []string{"b@one.example"}) {
			t.Fatalf("calls %+v", calls)
		}
		if len(inbox) != 1 || !strings.Contains(inbox[0], "on the suppression list of the account") || !strings.Contains(inbox[0], "asked for it") {
			t.Fatalf("notifications %q", inbox)
		}
		other := e.submission("mox@example.org", "a@one.example")
		other.Account = "mox"
		e.enqueue(other)
		synctest.Wait()
		if calls := e.tr.take(); len(calls) != 1 {
			t.Fatalf("calls of another account: %+v", calls)
		}
	})
}

func TestFinalFailuresSuppress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		code     int32
		enhanced string
		remote   string
		want     queuedb.Undeliverable
	}{
		{550, "", "mx", queuedb.SurelyUndeliverable},
		{521, "5.0.0", "mx", queuedb.SurelyUndeliverable},
		{554, "5.1.1", "mx", queuedb.SurelyUndeliverable},
		{554, "5.7.1", "mx", queuedb.SurelyUndeliverable},
		{554, "5.7.26", "mx", queuedb.MaybeUndeliverable},
		{552, "5.2.2", "mx", queuedb.MaybeUndeliverable},
		{451, "4.1.1", "mx", queuedb.MaybeUndeliverable},
		{550, "5.1.1", "", queuedb.NotUndeliverable}, // Our own opinion.
		{0, "", "mx", queuedb.NotUndeliverable},
	} {
		if got := undeliverable(queuedb.Result{Code: tc.code, Enhanced: tc.enhanced, Remote: tc.remote}); got != tc.want {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
}

func TestAddressThatWasRefusedIsNotTriedAgain(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(550, "5.1.1", "no such user"))
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		synctest.Wait()
		e.tr.take()
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		synctest.Wait()
		if calls := e.tr.take(); len(calls) != 0 {
			t.Errorf("tried again: %+v", calls)
		}
	})
}

func TestPostmasterIsToldOfAJumpOfSending(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		for i := range 8 {
			var rcpts []string
			for k := range 50 {
				rcpts = append(rcpts, fmt.Sprintf("r%d@d%d.example", k, i))
			}
			e.enqueue(e.submission("ann@example.org", rcpts...))
		}
		l := e.queued()
		if len(l) == 0 {
			t.Fatal("nothing on hold")
		}
		for _, m := range l {
			if !m.Hold || !strings.Contains(m.HoldReason, "password may be stolen") {
				t.Fatalf("message %+v", m)
			}
		}
		mail := e.mailbox("boss", "Postmaster")
		if len(mail) != 1 || !strings.Contains(mail[0], "Subject: sending of account ann is on hold") || !strings.Contains(mail[0], "mox queue holdrules remove 1\r\n") {
			t.Fatalf("mail to postmaster %q", mail)
		}
		tcheck(t, e.db.RemoveHoldRule(ctxbg, 1))
		_, err := e.db.SetHold(ctxbg, queuedb.Filter{Account: "ann"}, false)
		tcheck(t, err)
		time.Sleep(2 * time.Hour)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %d", len(l))
		}
		if l := e.mailbox("boss", "Postmaster"); len(l) != 1 {
			t.Fatalf("told %d times", len(l))
		}
	})
}

// A notification that was asked for is not lost when it cannot be stored.
func TestNotificationOfSuccessIsTriedAgain(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(context.Context, queuedb.Message) error { return nil })
		e.full.Store(true)
		sub := e.submission("ann@example.org", "a@one.example")
		sub.Recipients[0].Notify = smtp.NotifySuccess
		e.enqueue(sub)
		l := e.queued()
		if len(l) != 1 || !l[0].Failed || l[0].Success != string(dsn.Relayed) {
			t.Fatalf("queue %+v", l)
		}
		e.full.Store(false)
		time.Sleep(time.Hour)
		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 1 || len(e.queued()) != 0 || len(e.tr.take()) != 1 {
			t.Fatalf("notifications %q", inbox)
		}
		if rep, _ := report(t, inbox[0]); rep.Recipients[0].Action != dsn.Relayed || rep.Recipients[0].Status != "2.0.0" {
			t.Errorf("report %+v", rep)
		}
	})
}

func TestDelayIsToldLaterIfNotAtFirstAndOnce(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(451, "4.3.0", "later"))
		e.full.Store(true)
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		time.Sleep(3 * time.Hour) // After the fifth attempt.
		e.full.Store(false)
		time.Sleep(12 * time.Hour)
		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 1 {
			t.Fatalf("%d notifications", len(inbox))
		}
		if rep, _ := report(t, inbox[0]); rep.Recipients[0].Action != dsn.Delayed {
			t.Errorf("report %+v", rep)
		}
	})
}

// What senders are told agrees with the schedule, also with one that is longer.
func TestScheduleOfFiveDays(t *testing.T) {
	edit := func(o *Options) { o.Schedule = NewSchedule(config.MaxQueueRetryPeriod) }
	testQueue(t, edit, func(t *testing.T, e *env) {
		e.tr.answers(fail(451, "4.3.0", "later"))
		start := time.Now()
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		time.Sleep(6 * 24 * time.Hour)
		calls := e.tr.take()
		last := calls[len(calls)-1].at
		if d := last.Sub(start); d < 4*24*time.Hour || d > config.MaxQueueRetryPeriod+2*time.Hour {
			t.Errorf("last of %d attempts after %v", len(calls), d)
		}
		inbox := e.mailbox("ann", "Inbox")
		if len(inbox) != 2 || len(e.queued()) != 0 {
			t.Fatalf("%d notifications", len(inbox))
		}
		if rep, _ := report(t, inbox[0]); !sameSecond(rep.Recipients[0].WillRetryUntil, last) || !strings.Contains(inbox[0], fmt.Sprintf("remaining %d attempts", len(calls)-5)) {
			t.Errorf("told to retry until %v, the last attempt was at %v", rep.Recipients[0].WillRetryUntil, last)
		}
	})
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	h := time.Hour
	for period, want := range map[time.Duration]Schedule{
		0:                              {h / 8},
		config.DefaultQueueRetryPeriod: {h / 8, h / 4, h / 2, h, 2 * h, 4 * h, 8 * h},
		24 * h:                         {h / 8, h / 4, h / 2, h, 2 * h, 4 * h, 8 * h, 8 * h},
	} {
		if got := NewSchedule(period); !slices.Equal(got, want) {
			t.Errorf("%v: got %v", period, got)
		}
	}
	if n := len(NewSchedule(1000 * h)); n != 20 {
		t.Errorf("%d intervals of a schedule that is too long", n)
	}
}
