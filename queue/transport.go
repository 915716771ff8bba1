package queue

import (
	"context"
	"errors"
	"io"
	"net/netip"

	"mox/config"
	"mox/dsn"
	"mox/queue/queuedb"
	"mox/smtp"
)

// Delivery is a message to be delivered to recipients that can share an SMTP
// transaction: same reverse-path, same domain.
type Delivery struct {
	Base     queuedb.Base
	Messages []queuedb.Message // One for each recipient.
	Content  Content           // Prefix and file, valid during the call.
}

// Content is the message as it is to be sent, with CRLF line ends.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Result is what became of a message for a recipient.
type Result struct {
	// Err is nil for success. A *smtp.Error says by its code whether the failure is
	// permanent; other errors are temporary.
	Err    error
	Remote string // Name of the server that answered, if one did.

	// Success says what to tell the sender of a success who has asked for it:
	// dsn.Delivered, or dsn.Relayed if the server that took the message does not do
	// notifications. Empty if that server does the telling. RFC 3461 §5.2.2
	Success dsn.Action

	// What follows is for the history of the message, the log and metrics. All of it may
	// be empty.

	// Host and IP are what was connected to last, whether or not it answered. With
	// Remote they are for Remote-MTA in notifications.
	Host string
	IP   netip.Addr

	// TLS says how TLS was used: "immediate", "requiredstarttls", "opportunistic" or
	// "skip", with "+mtasts" and "+dane" if such a policy was in force. It is one of few.
	TLS string

	// Session says which TLS there was with the server that took or refused the message:
	// its version and cipher suite, or "none".
	Session string

	// Code, Enhanced and Text are of the reply with which the server took or refused the
	// message, also for successes. Code is 0 if there was none.
	Code     int
	Enhanced string
	Text     string

	// Transcript has a line for each reply and connection of the attempt, bounded.
	Transcript []string

	// Unanswered is set if all of the message was sent and no reply came: the next
	// attempt may deliver it a second time. RFC 1047
	Unanswered bool
}

// Transport brings messages to where they go.
type Transport interface {
	// Name is for logs and metrics. It is one of few.
	Name() string

	// Deliver tries to deliver once, and returns a result for each message, in their
	// order. It ends when ctx ends.
	Deliver(ctx context.Context, d Delivery) []Result
}

// allFailed returns one result for all messages.
func allFailed(d Delivery, err error) []Result {
	l := make([]Result, len(d.Messages))
	for i := range l {
		l[i].Err = err
	}
	return l
}

// noTransport is used for a name that has no transport.
type noTransport struct{ name string }

func (noTransport) Name() string { return "none" }

func (t noTransport) Deliver(_ context.Context, d Delivery) []Result {
	if t.name == "" {
		return allFailed(d, smtp.Errorf(smtp.C451LocalError, smtp.Se35IncorrectlyConfig, "this server has no transport configured to deliver mail with"))
	}
	return allFailed(d, smtp.Errorf(smtp.C451LocalError, smtp.Se35IncorrectlyConfig, "transport %q is not configured", t.name))
}

// transport returns what messages are delivered with that can share a transaction:
// what an operator has chosen for them, or the local transport, or that of the first
// route that matches, or the one without a name.
func (q *Queue) transport(conf *config.Snapshot, m queuedb.Message) Transport {
	name := m.Transport
	if name == "" {
		if _, err := conf.LookupAddress(m.Recipient()); q.opts.Local != nil && !errors.Is(err, config.ErrDomainUnknown) {
			return q.opts.Local
		}
		from, to := m.Sender().IPDomain.Domain, m.Recipient().IPDomain.Domain
		if r, ok := conf.Route(m.Account, from, to, int(m.Attempts)-1); ok {
			name = r.Transport
		}
	}
	if t := q.opts.Transports[name]; t != nil {
		return t
	}
	return noTransport{name}
}
