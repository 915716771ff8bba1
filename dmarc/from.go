package dmarc

import (
	"context"
	"errors"
	"fmt"

	"mox/dns"
	"mox/message"
)

// ErrFrom says that From has no domain, or one that is malformed, or so many that
// a message is not evaluated. There is no result for such a message, and refusing
// it is fine (RFC 9989 §11.5).
var ErrFrom = errors.New("no usable domain in from")

// FromDomains returns the different domains in the From fields of a header, in
// order. The error matches [ErrFrom].
func FromDomains(h *message.Header) ([]dns.Domain, error) {
	var l []dns.Domain
	seen := map[dns.Domain]bool{}
	for _, a := range h.Addresses("From") {
		if a.Kind != message.KindMailbox {
			continue
		}
		d, err := dns.ParseDomainLax(a.Host)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFrom, err)
		}
		if seen[d] {
			continue
		}
		if len(l) == MaxFromDomains {
			return nil, fmt.Errorf("%w: more than %d domains", ErrFrom, MaxFromDomains)
		}
		seen[d] = true
		l = append(l, d)
	}
	if h.Cut {
		return nil, fmt.Errorf("%w: the header is too large to be sure", ErrFrom)
	}
	if len(l) == 0 {
		return nil, ErrFrom
	}
	return l, nil
}

// VerifyAll evaluates a message for each domain in From, of which there should be
// one. The first result is the one that counts: of the domain that fails and has
// the strictest policy, or else the one that says least for the message; it passes
// only if all do. The others are in the order of the domains. The domain in args is
// not used. Without a domain, or with more than MaxFromDomains, the result has
// StatusPermerror and an error that matches [ErrFrom].
func (w *Walker) VerifyAll(ctx context.Context, from []dns.Domain, args Args) (Result, []Result) {
	if len(from) == 0 || len(from) > MaxFromDomains {
		return Result{Status: StatusPermerror, SPF: args.SPF, Err: fmt.Errorf("%w: %d domains", ErrFrom, len(from))}, nil
	}
	var all []Result
	worst := 0
	for i, d := range from {
		args.From = d
		all = append(all, w.Verify(ctx, args))
		if all[i].badness() > all[worst].badness() {
			worst = i
		}
	}
	return all[worst], all
}

// badness orders results from those that say a message is good.
func (r Result) badness() int {
	switch r.Status {
	case StatusPass:
		return 0
	case StatusNone:
		return 1
	case StatusPermerror:
		return 2
	case StatusTemperror:
		return 4
	}
	switch r.Applied {
	case PolicyReject:
		return 6
	case PolicyQuarantine:
		return 5
	}
	return 3
}
