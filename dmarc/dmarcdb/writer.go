package dmarcdb

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

// pending is evaluations that are written together, so that a message does not cost a
// transaction.
type pending struct {
	same map[evaluationKey]*Evaluation
	all  []*Evaluation // In the order in which they came.
}

// An evaluationKey says which evaluations are the same.
type evaluationKey struct {
	hour   int64
	digest string
}

// newWriter returns what writes evaluations in the background.
func (d *DB) newWriter() *batch.Writer[pending] {
	return batch.New(batch.Options[pending]{
		New:   func() pending { return pending{same: map[evaluationKey]*Evaluation{}} },
		Write: func(ctx context.Context, p pending) error { return d.write(ctx, p.all) },
		Prune: func(ctx context.Context, now time.Time) error {
			_, err := d.Prune(ctx, now)
			return err
		},
		Delay: writeDelay,
		Log:   d.log,
		Pkg:   pkgName,
	})
}

// AddEvaluation adds messages, as many as e.Record.Count, from the time e.Last, which
// is now if it is zero. Fields that follow from others are set. It does not wait for
// the disk, and returns an error only for what cannot be stored.
func (d *DB) AddEvaluation(e Evaluation) error {
	if err := e.prepare(); err != nil {
		return err
	}
	return d.writer.Add(func(p *pending) {
		key := evaluationKey{e.Hour, e.Digest}
		switch old := p.same[key]; {
		case old != nil:
			old.merge(e)
		case len(p.all) >= maxPending:
			metricDropped.Inc()
		default:
			p.same[key] = &e
			p.all = append(p.all, &e)
		}
	})
}

// Flush writes what waits to be written. What cannot be written is lost.
func (d *DB) Flush(ctx context.Context) error {
	return d.writer.Flush(ctx)
}

// write writes evaluations in one transaction.
func (d *DB) write(ctx context.Context, l []*Evaluation) error {
	dropped := 0
	err := d.evals.Write(ctx, func(tx *bstore.Tx) error {
		dropped = 0
		usage := usageTx{tx: tx}
		for _, e := range l {
			ok, err := d.put(tx, &usage, *e)
			if err != nil {
				return err
			}
			if !ok {
				dropped++
			}
		}
		return usage.store()
	})
	if err != nil {
		dropped = len(l)
		d.log.ErrorContext(ctx, "writing dmarc evaluations", mlog.Err(err), slog.Int("lost", dropped))
		err = fmt.Errorf("write evaluations: %w", err)
	} else if dropped > 0 {
		d.log.WarnContext(ctx, "too many dmarc evaluations, reports will not have all messages", slog.Int("dropped", dropped))
	}
	metricDropped.Add(float64(dropped))
	return err
}

// put adds an evaluation to the one that is the same, or inserts it if there is
// room.
func (d *DB) put(tx *bstore.Tx, usage *usageTx, e Evaluation) (ok bool, err error) {
	old, err := bstore.QueryTx[Evaluation](tx).FilterNonzero(Evaluation{Hour: e.Hour, Digest: e.Digest}).Get()
	if err == nil {
		old.merge(e)
		return true, tx.Update(&old)
	} else if !errors.Is(err, bstore.ErrAbsent) {
		return false, err
	}
	for domain, limit := range map[string]int64{e.PolicyDomain: d.limits.domainEvaluations, allDomains: d.limits.evaluations} {
		u, err := usage.get(domain)
		if err != nil {
			return false, err
		}
		if u.Records >= limit {
			return false, nil
		}
	}
	if err := tx.Insert(&e); err != nil {
		return false, err
	}
	return true, usage.add(e.PolicyDomain, 1)
}

// usageTx has the usages that a transaction changes.
type usageTx struct {
	tx *bstore.Tx
	m  map[string]*storedUsage
}

type storedUsage struct {
	evaluationUsage
	stored bool
}

func (u *usageTx) get(domain string) (*storedUsage, error) {
	if s := u.m[domain]; s != nil {
		return s, nil
	}
	s := &storedUsage{evaluationUsage{PolicyDomain: domain}, true}
	err := u.tx.Get(&s.evaluationUsage)
	if errors.Is(err, bstore.ErrAbsent) {
		s.stored = false
	} else if err != nil {
		return nil, err
	}
	if u.m == nil {
		u.m = map[string]*storedUsage{}
	}
	u.m[domain] = s
	return s, nil
}

// add changes the number of a domain, and that of all.
func (u *usageTx) add(domain string, n int64) error {
	for _, name := range []string{domain, allDomains} {
		s, err := u.get(name)
		if err != nil {
			return err
		}
		s.Records += n
	}
	return nil
}

// store writes the usages. There are none for domains without records.
func (u *usageTx) store() error {
	for _, s := range u.m {
		var err error
		switch {
		case s.Records > 0 && s.stored:
			err = u.tx.Update(&s.evaluationUsage)
		case s.Records > 0:
			err = u.tx.Insert(&s.evaluationUsage)
		case s.stored:
			err = u.tx.Delete(&s.evaluationUsage)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
