package tracedb

import (
	"context"
	"strings"
	"time"

	"mox/mlog"
	"mox/smtp"
)

// Kind says what a step is.
type Kind string

// The kinds.
const (
	// Received: a message came in, by SMTP or otherwise.
	Received Kind = "received"
	// Refused: a recipient, or all of a message, was refused with an SMTP error.
	Refused Kind = "refused"
	// Judged: what was decided about a message for a recipient.
	Judged Kind = "verdict"
	// Delivered: a message was stored in an account, or was not because of an error.
	Delivered Kind = "delivered"
	// Kept: a copy of a message that was refused was stored for the user.
	Kept Kind = "kept"
	// Forwarded: a message was queued for an address elsewhere, or was not, because the
	// address it came to forwards mail.
	Forwarded Kind = "forwarded"
	// Queued: a message was queued for a recipient.
	Queued Kind = "queued"
	// Attempted: delivery from the queue was tried.
	Attempted Kind = "attempt"
	// Notified: the sender was told what became of a message in the queue.
	Notified Kind = "notified"
	// Reported: a notification from elsewhere told what became of a message sent before.
	Reported Kind = "reported"
)

// Results of steps that can have several.
const (
	Accepted = "accepted" // Of Judged.
	Rejected = "refused"  // Of Judged.
	OK       = "ok"       // Of Delivered, Forwarded and Attempted.
	Error    = "error"    // Of Delivered.
	Retry    = "retry"    // Of Attempted: it is tried again.
	Failed   = "failed"   // Of Attempted: it is not. Of Forwarded: there is only the copy here.
)

// Ref says which message a step is of. With Queue set nothing else counts.
type Ref struct {
	Cid   int64 // Connection, or other piece of work, in which the message came.
	N     int   // Which one in the connection.
	Queue int64 // Id of a message in the queue, zero for none.
}

type refKey struct{}

// WithRef returns a context for what is done with a message.
func WithRef(ctx context.Context, r Ref) context.Context {
	return context.WithValue(ctx, refKey{}, r)
}

// RefOf returns the message of a context. Without one, all that has the same
// connection id is about the same message.
func RefOf(ctx context.Context) Ref {
	if r, ok := ctx.Value(refKey{}).(Ref); ok {
		return r
	}
	return Ref{Cid: mlog.Cid(ctx)}
}

// EnsureRef returns a context that has a message, which is that of r if ctx has none.
func EnsureRef(ctx context.Context, r Ref) context.Context {
	if RefOf(ctx) == (Ref{}) {
		return WithRef(ctx, r)
	}
	return ctx
}

// Step is a step of a message. Time and Kind are always set when it is read, of the
// others those that say something.
type Step struct {
	Time   time.Time // When it was done. Zero is now.
	Kind   Kind
	Result string // One of the constants.

	// Ref is of which message it is. If it is zero, the context says so, and if that does
	// not, it is a message of its own unless it is in the queue.
	Ref Ref `bstore:"-"`

	MessageID string // Canonical. See message.CanonicalMessageID.
	From      string // Reverse-path, as Address returns it.
	To        string // Recipient, as Address returns it.
	Member    string // Of an alias, for which a copy is; or elsewhere, to which it is forwarded.
	Size      int64  // Of the message, in octets.

	Queue    int64         // Id in the queue.
	Attempt  int32         // Number of the attempt.
	Duration time.Duration // Of the attempt, or of storing the message.
	Next     time.Time     // When the next attempt is.

	Service    string // How the message came in: "smtp", "submission", "lmtp", "control socket".
	Cid        int64  // Connection id in the log.
	Connection string // The same as the client knows it.
	Host       string // Server or client. A client is called what it has said in EHLO.
	IP         string // Of Host.
	Name       string // What DNS calls IP, if the name leads back to it.
	TLS        string // Version and cipher suite, or how TLS was used.
	Transport  string // With which delivery was tried.
	Unanswered bool   // All was sent and no reply came: there may be a second copy.

	Account string // Who has sent or got the message.
	Mailbox string
	Content int64 // Content id of the message in the account.

	Code     int32    // SMTP reply code.
	Enhanced string   // Enhanced status code.
	Text     string   // What the reply said, or the error.
	Reason   string   // Why it was decided so, as in metrics.
	Reasons  []string // More of it, for people.
}

// Address returns a path as in a step: without brackets unless it is the null
// reverse-path.
func Address(p smtp.Path) string {
	if p.IsZero() {
		return "<>"
	}
	return p.XString(true)
}

// SetError sets Code, Enhanced and Text to those of an error.
func (s *Step) SetError(err error) {
	if err == nil {
		return
	}
	s.Text = err.Error()
	if e := smtp.AsError(err); e != nil {
		s.Code, s.Enhanced, s.Text = int32(e.Code), e.Enhanced, e.Text
	}
}

// Step records a step. It does not wait; what is too much is dropped and counted. A
// nil DB records nothing.
func (d *DB) Step(ctx context.Context, s Step) {
	if d == nil {
		return
	}
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	if s.Ref == (Ref{}) {
		s.Ref = RefOf(ctx)
	}
	if s.Ref == (Ref{}) {
		s.Ref.Queue = s.Queue
	}
	if s.Cid == 0 {
		s.Cid = mlog.Cid(ctx)
	}
	select {
	case d.steps <- &s:
	default:
		metricDropped.Inc()
	}
}

// clip brings the values of a step to the size and form in which they are kept.
func (s *Step) clip() {
	for _, p := range []*string{
		&s.MessageID, &s.From, &s.To, &s.Member, &s.Service, &s.Connection, &s.Host, &s.IP, &s.Name, &s.TLS, &s.Transport,
		&s.Account, &s.Mailbox, &s.Enhanced, &s.Text, &s.Reason, &s.Result,
	} {
		*p = clip(*p)
	}
	l := make([]string, 0, min(len(s.Reasons), MaxReasons))
	for i, r := range s.Reasons {
		if i == MaxReasons {
			break
		}
		l = append(l, clip(r))
	}
	s.Reasons = l
}

// clip cuts a text, and makes spaces of what is not to be printed.
func clip(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
	}
	return strings.ToValidUTF8(strings.Map(printable, s), "")
}

func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

// size returns what a step counts for.
func (s *Step) size() int64 {
	n := stepSize
	for _, t := range append([]string{
		s.MessageID, s.From, s.To, s.Member, s.Service, s.Connection, s.Host, s.IP, s.Name, s.TLS, s.Transport,
		s.Account, s.Mailbox, s.Enhanced, s.Text, s.Reason, s.Result,
	}, s.Reasons...) {
		n += len(t)
	}
	return int64(n)
}

// names returns the names by which the message of a step is found.
func (s *Step) names() []string {
	var l []string
	if s.MessageID != "" {
		l = append(l, messageIDName(s.MessageID))
	}
	for _, a := range []string{s.From, s.To, s.Member} {
		if a != "" && a != "<>" {
			l = append(l, addressName(a))
		}
	}
	if s.Queue != 0 {
		l = append(l, queueName(s.Queue))
	}
	return l
}
