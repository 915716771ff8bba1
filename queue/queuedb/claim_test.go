package queuedb

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mjl-/bstore"
)

func recipients(l []Message) []string {
	var r []string
	for _, m := range l {
		r = append(r, m.Recipient().XString(false))
	}
	slices.Sort(r)
	return r
}

func TestClaimTakesOneJobOfEachLaneEarliestFirst(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	base := time.Now().Add(-time.Hour)
	at := func(content, rcpt string, after time.Duration) {
		s := submission(t, content, rcpt)
		s.NextAttempt = base.Add(after)
		_, err := d.Enqueue(ctxbg, s)
		tcheck(t, err)
	}
	at("3", "c@three.example", 3*time.Minute)
	at("1", "a@one.example", 1*time.Minute)
	at("2", "b@two.example", 2*time.Minute)
	at("1b", "a2@one.example", 0)
	at("future", "d@four.example", 2*time.Hour)

	jobs, next, err := claimDue(d, claimOptions{now: base.Add(-time.Second), jobs: 10, next: later(time.Hour)})
	tcheck(t, err)
	if len(jobs) != 0 || !next.Equal(base) {
		t.Fatalf("got %v and next %v, want nothing and %v", jobs, next, base)
	}
	jobs, _, err = claimDue(d, claimOptions{now: base.Add(time.Hour), jobs: 2, next: later(time.Hour)})
	tcheck(t, err)
	if len(jobs) != 2 || jobs[0].Lane != "one.example" || jobs[1].Lane != "two.example" {
		t.Fatalf("got %+v, want the earliest two lanes", jobs)
	}
	if r := recipients(jobs[0].Messages); !slices.Equal(r, []string{"a2@one.example"}) {
		t.Fatalf("got %v, want the earliest of the lane only", r)
	}
	verify(t, d)

	jobs = claim(t, d, "one.example", "two.example")
	if len(jobs) != 1 || jobs[0].Lane != "three.example" {
		t.Fatalf("got %+v, want the lane that is not busy", jobs)
	}
	jobs, _, err = claimDue(d, claimOptions{now: base.Add(3 * time.Hour), busy: []string{"three.example", "two.example"}, jobs: 1, next: later(time.Hour)})
	tcheck(t, err)
	if len(jobs) != 1 || jobs[0].Lane != "one.example" {
		t.Fatalf("got %+v, want one job", jobs)
	}
	enqueue(t, d, "1c", "a3@one.example")
	jobs = claim(t, d, "two.example", "three.example")
	if len(jobs) != 1 || recipients(jobs[0].Messages)[0] != "a3@one.example" {
		t.Fatalf("got %+v, want the next of lane one", jobs)
	}
	jobs, next, err = claimDue(d, claimOptions{now: time.Now(), jobs: 10, next: later(time.Hour)})
	tcheck(t, err)
	if want := base.Add(2 * time.Hour); len(jobs) != 0 || next.After(want) {
		t.Fatalf("got %v, next %v, want nothing until at most %v", jobs, next, want)
	}
	verify(t, d)
}

func TestAttemptIsRecordedBeforeItIsMade(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	id := enqueue(t, d, "x", "a@one.example")[0].ID
	now := time.Now().UTC().Round(0)
	backoff := func(m Message) time.Time {
		if m.Attempts != 1 {
			t.Errorf("attempts %d in backoff", m.Attempts)
		}
		return now.Add(8 * time.Minute)
	}
	jobs, _, err := claimDue(d, claimOptions{now: now, jobs: 1, next: backoff})
	tcheck(t, err)
	if len(jobs) != 1 {
		t.Fatalf("jobs %v", jobs)
	}
	m, _, err := d.Get(ctxbg, id)
	tcheck(t, err)
	if m.Attempts != 1 || !m.LastAttempt.Equal(now) || !m.NextAttempt.Equal(now.Add(8*time.Minute)) {
		t.Fatalf("stored %+v", m)
	}
	if jobs := claim(t, d); len(jobs) != 0 {
		t.Fatalf("claimed again: %+v", jobs)
	}
}

func TestRecipientsOfADomainGoTogetherWhenTheyAreAlike(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	s := submission(t, "x", "a@one.example", "b@one.example", "c@one.example", "held@one.example", "other@two.example", "tls@one.example", "tp@one.example", "late@one.example", "verp@one.example", "failed@one.example")
	s.Recipients[8].Sender = path(t, "mjl+verp@sender.example")
	l, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	id := func(i int) Filter { return Filter{IDs: []int64{l[i].ID}} }
	yes := true
	_, err = d.SetHold(ctxbg, id(3), true)
	tcheck(t, err)
	_, err = d.SetRequireTLS(ctxbg, id(5), &yes)
	tcheck(t, err)
	_, err = d.SetTransport(ctxbg, id(6), "relay")
	tcheck(t, err)
	_, err = d.Schedule(ctxbg, id(7), time.Now().Add(time.Hour))
	tcheck(t, err)
	_, err = d.Fail(ctxbg, id(9), "operator")
	tcheck(t, err)
	enqueue(t, d, "y", "a@one.example")

	jobs := claim(t, d, "two.example")
	var job Job
	for _, j := range jobs {
		if j.Lane == "one.example" {
			job = j
		}
	}
	if r := recipients(job.Messages); !slices.Equal(r, []string{"a@one.example", "b@one.example", "c@one.example"}) {
		t.Fatalf("claimed together: %v", r)
	}
	if content(t, d, job.Base) != "x" {
		t.Fatal("content")
	}
	verify(t, d)
}

func TestFatesOfMessages(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	l := enqueue(t, d, "x", "a@one.example", "b@one.example", "c@one.example", "d@one.example")
	if n := len(claim(t, d)[0].Messages); n != 4 {
		t.Fatalf("claimed %d", n)
	}
	next := time.Now().Add(3 * time.Hour).UTC().Round(0)
	tcheck(t, d.Finish(ctxbg, []Outcome{
		{ID: l[0].ID, Fate: Delivered, Result: &Result{Success: true, Code: 250}},
		{ID: l[1].ID, Fate: Retry, Result: &Result{Code: 451, Enhanced: "4.0.0", Error: "later"}, NextAttempt: next},
		{ID: l[2].ID, Fate: Notify, Result: &Result{Code: 550, Error: "no"}},
		{ID: l[3].ID, Fate: Drop, Result: &Result{Code: 550}},
		{ID: 9999, Fate: Delivered},
	}))
	verify(t, d)
	m, _, err := d.Get(ctxbg, l[1].ID)
	tcheck(t, err)
	if r, ok := m.LastResult(); !ok || r.Code != 451 || r.Error != "later" || !m.NextAttempt.Equal(next) {
		t.Fatalf("retried: %+v", m)
	}
	st, err := d.Status(ctxbg)
	tcheck(t, err)
	if st.Messages != 2 || st.Failed != 1 || st.Lanes != 2 {
		t.Fatalf("status %+v", st)
	}

	// The notice is in the lane of the account, so a busy domain does not delay it.
	jobs := claim(t, d, "one.example")
	if len(jobs) != 1 || !jobs[0].Notice || jobs[0].Messages[0].ID != l[2].ID || jobs[0].Messages[0].Notices != 1 || jobs[0].Messages[0].Attempts != 1 {
		t.Fatalf("notice %+v", jobs)
	}
	finishAll(t, d, Notify, jobs[0].Messages) // Could not be told yet.
	if jobs := claim(t, d); len(jobs) != 0 {
		t.Fatalf("notice claimed too early: %+v", jobs)
	}
	finishAll(t, d, Drop, jobs[0].Messages)
	finishAll(t, d, Delivered, []Message{m})
	verify(t, d)
	if l, err := d.List(ctxbg, Filter{}, Page{}); err != nil || len(l) != 0 {
		t.Fatalf("left: %v, %v", l, err)
	}
}

func TestOperatorsChangeDuringAnAttemptIsKept(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	l := enqueue(t, d, "x", "a@one.example", "b@one.example", "c@one.example")
	claim(t, d)
	one := func(i int) Filter { return Filter{IDs: []int64{l[i].ID}} }
	_, err := d.Fail(ctxbg, one(0), "operator")
	tcheck(t, err)
	_, err = d.Drop(ctxbg, one(1), forget)
	tcheck(t, err)
	_, err = d.SetHold(ctxbg, one(2), true)
	tcheck(t, err)
	var out []Outcome
	for _, m := range l {
		out = append(out, Outcome{ID: m.ID, Fate: Retry, Result: &Result{}, NextAttempt: time.Now().Add(time.Hour)})
	}
	tcheck(t, d.Finish(ctxbg, out))
	verify(t, d)
	m, _, err := d.Get(ctxbg, l[0].ID)
	tcheck(t, err)
	if !m.Failed || m.NextAttempt.After(time.Now()) {
		t.Errorf("failed message: %+v", m)
	}
	if _, _, err := d.Get(ctxbg, l[1].ID); err == nil {
		t.Error("dropped message is back")
	}
	if m, _, err := d.Get(ctxbg, l[2].ID); err != nil || !m.Hold {
		t.Errorf("held message: %+v, %v", m, err)
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	l := enqueue(t, d, "x", "a@one.example")
	for i := range MaxResults + 5 {
		tcheck(t, d.Finish(ctxbg, []Outcome{{ID: l[0].ID, Result: &Result{Code: int32(i)}}}))
	}
	m, _, err := d.Get(ctxbg, l[0].ID)
	tcheck(t, err)
	if len(m.Results) != MaxResults || m.Results[0].Code != 5 || m.Results[MaxResults-1].Code != MaxResults+4 {
		t.Fatalf("%d results from %d", len(m.Results), m.Results[0].Code)
	}
}

// The number of records that a claim reads must not depend on the length of the
// queue, not even when most of it is due and in the same flow.
func TestClaimReadsAFewRecordsOfALongQueue(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{AccountMessages: -1})
	cost := func() uint {
		before := d.bdb.Stats()
		job, ok, err := d.Claim(ctxbg, ClaimOptions{Now: time.Now().Add(time.Hour), Flow: "busy.example\tn\ta", Next: later(0)})
		tcheck(t, err)
		if !ok || len(job.Messages) != 1 {
			t.Fatalf("job %+v", job)
		}
		after := d.bdb.Stats()
		return after.Records.Get + after.Records.Cursor + after.Index.Cursor - before.Records.Get - before.Records.Cursor - before.Index.Cursor
	}
	fill := func(n int) {
		tcheck(t, d.bdb.Write(ctxbg, func(tx *bstore.Tx) error {
			b, err := newBatch(d, tx)
			if err != nil {
				return err
			}
			for i := range n {
				domain := "busy.example"
				if i%10 == 0 {
					domain = fmt.Sprintf("d%d.example", i/10%50)
				}
				id, ok := d.ids.take()
				if !ok {
					return fmt.Errorf("no ids")
				}
				at := now().Add(time.Duration(i) * time.Millisecond)
				if err := b.submit(Base{ID: id.id, Size: 1}, []Message{{Account: "a", RecipientDomain: domain, Queued: at, NextAttempt: at}}, &Submission{}); err != nil {
					return err
				}
			}
			return b.flush()
		}))
	}
	fill(100)
	small := cost()
	fill(800)
	large := cost()
	if large > small+10 {
		t.Fatalf("claim read %d records of 100 messages, %d of 900", small, large)
	}
}

// A message that is being attempted is not claimed again, also if its next attempt has
// become due meanwhile. When the attempt has ended, it is.
func TestAMessageIsInOneAttemptAtATime(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	enqueue(t, d, "1", "a@one.example", "b@one.example")
	at := time.Now()
	try := func() (Job, bool) {
		t.Helper()
		at = at.Add(time.Hour)
		l, err := d.List(ctxbg, Filter{}, Page{})
		tcheck(t, err)
		job, ok, err := d.Claim(ctxbg, ClaimOptions{Now: at, Flow: l[0].Flow, Exclusive: true, Next: func(Message) time.Time { return at.Add(time.Minute) }})
		tcheck(t, err)
		verify(t, d)
		return job, ok
	}
	first, ok := try()
	if !ok || len(first.Messages) != 2 {
		t.Fatalf("claimed %v, %+v", ok, first)
	}
	if job, ok := try(); ok {
		t.Fatalf("claimed again: %+v", job)
	}
	tcheck(t, d.Finish(ctxbg, []Outcome{{ID: first.Messages[0].ID}}))
	second, ok := try()
	if !ok || len(second.Messages) != 1 || second.Messages[0].ID != first.Messages[0].ID || second.Messages[0].Attempts != 2 {
		t.Fatalf("claimed %v, %+v", ok, second)
	}
	d.Release(first.Messages[1:])
	d.Release(second.Messages)
	third, ok := try()
	if !ok || len(third.Messages) != 1 {
		t.Fatalf("claimed %v, %+v", ok, third)
	}
	// The message that failed is one whose sender is to be told at once, in the same
	// commit too.
	job, ok, err := d.FinishAndClaim(ctxbg, []Outcome{{ID: third.Messages[0].ID, Fate: Notify}},
		ClaimOptions{Now: at.Add(time.Hour), Flow: third.Messages[0].Flow, Exclusive: true, Next: func(Message) time.Time { return at.Add(2 * time.Hour) }})
	tcheck(t, err)
	if !ok || job.Notice || job.Messages[0].ID == third.Messages[0].ID {
		t.Fatalf("claimed %v, %+v", ok, job)
	}
	verify(t, d)
}
