package smtpserver

import (
	"context"
	"crypto/tls"
	"net/netip"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/identity"
	"mox/internal/safefile"
	"mox/message"
	"mox/smtp"
)

// Authenticator checks who a user is. A *identity.Checker is one.
type Authenticator interface {
	// Allowed reports whether a network may try to log in.
	Allowed(ip netip.Addr) bool

	// Mechanisms returns what to announce, strongest first.
	Mechanisms(tls, clientCert, plaintextOK bool) []string

	// Begin starts a SASL exchange.
	Begin(ctx context.Context, a identity.Attempt, mechanism string) (identity.Exchange, error)
}

// Decider decides whether a message is wanted.
type Decider interface {
	Decide(ctx context.Context, f Facts) Verdict
}

// Facts is what is known of a message for one recipient.
type Facts struct {
	RemoteIP  netip.Addr
	EHLO      dns.IPDomain
	TLS       *tls.ConnectionState
	MailFrom  smtp.Path
	Rcpt      smtp.Path
	Recipient config.Recipient
	Digest    message.Digest
	Size      int64
}

// Verdict is a decision.
type Verdict struct {
	Accept bool
	Err    *smtp.Error
	Reason string
}

// Deliverer stores a message.
type Deliverer interface {
	Deliver(ctx context.Context, d Job) error
}

// Job is a message for one recipient.
type Job struct {
	Facts
	Verdict  Verdict
	Spool    *safefile.Spool
	Trace    []byte
	Received time.Time
}

// Submitter sends a message on.
type Submitter interface {
	Submit(ctx context.Context, s Outgoing) error
}

// Outgoing is a message of a user.
type Outgoing struct {
	Account string
	Login   string
	Mail    smtp.MailCommand
	Rcpts   []smtp.Path
	Spool   *safefile.Spool
	Digest  message.Digest
	Trace   []byte
}

// Notifier tells senders about recipients that did not get a message.
type Notifier interface {
	// NotifyFailure returns when the notification is on stable storage.
	NotifyFailure(ctx context.Context, f Failure) error
}

// Failure is what a sender is told.
type Failure struct {
	MailFrom   smtp.Path // Whom to tell. Not the null reverse-path.
	SMTPUTF8   bool
	Recipients []FailedRecipient
	Message    *safefile.Spool // Valid during the call.
	Trace      []byte          // To go before the message.
	Arrived    time.Time
}

// FailedRecipient is a recipient that did not get a message.
type FailedRecipient struct {
	Path smtp.Path
	Err  *smtp.Error
}
