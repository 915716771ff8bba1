package smtpserver

import (
	"context"
	"io"
	"net/netip"

	"mox/internal/deliver"
	"mox/internal/identity"
	"mox/internal/inbound"
	"mox/internal/submit"
	"mox/internal/tracedb"
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

	// Watch calls end when a session must not go on, because of its user.
	Watch(ctx context.Context, res identity.Result, end func()) (stop func())
}

// OriginChecker finds out who a message is from. A *inbound.Authenticator is one.
type OriginChecker interface {
	Authenticate(ctx context.Context, arr inbound.Arrival, r io.ReaderAt, size int64) (*inbound.Auth, error)
}

// Decider decides whether a message is wanted. A *inbound.Decider is one.
type Decider interface {
	Decide(ctx context.Context, f inbound.Facts) inbound.Verdict
}

// Deliverer stores a message that is wanted. A *deliver.Deliverer is one.
type Deliverer interface {
	// Deliver returns when the message is on stable storage.
	Deliver(ctx context.Context, d deliver.Delivery) (deliver.Result, error)
}

// RejectKeeper keeps copies of messages that are refused, for users. A
// *deliver.Deliverer is one.
type RejectKeeper interface {
	// KeepRejected reports whether it has kept a copy.
	KeepRejected(ctx context.Context, d deliver.Delivery) bool
}

// Submitter sends the messages of users. A *submit.Submitter is one.
type Submitter interface {
	// Submit returns when the message is on stable storage for all recipients.
	Submit(ctx context.Context, s submit.Submission) (submit.Result, error)
}

// Reporter tells senders who have asked for it about recipients that got a message.
// A *submit.Submitter is one.
type Reporter interface {
	// NotifyDelivered returns when the notification is on stable storage.
	NotifyDelivered(ctx context.Context, d submit.Delivered) error
}

// Notifier tells senders about recipients that did not get a message. A *submit.Submitter
// is one.
type Notifier interface {
	// NotifyFailure returns when the notification is on stable storage.
	NotifyFailure(ctx context.Context, f submit.Failed) error
}

// Bouncer sends what comes back to reverse-paths of messages that were forwarded on to
// who has sent these. A *submit.Submitter is one.
type Bouncer interface {
	// BounceTo returns the sender for an address. The error matches submit.ErrNotRewritten
	// for an address that does not look like such a reverse-path.
	BounceTo(p smtp.Path) (smtp.Address, error)

	// Bounce returns when the message is on stable storage.
	Bounce(ctx context.Context, b submit.Bounced) error
}

// Tracer records what becomes of messages, without waiting. A *tracedb.DB is one.
type Tracer interface {
	Step(ctx context.Context, s tracedb.Step)
}
