package queuedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mjl-/bstore"
)

// Head tells when the first message of a flow is due that is not on hold. The
// messages of a flow have the same lane, account and class.
type Head struct {
	Flow    string
	Lane    string
	Account string
	Bulk    bool
	Next    time.Time // Zero if there is none any more.
}

// Watch makes fn be called with all heads and true, and from then on with those that
// may have changed after each commit, in order. It replaces an earlier fn. Since
// commits wait for it, fn must be quick, and it must not call the database. After
// Reopen, Watch must be called again.
func (d *DB) Watch(ctx context.Context, fn func(heads []Head, all bool)) error {
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		var l []Head
		for f, err := range bstore.QueryTx[flow](b.tx).All() {
			if err != nil {
				return err
			}
			l = append(l, Head{f.Name, f.Lane, f.Account, f.Bulk, f.NextAttempt})
		}
		b.after = append(b.after, func() {
			b.d.committer.watch = fn
			fn(l, true)
		})
		return nil
	}})
	if err != nil {
		return fmt.Errorf("read flows: %w", err)
	}
	return nil
}

// ClaimOptions are for Claim.
type ClaimOptions struct {
	Now  time.Time
	Flow string

	// Next returns when a message is to be tried again if nothing more is heard of
	// this attempt. The message already counts the attempt, or for a failed message
	// the attempt to tell the sender. It must not call the database.
	Next func(m Message) time.Time

	// Exclusive keeps others from claiming the messages before Finish or Release, however
	// long that takes and whatever an operator does with them: a second attempt at the
	// same time would be a second delivery.
	Exclusive bool
}

// busyDelay is when a message is looked at again that is due, and being attempted.
const busyDelay = time.Minute

// attempts are the messages that are being attempted, claimed as exclusive.
type attempts struct {
	mu  sync.Mutex // Guards ids.
	ids map[int64]bool
}

func (a *attempts) has(id int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ids[id]
}

func (a *attempts) set(l []Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ids == nil {
		a.ids = map[int64]bool{}
	}
	for _, m := range l {
		a.ids[m.ID] = true
	}
}

func (a *attempts) end(ids ...int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		delete(a.ids, id)
	}
}

// Release ends an exclusive claim of messages about which there is nothing to record.
func (d *DB) Release(l []Message) {
	for _, m := range l {
		d.attempts.end(m.ID)
	}
}

// Job is what can be delivered in one go: messages with one content that go to
// one domain and have the same history and wishes, so that one SMTP transaction
// will do. A job with Notice set has one message whose sender is to be told.
type Job struct {
	Lane     string
	Notice   bool
	Base     Base
	Messages []Message // At most MaxClaim.
}

// errNotDue says that nothing can be claimed.
var errNotDue = errors.New("no due message in flow")

// Claim takes the message of a flow that is due first, and those that can go with
// it. The attempt and the moved NextAttempt are on stable storage when it returns.
// Without a due message it returns false.
func (d *DB) Claim(ctx context.Context, o ClaimOptions) (Job, bool, error) {
	var job Job
	var due bool
	err := d.committer.do(ctx, &change{
		check: func(b *batch) error {
			first, err := head(b.tx, o.Flow)
			if err == bstore.ErrAbsent || err == nil && first.NextAttempt.After(o.Now) {
				return errNotDue
			}
			return err
		},
		apply: func(b *batch) (err error) {
			job, due, err = b.claimDue(o)
			return err
		},
	})
	if err == errNotDue {
		return Job{}, false, nil
	} else if err != nil {
		return Job{}, false, fmt.Errorf("claim: %w", err)
	}
	return job, due, nil
}

// FinishAndClaim does Finish and then Claim in one commit.
func (d *DB) FinishAndClaim(ctx context.Context, outcomes []Outcome, o ClaimOptions) (Job, bool, error) {
	var job Job
	var due bool
	err := d.committer.do(ctx, &change{apply: func(b *batch) (err error) {
		if err := b.finishAll(outcomes); err != nil {
			return err
		}
		job, due, err = b.claimDue(o)
		return err
	}})
	if err != nil {
		return Job{}, false, fmt.Errorf("record results: %w", err)
	}
	return job, due, nil
}

// claimDue is claim that tells whether there was a message.
func (b *batch) claimDue(o ClaimOptions) (Job, bool, error) {
	job, err := b.claim(o)
	if err == errNotDue {
		return Job{}, false, nil
	}
	if err == nil && o.Exclusive {
		b.after = append(b.after, func() { b.d.attempts.set(job.Messages) })
	}
	return job, err == nil, err
}

// busy reports whether a message is being attempted.
func (b *batch) busy(id int64) bool { return !b.ended[id] && b.d.attempts.has(id) }

// due returns the first message of a flow that is due, or errNotDue. Those that are
// being attempted are put off.
func (b *batch) due(o ClaimOptions) (Message, error) {
	for {
		first, err := head(b.tx, o.Flow)
		if err == bstore.ErrAbsent || err == nil && first.NextAttempt.After(o.Now) {
			return Message{}, errNotDue
		} else if err != nil || !b.busy(first.ID) {
			return first, err
		}
		m := first
		m.NextAttempt = o.Now.Add(busyDelay)
		if err := b.update(&first, &m); err != nil {
			return Message{}, err
		}
	}
}

// claim records an attempt for the first message of a flow and those that can go
// with it, or returns errNotDue.
func (b *batch) claim(o ClaimOptions) (Job, error) {
	first, err := b.due(o)
	if err != nil {
		return Job{}, err
	}
	job := Job{Lane: first.Lane, Notice: first.Failed, Base: Base{ID: first.ContentID}}
	if err := b.tx.Get(&job.Base); err != nil {
		return Job{}, fmt.Errorf("read content: %w", err)
	}
	l := []Message{first}
	if !first.Failed {
		l, err = b.companions(first, o.Now)
		if err != nil {
			return Job{}, err
		}
	}
	for _, old := range l {
		m := old
		if m.Failed {
			m.Notices++
		} else {
			m.Attempts++
			m.LastAttempt = o.Now
		}
		m.NextAttempt = o.Next(m)
		if err := b.update(&old, &m); err != nil {
			return Job{}, err
		}
		job.Messages = append(job.Messages, m)
	}
	return job, nil
}

// companions returns m and the due messages that can share a transaction with it.
func (b *batch) companions(m Message, now time.Time) ([]Message, error) {
	q := bstore.QueryTx[Message](b.tx).FilterEqual("ContentID", m.ContentID).FilterEqual("Lane", m.Lane)
	q = q.FilterFn(func(o Message) bool {
		return o.ID == m.ID || !o.NextAttempt.After(now) && m.batches(o) && !b.busy(o.ID)
	})
	l, err := q.Limit(MaxClaim).List()
	if err != nil {
		return nil, fmt.Errorf("read messages of content: %w", err)
	}
	return l, nil
}

// batches reports whether o can share a transaction with m: same reverse-path,
// history and wishes.
func (m Message) batches(o Message) bool {
	sameTLS := m.RequireTLS == nil && o.RequireTLS == nil ||
		m.RequireTLS != nil && o.RequireTLS != nil && *m.RequireTLS == *o.RequireTLS
	return !o.Hold && !o.Failed && sameTLS &&
		o.SenderLocalpart == m.SenderLocalpart && o.SenderDomain == m.SenderDomain &&
		o.Attempts == m.Attempts && o.Transport == m.Transport
}

// Fate is what becomes of a message after an attempt.
type Fate int

const (
	// Retry keeps the message for another attempt.
	Retry Fate = iota
	// Delivered removes it.
	Delivered
	// Notify keeps the failed message until its sender has been told. If Outcome.Success
	// is set, it was delivered.
	Notify
	// Drop removes the failed message: the sender has been told, or is not to be.
	Drop
)

// Outcome is the result of a job for one message.
type Outcome struct {
	ID     int64
	Fate   Fate
	Result *Result // Added to the results of the message. Nil is none, as for a notice.

	NextAttempt time.Time     // For Retry and Notify. Zero keeps what the message has, for Notify it is now.
	Retain      time.Duration // For Delivered and Drop: how long to keep it as history. Zero is not at all.
	Success     string        // For Notify: see Message.
	DelayTold   bool          // The sender was told of the delay.

	// Undeliverable says what a failure tells about the address of the recipient.
	Undeliverable Undeliverable
}

// Finish records what became of messages. Messages that are gone, because an
// operator dropped them during the attempt, are passed over.
func (d *DB) Finish(ctx context.Context, outcomes []Outcome) error {
	err := d.committer.do(ctx, &change{apply: func(b *batch) error { return b.finishAll(outcomes) }})
	if err != nil {
		return fmt.Errorf("record results: %w", err)
	}
	return nil
}

func (b *batch) finishAll(outcomes []Outcome) error {
	at := now()
	for _, o := range outcomes {
		if err := b.finish(o, at); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

func (b *batch) finish(o Outcome, at time.Time) error {
	b.ended[o.ID] = true
	old, err := b.get(o.ID)
	if err != nil {
		return err
	}
	m := old
	if o.Result != nil {
		m.addResult(*o.Result)
		if err := b.judgeAddress(&m, o, at); err != nil {
			return err
		}
	}
	m.DelayTold = m.DelayTold || o.DelayTold
	switch o.Fate {
	case Delivered, Drop:
		return b.remove(&m, o.Fate == Delivered || m.Success != "", at, at.Add(o.Retain))
	case Notify:
		if !m.Failed {
			m.Success = o.Success
		}
		m.fail(at)
	}
	if m.Failed && o.Fate == Retry {
		// An operator had it fail during the attempt.
		return b.update(&old, &m)
	}
	if !o.NextAttempt.IsZero() {
		m.NextAttempt = o.NextAttempt
	}
	return b.update(&old, &m)
}

// fail marks the message as failed for good, with the notice due at once.
func (m *Message) fail(at time.Time) {
	if m.Failed {
		return
	}
	m.Failed = true
	m.Hold, m.HoldReason = false, ""
	m.NextAttempt = at
}

func (m *Message) addResult(r Result) {
	r.Error = clip(r.Error)
	r.Remote = clip(r.Remote)
	r.Host = clipTo(r.Host, maxKey)
	r.TLS = clipTo(r.TLS, maxKey)
	r.Transport = clipTo(r.Transport, maxKey)
	r.Transcript = clipTo(r.Transcript, MaxTranscript)
	l := append(slices.Clone(m.Results), r)
	m.Results = l[max(0, len(l)-MaxResults):]
	for i := range m.Results[:max(0, len(m.Results)-MaxTranscripts)] {
		m.Results[i].Transcript = ""
	}
}
