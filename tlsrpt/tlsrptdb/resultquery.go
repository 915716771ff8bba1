package tlsrptdb

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
)

// A ResultSummary is what there is for a policy domain and day.
type ResultSummary struct {
	PolicyDomain string // In ASCII.
	Day          string // In UTC, like "20240301".
	IsHost       bool

	Records   int // Each for another recipient domain.
	Successes int64
	Failures  int64

	// SendReport says that there is a session that is a reason to send a report.
	SendReport bool
}

// Summaries returns for which policy domains there are results, of days that are over
// at a time, in order of day and domain.
func (d *Results) Summaries(ctx context.Context, at time.Time) ([]ResultSummary, error) {
	if err := d.Flush(ctx); err != nil {
		return nil, err
	}
	sums := map[resultKey]*ResultSummary{}
	var order []*ResultSummary
	err := bstore.QueryDB[TLSResult](ctx, d.bdb).FilterLess("Day", dayOf(at)).ForEach(func(r TLSResult) error {
		key := resultKey{policy: r.PolicyDomain, day: r.Day, host: r.IsHost}
		s := sums[key]
		if s == nil {
			s = &ResultSummary{PolicyDomain: r.PolicyDomain, Day: r.Day, IsHost: r.IsHost}
			sums[key] = s
			order = append(order, s)
		}
		s.Records++
		successes, failures := r.sessions()
		s.Successes += successes
		s.Failures += failures
		s.SendReport = s.SendReport || r.SendReport
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tls results: %w", err)
	}
	l := make([]ResultSummary, len(order))
	for i, s := range order {
		l[i] = *s
	}
	slices.SortFunc(l, func(a, b ResultSummary) int {
		ka, kb := a.Day+" "+a.PolicyDomain, b.Day+" "+b.PolicyDomain
		switch {
		case ka < kb, ka == kb && !a.IsHost && b.IsHost:
			return -1
		case ka == kb && a.IsHost == b.IsHost:
			return 0
		}
		return 1
	})
	return l, nil
}

// A Recipient is a recipient domain with a day on which there were results.
type Recipient struct {
	Domain string // In ASCII.
	Day    string // In UTC, like "20240301".
}

// Untold returns the recipient domains that were not told yet, see [Results.SetSent], of
// results about their hosts, of days that are over at a time, in order of day and domain.
// There can be nothing else about a domain: where verification with DANE fails, its own
// policy is not looked at.
func (d *Results) Untold(ctx context.Context, at time.Time) ([]Recipient, error) {
	if err := d.Flush(ctx); err != nil {
		return nil, err
	}
	found := map[Recipient]bool{}
	err := bstore.QueryDB[TLSResult](ctx, d.bdb).FilterLess("Day", dayOf(at)).FilterEqual("IsHost", true).FilterEqual("SentToRecipientDomain", false).ForEach(func(r TLSResult) error {
		found[Recipient{r.RecipientDomain, r.Day}] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tls results: %w", err)
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b Recipient) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Domain, b.Domain))
	}), nil
}

// ForRecipientDomain returns the results of deliveries to a domain on a day, for a report
// to that: those about its own policy, and about its hosts.
func (d *Results) ForRecipientDomain(ctx context.Context, domain dns.Domain, day string) ([]TLSResult, error) {
	return d.list(ctx, TLSResult{RecipientDomain: domain.ASCII, Day: day})
}

// ForPolicyDomain returns the results about a domain or host on a day, which for a host
// are those of deliveries to all domains.
func (d *Results) ForPolicyDomain(ctx context.Context, domain dns.Domain, host bool, day string) ([]TLSResult, error) {
	l, err := d.list(ctx, TLSResult{PolicyDomain: domain.ASCII, Day: day})
	return slices.DeleteFunc(l, func(r TLSResult) bool { return r.IsHost != host }), err
}

func (d *Results) list(ctx context.Context, filter TLSResult) ([]TLSResult, error) {
	if err := d.Flush(ctx); err != nil {
		return nil, err
	}
	l, err := bstore.QueryDB[TLSResult](ctx, d.bdb).FilterNonzero(filter).SortAsc("RecipientDomain", "IsHost", "PolicyDomain").List()
	if err != nil {
		return nil, fmt.Errorf("read tls results: %w", err)
	}
	return l, nil
}

// SetSent notes that a recipient domain was told of the results of a day, at addresses,
// or without addresses that it need not be told. What was noted before stays.
func (d *Results) SetSent(ctx context.Context, domain dns.Domain, day string, addresses []string) error {
	if err := d.Flush(ctx); err != nil {
		return err
	}
	err := d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		l, err := bstore.QueryTx[TLSResult](tx).FilterNonzero(TLSResult{RecipientDomain: domain.ASCII, Day: day}).List()
		if err != nil {
			return err
		}
		for _, r := range l {
			if r.SentToRecipientDomain {
				continue
			}
			r.SentToRecipientDomain = true
			r.RecipientDomainReportingAddresses = slices.Clone(addresses[:min(len(addresses), maxResultDetails)])
			if err := tx.Update(&r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note tls report: %w", err)
	}
	return nil
}

// Remove removes the results about a domain or host on a day, as when they were
// reported.
func (d *Results) Remove(ctx context.Context, domain dns.Domain, host bool, day string) error {
	if err := d.Flush(ctx); err != nil {
		return err
	}
	return d.remove(ctx, func(q *bstore.Query[TLSResult]) {
		q.FilterNonzero(TLSResult{PolicyDomain: domain.ASCII, Day: day}).FilterEqual("IsHost", host)
	})
}

// Prune removes results whose day was over longer than [ResultAge] ago, and hosts that
// did TLS longer than [HostAge] ago.
func (d *Results) Prune(ctx context.Context, now time.Time) error {
	err := d.remove(ctx, func(q *bstore.Query[TLSResult]) { q.FilterLess("Day", dayOf(now.Add(-ResultAge))) })
	if err != nil {
		return err
	}
	return d.pruneHosts(ctx, now)
}

// remove removes what a query finds, in transactions of bounded size.
func (d *Results) remove(ctx context.Context, filter func(q *bstore.Query[TLSResult])) error {
	for {
		var n int
		err := d.bdb.Write(ctx, func(tx *bstore.Tx) (err error) {
			q := bstore.QueryTx[TLSResult](tx).Limit(removeBatch)
			filter(q)
			if n, err = q.Delete(); err != nil {
				return err
			}
			_, err = addUsage(tx, kindResults, int64(-n))
			return err
		})
		if err != nil {
			return fmt.Errorf("remove tls results: %w", err)
		}
		if n < removeBatch {
			return nil
		}
	}
}
