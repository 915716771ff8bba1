package mtastsdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mjl-/bstore"

	"mox/mtasts"
)

// A PolicyRecord is what is kept about a domain: a policy, or that there is one that
// could not be fetched, or both.
type PolicyRecord struct {
	Domain string // In ASCII.

	// RecordID is that of the record in DNS that the policy was fetched for. Text is the
	// policy as it was fetched, empty for none.
	RecordID string
	Text     string

	LastUpdate time.Time `bstore:"index"` // When the policy was fetched.
	ValidEnd   time.Time // Until when it is in force.

	// LastUse is when a delivery has asked, within a day.
	LastUse time.Time `bstore:"nonzero,index"`

	// Backoff is until when fetching is not tried again, zero if it did not fail.
	// Problem is how it failed: fetch, certificate or syntax, and Status the HTTP status,
	// if that was it.
	Backoff time.Time
	Problem string
	Status  int
}

// Kinds of problems.
const (
	problemFetch       = "fetch"
	problemCertificate = "certificate"
	problemSyntax      = "syntax"
)

// setProblem notes that fetching has failed.
func (r *PolicyRecord) setProblem(now time.Time, err error) {
	r.Backoff, r.Problem, r.Status = now.Add(Backoff), problemFetch, 0
	var serr *mtasts.StatusError
	switch {
	case errors.Is(err, mtasts.ErrCertificate):
		r.Problem = problemCertificate
	case errors.Is(err, mtasts.ErrPolicySyntax):
		r.Problem = problemSyntax
	case errors.As(err, &serr):
		r.Status = serr.Code
	}
}

// problem returns the error of fetching for later deliveries.
func (r *PolicyRecord) problem() error {
	const when = "at an earlier attempt"
	switch {
	case r.Problem == problemCertificate:
		return fmt.Errorf("%w, %s", mtasts.ErrCertificate, when)
	case r.Problem == problemSyntax:
		return fmt.Errorf("%w, %s", mtasts.ErrPolicySyntax, when)
	case r.Status != 0:
		return fmt.Errorf("%w, %s: %w", mtasts.ErrFetch, when, &mtasts.StatusError{Code: r.Status})
	}
	return fmt.Errorf("%w, %s", mtasts.ErrFetch, when)
}

// setPolicy notes that a policy was fetched.
func (r *PolicyRecord) setPolicy(now time.Time, id string, p mtasts.Policy, text string) {
	r.RecordID, r.Text = id, text
	r.LastUpdate, r.ValidEnd = now, now.Add(max(p.MaxAge, minValid))
	r.Backoff, r.Problem, r.Status = time.Time{}, "", 0
}

// policy returns the policy if there is one in force.
func (r *PolicyRecord) policy(now time.Time) (*mtasts.Policy, error) {
	if r.Text == "" || !now.Before(r.ValidEnd) {
		return nil, nil
	}
	p, err := mtasts.ParsePolicy(r.Text)
	if err != nil {
		return nil, fmt.Errorf("stored policy of %s: %w", r.Domain, err)
	}
	return &p, nil
}

// read returns what is stored about a domain. Without anything, stored is false.
func (d *DB) read(ctx context.Context, domain string) (r PolicyRecord, stored bool, err error) {
	r.Domain = domain
	err = d.bdb.Read(ctx, func(tx *bstore.Tx) error { return tx.Get(&r) })
	if errors.Is(err, bstore.ErrAbsent) {
		return PolicyRecord{Domain: domain}, false, nil
	} else if err != nil {
		return PolicyRecord{}, false, fmt.Errorf("read mta-sts policy: %w", err)
	}
	return r, true, nil
}

// write stores what is known about a domain. If there is too much then, what was not
// used for the longest time goes.
func (d *DB) write(ctx context.Context, r PolicyRecord, stored bool) error {
	r.LastUpdate, r.ValidEnd, r.LastUse, r.Backoff = utc(r.LastUpdate), utc(r.ValidEnd), utc(r.LastUse), utc(r.Backoff)
	d.mu.Lock()
	excess := d.stored - d.max
	d.mu.Unlock()
	n := 0
	err := d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		n = 0
		if stored {
			return tx.Update(&r)
		}
		if excess >= 0 {
			removed, err := bstore.QueryTx[PolicyRecord](tx).SortAsc("LastUse").Limit(min(excess+1, removeBatch)).Delete()
			if err != nil {
				return err
			}
			n -= removed
		}
		n++
		return tx.Insert(&r)
	})
	if err != nil {
		return fmt.Errorf("store mta-sts policy: %w", err)
	}
	d.count(n)
	return nil
}

// utc is how times are stored.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Round(0)
}

func (d *DB) count(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stored += n
}

// remove removes what is stored about a domain.
func (d *DB) remove(ctx context.Context, domain string) error {
	err := d.bdb.Write(ctx, func(tx *bstore.Tx) error { return tx.Delete(&PolicyRecord{Domain: domain}) })
	if errors.Is(err, bstore.ErrAbsent) {
		return nil
	} else if err != nil {
		return fmt.Errorf("remove mta-sts policy: %w", err)
	}
	d.count(-1)
	return nil
}

// Policies returns what is stored, in order of domain.
func (d *DB) Policies(ctx context.Context) ([]PolicyRecord, error) {
	l, err := bstore.QueryDB[PolicyRecord](ctx, d.bdb).SortAsc("Domain").List()
	if err != nil {
		return nil, fmt.Errorf("read mta-sts policies: %w", err)
	}
	return l, nil
}
