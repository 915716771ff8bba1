package inbound

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mox/arc"
	"mox/dmarc"
	"mox/dns"
	"mox/message/trace"
	"mox/store"
)

// believeForwarder believes forwarders that the user trusts: what they say in an ARC
// chain about who the message was from when they received it, RFC 8617 §7.2.1. The
// newest of them comes first, and one before it counts only if all after it are trusted
// too, for each could have made up what came before.
func believeForwarder(_ context.Context, v *verdict) bool {
	a := v.Auth
	if v.validated() || len(v.account.TrustedForwarders) == 0 || a.ARC.Status != arc.StatusPass || a.FromErr != nil || len(a.From) != 1 || v.author.IsZero() {
		return false
	}
	for _, set := range slices.Backward(a.ARC.Sets) {
		d := set.Domain()
		if !slices.ContainsFunc(v.account.TrustedForwarders, func(t dns.Domain) bool { return isBelow(d, t) }) {
			return false
		}
		if set.AuthResultsErr != nil {
			continue
		}
		if how := sealed(set.AuthResults, v.author.Domain); isValidated(how) {
			v.believed = true
			v.Origin.MsgFromResult, v.Origin.MsgFromValidated = how, true
			v.override(dmarc.OverrideTrustedForwarder, fmt.Sprintf("arc=pass as[%d].d=%s", set.Instance, d.ASCII))
			v.explain(fmt.Sprintf("forwarder %s, which is trusted, has authenticated %s", d, v.author.Domain))
			return false
		}
	}
	return false
}

// sealed returns how a server has validated the domain in From.
func sealed(results trace.AuthResults, from dns.Domain) store.Validation {
	best := store.ValidationNone
	for _, r := range results.Results {
		if !strings.EqualFold(r.Result, "pass") {
			continue
		}
		var names []string
		prop := func(ptype, property string) {
			if s, ok := r.Prop(ptype, property); ok {
				names = append(names, s)
			}
		}
		switch {
		case r.Is("dmarc"):
			prop("header", "from")
		case r.Is("dkim"):
			prop("header", "d")
			prop("header", "i")
		case r.Is("spf"):
			prop("smtp", "mailfrom")
		}
		for _, name := range names {
			if how := aligned(r, name, from); isValidated(how) && (best == store.ValidationNone || how < best) {
				best = how
			}
		}
	}
	return best
}

// aligned compares the domain of a result, which can be that of an address, with the
// one in From. Results are ordered, the best is the lowest.
func aligned(r trace.Result, name string, from dns.Domain) store.Validation {
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		name = name[i+1:]
	}
	d, err := dns.ParseDomainLax(name)
	switch {
	case err != nil:
	case r.Is("dmarc") && d == from:
		return store.ValidationDMARC
	case r.Is("dmarc"):
	case d == from:
		return store.ValidationStrict
	case sameOrganization(d, from):
		return store.ValidationRelaxed
	}
	return store.ValidationNone
}
