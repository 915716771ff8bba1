package reportdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"
)

// Limits on addresses that get no reports.
const (
	// MaxSuppressions is how many there may be in a list.
	MaxSuppressions = 10_000

	// maxReportingAddress and MaxComment are the lengths in bytes of an address and of
	// the text with it.
	maxReportingAddress = 1024
	MaxComment          = 1024
)

// A Suppression is an address that gets no reports of a kind for a time, because it does
// not take them or its owner has complained.
type Suppression struct {
	ID               int64
	Inserted         time.Time `bstore:"nonzero"`
	ReportingAddress string    `bstore:"nonzero,unique"` // In lower case.
	Until            time.Time `bstore:"nonzero"`
	Comment          string    // For the operator.
}

// A SuppressList is a list of addresses, which is in a database of its user.
type SuppressList struct {
	db   *bstore.DB
	kind string
	max  int // Variable for tests.
}

// NewSuppressList returns the list in a database that has Suppression among its types. Kind
// is that of the reports, for errors: "dmarc" or "tls".
func NewSuppressList(db *bstore.DB, kind string) SuppressList {
	return SuppressList{db, kind, MaxSuppressions}
}

// Suppress adds an address, or changes until when and why it gets no reports. The
// error matches ErrLimit if there are too many.
func (l *SuppressList) Suppress(ctx context.Context, address string, until time.Time, comment string) (Suppression, error) {
	if address == "" || len(address) > maxReportingAddress || until.IsZero() || len(comment) > MaxComment {
		return Suppression{}, fmt.Errorf("suppress address for %s reports: bad address, time or comment: %.100q, %s, %.100q", l.kind, address, until, comment)
	}
	s := Suppression{ReportingAddress: strings.ToLower(address), Until: until.UTC().Round(0), Comment: comment}
	err := l.db.Write(ctx, func(tx *bstore.Tx) error {
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
		} else if n >= l.max {
			return fmt.Errorf("%w: %d suppressed addresses", ErrLimit, n)
		}
		s.ID, s.Inserted = 0, time.Now().UTC().Round(0)
		return tx.Insert(&s)
	})
	if err != nil {
		return Suppression{}, fmt.Errorf("suppress address for %s reports: %w", l.kind, err)
	}
	return s, nil
}

// Unsuppress removes an address. The error matches ErrNotFound if it is not
// suppressed.
func (l *SuppressList) Unsuppress(ctx context.Context, address string) error {
	n, err := bstore.QueryDB[Suppression](ctx, l.db).FilterEqual("ReportingAddress", strings.ToLower(address)).Delete()
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("remove suppressed address for %s reports: %w", l.kind, err)
	}
	return nil
}

// IsSuppressed reports whether an address gets no reports at a time.
func (l *SuppressList) IsSuppressed(ctx context.Context, address string, at time.Time) (bool, error) {
	s, err := bstore.QueryDB[Suppression](ctx, l.db).FilterEqual("ReportingAddress", strings.ToLower(address)).Get()
	if errors.Is(err, bstore.ErrAbsent) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("read suppressed address for %s reports: %w", l.kind, err)
	}
	return at.Before(s.Until), nil
}

// Suppressions returns all addresses, also those whose time is over, in order.
func (l *SuppressList) Suppressions(ctx context.Context) ([]Suppression, error) {
	all, err := bstore.QueryDB[Suppression](ctx, l.db).SortAsc("ReportingAddress").List()
	if err != nil {
		return nil, fmt.Errorf("read suppressed addresses for %s reports: %w", l.kind, err)
	}
	return all, nil
}
