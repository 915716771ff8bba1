package inbound

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/metrics"
	"mox/junk"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// DefaultMailbox is where mail goes for an address that says nothing else.
const DefaultMailbox = "Inbox"

// A Classifier knows the junk filters of accounts.
type Classifier interface {
	// Classify judges a message by its content. Ok is false if the account has no filter.
	Classify(ctx context.Context, account string, t *junk.Tokens) (v junk.Verdict, ok bool, err error)
}

// Options are for [New]. Nothing is needed: a check that lacks what it looks at says
// nothing.
type Options struct {
	Store    *store.Store   // For what accounts know of senders.
	Config   *config.Holder // For what users want.
	Resolver dns.Resolver   // For DNS blocklists.
	Junk     Classifier     // For what content says.
	Reports  *ReportReader  // For reports about our domains.
	Log      *slog.Logger   // Nil logs nothing.

	Now    func() time.Time // Nil is time.Now.
	Random func() float64   // From 0 to 1. Nil is of math/rand/v2.
}

// Decider has the chain of checks.
type Decider struct {
	opts   Options
	checks []check
	rates  *rates
	lists  *blocklists
}

// check is a link of the chain. Decide returns true when it has decided.
type check struct {
	name   string
	decide func(ctx context.Context, v *verdict) bool
	// all says that the check is for all messages, also those of which nobody has looked
	// who they are from.
	all bool
}

// New returns a decider.
func New(opts Options) *Decider {
	metrics.PanicPackages(pkg)
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Random == nil {
		opts.Random = rand.Float64
	}
	d := &Decider{opts: opts, rates: newRates()}
	if opts.Resolver != nil {
		d.lists = newBlocklists(opts.Resolver, opts.Log, opts.Now)
	}
	d.checks = []check{
		{"known-address", refuseUnknown, true},
		{"rate", limitRate, true},
		{"mailbox", chooseMailbox, true},
		{"list", acceptList, false},
		{"forward", forgetForwarder, false},
		{"trusted-forwarder", believeForwarder, false},
		{"from", refuseUnclearFrom, false},
		{"dmarc", followDMARC, false},
		{"report", readReport, false},
		{"authentication", requireAuthentication, false},
		{"reputation", askReputation, false},
		{"sender-rule", followSenderRule, false},
		{"introbox", chooseIntrobox, false},
		{"history", followHistory, false},
		{"valid-report", acceptReport, false},
		{"spf", followSPF, false},
		{"iprev", suspectNetwork, false},
		{"subjectpass", acceptSubjectPass, false},
		{"junk", judgeContent, false},
		{"dnsbl", askBlocklists, false},
		{"default", acceptRest, true},
	}
	return d
}

// Decide decides about a message for one recipient.
func (d *Decider) Decide(ctx context.Context, f Facts) Verdict {
	if f.shared == nil {
		f.Share()
	}
	v := d.verdict(f)
	defer v.release()
	for _, c := range d.checks {
		if (c.all || v.Auth != nil) && c.decide(ctx, v) {
			v.finish(ctx)
			return v.Verdict
		}
	}
	// The last check decides about all.
	v.Err = smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "%s", notNow)
	return v.Verdict
}

// verdict returns the state at the beginning of a decision.
func (d *Decider) verdict(f Facts) *verdict {
	v := &verdict{Facts: f, d: d, now: d.opts.Now()}
	if d.opts.Config != nil {
		v.account, _ = d.opts.Config.Snapshot().Account(f.Recipient.Account)
	}
	v.author, _ = f.shared.author()
	v.Origin = f.origin()
	return v
}

// refuseUnknown refuses mail for an address that does not lead to an account, or
// that is configured to refuse mail.
func refuseUnknown(_ context.Context, v *verdict) bool {
	if v.Recipient.Account == "" {
		return v.refuse(ReasonUnknownAddress, "no account has the address",
			smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user here"))
	}
	if err := v.Recipient.Destination.SMTPError; err != nil {
		return v.refuse(ReasonDestination, "address is configured to refuse mail", err)
	}
	return false
}

// acceptRest accepts what nothing speaks against. If the sender could be anyone, it
// waits for the reply: that is cheap for people, and not for who sends to millions.
func acceptRest(_ context.Context, v *verdict) bool {
	v.FirstTime = v.Auth != nil && !v.Exempt && !v.IsForward && !v.IsMailingList && v.Report == nil && !v.account.NoFirstTimeSenderDelay
	return v.accept(ReasonNoBadSignals, "nothing speaks against the message")
}
