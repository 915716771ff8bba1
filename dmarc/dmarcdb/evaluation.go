package dmarcdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/dmarc/report"
)

// An Evaluation is what DMARC said about incoming messages that have all in common
// but the time, within an hour of UTC. Types of package report are stored as they
// are.
type Evaluation struct {
	ID int64

	// PolicyDomain is where the record was found, in ASCII. It is who gets a report.
	PolicyDomain string `bstore:"nonzero,index PolicyDomain+Hour"`

	// Hour is the time in hours since 1970. Digest is of what follows below.
	Hour   int64  `bstore:"nonzero,unique Hour+Digest"`
	Digest string `bstore:"nonzero"`

	First, Last time.Time // Of the messages.

	// Optional says that these messages alone are no reason to send a report.
	Optional bool

	IntervalHours int32    // How often the domain wants reports.
	RUA           []string // URIs of the record for aggregate reports.

	Published report.Policy // What the record said.
	Record    report.Record // With the number of messages in Count.
}

// evaluationUsage is how many records there are for a policy domain, and for all
// with the name "*".
type evaluationUsage struct {
	PolicyDomain string
	Records      int64
}

const allDomains = "*"

// prepare completes an evaluation, bounds it, and makes it own what may be shared.
func (e *Evaluation) prepare() error {
	e.PolicyDomain = e.Published.Domain
	if e.PolicyDomain == "" || !e.Record.SourceIP.IsValid() || e.Record.Count <= 0 {
		return fmt.Errorf("evaluation without policy domain, source or messages: %q, %s, %d", e.PolicyDomain, e.Record.SourceIP, e.Record.Count)
	}
	if e.Last.IsZero() {
		e.Last = time.Now()
	}
	e.Last = e.Last.UTC().Round(0)
	e.First = e.Last
	e.Hour = hour(e.Last)
	e.RUA = slices.Clone(e.RUA[:min(len(e.RUA), maxRUA)])
	r := &e.Record
	r.DKIM = slices.Clone(r.DKIM[:min(len(r.DKIM), maxSignatures)])
	for i := range r.DKIM {
		r.DKIM[i].Selector, r.DKIM[i].HumanResult = clip(r.DKIM[i].Selector), clip(r.DKIM[i].HumanResult)
	}
	r.Reasons = slices.Clone(r.Reasons[:min(len(r.Reasons), maxReasons)])
	for i := range r.Reasons {
		r.Reasons[i].Comment = clip(r.Reasons[i].Comment)
	}
	// What is the same gives the same text: there are no maps in it.
	same := struct {
		Optional      bool
		IntervalHours int32
		RUA           []string
		Published     report.Policy
		Record        report.Record
	}{e.Optional, e.IntervalHours, e.RUA, e.Published, e.Record}
	same.Record.Count = 0
	buf, err := json.Marshal(same)
	if err != nil {
		return fmt.Errorf("evaluation: %w", err)
	}
	sum := sha256.Sum256(buf)
	e.Digest = hex.EncodeToString(sum[:])
	return nil
}

// hour returns the number of the hour that a time is in.
func hour(t time.Time) int64 {
	return t.Unix() / 3600
}

// merge adds the messages of another evaluation that is the same.
func (e *Evaluation) merge(o Evaluation) {
	e.Record.Count += o.Record.Count
	if o.Last.After(e.Last) {
		e.Last = o.Last
	}
	if o.First.Before(e.First) {
		e.First = o.First
	}
}

// EvaluationStats is what there is for a policy domain.
type EvaluationStats struct {
	PolicyDomain string
	Records      int
	Messages     int64
	Last         time.Time // Of the last message.

	// Send says that there is a record that is a reason to send a report.
	Send bool
}

// EvaluationStats returns for which policy domains there are messages before a time,
// in order of domain. As in all that is about evaluations, times are rounded down to
// whole hours.
func (d *DB) EvaluationStats(ctx context.Context, until time.Time) ([]EvaluationStats, error) {
	if err := d.Flush(ctx); err != nil {
		return nil, err
	}
	var l []EvaluationStats
	err := bstore.QueryDB[Evaluation](ctx, d.evals).FilterLess("Hour", hour(until)).SortAsc("PolicyDomain", "Hour").ForEach(func(e Evaluation) error {
		if len(l) == 0 || l[len(l)-1].PolicyDomain != e.PolicyDomain {
			l = append(l, EvaluationStats{PolicyDomain: e.PolicyDomain})
		}
		s := &l[len(l)-1]
		s.Records++
		s.Messages += e.Record.Count
		s.Send = s.Send || !e.Optional
		if e.Last.After(s.Last) {
			s.Last = e.Last
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read evaluations: %w", err)
	}
	return l, nil
}

// Evaluations returns those of a policy domain, in ASCII, from a time and before
// another, the oldest first.
func (d *DB) Evaluations(ctx context.Context, policyDomain string, from, until time.Time) ([]Evaluation, error) {
	if err := d.Flush(ctx); err != nil {
		return nil, err
	}
	l, err := bstore.QueryDB[Evaluation](ctx, d.evals).FilterNonzero(Evaluation{PolicyDomain: policyDomain}).
		FilterGreaterEqual("Hour", hour(from)).FilterLess("Hour", hour(until)).SortAsc("Hour", "ID").List()
	if err != nil {
		return nil, fmt.Errorf("read evaluations: %w", err)
	}
	return l, nil
}

// EachEvaluation calls a function with those of a policy domain, as Evaluations
// returns them, without having all of them in memory, until it returns false or an
// error. The function must not take long or use the database.
func (d *DB) EachEvaluation(ctx context.Context, policyDomain string, from, until time.Time, fn func(Evaluation) (bool, error)) error {
	if err := d.Flush(ctx); err != nil {
		return err
	}
	var failed error // Of fn, returned as it is.
	err := bstore.QueryDB[Evaluation](ctx, d.evals).FilterNonzero(Evaluation{PolicyDomain: policyDomain}).
		FilterGreaterEqual("Hour", hour(from)).FilterLess("Hour", hour(until)).SortAsc("Hour", "ID").ForEach(func(e Evaluation) error {
		more, err := fn(e)
		failed = err
		if err != nil || !more {
			return bstore.StopForEach
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read evaluations: %w", err)
	}
	return failed
}

// RemoveEvaluations removes those of a policy domain, in ASCII, from before a time,
// as when they were reported. It returns how many there were.
func (d *DB) RemoveEvaluations(ctx context.Context, policyDomain string, until time.Time) (int, error) {
	return d.remove(ctx, func(q *bstore.Query[Evaluation]) {
		q.FilterNonzero(Evaluation{PolicyDomain: policyDomain}).FilterLess("Hour", hour(until))
	})
}

// Prune removes evaluations that are older than [EvaluationAge], of all domains, and
// returns how many there were.
func (d *DB) Prune(ctx context.Context, now time.Time) (int, error) {
	return d.remove(ctx, func(q *bstore.Query[Evaluation]) {
		q.FilterLess("Hour", hour(now.Add(-EvaluationAge)))
	})
}

// remove removes what a query finds, in transactions of bounded size.
func (d *DB) remove(ctx context.Context, filter func(q *bstore.Query[Evaluation])) (int, error) {
	if err := d.Flush(ctx); err != nil {
		return 0, err
	}
	total := 0
	for {
		n, err := d.removeSome(ctx, filter)
		total += n
		if err != nil {
			return total, fmt.Errorf("remove evaluations: %w", err)
		}
		if n < removeBatch {
			return total, nil
		}
	}
}

func (d *DB) removeSome(ctx context.Context, filter func(q *bstore.Query[Evaluation])) (n int, err error) {
	err = d.evals.Write(ctx, func(tx *bstore.Tx) error {
		q := bstore.QueryTx[Evaluation](tx).Limit(removeBatch)
		filter(q)
		l, err := q.List()
		if err != nil || len(l) == 0 {
			return err
		}
		usage := usageTx{tx: tx}
		for _, e := range l {
			if err := tx.Delete(&e); err != nil {
				return err
			}
			if err := usage.add(e.PolicyDomain, -1); err != nil {
				return err
			}
		}
		n = len(l)
		return usage.store()
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
