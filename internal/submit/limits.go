package submit

import (
	"context"
	"fmt"
	"time"

	"mox/config"
	"mox/smtp"
	"mox/store"
)

// Keys of counters in the store of an account. Counters are kept by the hour.
const (
	counterOutgoing  = "outgoing"           // Recipients of submitted messages.
	counterFirstTime = "outgoing-firsttime" // Recipients that had not been sent to before.
	counterTo        = "outgoing-to "       // With an address: non-zero once it was sent to.
)

// window is how far back the limits look, rounded down to whole hours: counters
// have the hour as their unit, and a user must not be held back for something
// longer ago than the limit says.
const window = 23 * time.Hour

// reservation is what a message has been counted as, to be taken back when it is
// not queued after all.
type reservation struct {
	recipients int64
	first      []string // Counters of addresses never sent to before.
}

// reserve counts a message for an account, or returns a *smtp.Error if that exceeds
// a limit. The work grows with the recipients of this message only.
func reserve(ctx context.Context, acc *store.Account, conf config.Account, rcpts []smtp.Path) (reservation, error) {
	var r reservation
	err := acc.UpdateTogether(ctx, func(tx *store.Tx) error {
		r = reservation{recipients: int64(len(rcpts))}
		since := time.Now().Add(-window)
		sent, err := tx.CounterSum(counterOutgoing, since)
		if err != nil {
			return fmt.Errorf("read counter: %w", err)
		}
		if limit := int64(conf.MaxOutgoingMessagesPerDay); limit >= 0 && sent+r.recipients > limit {
			return limitError(ErrMessageLimit, "max number of messages (%d) over past 24h reached, try increasing per-account setting MaxOutgoingMessagesPerDay", limit)
		}
		if r.first, err = firstTime(tx, rcpts); err != nil {
			return err
		}
		first, err := tx.CounterSum(counterFirstTime, since)
		if err != nil {
			return fmt.Errorf("read counter: %w", err)
		}
		if limit := int64(conf.MaxFirstTimeRecipientsPerDay); limit >= 0 && len(r.first) > 0 && first+int64(len(r.first)) > limit {
			return limitError(ErrRecipientLimit, "max number of new/first-time recipients (%d) over past 24h reached, try increasing per-account setting MaxFirstTimeRecipientsPerDay", limit)
		}
		// That it is queued is not known yet, but whom the user writes to is.
		if err := tx.AddContacts(addresses(rcpts), time.Now()); err != nil {
			return err
		}
		return r.count(tx, 1)
	})
	return r, err
}

// addresses returns the recipients that have a domain name.
func addresses(rcpts []smtp.Path) []smtp.Address {
	var l []smtp.Address
	for _, p := range rcpts {
		if !p.IPDomain.IsIP() && !p.IPDomain.Domain.IsZero() {
			l = append(l, smtp.Address{Localpart: p.Localpart, Domain: p.IPDomain.Domain})
		}
	}
	return l
}

// firstTime returns the counters of recipients that were never sent to.
func firstTime(tx *store.Tx, rcpts []smtp.Path) ([]string, error) {
	var l []string
	seen := map[string]bool{}
	for _, p := range rcpts {
		key := counterTo + p.XString(false)
		if seen[key] {
			continue
		}
		seen[key] = true
		n, err := tx.CounterSum(key, time.Time{})
		if err != nil {
			return nil, fmt.Errorf("read counter: %w", err)
		}
		if n <= 0 {
			l = append(l, key)
		}
	}
	return l, nil
}

// count adds the reservation, or takes it back with sign -1.
func (r reservation) count(tx *store.Tx, sign int64) error {
	keys := map[string]int64{counterOutgoing: r.recipients}
	if n := int64(len(r.first)); n > 0 {
		keys[counterFirstTime] = n
	}
	for _, k := range r.first {
		keys[k] = 1
	}
	for k, n := range keys {
		if err := tx.AddCounter(k, sign*n); err != nil {
			return fmt.Errorf("write counter: %w", err)
		}
	}
	return nil
}

// cancel takes the reservation back.
func (r reservation) cancel(ctx context.Context, acc *store.Account) error {
	return acc.UpdateTogether(ctx, func(tx *store.Tx) error { return r.count(tx, -1) })
}

func limitError(kind error, format string, args ...any) error {
	return smtp.Errorf(smtp.C451LocalError, smtp.Se71NotAuthorized, format, args...).WithCause(kind)
}
