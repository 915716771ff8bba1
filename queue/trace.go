package queue

import (
	"context"

	"mox/internal/tracedb"
	"mox/message"
	"mox/queue/queuedb"
	"mox/smtp"
)

// Tracer records what becomes of messages, without waiting. A *tracedb.DB is one.
type Tracer interface {
	Step(ctx context.Context, s tracedb.Step)
}

// tracedContext returns a context for what is done with the messages of a job. They
// have come together, so that one stands for all.
func tracedContext(ctx context.Context, job queuedb.Job) context.Context {
	return tracedb.WithRef(ctx, tracedb.Ref{Queue: job.Messages[0].ID})
}

// step returns a step about a message.
func step(kind tracedb.Kind, base queuedb.Base, m queuedb.Message) tracedb.Step {
	return tracedb.Step{
		Kind: kind, Queue: m.ID, MessageID: message.CanonicalMessageID(base.MessageID), Account: m.Account,
		From: tracedb.Address(m.Sender()), To: tracedb.Address(m.Recipient()),
	}
}

// traceResult records an attempt.
func (q *Queue) traceResult(ctx context.Context, base queuedb.Base, m queuedb.Message, r Result, o queuedb.Outcome) {
	if q.opts.Trace == nil {
		return
	}
	s := step(tracedb.Attempted, base, m)
	s.Attempt, s.Duration, s.Transport = m.Attempts, o.Result.Duration, o.Result.Transport
	s.Time = o.Result.Start.Add(o.Result.Duration)
	s.Host, s.IP, s.TLS, s.Unanswered = o.Result.Host, o.Result.IP, o.Result.TLS, o.Result.Unanswered
	if r.Session != "" {
		s.TLS += " (" + r.Session + ")"
	}
	if s.Host == "" {
		s.Host = o.Result.Remote
	}
	s.Code, s.Enhanced, s.Text = o.Result.Code, o.Result.Enhanced, o.Result.Error
	switch {
	case r.Err == nil:
		s.Result, s.Text = tracedb.OK, r.Text
	case o.Fate == queuedb.Retry:
		s.Result, s.Next = tracedb.Retry, m.NextAttempt
		if !o.NextAttempt.IsZero() {
			s.Next = o.NextAttempt
		}
	default:
		s.Result = tracedb.Failed
	}
	// With a reply, the cause is that reply.
	if e := smtp.AsError(r.Err); e != nil && e.Cause != nil && r.Code == 0 {
		s.Reasons = []string{e.Cause.Error()}
	}
	q.opts.Trace.Step(ctx, s)
}

// traceNotice records that a sender was told of a message.
func (q *Queue) traceNotice(ctx context.Context, n notice, account, mailbox string) {
	if q.opts.Trace == nil {
		return
	}
	s := step(tracedb.Notified, n.base, n.m)
	s.Reason, s.Account, s.Mailbox = string(n.action()), account, mailbox
	q.opts.Trace.Step(ctx, s)
}

// traceMatch records what a notification from elsewhere tells of a message.
func (q *Queue) traceMatch(ctx context.Context, m Match) {
	if q.opts.Trace == nil {
		return
	}
	s := step(tracedb.Reported, m.Sent.Base, m.Sent.Message)
	s.Ref = tracedb.Ref{Queue: m.Sent.Message.ID}
	s.Reason, s.Host, s.Code, s.Enhanced, s.Text = string(m.Action), m.Result.Remote, m.Result.Code, m.Result.Enhanced, m.Result.Error
	q.opts.Trace.Step(ctx, s)
}
