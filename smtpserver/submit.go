package smtpserver

import (
	"context"
	"log/slog"

	"mox/internal/submit"
	"mox/smtp"
)

// submit gives a message of a user to the queue. It returns nil when the queue has
// it on stable storage, for all recipients; none of them has got it before an
// error.
func (s *session) submit(ctx context.Context, t *transaction, m *incoming) error {
	sub := submit.Submission{
		Account: s.login.account,
		Login:   s.login.address,
		Mail:    t.mail,
		Rcpts:   make([]smtp.Path, 0, len(t.recipients)),
		Spool:   m.spool,
		Digest:  m.digest,
		Trace:   m.trace,
	}
	for _, r := range t.recipients {
		sub.Rcpts = append(sub.Rcpts, r.path)
		sub.DSN = append(sub.DSN, r.command())
	}
	_, err := s.srv.opts.Submit.Submit(ctx, sub)
	metricSubmission.WithLabelValues(submit.Kind(err)).Inc()
	if err != nil {
		return err
	}
	s.log.Info("message submitted", slog.Any("mailfrom", t.mail.ReversePath), slog.Int("recipients", len(sub.Rcpts)), slog.Int64("size", m.size))
	return nil
}
