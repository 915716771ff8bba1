package smtpserver

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"mox/config"
	"mox/internal/deliver"
	"mox/internal/ratelimit"
	"mox/internal/submit"
	"mox/mlog"
	"mox/smtp"
)

// Bounces of messages that were forwarded: the reverse-path that they went out with is an
// address here, with the one of the sender in it. Only notifications to addresses that
// were made here, and not long ago, are passed on, and not many, so that nobody can use
// them to send something else.

func newBounced() *ratelimit.Accounts {
	return ratelimit.NewAccounts(ratelimit.AccountOptions{Windows: []ratelimit.AccountWindow{
		{Period: time.Hour, Limit: maxBouncesHour},
		{Period: 24 * time.Hour, Limit: maxBouncesDay},
	}})
}

// bounceTo returns the sender that a recipient was made of, and whether it is, or looks
// like, one that was. An address that is configured is not.
func (s *session) bounceTo(t *transaction, p smtp.Path) (to smtp.Address, is bool, err error) {
	if s.srv.opts.Bounce == nil {
		return smtp.Address{}, false, nil
	}
	to, err = s.srv.opts.Bounce.BounceTo(p)
	if errors.Is(err, submit.ErrNotRewritten) {
		return smtp.Address{}, false, nil
	}
	if r, lerr := s.srv.opts.Config.Snapshot().LookupAddress(p); lerr == nil && !r.CatchAll {
		return smtp.Address{}, false, nil
	} else if errors.Is(lerr, config.ErrDomainDisabled) {
		return smtp.Address{}, true, lerr
	}
	switch {
	case err != nil:
		e := smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user here")
		return smtp.Address{}, true, e.WithCause(errors.Join(errUnknownRecipient, err))
	case !t.mail.ReversePath.IsZero():
		return smtp.Address{}, true, smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se71NotAuthorized, "address is only for notifications, with the null reverse-path")
	case !s.srv.bounced.CanAdd(to.String(), time.Now(), 1):
		return smtp.Address{}, true, s.tooManyBounces(p, to)
	}
	return to, true, nil
}

// tooManyBounces returns the error for a bounce that is one too many for its sender, logged
// and counted.
func (s *session) tooManyBounces(p smtp.Path, to smtp.Address) error {
	metricDelivery.WithLabelValues("reject", "bounce-rate").Inc()
	s.log.Info("bounce of forwarded message refused: too many for its sender", slog.Any("rcptto", p), slog.Any("sender", to))
	return smtp.Errorf(smtp.C451LocalError, smtp.Se45Congestion, "too many notifications for this address, try again later")
}

// passBounce sends a bounce on to the sender of the message that was forwarded.
func (s *session) passBounce(ctx context.Context, t *transaction, m *incoming, r recipient) error {
	switch {
	case m.digest.Received() > deliver.MaxReceived:
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se46RoutingLoop, "loop detected, more than %d Received header fields", deliver.MaxReceived)
	case !s.srv.bounced.Add(r.bounce.String(), time.Now(), 1):
		return s.tooManyBounces(r.path, r.bounce)
	}
	err := s.srv.opts.Bounce.Bounce(ctx, submit.Bounced{
		To: r.bounce, SMTPUTF8: t.mail.SMTPUTF8, RequireTLS: t.mail.RequireTLS,
		Spool: m.spool, Digest: m.digest, Prefix: m.trace,
	})
	if err != nil {
		metricDelivery.WithLabelValues("delivererror", "bounce").Inc()
		s.log.Info("bounce of forwarded message not queued", slog.Any("rcptto", r.path), mlog.Err(err))
		return err
	}
	metricDelivery.WithLabelValues("delivered", "bounce").Inc()
	return nil
}
