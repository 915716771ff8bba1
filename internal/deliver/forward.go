package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mox/dmarc"
	"mox/internal/inbound"
	"mox/internal/metrics"
	"mox/internal/ratelimit"
	"mox/internal/submit"
	"mox/internal/tracedb"
	"mox/message"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/spf"
)

// Forwarding: mail for an address, or an alias, that goes on to addresses elsewhere. It
// comes after the message was stored here, so that no failure of it can lose anything,
// and before the client is told that we have the message. Where it is not forwarded, for
// whatever reason, there is a copy here.

// Forwarder queues messages that are forwarded. A *submit.Submitter is one.
type Forwarder interface {
	// Forward returns when the message is on stable storage for all targets.
	Forward(ctx context.Context, f submit.Forwarded) ([]queuedb.Message, error)
}

const (
	// ForwardedPerHour and ForwardedPerDay are how many messages are forwarded to one
	// address.
	ForwardedPerHour = 300
	ForwardedPerDay  = 2000

	// maxForwards is how many addresses a message can have been delivered to, as its
	// header says, to be forwarded once more, and maxForwardReceived how many Received
	// fields it can have: less than what ends all loops.
	maxForwards        = 10
	maxForwardReceived = 50
)

// Why messages are not forwarded.
const (
	notForwardedJunk   = "not-wanted"       // It may be junk, or is not mail of the user.
	notForwardedAuthor = "author-unproven"  // It claims to be from here.
	notForwardedLoop   = "loop"             // It was here before, or has come a long way.
	notForwardedRate   = "high-rate"        // The target has got too much of late.
	notForwardedBinary = "binary"           // It is not made of lines.
	notForwardedQueue  = "refused-by-queue" // The queue can never take it.
)

// putOff is for messages that are asked for again.
const putOff = "put-off"

var metricForward = metrics.NewCounterVec("mox_forward_total",
	"Messages that an address forwards, for each target, by what came of it: queued, why it is kept here only, put-off if the sender was asked to send it again, or error.", "result")

func newForwardLimit() *ratelimit.Accounts {
	return ratelimit.NewAccounts(ratelimit.AccountOptions{Windows: []ratelimit.AccountWindow{
		{Period: time.Hour, Limit: ForwardedPerHour},
		{Period: 24 * time.Hour, Limit: ForwardedPerDay},
	}})
}

// forwarding is what an address does with a message.
type forwarding struct {
	targets []smtp.Address // Empty for none.
	here    smtp.Address   // The address that forwards.
	keep    bool           // There is to be a copy here, too.
}

// forwarding returns where a message goes on to. There is an error only for an alias, whose
// members elsewhere have no copy here: the message must come again.
func (d *Deliverer) forwarding(ctx context.Context, del Delivery) (forwarding, error) {
	f := forwarding{here: del.Recipient.Canonical, keep: true}
	targets, only := del.Recipient.Destination.ForwardTo, del.Recipient.Destination.ForwardOnly
	if a := del.Recipient.Alias; a != nil {
		targets, f.here, f.keep = a.ForwardTo, a.Address, false
	}
	if len(targets) == 0 || d.forwarder == nil {
		return f, nil
	}
	why, err := d.notForwarded(del, f.here)
	if why == "" && del.Recipient.Alias != nil && err == nil {
		err = d.haveRoom(ctx, f.here, targets)
	}
	if err != nil && del.Recipient.Alias != nil {
		return f, smtpError(ctx, err)
	} else if err != nil {
		d.log.ErrorContext(ctx, "looking at a message to forward, it is kept", mlog.Err(err), slog.Any("address", f.here))
		why = "error"
	}
	for _, to := range targets {
		reason := why
		if reason == "" && !d.forwardLimit.Add(to.String(), time.Now(), 1) {
			reason = notForwardedRate
		}
		if reason == "" {
			f.targets = append(f.targets, to)
			continue
		}
		d.notForward(ctx, del, f.here, to, reason)
	}
	if del.Recipient.Alias == nil && only && len(f.targets) == len(targets) && !del.MailFrom.IsZero() {
		f.keep = false
	}
	return f, nil
}

// haveRoom returns an error if one of targets has got too much of late.
func (d *Deliverer) haveRoom(ctx context.Context, here smtp.Address, targets []smtp.Address) error {
	now := time.Now()
	for _, to := range targets {
		if !d.forwardLimit.CanAdd(to.String(), now, 1) {
			metricForward.WithLabelValues(putOff).Inc()
			d.log.InfoContext(ctx, "message put off that would be forwarded", slog.Any("address", here), slog.Any("to", to), slog.String("reason", notForwardedRate))
			return smtp.Errorf(smtp.C451LocalError, smtp.Se45Congestion, "too many messages are forwarded from here, try again later")
		}
	}
	return nil
}

// notForwarded returns why a message is not forwarded, empty if it is.
func (d *Deliverer) notForwarded(del Delivery, here smtp.Address) (string, error) {
	if !wanted(del.Verdict) {
		return notForwardedJunk, nil
	}
	if del.Digest.Received() > maxForwardReceived {
		return notForwardedLoop, nil
	}
	h, err := message.ReadHeader(del.Spool, del.Spool.Size(), message.Limits{})
	if err != nil {
		return "", fmt.Errorf("read header: %w", err)
	}
	n := 0
	for f := range h.All("Delivered-To") {
		if n++; n >= maxForwards || strings.EqualFold(strings.TrimSpace(f.Unfolded()), here.String()) {
			return notForwardedLoop, nil
		}
	}
	if d.conf != nil && !proven(del.Auth) {
		// By way of us it would look as if it was.
		from, err := submit.From(&h)
		if err != nil {
			return notForwardedAuthor, nil
		}
		if _, ok := d.conf.Snapshot().Domain(from.Domain); ok {
			return notForwardedAuthor, nil
		}
	}
	if lines, err := isLines(del.Spool.Reader()); err != nil {
		return "", fmt.Errorf("read message: %w", err)
	} else if !lines {
		return notForwardedBinary, nil
	}
	return "", nil
}

// wanted reports whether a message has passed what tells junk.
func wanted(v inbound.Verdict) bool {
	return v.Accept && !v.Junk && !v.IsReject && v.Applied != dmarc.PolicyQuarantine && v.Applied != dmarc.PolicyReject && v.Report == nil && v.Reason != ReasonAliasMember
}

// proven reports whether it is known that the author is who From says. What users send
// was checked when they did.
func proven(a *inbound.Auth) bool {
	return a == nil || a.DMARC.Status == dmarc.StatusPass || a.Authentic()
}

// mayBeForged reports whether the reverse-path may be someone else's than the sender's.
func mayBeForged(a *inbound.Auth) bool {
	return a != nil && a.RemoteIP.IsValid() && (a.SPF.Status != spf.StatusPass || a.SPF.Identity != spf.IdentityMailFrom)
}

// isLines reports whether each CR is followed by an LF, and each LF comes after a CR, so
// that the message can be sent with DATA.
func isLines(r io.Reader) (bool, error) {
	buf := make([]byte, 32<<10)
	cr := false
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			if (c == '\n') != cr {
				return false, nil
			}
			cr = c == '\r'
		}
		if errors.Is(err, io.EOF) {
			return !cr, nil
		} else if err != nil {
			return false, err
		}
	}
}

// forward queues a message for all targets. It reports whether it did; if not, without an
// error, it never can be. With an error, the message must come again.
func (d *Deliverer) forward(ctx context.Context, del Delivery, f forwarding) (bool, error) {
	s := submit.Forwarded{
		Account: del.Recipient.Account, Rcpt: del.Rcpt, For: f.here, Targets: f.targets,
		Sender: del.MailFrom, MayBeForged: mayBeForged(del.Auth), Fallback: f.here,
		Notify: del.Notify, Original: del.Original, Ret: del.Ret, EnvID: del.EnvID,
		SMTPUTF8: del.SMTPUTF8, RequireTLS: del.RequireTLS, OthersHaveIt: f.keep || del.Recipient.Alias != nil,
		Spool: del.Spool, Digest: del.Digest, Prefix: forwardPrefix(del, f.here),
	}
	if del.Recipient.Alias != nil {
		s.Account = d.conf.Snapshot().Postmaster().Account
		s.Fallback = smtp.NewAddress("postmaster", f.here.Domain)
	}
	l, err := d.forwarder.Forward(ctx, s)
	if err == nil {
		metricForward.WithLabelValues("queued").Add(float64(len(l)))
		for _, m := range l {
			d.log.InfoContext(ctx, "message forwarded", slog.Any("address", f.here), slog.Any("to", m.Recipient()), slog.Any("mailfrom", del.MailFrom),
				slog.Int64("msgid", m.ID))
			d.traceForward(ctx, del, m.Recipient(), tracedb.OK, "", m.ID)
		}
		return true, nil
	}
	if e := smtp.AsError(err); e != nil && e.Permanent() {
		d.log.ErrorContext(ctx, "forwarding message, it is kept", mlog.Err(err), slog.Any("address", f.here))
		for _, to := range f.targets {
			d.notForward(ctx, del, f.here, to, notForwardedQueue)
		}
		return false, nil
	}
	metricForward.WithLabelValues("error").Inc()
	d.log.ErrorContext(ctx, "forwarding message", mlog.Err(err), slog.Any("address", f.here))
	return false, err
}

// notForward records that a message is not forwarded.
func (d *Deliverer) notForward(ctx context.Context, del Delivery, here, to smtp.Address, why string) {
	metricForward.WithLabelValues(why).Inc()
	d.log.InfoContext(ctx, "message not forwarded", slog.Any("address", here), slog.Any("to", to), slog.String("reason", why))
	d.traceForward(ctx, del, to.Path(), tracedb.Failed, why, 0)
}

func (d *Deliverer) traceForward(ctx context.Context, del Delivery, to smtp.Path, result, why string, id int64) {
	if d.tracer == nil {
		return
	}
	s := del.step(tracedb.Forwarded)
	s.Result, s.Member, s.Account, s.Reason, s.Queue = result, tracedb.Address(to), del.Recipient.Account, why, id
	d.tracer.Step(ctx, s)
}

// forwardPrefix returns the header fields that go before a forwarded message: by
// Delivered-To it is known when it comes back.
func forwardPrefix(del Delivery, here smtp.Address) []byte {
	var w message.HeaderWriter
	w.Field("Delivered-To")
	w.Add(here.Path().XString(del.SMTPUTF8))
	return append(w.Bytes(), del.Trace...)
}

// without returns the targets without one.
func without(l []smtp.Address, addr smtp.Address) []smtp.Address {
	return slices.DeleteFunc(slices.Clone(l), addressIs(addr))
}

// addressIs returns a function that tells whether an address elsewhere is another one,
// where letter case of local-parts hardly ever matters.
func addressIs(addr smtp.Address) func(smtp.Address) bool {
	return func(a smtp.Address) bool {
		return a.Domain == addr.Domain && strings.EqualFold(string(a.Localpart), string(addr.Localpart))
	}
}
