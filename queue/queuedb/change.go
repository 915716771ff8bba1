package queuedb

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// changeBatch is how many messages an operator's command changes in one commit,
// so that deliveries go on meanwhile.
const changeBatch = 500

// each calls fn in batches of a transaction for each message that the filter
// selects, and returns how many fn has changed. Batches are committed one by one: an error
// leaves earlier ones changed.
func (d *DB) each(ctx context.Context, f Filter, fn func(b *batch, m Message) (bool, error)) (int, error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	total, after := 0, int64(0)
	for {
		ids, err := d.chunk(ctx, f, after)
		if err != nil {
			return total, err
		}
		if len(ids) == 0 {
			return total, nil
		}
		after = ids[len(ids)-1]
		for len(ids) > 0 {
			k := min(len(ids), changeBatch)
			n, err := d.eachOf(ctx, ids[:k], fn)
			total += n
			if err != nil {
				return total, err
			}
			ids = ids[k:]
		}
	}
}

func (d *DB) eachOf(ctx context.Context, ids []int64, fn func(b *batch, m Message) (bool, error)) (int, error) {
	n := 0
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		n = 0
		for _, id := range ids {
			m, err := b.get(id)
			if errors.Is(err, ErrNotFound) {
				continue
			} else if err != nil {
				return err
			}
			changed, err := fn(b, m)
			if err != nil {
				return err
			}
			if changed {
				n++
			}
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// SetHold puts messages on hold or releases them, and returns how many were
// changed. Failed messages are left alone: what remains is to tell their sender.
func (d *DB) SetHold(ctx context.Context, f Filter, hold bool) (int, error) {
	return d.setHold(ctx, f, hold, "put on hold by hand")
}

func (d *DB) setHold(ctx context.Context, f Filter, hold bool, reason string) (int, error) {
	n, err := d.each(ctx, f, func(b *batch, m Message) (bool, error) {
		if m.Hold == hold || m.Failed {
			return false, nil
		}
		old := m
		m.Hold, m.HoldReason = hold, ""
		if hold {
			m.HoldReason = reason
		}
		return true, b.update(&old, &m)
	})
	if err != nil {
		return n, fmt.Errorf("set hold: %w", err)
	}
	return n, nil
}

// Schedule sets the next attempt of messages, and returns how many were changed.
func (d *DB) Schedule(ctx context.Context, f Filter, at time.Time) (int, error) {
	n, err := d.each(ctx, f, func(b *batch, m Message) (bool, error) {
		old := m
		m.NextAttempt = at
		return true, b.update(&old, &m)
	})
	if err != nil {
		return n, fmt.Errorf("schedule: %w", err)
	}
	return n, nil
}

// Postpone adds to the time of the next attempt of messages, and returns how many
// were changed.
func (d *DB) Postpone(ctx context.Context, f Filter, by time.Duration) (int, error) {
	n, err := d.each(ctx, f, func(b *batch, m Message) (bool, error) {
		old := m
		m.NextAttempt = m.NextAttempt.Add(by)
		return true, b.update(&old, &m)
	})
	if err != nil {
		return n, fmt.Errorf("schedule: %w", err)
	}
	return n, nil
}

// SetTransport chooses a transport for messages, or none if it is empty, and
// returns how many were changed.
func (d *DB) SetTransport(ctx context.Context, f Filter, transport string) (int, error) {
	n, err := d.each(ctx, f, func(b *batch, m Message) (bool, error) {
		old := m
		m.Transport = transport
		return true, b.update(&old, &m)
	})
	if err != nil {
		return n, fmt.Errorf("set transport: %w", err)
	}
	return n, nil
}

// SetRequireTLS sets the wish for TLS of messages, and returns how many were
// changed.
func (d *DB) SetRequireTLS(ctx context.Context, f Filter, require *bool) (int, error) {
	n, err := d.each(ctx, f, func(b *batch, m Message) (bool, error) {
		old := m
		m.RequireTLS = require
		return true, b.update(&old, &m)
	})
	if err != nil {
		return n, fmt.Errorf("set tls requirement: %w", err)
	}
	return n, nil
}

// Fail marks messages as failed for good, with reason as the error that their
// senders are told, and returns how many were changed.
func (d *DB) Fail(ctx context.Context, f Filter, reason string) (int, error) {
	n, err := d.each(ctx, f, func(b *batch, m Message) (bool, error) {
		if m.Failed {
			return false, nil
		}
		old := m
		at := now()
		m.addResult(Result{Start: at, Error: reason})
		m.fail(at)
		return true, b.update(&old, &m)
	})
	if err != nil {
		return n, fmt.Errorf("fail messages: %w", err)
	}
	return n, nil
}

// Drop removes messages without telling their senders, and returns how many.
// Retain returns for how long those of an account are kept as history.
func (d *DB) Drop(ctx context.Context, f Filter, retain func(account string) time.Duration) (int, error) {
	n, err := d.each(ctx, f, func(b *batch, m Message) (bool, error) {
		at := now()
		return true, b.remove(&m, m.Success != "", at, at.Add(retain(m.Account)))
	})
	if err != nil {
		return n, fmt.Errorf("drop messages: %w", err)
	}
	return n, nil
}
