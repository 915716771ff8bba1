package tlsrptdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/tlsrpt"
)

// Reports returns the reports about a domain or host, or about all for the zero
// domain, with sessions in a period: from from, before until. The newest are first,
// at most max of them; zero is no limit.
func (d *DB) Reports(ctx context.Context, domain dns.Domain, from, until time.Time, max int) ([]Report, error) {
	q := bstore.QueryDB[Report](ctx, d.bdb)
	if !domain.IsZero() {
		q.FilterNonzero(Report{PolicyDomain: domain.ASCII})
	}
	q.FilterGreaterEqual("End", from).FilterLess("Start", until).SortDesc("End")
	if max > 0 {
		q.Limit(max)
	}
	l, err := q.List()
	if err != nil {
		return nil, fmt.Errorf("read tls reports: %w", err)
	}
	return l, nil
}

// Policies returns a report with its policies and as many details of failures as are
// kept. The error matches ErrNotFound if there is none.
func (d *DB) Policies(ctx context.Context, id int64) (Report, []tlsrpt.PolicyResult, error) {
	rep, c := Report{ID: id}, content{ReportID: id}
	err := d.bdb.Read(ctx, func(tx *bstore.Tx) error {
		if err := tx.Get(&rep); err != nil {
			return err
		}
		return tx.Get(&c)
	})
	if errors.Is(err, bstore.ErrAbsent) {
		return Report{}, nil, ErrNotFound
	} else if err != nil {
		return Report{}, nil, fmt.Errorf("read tls report: %w", err)
	}
	l, _, err := decode(c.Data)
	if err != nil {
		return Report{}, nil, err
	}
	return rep, l, nil
}

// A Summary is about all reports about a domain or host with sessions in a period.
type Summary struct {
	PolicyDomain string
	Reports      int
	Successes    int64
	Failures     int64
}

// Summaries returns what was reported about sessions in a period, by domain.
func (d *DB) Summaries(ctx context.Context, from, until time.Time) ([]Summary, error) {
	sums := map[string]*Summary{}
	err := bstore.QueryDB[Report](ctx, d.bdb).FilterGreaterEqual("End", from).FilterLess("Start", until).ForEach(func(r Report) error {
		s := sums[r.PolicyDomain]
		if s == nil {
			s = &Summary{PolicyDomain: r.PolicyDomain}
			sums[r.PolicyDomain] = s
		}
		s.Reports++
		s.Successes += r.Successes
		s.Failures += r.Failures
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tls reports: %w", err)
	}
	var l []Summary
	for _, s := range sums {
		l = append(l, *s)
	}
	slices.SortFunc(l, func(a, b Summary) int { return cmp.Compare(a.PolicyDomain, b.PolicyDomain) })
	return l, nil
}
