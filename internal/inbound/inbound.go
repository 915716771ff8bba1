package inbound

import (
	"context"
	"crypto/tls"
	"net/netip"

	"mox/config"
	"mox/dns"
	"mox/message"
	"mox/smtp"
	"mox/store"
)

// Facts is what is known of a message for one recipient.
type Facts struct {
	// Of the connection. Zero for a message that did not come over one.
	RemoteIP netip.Addr
	EHLO     dns.IPDomain
	TLS      *tls.ConnectionState // Nil without TLS.

	// Of the transaction.
	MailFrom  smtp.Path        // Zero for the null reverse-path.
	Rcpt      smtp.Path        // As the client gave it.
	Recipient config.Recipient // What it leads to.
	SMTPUTF8  bool             // The message needs SMTPUTF8.

	// What the client has asked for.
	RequireTLS bool // The message must not go on without TLS, RFC 8689.
	Ret        smtp.Ret
	EnvID      string                 // RFC 3461 §4.4
	Notify     smtp.Notify            // What the sender wants to be told, RFC 3461 §4.1.
	Original   smtp.OriginalRecipient // RFC 3461 §4.2

	// Of the message.
	Digest message.Digest
	Size   int64 // In octets.

	// Auth says who the message is from. Nil if that was not looked at, as for mail from
	// users of this server.
	Auth *Auth
}

// Verdict is what to do with a message. Exactly one of Accept and Err is set.
type Verdict struct {
	Accept bool
	Err    *smtp.Error // What the client is told.

	// KeepCopy says that the user can have a copy of a message that is refused.
	KeepCopy bool

	// Reason names the check that decided, as in metrics and X-Mox-Reason, and Reasons
	// says why, for the user and the operator.
	Reason  string
	Reasons []string

	// For an accepted message.
	Mailbox string // Created when it does not exist.
	Junk    bool   // It goes to the account's mailbox for junk instead, if there is one.
	Flags   store.Flags
}

// Reasons of verdicts, as in metrics. They are part of what operators' dashboards
// and users' filters know.
const (
	ReasonNoBadSignals    = "no-bad-signals"
	ReasonUnknownAddress  = "unknown-address"
	ReasonDestination     = "destination-refuses"
	ReasonFrom            = "from-unclear"
	ReasonDMARC           = "dmarc-policy"
	ReasonDMARCQuarantine = "dmarc-quarantine"
	ReasonSPF             = "spf-policy"
)

// DefaultMailbox is where mail goes for an address that says nothing else.
const DefaultMailbox = "Inbox"

// verdict is the state of a decision in the making: checks read facts, and may
// add to the reasons and change the mailbox without deciding.
type verdict struct {
	Facts
	Verdict
}

// decide ends the chain: the message is accepted.
func (v *verdict) accept(reason, why string) bool {
	v.Accept, v.Reason = true, reason
	v.Reasons = append(v.Reasons, why)
	return true
}

// reject ends the chain: the message is refused, with an error for the remote and
// what the user may know.
func (v *verdict) reject(reason, why string, err *smtp.Error) bool {
	v.Accept, v.Reason, v.Err = false, reason, err
	v.Reasons = append(v.Reasons, why)
	return true
}

// rejectCopied is reject for a message of which the user can have a copy.
func (v *verdict) rejectCopied(reason, why string, err *smtp.Error) bool {
	v.KeepCopy = true
	return v.reject(reason, why, err)
}

// check is a link of the chain. Decide returns true when it has decided.
type check struct {
	name   string
	decide func(ctx context.Context, v *verdict) bool
}

// Decider has the chain of checks.
type Decider struct {
	checks []check
}

// New returns a decider.
func New() *Decider {
	return &Decider{checks: []check{
		{"mailbox", chooseMailbox},
		{"known-address", refuseUnknown},
		{"from", refuseUnclearFrom},
		{"dmarc", followDMARC},
		{"spf", followSPF},
		{"default", acceptRest},
	}}
}

// Decide decides about a message for one recipient.
func (d *Decider) Decide(ctx context.Context, f Facts) Verdict {
	v := &verdict{Facts: f}
	for _, c := range d.checks {
		if c.decide(ctx, v) {
			return v.Verdict
		}
	}
	// The last check decides about all.
	v.Err = smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "error processing")
	return v.Verdict
}

// chooseMailbox finds the mailbox that the address is configured with.
func chooseMailbox(_ context.Context, v *verdict) bool {
	v.Mailbox = v.Recipient.Destination.Mailbox
	if v.Mailbox == "" {
		v.Mailbox = DefaultMailbox
	}
	return false
}

// refuseUnknown refuses mail for an address that does not lead to an account, or
// that is configured to refuse mail.
func refuseUnknown(_ context.Context, v *verdict) bool {
	if v.Recipient.Account == "" {
		return v.reject(ReasonUnknownAddress, "no account has the address",
			smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user here"))
	}
	if err := v.Recipient.Destination.SMTPError; err != nil {
		return v.reject(ReasonDestination, "address is configured to refuse mail", err)
	}
	return false
}

// acceptRest accepts what nothing speaks against.
func acceptRest(_ context.Context, v *verdict) bool {
	if v.Junk {
		return v.accept(ReasonDMARCQuarantine, "domain in From asks for messages that fail authentication to be set apart")
	}
	return v.accept(ReasonNoBadSignals, "address is configured for this account")
}
