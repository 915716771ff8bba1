package submit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mox/config"
	"mox/queue/queuedb"
	"mox/smtp"
)

// limits returns what a message counts for the limits of its account, and the addresses
// that are to be noted as contacts once it is queued. The work grows with the recipients
// of this message only.
func (s *Submitter) limits(ctx context.Context, conf config.Account, rcpts []smtp.Path, now time.Time) (*queuedb.Limits, []smtp.Address, error) {
	acc, err := s.opts.Store.Ensure(ctx, conf.Name)
	if err != nil {
		return nil, nil, fmt.Errorf("open account: %w", err)
	}
	defer acc.Release()
	addrs, ips := addresses(rcpts)
	pending := s.contacts.pending(conf.Name, addrs) // First: they may be written meanwhile.
	first, stale, err := acc.Submitted(ctx, addrs, now)
	if err != nil {
		return nil, nil, err
	}
	first = slices.DeleteFunc(first, func(a smtp.Address) bool { return pending[a] })
	return &queuedb.Limits{
		Recipients: int64(conf.MaxOutgoingMessagesPerDay),
		FirstTime:  int64(conf.MaxFirstTimeRecipientsPerDay),
		New:        int64(ips + len(first)),
	}, stale, nil
}

// addresses returns the recipients that have a domain name, and how many have not: those
// are no contacts, and new each time.
func addresses(rcpts []smtp.Path) (l []smtp.Address, ips int) {
	for _, p := range rcpts {
		if p.IPDomain.IsIP() {
			ips++
		} else if !p.IPDomain.Domain.IsZero() {
			l = append(l, smtp.Address{Localpart: p.Localpart, Domain: p.IPDomain.Domain})
		}
	}
	return l, ips
}

// limitError returns the error for the client if err is that of a limit.
func limitError(err error, l *queuedb.Limits) *smtp.Error {
	answer := func(kind error, format string, limit int64) *smtp.Error {
		return smtp.Errorf(smtp.C451LocalError, smtp.Se71NotAuthorized, format, limit).WithCause(errors.Join(kind, err))
	}
	switch {
	case errors.Is(err, queuedb.ErrDayLimit):
		return answer(ErrMessageLimit, "max number of messages (%d) over past 24h reached, try increasing per-account setting MaxOutgoingMessagesPerDay", l.Recipients)
	case errors.Is(err, queuedb.ErrFirstTimeLimit):
		return answer(ErrRecipientLimit, "max number of new/first-time recipients (%d) over past 24h reached, try increasing per-account setting MaxFirstTimeRecipientsPerDay", l.FirstTime)
	}
	return nil
}
