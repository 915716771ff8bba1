package smtpserver

import (
	"context"
	"log/slog"

	"mox/internal/submit"
	"mox/mlog"
	"mox/smtp"
)

// reportDelivered tells a sender who has asked for it, with NOTIFY=SUCCESS, which
// recipients have got the message (RFC 3461 §5.2.3). It comes before the reply, so
// that a message that was accepted is one that the sender is told about. An address
// that may be forged is told nothing: whoever it belongs to has sent no message.
func (s *session) reportDelivered(ctx context.Context, t *transaction, m *incoming, outcomes []outcome) {
	if s.srv.opts.Report == nil || t.mail.ReversePath.IsZero() {
		return
	}
	d := submit.Delivered{Mail: t.mail, From: s.heloName(false), Spool: m.spool, Arrived: m.time}
	for _, o := range outcomes {
		if o.err == nil && !o.had && !o.relayed && o.rcpt.notify&smtp.NotifySuccess != 0 {
			d.Recipients = append(d.Recipients, submit.DeliveredRecipient{RcptCommand: o.rcpt.command(), Expanded: o.forwarded || o.rcpt.to.Expands()})
		}
	}
	if len(d.Recipients) == 0 {
		return
	}
	if !s.maySend(ctx, t) {
		s.log.Debug("not telling about delivery: sender may be forged", slog.Any("mailfrom", t.mail.ReversePath))
		return
	}
	if err := s.srv.opts.Report.NotifyDelivered(ctx, d); err != nil {
		// The message stays accepted: another copy would be worse than no notification.
		metricErrors.WithLabelValues("queuedsn").Inc()
		s.log.Error("queueing notification of delivery", mlog.Err(err))
	}
}
