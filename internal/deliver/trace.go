package deliver

import (
	"context"
	"time"

	"mox/internal/tracedb"
	"mox/store"
)

// Tracer records what becomes of messages, without waiting. A *tracedb.DB is one.
type Tracer interface {
	Step(ctx context.Context, s tracedb.Step)
}

// trace records a delivery, with the verdict that led to it: here come those about
// members of aliases, and about messages that did not come by SMTP, too.
func (d *Deliverer) trace(ctx context.Context, del Delivery, start time.Time, res Result, err error) {
	if d.tracer == nil {
		return
	}
	d.traceVerdict(ctx, del, start)
	s := del.step(tracedb.Delivered)
	s.Time = time.Now()
	s.Duration = s.Time.Sub(start)
	s.Result, s.Account, s.Mailbox, s.Content = tracedb.OK, res.Account, res.Mailbox, res.Message.ContentID
	if err != nil {
		s.Result, s.Account, s.Mailbox = tracedb.Error, del.Recipient.Account, del.Verdict.Mailbox
		s.SetError(smtpError(ctx, err))
		s.Reasons = []string{err.Error()}
	}
	d.tracer.Step(ctx, s)
}

// traceVerdict records why a message was accepted.
func (d *Deliverer) traceVerdict(ctx context.Context, del Delivery, at time.Time) {
	v := del.Verdict
	if d.tracer == nil || v.Reason == "" || del.Recipient.Alias != nil {
		return
	}
	s := del.step(tracedb.Judged)
	s.Time = at
	s.Result, s.Account, s.Reason, s.Reasons = tracedb.Accepted, del.Recipient.Account, v.Reason, v.Reasons
	d.tracer.Step(ctx, s)
}

// traceKept records that there is a copy of a message that was refused.
func (d *Deliverer) traceKept(ctx context.Context, del Delivery, mailbox string, m store.Message) {
	if d.tracer == nil {
		return
	}
	s := del.step(tracedb.Kept)
	s.Account, s.Mailbox, s.Content = del.Recipient.Account, mailbox, m.ContentID
	d.tracer.Step(ctx, s)
}

// step returns a step with what is known of a delivery.
func (del Delivery) step(kind tracedb.Kind) tracedb.Step {
	s := tracedb.Step{Kind: kind, From: tracedb.Address(del.MailFrom), Size: del.Size}
	if del.Digest != nil {
		s.MessageID = string(del.Digest.MessageID())
	}
	if !del.Rcpt.IsZero() {
		s.To = tracedb.Address(del.Rcpt)
	}
	if to := del.DeliveredTo; !to.IsZero() && !to.Equal(del.Rcpt) {
		s.Member = tracedb.Address(to)
	}
	return s
}
