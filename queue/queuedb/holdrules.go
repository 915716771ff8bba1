package queuedb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/metrics"
)

var metricJump = metrics.NewCounter("mox_queue_sending_jump_total",
	"Accounts put on hold because their sending has jumped, as when a password is stolen.")

// matches reports whether all that the rule says is true of a message.
func (r HoldRule) matches(m Message) bool {
	return (r.Account == "" || r.Account == m.Account) &&
		(r.SenderDomain == "" || r.SenderDomain == m.SenderDomain) &&
		(r.RecipientDomain == "" || r.RecipientDomain == m.RecipientDomain)
}

// reason returns why messages are on hold that the rule matches.
func (r HoldRule) reason() string {
	s := fmt.Sprintf("hold rule %d", r.ID)
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	return s
}

// holdRules returns the rules, to be changed only by those that change the records.
func (b *batch) holdRules() ([]HoldRule, error) {
	if b.hasRules {
		return b.rules, nil
	}
	var err error
	b.rules, err = bstore.QueryTx[HoldRule](b.tx).SortAsc("ID").List()
	if err != nil {
		return nil, fmt.Errorf("read hold rules: %w", err)
	}
	b.hasRules = true
	return b.rules, nil
}

// addRule inserts a rule.
func (b *batch) addRule(r *HoldRule) error {
	l, err := b.holdRules()
	if err != nil {
		return err
	}
	if len(l) >= MaxHoldRules {
		return fmt.Errorf("%w: %d hold rules", ErrTooLarge, len(l))
	}
	if err := b.tx.Insert(r); err != nil {
		return fmt.Errorf("insert hold rule: %w", err)
	}
	b.rules = append(l, *r)
	return nil
}

// applyRules puts a message on hold that a rule matches, and was not before.
func applyRules(rules []HoldRule, m *Message) {
	for _, r := range rules {
		if !m.Hold && r.matches(*m) {
			m.Hold, m.HoldReason = true, r.reason()
		}
	}
}

// HoldRules returns all rules by id.
func (d *DB) HoldRules(ctx context.Context) ([]HoldRule, error) {
	var l []HoldRule
	err := d.read(ctx, func(tx *bstore.Tx) (err error) {
		l, err = bstore.QueryTx[HoldRule](tx).SortAsc("ID").List()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list hold rules: %w", err)
	}
	return l, nil
}

// AddHoldRule adds a rule, whose id and time are set, and then puts the messages in
// the queue on hold that it matches. It returns the rule and their number. An error
// after the rule was added leaves it, and messages that are not on hold.
func (d *DB) AddHoldRule(ctx context.Context, r HoldRule) (HoldRule, int, error) {
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		r.ID, r.Created, r.Reason = 0, now(), clip(r.Reason)
		return b.addRule(&r)
	}})
	if err != nil {
		return HoldRule{}, 0, fmt.Errorf("add hold rule: %w", err)
	}
	n, err := d.holdMatching(ctx, r)
	return r, n, err
}

// holdMatching puts the messages on hold that a rule matches.
func (d *DB) holdMatching(ctx context.Context, r HoldRule) (int, error) {
	f := Filter{Account: r.Account, SenderDomain: r.SenderDomain, RecipientDomain: r.RecipientDomain}
	return d.setHold(ctx, f, true, r.reason())
}

// RemoveHoldRule removes a rule, or returns an error that matches ErrNotFound. What
// is on hold stays so. After an automatic one there will be no other for its account
// for 24 hours.
func (d *DB) RemoveHoldRule(ctx context.Context, id int64) error {
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		l, err := b.holdRules()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(l, func(r HoldRule) bool { return r.ID == id })
		if i < 0 {
			return ErrNotFound
		}
		r := l[i]
		if err := b.tx.Delete(&r); err != nil {
			return fmt.Errorf("delete hold rule: %w", err)
		}
		b.rules = slices.Delete(slices.Clone(l), i, i+1)
		if !r.Automatic {
			return nil
		}
		s, err := b.sending(r.Account)
		if err != nil {
			return err
		}
		s.Cleared = now()
		return nil
	}})
	if err != nil {
		return fmt.Errorf("remove hold rule %d: %w", id, err)
	}
	return nil
}

// Alerts returns a channel on which there is something when an account was put on
// hold because its sending has jumped. Untold has the rules.
func (d *DB) Alerts() <-chan struct{} { return d.alerts }

// alert makes Alerts ready.
func (d *DB) alert() {
	select {
	case d.alerts <- struct{}{}:
	default:
	}
}

// Untold returns the automatic rules that the postmaster does not know of yet, after
// messages that were queued before them are on hold too.
func (d *DB) Untold(ctx context.Context) ([]HoldRule, error) {
	rules, err := d.HoldRules(ctx)
	if err != nil {
		return nil, err
	}
	rules = slices.DeleteFunc(rules, func(r HoldRule) bool { return !r.Automatic || r.Told })
	for _, r := range rules {
		if _, err := d.holdMatching(ctx, r); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// SetTold records that the postmaster knows of a rule.
func (d *DB) SetTold(ctx context.Context, id int64) error {
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		r := HoldRule{ID: id}
		if err := b.tx.Get(&r); err == bstore.ErrAbsent {
			return nil
		} else if err != nil {
			return err
		}
		r.Told = true
		b.hasRules = false
		return b.tx.Update(&r)
	}})
	if err != nil {
		return fmt.Errorf("mark hold rule: %w", err)
	}
	return nil
}

// sendingJumped adds a rule for an account whose sending has jumped.
func (b *batch) sendingJumped(account string, at time.Time, sent, busiest int64) error {
	r := HoldRule{
		Created:   at,
		Account:   account,
		Automatic: true,
		Reason:    fmt.Sprintf("sending of account has jumped, its password may be stolen: %d recipients in 24 hours, at most %d on a day before", sent, busiest),
	}
	if err := b.addRule(&r); err != nil {
		return err
	}
	d := b.d
	b.after = append(b.after, func() {
		metricJump.Inc()
		d.log.Error("account put on hold because its sending has jumped, its password may be stolen", "account", account, "recipients", sent, "busiestday", busiest, "rule", r.ID)
		d.alert()
	})
	return nil
}
