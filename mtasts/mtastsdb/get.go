package mtastsdb

import (
	"context"
	"log/slog"
	"time"

	"mox/dns"
	"mox/mlog"
	"mox/mtasts"
)

// Get returns the policy of a domain that is in force, nil if there is none. Problem
// is what went wrong with finding the current one, for TLS reports, and keeps nobody
// from sending: it matches mtasts.ErrFetch, ErrCertificate or ErrPolicySyntax. With
// an error, it is not known whether there is a policy: it matches mtasts.ErrDNS, or
// is that of the context or the database.
//
// It can take as long as looking up the record and fetching the policy may take.
func (d *DB) Get(ctx context.Context, domain dns.Domain) (policy *mtasts.Policy, problem, err error) {
	if d.opts.Resolver == nil || domain.IsZero() {
		return nil, nil, nil
	}
	policy, problem, result, err := d.get(ctx, domain)
	metricGet.WithLabelValues(result).Inc()
	if err != nil || problem != nil {
		d.log.InfoContext(ctx, "mta-sts policy", slog.Any("domain", domain), slog.String("result", result),
			slog.Bool("cached", policy != nil), slog.Any("problem", problem), mlog.Err(err))
	}
	return policy, problem, err
}

func (d *DB) get(ctx context.Context, domain dns.Domain) (policy *mtasts.Policy, problem error, result string, err error) {
	unlock, err := d.lock(ctx, domain.ASCII)
	if err != nil {
		return nil, nil, resultError, err
	}
	defer unlock()
	now := time.Now()
	r, stored, err := d.read(ctx, domain.ASCII)
	if err != nil {
		return nil, nil, resultError, err
	}
	policy, err = r.policy(now)
	if err != nil {
		d.log.ErrorContext(ctx, "fetching mta-sts policy again", mlog.Err(err))
	}
	if policy != nil {
		d.use(ctx, &r, now)
	}
	id, err := d.recordID(ctx, domain, false)
	switch {
	case err != nil && policy == nil:
		return nil, nil, resultError, err
	case err != nil:
		// It holds until its time is over, RFC 8461 §3.3.
		d.log.InfoContext(ctx, "looking up mta-sts record, the policy that is known holds", slog.Any("domain", domain), mlog.Err(err))
		return policy, nil, resultOK, nil
	case policy != nil && (id == "" || id == r.RecordID):
		return policy, nil, resultOK, nil
	case id == "":
		return nil, nil, resultNotFound, nil
	case now.Before(r.Backoff):
		return policy, r.problem(), resultBackoff, nil
	}
	current, problem, err := d.update(ctx, domain, r, stored, id)
	switch {
	case err != nil && policy == nil:
		return nil, nil, resultError, err
	case err != nil:
		return policy, nil, resultOK, nil
	case problem != nil:
		return policy, problem, resultBackoff, nil
	}
	return current, nil, resultOK, nil
}

// use notes that a policy was used.
func (d *DB) use(ctx context.Context, r *PolicyRecord, now time.Time) {
	if now.Sub(r.LastUse) < useStep {
		return
	}
	r.LastUse = now
	if err := d.write(ctx, *r, true); err != nil {
		d.log.ErrorContext(ctx, "noting use of mta-sts policy", mlog.Err(err))
	}
}

// update fetches the policy for a record and stores it, or that it could not be
// fetched. What cannot be stored is used nevertheless. The error is that of ctx.
func (d *DB) update(ctx context.Context, domain dns.Domain, r PolicyRecord, stored bool, id string) (policy *mtasts.Policy, problem, err error) {
	timeout := mtasts.FetchTimeout
	if p, err := r.policy(time.Now()); err == nil && p != nil {
		timeout = updateTimeout
	}
	fctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	p, text, problem := mtasts.Fetch(fctx, d.log, d.opts.Resolver, domain, d.opts.Fetch)
	if ctx.Err() != nil && problem != nil {
		return nil, nil, ctx.Err() // It says nothing about the policy.
	}
	observeFetch(start, problem)
	now := time.Now()
	if problem == nil {
		r.setPolicy(now, id, p, text)
	} else {
		r.setProblem(now, problem)
	}
	if r.LastUse.IsZero() {
		r.LastUse = now
	}
	if err := d.write(context.WithoutCancel(ctx), r, stored); err != nil {
		d.log.ErrorContext(ctx, "mta-sts policy", slog.Any("domain", domain), mlog.Err(err))
	}
	if problem != nil {
		return nil, problem, nil
	}
	d.log.InfoContext(ctx, "fetched mta-sts policy", slog.Any("domain", domain), slog.String("id", id), slog.String("mode", string(p.Mode)), slog.Duration("maxage", p.MaxAge))
	return &p, nil, nil
}
