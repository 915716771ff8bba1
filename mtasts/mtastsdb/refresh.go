package mtastsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/internal/metrics"
	"mox/mlog"
	"mox/mtasts"
)

// Run refreshes policies every [RefreshInterval], the first time soon, until ctx is
// done. It returns no error.
func (d *DB) Run(ctx context.Context) error {
	if d.opts.Resolver == nil {
		<-ctx.Done()
		return nil
	}
	next := time.Now().Add(jitter(firstRefresh))
	for sleepUntil(ctx, next) {
		// Not from when the round ends, or it would move through the day by its length.
		next = next.Add(RefreshInterval)
		if err := d.Refresh(ctx, RefreshSpread); err != nil && ctx.Err() == nil {
			d.log.ErrorContext(ctx, "refreshing mta-sts policies", mlog.Err(err))
		}
	}
	return nil
}

// sleepUntil reports whether a time came before ctx was done.
func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter returns a random time below limit.
func jitter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit)
}

// Refresh does one round: it forgets policies that are not used, and refreshes those
// that are older than [RefreshAge], spread over a time. The error is about the
// database, or that of ctx.
func (d *DB) Refresh(ctx context.Context, spread time.Duration) error {
	start := time.Now()
	if err := d.prune(ctx, start); err != nil {
		return err
	}
	var domains []string
	err := bstore.QueryDB[PolicyRecord](ctx, d.bdb).FilterLess("LastUpdate", utc(start.Add(-RefreshAge))).ForEach(func(r PolicyRecord) error {
		if r.Text != "" {
			domains = append(domains, r.Domain)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read mta-sts policies: %w", err)
	}
	rand.Shuffle(len(domains), func(i, j int) { domains[i], domains[j] = domains[j], domains[i] })
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, refreshConcurrent)
	for i, domain := range domains {
		step := spread / time.Duration(len(domains))
		if !sleepUntil(ctx, start.Add(time.Duration(i)*step+jitter(step))) {
			return ctx.Err()
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		wg.Go(func() {
			defer func() { <-slots }()
			d.refreshOne(ctx, domain)
		})
	}
	return nil
}

// refreshOne refreshes a policy and logs what goes wrong: the next round tries again,
// and who sends mail sees it too.
func (d *DB) refreshOne(ctx context.Context, name string) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			d.log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
		}
	}()
	domain, err := dns.ParseDomainLax(name)
	if err == nil {
		err = d.refresh(ctx, domain)
	}
	if err != nil && ctx.Err() == nil {
		d.log.InfoContext(ctx, "mta-sts policy was not refreshed", slog.String("domain", name), mlog.Err(err))
	}
}

// refresh fetches a policy again, also if its record did not change, so that it is in
// force for another max_age (RFC 8461 §3.3).
func (d *DB) refresh(ctx context.Context, domain dns.Domain) error {
	unlock, err := d.lock(ctx, domain.ASCII)
	if err != nil {
		return err
	}
	defer unlock()
	now := time.Now()
	r, stored, err := d.read(ctx, domain.ASCII)
	if err != nil || !stored || now.Sub(r.LastUpdate) < RefreshAge {
		return err // It may have been refreshed meanwhile.
	}
	id, err := d.recordID(ctx, domain, true)
	if err != nil {
		return err
	}
	if id == "" {
		// Domains that give up MTA-STS leave a policy with mode none for a while, RFC 8461
		// §8.3. Others may only seem to have no record.
		p, err := r.policy(now)
		if err == nil && p != nil && p.Mode != mtasts.ModeNone {
			return nil
		}
		return d.remove(ctx, domain.ASCII)
	}
	_, problem, err := d.update(ctx, domain, r, true, id)
	return errors.Join(problem, err)
}

// prune removes what is not used any more.
func (d *DB) prune(ctx context.Context, now time.Time) error {
	for {
		n, err := bstore.QueryDB[PolicyRecord](ctx, d.bdb).FilterLess("LastUse", utc(now.Add(-Unused))).Limit(removeBatch).Delete()
		if err != nil {
			return fmt.Errorf("remove unused mta-sts policies: %w", err)
		}
		d.count(-n)
		if n < removeBatch {
			break
		}
	}
	for {
		// Without a policy, LastUpdate is zero.
		n, err := bstore.QueryDB[PolicyRecord](ctx, d.bdb).FilterEqual("LastUpdate", time.Time{}).FilterLess("Backoff", utc(now)).Limit(removeBatch).Delete()
		if err != nil {
			return fmt.Errorf("remove mta-sts policies that could not be fetched: %w", err)
		}
		d.count(-n)
		if n < removeBatch {
			return nil
		}
	}
}
