package submit

import (
	"context"
	"time"

	"mox/internal/tracedb"
	"mox/message"
	"mox/queue/queuedb"
)

// Tracer records what becomes of messages, without waiting. A *tracedb.DB is one.
type Tracer interface {
	Step(ctx context.Context, s tracedb.Step)
}

// tracedQueue is a queue that records what was queued.
type tracedQueue struct {
	Queue
	trace Tracer
}

func (q tracedQueue) Enqueue(ctx context.Context, sub queuedb.Submission) ([]queuedb.Message, error) {
	l, err := q.Queue.Enqueue(ctx, sub)
	if err != nil {
		return l, err
	}
	ctx = tracedb.EnsureRef(ctx, tracedb.Ref{Queue: l[0].ID})
	now, id := time.Now(), message.CanonicalMessageID(sub.Base.MessageID)
	for _, m := range l {
		s := tracedb.Step{
			Time: now, Kind: tracedb.Queued, MessageID: id, Account: m.Account,
			From: tracedb.Address(m.Sender()), To: tracedb.Address(m.Recipient()),
			Queue: m.ID, Transport: m.Transport, Size: int64(len(sub.Base.Prefix)) + sub.Spool.Size(),
		}
		if m.NextAttempt.After(now.Add(time.Second)) {
			s.Next = m.NextAttempt
		}
		if m.Hold {
			s.Text = "on hold"
			if m.HoldReason != "" {
				s.Text += ": " + m.HoldReason
			}
		}
		q.trace.Step(ctx, s)
	}
	return l, nil
}
