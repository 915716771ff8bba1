package tlsrptdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mox/dns"
	"mox/tlsrpt"
)

// Reports returns the reports about a domain or host, or about all for the zero
// domain, with sessions in a period: from from, before until. The newest are first,
// at most max of them; zero is no limit.
func (d *DB) Reports(ctx context.Context, domain dns.Domain, from, until time.Time, max int) ([]Report, error) {
	return d.received.List(ctx, domain, from, until, max)
}

// Policies returns a report with its policies and as many details of failures as are
// kept. The error matches ErrNotFound if there is none.
func (d *DB) Policies(ctx context.Context, id int64) (Report, []tlsrpt.PolicyResult, error) {
	rep := Report{ID: id}
	data, err := d.received.Get(ctx, id, &rep)
	if err != nil {
		return Report{}, nil, err
	}
	l, _, err := decode(data)
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
	err := d.received.Period(ctx, from, until).ForEach(func(r Report) error {
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
