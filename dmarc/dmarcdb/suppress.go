package dmarcdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"
)

// A Suppression is an address that gets no aggregate reports for a time, because it
// does not take them or its owner has complained.
type Suppression struct {
	ID               int64
	Inserted         time.Time `bstore:"nonzero"`
	ReportingAddress string    `bstore:"nonzero,unique"` // In lower case.
	Until            time.Time `bstore:"nonzero"`
	Comment          string    // For the operator.
}

// Suppress adds an address, or changes until when and why it gets no reports. The
// error matches ErrLimit if there are too many.
func (d *DB) Suppress(ctx context.Context, address string, until time.Time, comment string) (Suppression, error) {
	if address == "" || len(address) > maxReportingAddress || until.IsZero() || len(comment) > maxComment {
		return Suppression{}, fmt.Errorf("suppress address for dmarc reports: bad address, time or comment: %.100q, %s, %.100q", address, until, comment)
	}
	s := Suppression{ReportingAddress: strings.ToLower(address), Until: until.UTC().Round(0), Comment: comment}
	err := d.evals.Write(ctx, func(tx *bstore.Tx) error {
		old, err := bstore.QueryTx[Suppression](tx).FilterNonzero(Suppression{ReportingAddress: s.ReportingAddress}).Get()
		if err == nil {
			s.ID, s.Inserted = old.ID, old.Inserted
			return tx.Update(&s)
		} else if !errors.Is(err, bstore.ErrAbsent) {
			return err
		}
		n, err := bstore.QueryTx[Suppression](tx).Count()
		if err != nil {
			return err
		} else if n >= d.limits.suppressions {
			return fmt.Errorf("%w: %d suppressed addresses", ErrLimit, n)
		}
		s.ID, s.Inserted = 0, time.Now().UTC().Round(0)
		return tx.Insert(&s)
	})
	if err != nil {
		return Suppression{}, fmt.Errorf("suppress address for dmarc reports: %w", err)
	}
	return s, nil
}

// Unsuppress removes an address. The error matches ErrNotFound if it is not
// suppressed.
func (d *DB) Unsuppress(ctx context.Context, address string) error {
	n, err := bstore.QueryDB[Suppression](ctx, d.evals).FilterEqual("ReportingAddress", strings.ToLower(address)).Delete()
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("remove suppressed address for dmarc reports: %w", err)
	}
	return nil
}

// IsSuppressed reports whether an address gets no reports at a time.
func (d *DB) IsSuppressed(ctx context.Context, address string, at time.Time) (bool, error) {
	s, err := bstore.QueryDB[Suppression](ctx, d.evals).FilterEqual("ReportingAddress", strings.ToLower(address)).Get()
	if errors.Is(err, bstore.ErrAbsent) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read suppressed address for dmarc reports: %w", err)
	}
	return at.Before(s.Until), nil
}

// Suppressions returns all addresses, also those whose time is over, in order.
func (d *DB) Suppressions(ctx context.Context) ([]Suppression, error) {
	l, err := bstore.QueryDB[Suppression](ctx, d.evals).SortAsc("ReportingAddress").List()
	if err != nil {
		return nil, fmt.Errorf("read suppressed addresses for dmarc reports: %w", err)
	}
	return l, nil
}
