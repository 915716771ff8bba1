package smtpserver

import (
	"context"
	"log/slog"

	"mox/mlog"
)

// submit gives a message of a user to the queue. It returns nil when the queue has
// it on stable storage, for all recipients.
func (s *session) submit(ctx context.Context, t *transaction, m *incoming) error {
	sub := Outgoing{
		Account: s.login.account,
		Login:   s.login.address,
		Mail:    t.mail,
		Spool:   m.spool,
		Digest:  m.digest,
		Trace:   m.trace,
	}
	for _, r := range t.recipients {
		sub.Rcpts = append(sub.Rcpts, r.path)
	}
	if err := s.srv.opts.Submit.Submit(ctx, sub); err != nil {
		metricSubmission.WithLabelValues(submitResult(err)).Inc()
		return err
	}
	metricSubmission.WithLabelValues("ok").Inc()
	s.log.Info("message submitted", slog.Any("mailfrom", t.mail.ReversePath), slog.Int("recipients", len(sub.Rcpts)),
		slog.Int64("size", m.size), mlog.Err(nil))
	return nil
}

// submitResult returns the label for a message that was not accepted.
func submitResult(err error) string {
	return "queueerror"
}
