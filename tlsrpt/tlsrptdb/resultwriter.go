package tlsrptdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/batch"
	"mox/mlog"
)

// pending is what is written together, so that a delivery does not wait for a transaction.
type pending struct {
	results map[resultKey]*TLSResult
	hosts   map[string]time.Time // That did TLS.
}

// A resultKey says which results are one record.
type resultKey struct {
	policy, recipient, day string
	host                   bool
}

// newWriter returns what writes results and hosts in the background.
func (d *Results) newWriter() *batch.Writer[pending] {
	return batch.New(batch.Options[pending]{
		New:   func() pending { return pending{map[resultKey]*TLSResult{}, map[string]time.Time{}} },
		Write: d.write,
		Prune: d.Prune,
		Delay: writeDelay,
		Log:   d.log,
		Pkg:   pkgName,
	})
}

// resultUsage is how many records there are of a kind, by its name.
type resultUsage struct {
	Kind    string
	Records int64
}

// Kinds of records that are counted.
const (
	kindResults = "results"
	kindHosts   = "hosts"
)

// Add adds sessions of a time, which is now if it is zero. It does not wait for the
// disk, and returns an error only for what cannot be stored.
func (d *Results) Add(at time.Time, sessions ...Session) error {
	if at.IsZero() {
		at = time.Now()
	}
	var l []TLSResult
	for _, s := range sessions {
		r, err := newResult(s, at)
		if err != nil {
			return err
		}
		l = append(l, r)
	}
	return d.writer.Add(func(p *pending) {
		for _, r := range l {
			key := resultKey{r.PolicyDomain, r.RecipientDomain, r.Day, r.IsHost}
			if old := p.results[key]; old != nil {
				metricDropped.Add(float64(old.merge(r)))
			} else if len(p.results) >= maxPending {
				metricDropped.Inc()
			} else {
				p.results[key] = &r
			}
		}
	})
}

// Flush writes what waits to be written. What cannot be written is lost.
func (d *Results) Flush(ctx context.Context) error {
	return d.writer.Flush(ctx)
}

// write writes results and hosts in one transaction.
func (d *Results) write(ctx context.Context, p pending) error {
	var dropped int64
	err := d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		dropped = 0
		for _, r := range p.results {
			n, err := d.put(tx, *r)
			if err != nil {
				return err
			}
			dropped += n
		}
		for host, last := range p.hosts {
			if err := d.putHost(tx, host, last); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		dropped = 0
		for _, r := range p.results {
			s, f := r.sessions()
			dropped += s + f
		}
		d.log.ErrorContext(ctx, "writing tls results", mlog.Err(err), slog.Int64("lost", dropped), slog.Int("losthosts", len(p.hosts)))
		err = fmt.Errorf("write tls results: %w", err)
	} else if dropped > 0 {
		d.log.WarnContext(ctx, "too many tls results, reports will not have all sessions", slog.Int64("dropped", dropped))
	}
	metricDropped.Add(float64(dropped))
	return err
}

// put adds a record to the one for the same domains and day, or inserts it if there is
// room. It returns how many sessions are left out.
func (d *Results) put(tx *bstore.Tx, r TLSResult) (dropped int64, err error) {
	old, err := bstore.QueryTx[TLSResult](tx).FilterEqual("PolicyDomain", r.PolicyDomain).FilterEqual("Day", r.Day).
		FilterEqual("RecipientDomain", r.RecipientDomain).FilterEqual("IsHost", r.IsHost).Get()
	if err == nil {
		dropped = old.merge(r)
		return dropped, tx.Update(&old)
	} else if !errors.Is(err, bstore.ErrAbsent) {
		return 0, err
	}
	full, err := d.full(tx, r)
	if err != nil {
		return 0, err
	}
	if full {
		s, f := r.sessions()
		return s + f, nil
	}
	if err := tx.Insert(&r); err != nil {
		return 0, err
	}
	_, err = addUsage(tx, kindResults, 1)
	return 0, err
}

// full reports whether there is no room for another record.
func (d *Results) full(tx *bstore.Tx, r TLSResult) (bool, error) {
	n, err := addUsage(tx, kindResults, 0)
	if err != nil || n >= int64(d.limits.results) {
		return true, err
	}
	c, err := bstore.QueryTx[TLSResult](tx).FilterNonzero(TLSResult{PolicyDomain: r.PolicyDomain, Day: r.Day}).Limit(d.limits.policyDay).Count()
	if err != nil || c >= d.limits.policyDay {
		return true, err
	}
	c, err = bstore.QueryTx[TLSResult](tx).FilterNonzero(TLSResult{RecipientDomain: r.RecipientDomain, Day: r.Day}).Limit(d.limits.recipientDay).Count()
	return c >= d.limits.recipientDay, err
}

// addUsage adds to the number of records of a kind and returns it.
func addUsage(tx *bstore.Tx, kind string, n int64) (int64, error) {
	u := resultUsage{Kind: kind}
	err := tx.Get(&u)
	isNew := errors.Is(err, bstore.ErrAbsent)
	if err != nil && !isNew {
		return 0, err
	}
	u.Records += n
	switch {
	case n == 0:
		return u.Records, nil
	case isNew:
		err = tx.Insert(&u)
	default:
		err = tx.Update(&u)
	}
	return u.Records, err
}
