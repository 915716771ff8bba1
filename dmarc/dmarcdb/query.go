package dmarcdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mox/dmarc/report"
	"mox/dns"
)

// Reports returns the reports about a domain, or about all for the zero domain, with
// messages in a period: from from, before until. The newest are first, at most max
// of them; zero is no limit.
func (d *DB) Reports(ctx context.Context, domain dns.Domain, from, until time.Time, max int) ([]Report, error) {
	return d.received.List(ctx, domain, from, until, max)
}

// Feedback returns a report with its records, as many of them as are kept. The error
// matches ErrNotFound if there is none.
func (d *DB) Feedback(ctx context.Context, id int64) (Report, *report.Feedback, error) {
	rep := Report{ID: id}
	data, err := d.received.Get(ctx, id, &rep)
	if err != nil {
		return Report{}, nil, err
	}
	f, err := decode(data)
	if err != nil {
		return Report{}, nil, err
	}
	return rep, f, nil
}

// A Summary is about all reports about a domain with messages in a period.
type Summary struct {
	PolicyDomain string
	Reports      int
	Tally        Tally
}

// Summaries returns what was reported about messages in a period, by domain.
func (d *DB) Summaries(ctx context.Context, from, until time.Time) ([]Summary, error) {
	sums := map[string]*Summary{}
	err := d.received.Period(ctx, from, until).ForEach(func(r Report) error {
		s := sums[r.PolicyDomain]
		if s == nil {
			s = &Summary{PolicyDomain: r.PolicyDomain}
			sums[r.PolicyDomain] = s
		}
		s.Reports++
		s.Tally.Add(r.Tally)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read dmarc reports: %w", err)
	}
	var l []Summary
	for _, s := range sums {
		l = append(l, *s)
	}
	slices.SortFunc(l, func(a, b Summary) int { return cmp.Compare(a.PolicyDomain, b.PolicyDomain) })
	return l, nil
}
