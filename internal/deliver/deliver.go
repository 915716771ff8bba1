package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mox/config"
	"mox/internal/inbound"
	"mox/internal/metrics"
	"mox/internal/ratelimit"
	"mox/internal/safefile"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// MaxReceived is how many Received fields a message may have; with more of them it
// is in a loop (RFC 5321 §6.3).
const MaxReceived = 100

// Options are for New. Store is needed.
type Options struct {
	Store  *store.Store
	Config *config.Holder // Of accounts. Nil if there are no copies of refused messages.
	Log    *slog.Logger   // Nil logs nothing.

	Reports ReportStores // Where reports about our domains go.
	Trace   Tracer       // What becomes of messages. Nil records nothing.

	Forward Forwarder // For addresses that forward. Nil keeps their mail here.
	Match   Matcher   // For notifications. Nil does not look at them.
}

// Deliverer delivers messages to accounts.
type Deliverer struct {
	store   *store.Store
	conf    *config.Holder
	log     *slog.Logger
	reports ReportStores
	tracer  Tracer

	forwarder    Forwarder
	forwardLimit *ratelimit.Accounts // By target.
	halfDone     *halfDone

	matcher  Matcher
	matching *matching
}

// New returns a deliverer.
func New(opts Options) *Deliverer {
	metrics.PanicPackages(pkg)
	d := &Deliverer{
		store: opts.Store, conf: opts.Config, log: opts.Log, reports: opts.Reports, tracer: opts.Trace,
		forwarder: opts.Forward, forwardLimit: newForwardLimit(), halfDone: newHalfDone(),
		matcher: opts.Match, matching: newMatching(),
	}
	if d.log == nil {
		d.log = mlog.Discard()
	}
	return d
}

// Delivery is a message for one recipient, with the decision about it.
type Delivery struct {
	inbound.Facts
	Verdict inbound.Verdict // Of inbound; must accept.

	// DeliveredTo is the address of the member, for a message to an alias. Zero is Rcpt.
	DeliveredTo smtp.Path

	Spool    *safefile.Spool // The message as received, with CRLF. The caller closes it.
	Trace    []byte          // Header fields of whom the message was received by: Received, each with CRLF.
	Received time.Time       // IMAP internal date. Zero is now.

	// Authenticated is the login address of the user who submitted the message here.
	Authenticated string
	Keywords      []string // Sorted, lower-case.

	// Notice says that the message is of the queue itself, which knows what is in it: it is
	// not matched with what was sent.
	Notice bool
}

// Result is what has become of a delivery.
type Result struct {
	Account string
	Mailbox string
	Message store.Message // Zero if it was not stored, because it was forwarded or stored before.

	// Forwarded is how many addresses elsewhere it was queued for. Relayed says that it
	// was not stored here and queued for one: it is for that server to tell the sender
	// about delivery.
	Forwarded int
	Relayed   bool
}

// Deliver stores a message, and forwards it where the address asks for that. For an alias
// that is only to its members elsewhere; its other members have deliveries of their own.
// The error is a *smtp.Error, or that of the context: the message can come again then, to
// be delivered to who does not have it.
func (d *Deliverer) Deliver(ctx context.Context, del Delivery) (Result, error) {
	if !del.Verdict.Accept {
		return Result{}, localError(errors.New("delivery of a message that was not accepted"))
	}
	if del.Digest == nil {
		return Result{}, localError(errors.New("delivery of a message that was not parsed"))
	}
	if del.Digest.Received() > MaxReceived {
		return Result{}, smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se46RoutingLoop, "loop detected, more than %d Received header fields", MaxReceived)
	}
	f, err := d.forwarding(ctx, del)
	if err != nil {
		return Result{}, err
	}
	if !f.keep {
		if del.Recipient.Alias != nil && len(f.targets) == 0 {
			return Result{}, nil
		}
		done, err := d.forward(ctx, del, f)
		switch {
		case err != nil:
			return Result{}, smtpError(ctx, err)
		case done || del.Recipient.Alias != nil:
			if del.Recipient.Alias == nil {
				d.traceVerdict(ctx, del, time.Now())
			}
			return Result{Account: del.Recipient.Account, Forwarded: len(f.targets), Relayed: len(f.targets) == 1}, nil
		}
		f.targets = nil
	}
	res, err := d.storeOnce(ctx, del)
	if err != nil || len(f.targets) == 0 {
		return res, err
	}
	done, err := d.forward(ctx, del, f)
	if err != nil {
		if merr := d.halfDone.add(del, time.Now()); merr != nil {
			// It is stored again, which is better than not to be forwarded.
			d.log.ErrorContext(ctx, "remembering that a message was stored", mlog.Err(merr))
		}
		return Result{}, smtpError(ctx, err)
	}
	if done {
		res.Forwarded = len(f.targets)
	}
	return res, nil
}

// storeOnce stores a message, unless it was stored in an earlier attempt.
func (d *Deliverer) storeOnce(ctx context.Context, del Delivery) (Result, error) {
	name := del.Recipient.Account
	if had, err := d.halfDone.take(del, time.Now()); err != nil {
		return Result{}, smtpError(ctx, err)
	} else if had {
		return Result{Account: name, Mailbox: del.Verdict.Mailbox}, nil
	}
	start := time.Now()
	res, err := d.append(ctx, name, del)
	d.trace(ctx, del, start, res, err)
	if err != nil {
		d.log.ErrorContext(ctx, "delivering message", mlog.Err(err), slog.String("account", name), slog.String("mailbox", del.Verdict.Mailbox))
		return Result{}, smtpError(ctx, err)
	}
	d.log.DebugContext(ctx, "message delivered", slog.String("account", name), slog.String("mailbox", res.Mailbox),
		slog.Int64("contentid", res.Message.ContentID), slog.String("reason", del.Verdict.Reason))
	d.reports.Store(ctx, d.log, del.Verdict.Report, res, res.Message.Received)
	d.matchLater(ctx, del, res)
	return res, nil
}

func (d *Deliverer) append(ctx context.Context, name string, del Delivery) (Result, error) {
	acc, err := d.store.Ensure(ctx, name)
	if err != nil {
		return Result{}, fmt.Errorf("open account: %w", err)
	}
	defer acc.Release()
	mailbox := del.Verdict.Mailbox
	if del.Verdict.Junk {
		mailbox = junkMailbox(acc.Tree())
	}
	msgs, err := acc.Append(ctx, store.NewMessage{
		Mailbox:  mailbox,
		Create:   true,
		Spool:    del.Spool,
		Prefix:   prefix(del),
		Flags:    del.Verdict.Flags,
		Keywords: del.Keywords,
		Received: del.Received,
		Origin:   origin(del),
		Destined: del.Verdict.Destined,
		Digest:   del.Digest,
	})
	if err != nil {
		return Result{}, fmt.Errorf("append: %w", err)
	}
	d.forgetRejected(ctx, acc, del, msgs[0])
	return Result{Account: name, Mailbox: mailbox, Message: msgs[0]}, nil
}

// defaultJunk is the mailbox for junk of accounts that have removed theirs.
const defaultJunk = "Junk"

// junkMailbox returns the mailbox that is for junk.
func junkMailbox(t *store.Tree) string {
	for _, mb := range t.Mailboxes() {
		if mb.SpecialUse&store.UseJunk != 0 {
			return mb.Name
		}
	}
	return defaultJunk
}

// prefix returns the header fields that go before the message, in the order in
// which they were added, the last first.
func prefix(del Delivery) []byte {
	var w message.HeaderWriter
	if v := del.Verdict; v.Reason != "" {
		w.Field("X-Mox-Reason")
		w.Add(v.Reason)
		for _, why := range v.Reasons {
			w.AddText("(" + commentText(why) + ")")
		}
	}
	for _, f := range del.Verdict.Fields {
		w.Field(f.Name)
		w.AddText(f.Value)
	}
	to := del.DeliveredTo
	if to.IsZero() {
		to = del.Rcpt
	}
	if !to.IsZero() {
		w.Field("Delivered-To")
		w.Add(to.XString(del.SMTPUTF8))
	}
	w.Field("Return-Path")
	w.Add("<" + del.MailFrom.XString(del.SMTPUTF8) + ">")
	return append(w.Bytes(), del.Trace...)
}

// commentText keeps a text from ending the comment it is in, or adding another.
func commentText(s string) string {
	return strings.NewReplacer("(", "[", ")", "]", `\`, "/").Replace(s)
}

// origin returns what is remembered of where the message came from.
func origin(del Delivery) *store.Origin {
	o := del.Verdict.Origin
	if o == nil {
		o = inbound.OriginOf(del.Facts)
		o.Reasons = del.Verdict.Reasons
	}
	own := *o // A verdict can be for several members of an alias.
	own.Authenticated = del.Authenticated
	return &own
}

// smtpError returns the error for a client: why the message was not stored.
func smtpError(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	if e := smtp.AsError(err); e != nil {
		return e
	}
	table := []struct {
		err  error
		code int
		se   string
		text string
	}{
		{store.ErrOverQuota, smtp.C452InsufficientStorage, smtp.Se22MailboxFull, "mailbox full"},
		{store.ErrNoSpace, smtp.C452InsufficientStorage, smtp.Se31SystemFull, "insufficient system storage"},
		{store.ErrTooLarge, smtp.C552ExceededStorage, smtp.Se34MessageTooBig, "message too large"},
		{store.ErrMailboxName, smtp.C451LocalError, smtp.Se35IncorrectlyConfig, "error processing"},
	}
	for _, t := range table {
		if errors.Is(err, t.err) {
			return smtp.Errorf(t.code, t.se, "%s", t.text).WithCause(err)
		}
	}
	return localError(err)
}

func localError(err error) *smtp.Error {
	return smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "error processing").WithCause(err)
}
