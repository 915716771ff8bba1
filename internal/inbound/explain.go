package inbound

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mox/smtp"
	"mox/store"
)

// Explanation is what an account knows of an address, and what a message from there
// would get.
type Explanation struct {
	Account string
	Mailbox string       // For which messages were meant.
	Address smtp.Address // Of the author.

	Rule     *store.SenderRule // What the user has said, or nil.
	Contacts []Contact         // What the account has sent to.
	Outcomes []Outcomes        // What the user has judged, in the order in which it counts.

	// Validated is for a message of which it is proven that it is from the address, and
	// Unvalidated for another one.
	Validated, Unvalidated Expectation
}

// Contact is something that the account has sent to.
type Contact struct {
	What string    // Address, domain or organization.
	Last time.Time // Exact to a day.
}

// Outcomes is messages from one sender that the user has judged, newest first.
type Outcomes struct {
	What      string
	Validated bool
	Outcomes  []store.Outcome
}

// Expectation is what a message would get by what is known of its author. What content,
// network and the like say comes after that.
type Expectation struct {
	Decision string // "accepted", "refused" or "undecided".
	Reason   string
	Why      string
}

// Explain returns what an account knows of an address, for messages to a mailbox, which
// if empty is the Inbox. There is nothing if the account has no data yet.
func (d *Decider) Explain(ctx context.Context, account, mailbox string, from smtp.Address) (Explanation, error) {
	e := Explanation{Account: account, Mailbox: mailbox, Address: from}
	if e.Mailbox == "" {
		e.Mailbox = DefaultMailbox
	}
	if d.opts.Store == nil {
		return e, errors.New("no store to look in")
	}
	acc, err := d.opts.Store.Account(ctx, account)
	if err != nil {
		return e, err
	}
	defer acc.Release()
	err = acc.Reputation(ctx, func(r *store.Reputation) error { return e.read(r, d.opts.Now()) })
	return e, err
}

// origin returns what would be remembered of a message from the address.
func (e *Explanation) origin(validated bool) *store.Origin {
	o := &store.Origin{MsgFrom: e.Address.XString(true), MsgFromDomain: e.Address.Domain.ASCII, MsgFromValidated: validated}
	o.MsgFromOrgDomain = store.OrgDomain(o.MsgFromDomain)
	if validated {
		o.DKIMDomains = []string{o.MsgFromDomain}
	}
	return o
}

func (e *Explanation) read(r *store.Reputation, now time.Time) (err error) {
	if e.Rule, err = findRule(r, e.Address); err != nil {
		return err
	}
	o := e.origin(true)
	for _, c := range []struct {
		kind        store.ContactKind
		what, value string
	}{{store.ContactAddress, "address", o.MsgFrom}, {store.ContactDomain, "domain", o.MsgFromDomain}, {store.ContactOrg, "organization", o.MsgFromOrgDomain}} {
		last, err := r.SentTo(c.kind, c.value)
		if err != nil {
			return err
		}
		if !last.IsZero() {
			e.Contacts = append(e.Contacts, Contact{c.what + " " + c.value, last})
		}
	}
	for _, q := range []struct {
		evidence    store.Evidence
		what, value string
		window      time.Duration
		n           int
	}{
		{store.EvidenceFrom, "address", lowerTrimmed(o.MsgFrom), fromFullWindow, fromFullNewest},
		{store.EvidenceFromDomain, "domain", o.MsgFromDomain, domainWindow, domainNewest},
		{store.EvidenceFromOrg, "organization", o.MsgFromOrgDomain, domainWindow, domainNewest},
		{store.EvidenceDKIM, "DKIM domain", o.MsgFromDomain, serverWindow, serverNewest},
	} {
		for _, validated := range []bool{true, false} {
			l, err := r.Outcomes(e.Mailbox, q.evidence, validated, q.value, now.Add(-q.window), q.n)
			if err != nil {
				return err
			}
			if len(l) > 0 {
				e.Outcomes = append(e.Outcomes, Outcomes{q.what + " " + q.value, validated, l})
			}
		}
	}
	if e.Validated, err = e.expect(r, true, now); err != nil {
		return err
	}
	e.Unvalidated, err = e.expect(r, false, now)
	return err
}

// expect returns what a message would get, by the same checks as in a decision.
func (e *Explanation) expect(r *store.Reputation, validated bool, now time.Time) (Expectation, error) {
	v := &verdict{d: &Decider{}, author: e.Address, rule: e.Rule}
	v.Origin = e.origin(validated)
	past, err := reputationOf(r, e.Mailbox, v.Origin, now)
	if err != nil {
		return Expectation{}, err
	}
	v.past = past
	if !followSenderRule(context.Background(), v) && !followHistory(context.Background(), v) {
		v.Reason = past.method
	}
	x := Expectation{"undecided", v.Reason, strings.Join(v.Reasons, "; ")}
	switch {
	case v.Accept:
		x.Decision = "accepted"
	case v.Err != nil:
		x.Decision = "refused"
	}
	return x, nil
}

// Lines returns the explanation for people.
func (e Explanation) Lines() []string {
	l := []string{fmt.Sprintf("%s to %s of account %s", e.Address, e.Mailbox, e.Account)}
	if r := e.Rule; r != nil {
		what := "blocked"
		if r.Allow {
			what = "allowed"
		}
		l = append(l, fmt.Sprintf("the user has %s %s, on %s", what, r.Sender, r.Since.UTC().Format(time.DateOnly)))
	} else {
		l = append(l, "the user has neither allowed nor blocked it")
	}
	for _, c := range e.Contacts {
		l = append(l, fmt.Sprintf("%s: last sent to on %s", c.What, c.Last.UTC().Format(time.DateOnly)))
	}
	for _, o := range e.Outcomes {
		as := "not validated"
		if o.Validated {
			as = "validated"
		}
		ham, junk := count(o.Outcomes)
		l = append(l, fmt.Sprintf("%s, %s: %d not junk, %d junk, the newest of %s", o.What, as, ham, junk, o.Outcomes[0].Received.UTC().Format(time.DateOnly)))
	}
	if len(e.Contacts)+len(e.Outcomes) == 0 {
		l = append(l, "nothing was sent there, and no message from there was judged")
	}
	for _, x := range []struct {
		what string
		Expectation
	}{{"authenticated", e.Validated}, {"not authenticated", e.Unvalidated}} {
		l = append(l, fmt.Sprintf("a message from there that is %s: %s (%s): %s", x.what, x.Decision, x.Reason, x.Why))
	}
	return l
}

// String returns the lines together.
func (e Explanation) String() string { return strings.Join(e.Lines(), "\n") + "\n" }
