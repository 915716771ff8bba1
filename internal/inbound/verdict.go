package inbound

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"mox/config"
	"mox/dmarc"
	"mox/imap"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// Reasons of verdicts, as in metrics and X-Mox-Reason. They are part of what operators'
// dashboards and users' filters know. The methods of reputation are reasons too.
const (
	ReasonUnknownAddress    = "unknown-address"
	ReasonDestination       = "destination-refuses"
	ReasonHighRate          = "high-rate"
	ReasonListAllow         = "list-allow"
	ReasonFrom              = "from-unclear"
	ReasonDMARC             = "dmarc-policy"
	ReasonDMARCQuarantine   = "dmarc-quarantine"
	ReasonAuthRequired      = "msg-auth-required"
	ReasonReputationError   = "reputation-error"
	ReasonSenderBlocked     = "sender-blocked"
	ReasonSenderAllowed     = "sender-allowed"
	ReasonReporting         = "reporting"
	ReasonSPF               = "spf-policy"
	ReasonIPRev             = "iprev"
	ReasonSubjectPass       = "subjectpass"
	ReasonSubjectPassError  = "subjectpass-error"
	ReasonGiveSubjectPass   = "give-subjectpass"
	ReasonJunkContent       = "junk-content"
	ReasonJunkContentStrict = "junk-content-strict"
	ReasonJunkFilterError   = "junk-filter-error"
	ReasonJunkClassifyError = "junk-classify-error"
	ReasonBlocklisted       = "dns-blocklisted"
	ReasonNoBadSignals      = "no-bad-signals"
)

// notNow is all that strangers are told about why a message is not wanted: what they
// could learn from more is how to do better with the next one. The code is a temporary
// one, so that who is refused by mistake tries again, and the user has time to find the
// copy and say so; a permanent one would be a receipt for senders of junk, and lose the
// message of everyone else.
const notNow = "message not accepted now, try again later"

func errNotNow() *smtp.Error {
	return smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "%s", notNow)
}

// verdict is the state of a decision in the making: checks read facts, and may
// add to the reasons and change the mailbox without deciding.
type verdict struct {
	Facts
	Verdict

	d       *Decider
	now     time.Time
	account config.Account
	author  smtp.Address    // In From. Zero if there is not exactly one.
	ruleset *config.Ruleset // That matches, or nil.

	matching time.Duration // What matching rulesets with the header has taken.

	opened *store.Account // Nil until needed.
	rule   *store.SenderRule
	past   signal // What the account knows of the sender.

	believed   bool // A forwarder that is trusted has authenticated From.
	quarantine bool // The domain in From asks for it.
	suspicious bool // The network is not one that servers are normally in.
	judged     bool // It is refused because it is junk.

	threshold float64
	content   *float64 // The probability of junk by the filter, or nil.
}

// explain adds to the reasons.
func (v *verdict) explain(why string) { v.Reasons = append(v.Reasons, why) }

// accept ends the chain: the message is accepted.
func (v *verdict) accept(reason, why string) bool {
	v.Accept, v.Reason = true, reason
	v.explain(why)
	return true
}

// refuse ends the chain: the message is refused, with an error for the remote and
// what the user may know.
func (v *verdict) refuse(reason, why string, err *smtp.Error) bool {
	v.Accept, v.Reason, v.Err = false, reason, err
	v.explain(why)
	return true
}

// reject is refuse for a message of which the user can have a copy, from a client that
// should not have sent it.
func (v *verdict) reject(reason, why string, err *smtp.Error) bool {
	v.KeepCopy, v.Slow = true, true
	return v.refuse(reason, why, err)
}

// junk ends the chain: the message is not wanted.
func (v *verdict) junk(reason, why string) bool {
	v.judged = true
	return v.reject(reason, why, errNotNow())
}

// fail ends the chain because a check could not be made.
func (v *verdict) fail(ctx context.Context, reason string, err error) bool {
	v.d.opts.Log.ErrorContext(ctx, "deciding about a message", slog.String("account", v.Recipient.Account), slog.String("reason", reason), mlog.Err(err))
	return v.refuse(reason, "a check failed", errNotNow().WithCause(err))
}

// finish completes a decision: with what users want to become of messages that are
// refused, and what is remembered.
func (v *verdict) finish(ctx context.Context) {
	switch {
	case v.Accept:
	case v.KeepCopy && v.ruleset != nil && v.ruleset.AcceptRejectsToMailbox != "":
		v.Accept, v.Err, v.KeepCopy, v.IsReject = true, nil, false, true
		v.Mailbox, v.quarantine, v.Flags = v.ruleset.AcceptRejectsToMailbox, false, v.Flags|imap.FlagSeen
		v.explain("a ruleset wants messages that are refused")
	case v.judged && v.account.JunkToMailbox:
		v.Accept, v.Err, v.KeepCopy, v.Junk = true, nil, false, true
		v.explain("junk is delivered to this account")
	case v.judged:
		v.offerSubjectPass(ctx)
	}
	if v.Accept {
		v.Slow = false // Senders of junk are not to know that it is taken for that.
	}
	if v.Accept && v.quarantine {
		v.Junk = true
		if v.Reason == ReasonNoBadSignals {
			v.Reason, v.FirstTime = ReasonDMARCQuarantine, false
		}
	}
	if v.Accept && v.quarantine {
		v.Applied = dmarc.PolicyQuarantine
	}
	if !v.Accept || v.IsReject || v.Junk {
		v.Report = nil // It is not accepted as one.
	}
	if v.Accept {
		countRate(v)
	}
	if v.Report != nil {
		v.Flags |= imap.FlagSeen
	}
	o := v.Origin
	o.Reasons = v.Reasons
	o.IsForward, o.IsMailingList, o.IsReject = v.IsForward, v.IsMailingList, v.IsReject
}

// open returns the account, or nil if there is nothing of it yet. It is released at the
// end of the decision.
func (v *verdict) open(ctx context.Context) (*store.Account, error) {
	if v.opened != nil || v.d.opts.Store == nil {
		return v.opened, nil
	}
	acc, err := v.d.opts.Store.Account(ctx, v.Recipient.Account)
	if errors.Is(err, store.ErrNoAccount) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	v.opened = acc
	return acc, nil
}

func (v *verdict) release() {
	if v.opened != nil {
		v.opened.Release()
		v.opened = nil
	}
}
