package queuedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mjl-/bstore"
)

// ClaimOptions are for Claim.
type ClaimOptions struct {
	Now  time.Time
	Busy []string // Lanes with a job in progress.
	Jobs int      // At most this many jobs.

	// Next returns when a message is to be tried again if nothing more is heard of
	// this attempt. The message already counts the attempt, or for a failed message
	// the attempt to tell the sender. It must not call the database.
	Next func(m Message) time.Time
}

// Job is what can be delivered in one go: messages with one content that go to
// one domain and have the same history and wishes, so that one SMTP transaction
// will do. A job with Notice set has one failed message whose sender is to be
// told.
type Job struct {
	Lane     string
	Notice   bool
	Base     Base
	Messages []Message // At most MaxClaim.
}

// Claim takes the messages that are due first, at most one job of each lane that
// is not busy. The attempt and the moved NextAttempt are on stable storage when it
// returns. If nothing is due, it returns no jobs and the time at which something
// will be, zero if that is unknown.
func (d *DB) Claim(ctx context.Context, o ClaimOptions) ([]Job, time.Time, error) {
	lanes, next, err := d.due(ctx, o)
	if err != nil || len(lanes) == 0 {
		return nil, next, err
	}
	var jobs []Job
	err = d.committer.do(ctx, &change{apply: func(b *batch) error {
		jobs = nil
		for _, name := range lanes {
			job, err := b.claim(name, o)
			if err == bstore.ErrAbsent {
				continue // Something has changed since due looked.
			} else if err != nil {
				return err
			}
			jobs = append(jobs, job)
		}
		return nil
	}})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("claim: %w", err)
	}
	return jobs, time.Time{}, nil
}

// due returns lanes with a due message, and if there are none, when there will be
// one. The records read are those returned and the busy ones.
func (d *DB) due(ctx context.Context, o ClaimOptions) (lanes []string, next time.Time, err error) {
	err = d.read(ctx, func(tx *bstore.Tx) error {
		q := bstore.QueryTx[lane](tx).SortAsc("NextAttempt").Limit(len(o.Busy) + o.Jobs)
		for l, err := range q.All() {
			if err != nil {
				return err
			}
			if len(lanes) == o.Jobs {
				return nil
			}
			if slices.Contains(o.Busy, l.Name) {
				continue
			}
			if l.NextAttempt.After(o.Now) {
				next = l.NextAttempt
				return nil
			}
			lanes = append(lanes, l.Name)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("look for due messages: %w", err)
	}
	return lanes, next, err
}

// claim records an attempt for the first message of a lane and those that can go
// with it, or returns ErrAbsent if it is not due.
func (b *batch) claim(name string, o ClaimOptions) (Job, error) {
	first, err := head(b.tx, name)
	if err != nil {
		return Job{}, err
	}
	if first.NextAttempt.After(o.Now) {
		return Job{}, bstore.ErrAbsent
	}
	job := Job{Lane: name, Notice: first.Failed, Base: Base{ID: first.ContentID}}
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
	q = q.FilterFn(func(o Message) bool { return o.ID == m.ID || !o.NextAttempt.After(now) && m.batches(o) })
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
	// Notify keeps the failed message until its sender has been told.
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
}

// Finish records what became of messages. Messages that are gone, because an
// operator dropped them during the attempt, are passed over.
func (d *DB) Finish(ctx context.Context, outcomes []Outcome) error {
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		at := now()
		for _, o := range outcomes {
			if err := b.finish(o, at); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return fmt.Errorf("record results: %w", err)
	}
	return nil
}

func (b *batch) finish(o Outcome, at time.Time) error {
	old, err := b.get(o.ID)
	if err != nil {
		return err
	}
	m := old
	if o.Result != nil {
		m.addResult(*o.Result)
	}
	switch o.Fate {
	case Delivered, Drop:
		if err := b.remove(&m, o.Fate == Delivered, at, at.Add(o.Retain)); err != nil {
			return err
		}
		return nil
	case Notify:
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
	m.Hold = false
	m.NextAttempt = at
}

func (m *Message) addResult(r Result) {
	r.Error = clip(r.Error)
	r.Remote = clip(r.Remote)
	l := append(slices.Clone(m.Results), r)
	m.Results = l[max(0, len(l)-MaxResults):]
}
