package inbound

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// maxSigners is how many DKIM domains of a message count.
const maxSigners = 10

// book is what is known of senders. A *store.Reputation is one.
type book interface {
	Outcomes(mailbox string, e store.Evidence, validated bool, value string, since time.Time, n int) ([]store.Outcome, error)
	SentTo(k store.ContactKind, value string) (time.Time, error)
}

// reader looks a sender up, with the methods in order.
type reader struct {
	book
	mailbox string
	origin  *store.Origin
	now     time.Time
	err     error // The first one.
}

// reputationOf returns what is known of the sender of a message to a mailbox. Nothing is
// read that does not matter any more.
func reputationOf(b book, mailbox string, o *store.Origin, now time.Time) (signal, error) {
	r := &reader{book: b, mailbox: mailbox, origin: o, now: now}
	for _, method := range []func() (signal, bool){r.fromAddress, r.fromDomains, r.servers, r.networks} {
		if s, ok := method(); ok || r.err != nil {
			return s, r.err
		}
	}
	return signal{method: methodNone, why: "nothing is known of the sender"}, nil
}

func (r *reader) outcomes(e store.Evidence, validated bool, value string, window time.Duration, n int) []store.Outcome {
	if r.err != nil || value == "" {
		return nil
	}
	l, err := r.Outcomes(r.mailbox, e, validated, value, r.now.Add(-window), n)
	r.err = err
	return l
}

// sent returns when the account has sent to an address or domain within a window.
func (r *reader) sent(k store.ContactKind, value string, window time.Duration) (time.Time, bool) {
	if r.err != nil || value == "" {
		return time.Time{}, false
	}
	t, err := r.SentTo(k, value)
	r.err = err
	return t, err == nil && !t.IsZero() && !t.Before(r.now.Add(-window))
}

func (r *reader) fromAddress() (signal, bool) {
	o := r.origin
	address := lowerTrimmed(o.MsgFrom)
	if l := r.outcomes(store.EvidenceFrom, o.MsgFromValidated, address, fromFullWindow, fromFullNewest); len(l) > 0 {
		return fromAddressSignal(l, o.MsgFromValidated), true
	}
	if !o.MsgFromValidated {
		if l := r.outcomes(store.EvidenceFrom, true, address, fromFullWindow, fromFullNewest); len(l) > 0 {
			return forgedAddressSignal(l), true
		}
	}
	if t, ok := r.sent(store.ContactAddress, address, toFullWindow); ok {
		return sentSignal(methodToFull, t), true
	}
	return signal{}, false
}

// fromDomains is about the domain in From, and then about the organization.
func (r *reader) fromDomains() (signal, bool) {
	o := r.origin
	for _, d := range []struct {
		evidence   store.Evidence
		contact    store.ContactKind
		value      string
		method, to string
	}{
		{store.EvidenceFromDomain, store.ContactDomain, o.MsgFromDomain, methodFromDomain, methodToDomain},
		{store.EvidenceFromOrg, store.ContactOrg, o.MsgFromOrgDomain, methodFromOrg, methodToOrg},
	} {
		if l := r.outcomes(d.evidence, o.MsgFromValidated, d.value, domainWindow, domainNewest); len(l) > 0 {
			return fromDomainSignal(d.method, l), true
		}
		if !o.MsgFromValidated {
			if l := r.outcomes(d.evidence, true, d.value, domainWindow, domainNewest); len(l) > 0 {
				return forgedDomainSignal(d.method, l), true
			}
		}
		if t, ok := r.sent(d.contact, d.value, toDomainWindow); ok {
			return sentSignal(d.to, t), true
		}
	}
	return signal{}, false
}

func (r *reader) servers() (signal, bool) {
	o := r.origin
	var groups [][]store.Outcome
	for _, d := range o.DKIMDomains[:min(len(o.DKIMDomains), maxSigners)] {
		if l := r.outcomes(store.EvidenceDKIM, true, d, serverWindow, serverNewest); len(l) > 0 {
			groups = append(groups, l)
		}
	}
	if l := r.envelope(); len(l) > 0 {
		groups = append(groups, l)
	}
	return serverSignal(groups), len(groups) > 0
}

// envelope returns the outcomes for what SPF has passed, the most specific first.
func (r *reader) envelope() []store.Outcome {
	o := r.origin
	if o.MailFromValidated {
		for _, id := range []struct {
			evidence store.Evidence
			value    string
		}{{store.EvidenceMailFrom, lowerTrimmed(o.MailFrom)}, {store.EvidenceMailFromDomain, o.MailFromDomain}} {
			if l := r.outcomes(id.evidence, true, id.value, serverWindow, serverNewest); len(l) > 0 {
				return l
			}
		}
	}
	if o.EHLOValidated {
		return r.outcomes(store.EvidenceEHLO, true, o.EHLODomain, serverWindow, serverNewest)
	}
	return nil
}

// networks is about the smallest network of the client that is known.
func (r *reader) networks() (signal, bool) {
	ip, err := netip.ParseAddr(r.origin.RemoteIP)
	if err != nil || r.origin.IsForward {
		return signal{}, false
	}
	nets := store.NetworksOf(ip)
	for i, e := range []store.Evidence{store.EvidenceIP1, store.EvidenceIP2, store.EvidenceIP3} {
		if l := r.outcomes(e, true, nets[i], networkWindow, networkNewest); len(l) > 0 {
			return networkSignal(i, l), true
		}
	}
	return signal{}, false
}

// askReputation finds out what the account knows of the sender, and whether the user
// has a rule for it: in one read of the account's database, without anything slow in it.
func askReputation(ctx context.Context, v *verdict) bool {
	v.past = signal{method: methodNone, why: "nothing is known of the sender"}
	acc, err := v.open(ctx)
	if err != nil {
		return v.fail(ctx, ReasonReputationError, err)
	}
	if acc == nil {
		return false
	}
	err = acc.Reputation(ctx, func(r *store.Reputation) (err error) {
		if !v.author.IsZero() {
			if v.rule, err = findRule(r, v.author); err != nil {
				return err
			}
		}
		v.past, err = reputationOf(r, v.Mailbox, v.Origin, v.now)
		return err
	})
	if err != nil {
		return v.fail(ctx, ReasonReputationError, err)
	}
	return false
}

// knowsOrganization reports whether the account has got mail from the organization in
// From that was not junk, or has sent to it.
func (v *verdict) knowsOrganization(ctx context.Context) bool {
	acc, err := v.open(ctx)
	if err != nil || acc == nil || v.author.IsZero() {
		return false
	}
	org, known := v.Origin.MsgFromOrgDomain, false
	err = acc.Reputation(ctx, func(r *store.Reputation) error {
		sent, err := r.SentTo(store.ContactOrg, org)
		known = !sent.IsZero()
		for _, validated := range []bool{true, false} {
			l, oerr := r.Outcomes(v.Mailbox, store.EvidenceFromOrg, validated, org, v.now.Add(-domainWindow), domainNewest)
			ham, _ := count(l)
			known, err = known || ham > 0, errors.Join(err, oerr)
		}
		return err
	})
	if err != nil {
		v.d.opts.Log.ErrorContext(ctx, "looking up organization", mlog.Err(err))
	}
	return known
}

func findRule(r *store.Reputation, a smtp.Address) (*store.SenderRule, error) {
	rule, ok, err := r.SenderRule(a)
	if err != nil || !ok {
		return nil, err
	}
	return &rule, nil
}

// followHistory follows what is known for sure.
func followHistory(_ context.Context, v *verdict) bool {
	switch {
	case v.past.conclusive && v.past.lean == leanHam:
		return v.accept(v.past.method, v.past.why)
	case v.past.conclusive && v.past.lean == leanJunk:
		return v.junk(v.past.method, v.past.why)
	}
	v.explain(v.past.method + ": " + v.past.why)
	return false
}
