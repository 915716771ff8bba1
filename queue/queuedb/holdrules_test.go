package queuedb

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestHoldRulesMatchAllThatTheySay(t *testing.T) {
	t.Parallel()
	m := Message{Account: "ann", SenderDomain: "a.example", RecipientDomain: "b.example"}
	null := Message{Account: "bob", RecipientDomain: "b.example"}
	for _, tc := range []struct {
		rule    HoldRule
		m, null bool
	}{
		{HoldRule{}, true, true},
		{HoldRule{Account: "ann"}, true, false},
		{HoldRule{Account: "bob"}, false, true},
		{HoldRule{SenderDomain: "a.example"}, true, false},
		{HoldRule{RecipientDomain: "b.example"}, true, true},
		{HoldRule{Account: "ann", RecipientDomain: "c.example"}, false, false},
		{HoldRule{Account: "ann", SenderDomain: "a.example", RecipientDomain: "b.example"}, true, false},
		{HoldRule{SenderDomain: "b.example", RecipientDomain: "b.example"}, false, false},
	} {
		if got := tc.rule.matches(m); got != tc.m {
			t.Errorf("%+v: %v", tc.rule, got)
		}
		if got := tc.rule.matches(null); got != tc.null {
			t.Errorf("%+v with the null reverse-path: %v", tc.rule, got)
		}
	}
}

func TestHoldRulesHoldWhatIsQueuedAndWhatComes(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	before := enqueue(t, d, "x", "a@one.example", "b@two.example")
	r, n, err := d.AddHoldRule(ctxbg, HoldRule{RecipientDomain: "one.example", Reason: "they asked"})
	tcheck(t, err)
	if n != 1 || r.ID == 0 || r.Created.IsZero() {
		t.Fatalf("rule %+v, %d messages", r, n)
	}
	after := enqueue(t, d, "y", "c@one.example", "d@two.example")
	held := func(m Message) (bool, string) {
		m, _, err := d.Get(ctxbg, m.ID)
		tcheck(t, err)
		return m.Hold, m.HoldReason
	}
	for i, m := range append(before, after...) {
		hold, reason := held(m)
		if want := i%2 == 0; hold != want || want != (reason == "hold rule 1: they asked") {
			t.Errorf("message to %s: %v, %q", m.Recipient(), hold, reason)
		}
	}
	verify(t, d)
	if st, err := d.Status(ctxbg); err != nil || st.Held != 2 {
		t.Fatalf("status %+v, %v", st, err)
	}
	tcheck(t, d.RemoveHoldRule(ctxbg, r.ID))
	if err := d.RemoveHoldRule(ctxbg, r.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if hold, _ := held(after[0]); !hold {
		t.Error("released with its rule")
	}
	n, err = d.SetHold(ctxbg, Filter{}, false)
	if _, reason := held(after[0]); n != 2 || err != nil || reason != "" {
		t.Errorf("released %d, %v, reason %q", n, err, reason)
	}
	if l, err := d.HoldRules(ctxbg); err != nil || len(l) != 0 {
		t.Errorf("rules %v, %v", l, err)
	}
	verify(t, d)
}

func TestHoldRulesAreLimited(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	tcheck(t, d.committer.do(ctxbg, &change{apply: func(b *batch) error {
		for range MaxHoldRules {
			if err := b.addRule(&HoldRule{Created: now(), Account: "other"}); err != nil {
				return err
			}
		}
		return nil
	}}))
	if _, _, err := d.AddHoldRule(ctxbg, HoldRule{}); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
}

// send queues a message from an account to n recipients.
func send(t *testing.T, d *DB, account string, n int) []Message {
	t.Helper()
	s := submission(t, "x")
	s.Account = account
	for i := range n {
		s.Recipients = append(s.Recipients, Recipient{Sender: path(t, account+"@sender.example"), To: path(t, fmt.Sprintf("r%d@one.example", i))})
	}
	l, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	return l
}

func TestJumpOfSendingPutsTheAccountOnHold(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{JumpFloor: 30})
	first := send(t, d, "ann", 30)[0]
	if send(t, d, "bob", 30)[0].Hold || first.Hold {
		t.Fatal("held without a jump")
	}
	select {
	case <-d.Alerts():
		t.Fatal("alert without a jump")
	default:
	}
	m := send(t, d, "ann", 1)[0]
	if !m.Hold || !strings.Contains(m.HoldReason, "31 recipients in 24 hours, at most 0 on a day before") {
		t.Fatalf("after a jump: %+v", m)
	}
	select {
	case <-d.Alerts():
	default:
		t.Fatal("no alert")
	}
	l, err := d.Untold(ctxbg)
	tcheck(t, err)
	if len(l) != 1 || l[0].Account != "ann" || !l[0].Automatic {
		t.Fatalf("rules %+v", l)
	}
	if first, _, err := d.Get(ctxbg, first.ID); err != nil || !first.Hold {
		t.Fatalf("what was queued before: %+v, %v", first, err)
	}
	if send(t, d, "bob", 1)[0].Account != "bob" {
		t.Fatal("wrong account")
	}
	tcheck(t, d.SetTold(ctxbg, l[0].ID))
	tcheck(t, d.SetTold(ctxbg, 999))
	if l, err := d.Untold(ctxbg); err != nil || len(l) != 1 || l[0].Account != "bob" {
		t.Fatalf("untold %+v, %v", l, err)
	}
	// What was on hold counts no more, and after the rule is gone there is a pause.
	if !send(t, d, "ann", 100)[0].Hold {
		t.Fatal("rule does not hold")
	}
	tcheck(t, d.RemoveHoldRule(ctxbg, l[0].ID))
	if send(t, d, "ann", 100)[0].Hold {
		t.Fatal("held again at once")
	}
	verify(t, d)

	d = testOpen(t, Options{JumpFloor: -1})
	if send(t, d, "ann", 1000)[0].Hold {
		t.Fatal("held although there is no floor")
	}
	d = testOpen(t, Options{JumpFloor: 10})
	s := submission(t, "x", "a@one.example", "b@one.example")
	s.JumpFloor = 1000
	for range 20 {
		if l, err := d.Enqueue(ctxbg, s); err != nil || l[0].Hold {
			t.Fatalf("with a floor of its own: %v", err)
		}
	}
}

func TestHistoryOfSending(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC)
	var s sending
	check := func(name string, today, busiest int64) {
		t.Helper()
		if s.today() != today || s.busiest() != busiest {
			t.Errorf("%s: %d today, busiest day %d, want %d and %d", name, s.today(), s.busiest(), today, busiest)
		}
	}
	s.count(5, start)
	s.count(7, start.Add(time.Hour))
	s.count(1, start) // A clock that was set back.
	check("first day", 13, 0)
	s.count(2, start.Add(23*time.Hour))
	check("within 24 hours", 15, 0)
	s.count(1, start.Add(24*time.Hour))
	check("the first hour has left", 11, 5)
	s.count(1, start.Add(26*time.Hour))
	check("the second hour too, which had the one of the clock", 4, 13)
	for day := range 29 {
		s.count(3, start.Add(time.Duration(48+24*day)*time.Hour))
	}
	check("after 29 days", 3, 13)
	s.count(1, start.Add(40*24*time.Hour))
	check("after 40 days", 1, 3)
	if len(s.Hours) > hoursPerDay || len(s.Days) > historyDays+1 {
		t.Errorf("%d hours, %d days", len(s.Hours), len(s.Days))
	}
	for i := range 1000 {
		s.count(1, start.Add(time.Duration(i)*25*time.Hour))
		if len(s.Hours) > hoursPerDay || len(s.Days) > historyDays+1 {
			t.Fatalf("%d hours, %d days", len(s.Hours), len(s.Days))
		}
	}
}

func TestBulkMailIsToldByItsNumber(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	var s sending
	if s.burst(bulkRecipients, at) {
		t.Error("a message to some")
	}
	if !s.burst(bulkRecipients+1, at) {
		t.Error("a message to many")
	}
	s = sending{}
	n := 0
	for range 1000 {
		if !s.burst(1, at) {
			n++
		}
	}
	if n != burstSize {
		t.Errorf("%d messages of a run were not bulk", n)
	}
	if s.burst(1, at.Add(30*time.Second)) != true || s.burst(1, at.Add(3*time.Minute)) {
		t.Error("after a run")
	}
}
