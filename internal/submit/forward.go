package submit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"mox/internal/safefile"
	"mox/message"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/srs"
)

// Forwarded is a message that goes on to addresses elsewhere, RFC 5321 §3.9.
type Forwarded struct {
	Account string       // Whose mail it is, for limits and history.
	Rcpt    smtp.Path    // As the client gave it.
	For     smtp.Address // The address that forwards, in canonical form. Rewritten reverse-paths are at its domain.
	Targets []smtp.Address

	// Sender is the reverse-path that it came with. Bounces go there, or to Fallback if
	// Sender is not to be told, because it may be forged, or cannot be rewritten.
	Sender       smtp.Path
	MayBeForged  bool
	Fallback     smtp.Address
	Notify       smtp.Notify            // RFC 3461 §4.1
	Original     smtp.OriginalRecipient // RFC 3461 §4.2
	Ret          smtp.Ret
	EnvID        string
	SMTPUTF8     bool
	RequireTLS   bool
	OthersHaveIt bool // Others than the targets get it, too.

	// The message as it was received, which is not changed so that signatures stay good,
	// and the trace fields that go before it, each with CRLF.
	Spool  *safefile.Spool // With CRLF. The caller closes it.
	Digest message.Digest
	Prefix []byte
}

// Keys of what is kept with a forwarded message, for its history.
const (
	extraForwardedFor  = "Forwarded-For"
	extraForwardedFrom = "Forwarded-From"
)

// ForwardedFrom returns the reverse-path with which a message came that Forward has
// queued, and an empty string for others.
func ForwardedFrom(b queuedb.Base) string { return b.Extra[extraForwardedFrom] }

// Forward queues a message for all targets, or for none. It is not signed. When the
// error is nil, it is on stable storage. Errors are as those of Submit.
func (s *Submitter) Forward(ctx context.Context, f Forwarded) ([]queuedb.Message, error) {
	h, err := message.ReadHeader(f.Spool, f.Spool.Size(), message.Limits{})
	if err != nil {
		return nil, queueError(fmt.Errorf("read header: %w", err))
	}
	sender, err := s.forwardSender(f)
	if err != nil {
		return nil, queueError(err)
	}
	q := queuedb.Submission{
		Account:    f.Account,
		Spool:      f.Spool,
		RequireTLS: requireTLS(&h),
		Bulk:       isBulk(&h),
		JumpFloor:  -1, // The account does not send it.
		Base: queuedb.Base{
			Prefix:    f.Prefix,
			MessageID: strings.TrimSpace(h.Value("Message-Id")),
			Subject:   h.Text("Subject"),
			EightBit:  f.Digest.Needs8BitMIME(),
			SMTPUTF8:  f.SMTPUTF8 || f.Digest.NeedsSMTPUTF8() || sender.IsInternational(),
			Ret:       string(f.Ret),
			EnvID:     f.EnvID,
			Extra: map[string]string{
				extraForwardedFor:  f.For.String(),
				extraForwardedFrom: f.Sender.XString(true),
			},
		},
	}
	if f.RequireTLS {
		yes := true
		q.RequireTLS = &yes
		q.Base.Ret = string(smtp.RetHeaders) // RFC 8689 §5
	}
	notify, original := f.notice()
	for _, to := range f.Targets {
		q.Base.SMTPUTF8 = q.Base.SMTPUTF8 || to.Path().IsInternational()
		q.Recipients = append(q.Recipients, queuedb.Recipient{Sender: sender, To: to.Path(), Notify: notify, Original: original})
	}
	l, err := s.opts.Queue.Enqueue(ctx, q)
	if err != nil {
		return nil, queueError(err)
	}
	s.kick()
	return l, nil
}

// notice returns what the sender wants to be told of targets, RFC 3461 §5.2.7: all of
// it if the message only goes to one address, and else not of success, which it is
// told for the address that forwards. The address that it knows is added as the original
// one (RFC 3461 §5.2.1).
func (f Forwarded) notice() (smtp.Notify, smtp.OriginalRecipient) {
	notify, original := f.Notify, f.Original
	if original.AddrType == "" && !f.Rcpt.IsZero() && !f.Rcpt.IsInternational() {
		original = smtp.OriginalRecipient{AddrType: "rfc822", Address: f.Rcpt.XString(false)}
	}
	if (f.OthersHaveIt || len(f.Targets) > 1) && notify&smtp.NotifySuccess != 0 {
		if notify &^= smtp.NotifySuccess; notify == 0 {
			notify = smtp.NotifyNever
		}
	}
	return notify, original
}

// forwardSender returns the reverse-path for a message that is forwarded. Notifications
// stay notifications.
func (s *Submitter) forwardSender(f Forwarded) (smtp.Path, error) {
	if f.Sender.IsZero() {
		return smtp.Path{}, nil
	}
	sender, ok := f.Sender.Address()
	if !ok || f.MayBeForged {
		return f.Fallback.Path(), nil
	}
	r, err := srs.New(srs.Options{Domain: f.For.Domain, Keys: s.opts.ReturnKeys})
	if err != nil {
		return smtp.Path{}, err
	}
	back, err := r.Forward(sender)
	switch {
	case errors.Is(err, srs.ErrTooLong):
		return f.Fallback.Path(), nil
	case err != nil:
		return smtp.Path{}, err
	}
	return back.Path(), nil
}

// ErrNotRewritten says that an address is not one that Forward has made.
var ErrNotRewritten = srs.ErrNotRewritten

// BounceTo returns the sender that messages to an address are for that Forward has made
// of it. The error matches ErrNotRewritten for an address that does not look like one, or
// says why it is not good: it was not made here, or too long ago.
func (s *Submitter) BounceTo(p smtp.Path) (smtp.Address, error) {
	addr, ok := p.Address()
	if !ok || !srs.IsRewritten(addr.Localpart) || len(s.opts.ReturnKeys) == 0 {
		return smtp.Address{}, ErrNotRewritten
	}
	d, ok := s.opts.Config.Snapshot().Domain(addr.Domain)
	if !ok {
		return smtp.Address{}, ErrNotRewritten
	}
	r, err := srs.New(srs.Options{Domain: d.Domain, Keys: s.opts.ReturnKeys})
	if err != nil {
		return smtp.Address{}, err
	}
	return r.Reverse(addr)
}

// Bounced is a message that has come back to an address that Forward has made.
type Bounced struct {
	To         smtp.Address // As BounceTo returns it.
	SMTPUTF8   bool
	RequireTLS bool

	Spool  *safefile.Spool // With CRLF. The caller closes it.
	Digest message.Digest
	Prefix []byte // Trace fields.
}

// Bounce queues a message for the sender that it is for, with the null reverse-path, for
// the account of the postmaster. When the error is nil, it is on stable storage. Errors
// are as those of Submit.
func (s *Submitter) Bounce(ctx context.Context, b Bounced) error {
	h, err := message.ReadHeader(b.Spool, b.Spool.Size(), message.Limits{})
	if err != nil {
		return queueError(fmt.Errorf("read header: %w", err))
	}
	q := queuedb.Submission{
		Account:    s.opts.Config.Snapshot().Postmaster().Account,
		Recipients: []queuedb.Recipient{{To: b.To.Path(), Notify: smtp.NotifyNever}},
		Spool:      b.Spool,
		JumpFloor:  -1,
		Base: queuedb.Base{
			Prefix:    b.Prefix,
			MessageID: strings.TrimSpace(h.Value("Message-Id")),
			Subject:   h.Text("Subject"),
			EightBit:  b.Digest.Needs8BitMIME(),
			SMTPUTF8:  b.SMTPUTF8 || b.Digest.NeedsSMTPUTF8() || b.To.Path().IsInternational(),
		},
	}
	if b.RequireTLS {
		yes := true
		q.RequireTLS = &yes
	}
	l, err := s.opts.Queue.Enqueue(ctx, q)
	if err != nil {
		s.log.ErrorContext(ctx, "queueing bounce of forwarded message", mlog.Err(err), slog.Any("rcptto", b.To))
		return queueError(err)
	}
	s.log.InfoContext(ctx, "bounce of forwarded message queued for its sender", slog.Int64("msgid", l[0].ID), slog.Any("rcptto", b.To))
	s.kick()
	return nil
}

func (s *Submitter) kick() {
	if s.opts.Kick != nil {
		s.opts.Kick()
	}
}
