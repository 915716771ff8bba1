package dmarc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mox/dkim"
	"mox/dns"
	"mox/spf"
)

// Verify evaluates a message with one domain in From. A nil log discards.
func Verify(ctx context.Context, log *slog.Logger, resolver dns.Resolver, args Args) Result {
	return NewWalker(log, resolver).Verify(ctx, args)
}

// Verify evaluates a message, with what the Walker knows already.
func (w *Walker) Verify(ctx context.Context, args Args) Result {
	res := Result{Status: StatusNone, From: args.From, SPF: args.SPF}
	args.DKIM = args.DKIM[:min(len(args.DKIM), MaxIdentifiers)]
	for _, id := range args.DKIM {
		res.DKIM = append(res.DKIM, DKIMEvaluation{DKIMIdentifier: id})
	}
	if args.From.IsZero() {
		return res
	}
	if err := w.discover(ctx, &res); err != nil {
		res.fails(err)
	} else if res.Record != nil {
		w.evaluate(ctx, &res)
	}
	w.log.LogAttrs(ctx, slog.LevelDebug, "dmarc result",
		slog.Any("from", res.From), slog.String("status", string(res.Status)), slog.Any("domain", res.Domain),
		slog.String("policy", string(res.Applied)), slog.Any("err", res.Err))
	return res
}

// fails sets the status for an error. What may pass comes first.
func (r *Result) fails(err error) {
	r.Err = err
	r.Status = StatusTemperror
	if errors.Is(err, dns.ErrTemporary) || errors.Is(err, dns.ErrBogus) {
		return
	}
	if errors.Is(err, dns.ErrInvalid) || errors.Is(err, ErrTooManyQueries) || errors.Is(err, ErrUnusable) {
		r.Status = StatusPermerror
	}
}

// discover finds the record that applies, RFC 9989 §4.10.1: of the From domain, or
// else of its organizational domain, or else of the public suffix above that. A
// record of any other domain between them is not used.
func (w *Walker) discover(ctx context.Context, res *Result) error {
	e := w.Entry(ctx, res.From)
	if e.Err != nil {
		return e.Err
	}
	res.Authentic = e.Authentic
	if e.Record != nil {
		res.Domain, res.Record, res.PolicyTag = e.Domain, e.Record, "p"
	} else {
		walk, err := w.Walk(ctx, res.From)
		if err != nil {
			return err
		}
		res.Authentic = walk.Authentic
		res.OrgDomain = walk.OrgDomain
		e := walk.policyEntry()
		if e == nil {
			return nil
		}
		res.Domain, res.Record = e.Domain, e.Record
	}
	if !res.Record.Usable() {
		return fmt.Errorf("domain %s: %w", res.Domain, ErrUnusable)
	}
	return nil
}

// policyEntry returns the entry of the organizational domain if that has a record,
// or else of the public suffix, or nil.
func (walk *Walk) policyEntry() *Entry {
	for i, e := range walk.Entries {
		if e.Domain == walk.OrgDomain && e.Record != nil {
			return &walk.Entries[i]
		}
	}
	return walk.Suffix
}

// evaluate compares domains, and sets the result for a usable record.
func (w *Walker) evaluate(ctx context.Context, res *Result) {
	var errs []error
	align := func(id dns.Domain, mode AlignMode) Alignment {
		a, err := w.align(ctx, res, id, mode)
		if err != nil {
			errs = append(errs, err)
		}
		return a
	}
	if res.SPF.Status == spf.StatusPass {
		res.AlignedSPF = align(res.SPF.Domain, res.Record.ASPF) != Unaligned
	}
	for i := range res.DKIM {
		if d := &res.DKIM[i]; d.Status == dkim.StatusPass {
			d.Alignment = align(d.Domain, res.Record.ADKIM)
			res.AlignedDKIM = res.AlignedDKIM || d.Alignment != Unaligned
		}
	}
	pass := res.AlignedSPF || res.AlignedDKIM
	pending := false
	if !pass {
		// Results that may be others later matter if they could make the message pass.
		if res.SPF.Status == spf.StatusTemperror {
			pending = align(res.SPF.Domain, res.Record.ASPF) != Unaligned
		}
		for _, d := range res.DKIM {
			if d.Status == dkim.StatusTemperror {
				pending = align(d.Domain, res.Record.ADKIM) != Unaligned || pending
			}
		}
	}
	policyErr := w.policy(ctx, res)
	if policyErr != nil {
		errs = append(errs, policyErr)
	}
	err := errors.Join(errs...)
	switch {
	case pass:
		res.Status = StatusPass
		res.Err = err
	case pending:
		res.Status = StatusTemperror
		res.Err = errors.Join(err, errPending)
	case policyErr == nil && onlyTooMany(errs):
		res.Status = StatusFail
		res.Err = err
		if res.Applied != res.Policy {
			res.Overrides = []Override{{Type: OverrideTestMode}}
		}
	default:
		res.fails(err)
	}
}

var errPending = errors.New("spf or dkim had a temporary error for an aligned domain")

// onlyTooMany reports whether errors are about limits only: who makes us do many
// lookups has an unaligned domain, not a temporary problem.
func onlyTooMany(errs []error) bool {
	for _, err := range errs {
		if !errors.Is(err, ErrTooManyQueries) {
			return false
		}
	}
	return true
}

// policy sets what the record says for the From domain. If it is not known whether
// that exists, it is taken as one that does.
func (w *Walker) policy(ctx context.Context, res *Result) (rerr error) {
	r := res.Record
	if res.PolicyTag == "p" {
		res.Policy = r.Policy
	} else {
		res.Policy, res.PolicyTag = r.ForSubdomain(true)
		// Most records need no lookup for this.
		if absent, tag := r.ForSubdomain(false); absent != res.Policy {
			exists, authentic, err := w.exists(ctx, res.From)
			res.Authentic = res.Authentic && authentic
			if err == nil && !exists {
				res.Policy, res.PolicyTag = absent, tag
			}
			rerr = err
		}
	}
	res.Applied = res.Policy
	if r.Testing {
		res.Applied = res.Policy.InTest()
	}
	return rerr
}

// align compares an authenticated domain with the From domain, RFC 9989 §4.10.2.
// Walks are done only if they can make a difference.
func (w *Walker) align(ctx context.Context, res *Result, id dns.Domain, mode AlignMode) (Alignment, error) {
	if id.IsZero() {
		return Unaligned, nil
	}
	if id.ASCII == res.From.ASCII {
		return AlignedStrict, nil
	}
	if mode == ModeStrict || topLevel(id) != topLevel(res.From) {
		return Unaligned, nil
	}
	if res.OrgDomain.IsZero() {
		walk, err := w.Walk(ctx, res.From)
		if err != nil {
			return Unaligned, err
		}
		res.OrgDomain = walk.OrgDomain
	}
	if id != res.OrgDomain && !isBelow(id, res.OrgDomain) {
		return Unaligned, nil // Its organizational domain is another, wherever it is.
	}
	walk, err := w.Walk(ctx, id)
	if err != nil {
		return Unaligned, err
	}
	if walk.OrgDomain != res.OrgDomain {
		return Unaligned, nil
	}
	return AlignedRelaxed, nil
}

func topLevel(d dns.Domain) string {
	for p := parent(d); !p.IsZero(); p = parent(d) {
		d = p
	}
	return d.ASCII
}
