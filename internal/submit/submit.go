package submit

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/message"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/store"
)

// Kinds of errors of Submit, to be matched with errors.Is.
var (
	// ErrBadMessage: the message has no proper header.
	ErrBadMessage = errors.New("bad message")
	// ErrBadFrom: the From field is missing, ambiguous, or not an address of the user.
	ErrBadFrom = errors.New("bad From header field")
	// ErrBadHeader: another field must not be there, or not in this form.
	ErrBadHeader = errors.New("bad header field")
	// ErrMissingSMTPUTF8: the message needs SMTPUTF8 and was sent without.
	ErrMissingSMTPUTF8 = errors.New("smtputf8 not declared")
	// ErrMessageLimit: the account has sent too many messages in a day.
	ErrMessageLimit = errors.New("message limit")
	// ErrRecipientLimit: the account has sent to too many new recipients in a day.
	ErrRecipientLimit = errors.New("recipient limit")
	// ErrQueue: the message could not be queued.
	ErrQueue = errors.New("queueing failed")
)

// Kind returns the label for metrics of an error of Submit, and of nil.
func Kind(err error) string {
	if err == nil {
		return "ok"
	}
	table := []struct {
		err  error
		kind string
	}{
		{ErrBadMessage, "badmessage"},
		{ErrBadFrom, "badfrom"},
		{ErrBadHeader, "badheader"},
		{ErrMissingSMTPUTF8, "missingsmtputf8"},
		{ErrMessageLimit, "messagelimiterror"},
		{ErrRecipientLimit, "recipientlimiterror"},
		{ErrFromID, "badfromid"},
	}
	for _, t := range table {
		if errors.Is(err, t.err) {
			return t.kind
		}
	}
	return "queueerror"
}

// Queue is where messages go. A *queuedb.DB is one.
type Queue interface {
	Enqueue(ctx context.Context, s queuedb.Submission) ([]queuedb.Message, error)
}

// Options are for New. All but Log, Kick, Trace and ReturnKeys are needed.
type Options struct {
	Config *config.Holder
	Store  *store.Store
	Queue  Queue
	Kick   func() // Called when something was queued. Nil is none.
	Trace  Tracer // What becomes of messages. Nil records nothing.
	Log    *slog.Logger

	// ReturnKeys are secret, for reverse-paths of messages that are forwarded. See
	// srs.Options. Without any, nothing can be forwarded.
	ReturnKeys [][]byte
}

// Submitter submits messages.
type Submitter struct {
	opts     Options
	log      *slog.Logger
	contacts *contacts
}

// New returns a submitter.
func New(opts Options) *Submitter {
	metrics.PanicPackages(pkgName)
	if opts.Trace != nil {
		opts.Queue = tracedQueue{opts.Queue, opts.Trace}
	}
	s := &Submitter{opts: opts, log: opts.Log}
	if s.log == nil {
		s.log = mlog.Discard()
	}
	s.contacts = newContacts(opts.Store, s.log)
	return s
}

// Settle waits until the accounts know of all that was submitted before.
func (s *Submitter) Settle() { s.contacts.wait() }

// Submission is a message of a user.
type Submission struct {
	Account string
	Login   string           // Login address, for the log, and to see whether the sender gets an id.
	Mail    smtp.MailCommand // The null reverse-path is allowed.
	Rcpts   []smtp.Path      // At least one.

	// DSN has what the user wants to be told about each of Rcpts, in their order: NOTIFY
	// and ORCPT. Nil is nothing in particular.
	DSN []smtp.RcptCommand

	Spool  *safefile.Spool // With CRLF. The caller closes it.
	Digest message.Digest  // Of what is in Spool. Nil is made here.
	Trace  []byte          // Received field, to go before the message, with its CRLF.
}

// Result is what was queued.
type Result struct {
	MessageID string            // As in the header, with brackets.
	Messages  []queuedb.Message // In the order of the recipients.
}

// Submit checks a message and queues it. The error is a *smtp.Error, or that of
// the context.
func (s *Submitter) Submit(ctx context.Context, sub Submission) (Result, error) {
	res, err := s.submit(ctx, sub)
	if err == nil {
		s.log.InfoContext(ctx, "message queued", slog.String("account", sub.Account), slog.String("login", sub.Login),
			slog.Int("recipients", len(sub.Rcpts)), slog.String("messageid", res.MessageID))
		if s.opts.Kick != nil {
			s.opts.Kick()
		}
		return res, nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return Result{}, err
	}
	s.log.InfoContext(ctx, "message not queued", slog.String("account", sub.Account), slog.String("login", sub.Login), mlog.Err(err))
	return Result{}, err
}

func (s *Submitter) submit(ctx context.Context, sub Submission) (Result, error) {
	conf := s.opts.Config.Snapshot()
	account, ok := conf.Account(sub.Account)
	if !ok {
		return Result{}, queueError(fmt.Errorf("account %q is not in the configuration", sub.Account))
	}
	if len(sub.Rcpts) == 0 {
		return Result{}, smtp.Errorf(smtp.C554TransactionFailed, smtp.Se10AddressOther, "no recipients").WithCause(ErrBadMessage)
	}
	q, err := s.prepare(ctx, conf, account, sub)
	if err != nil {
		return Result{}, err
	}
	var noted []smtp.Address
	q.Limits, noted, err = s.limits(ctx, account, sub.Rcpts, time.Now())
	if err != nil {
		return Result{}, queueError(err)
	}
	l, err := s.opts.Queue.Enqueue(ctx, q)
	if err != nil {
		if e := limitError(err, q.Limits); e != nil {
			return Result{}, e
		}
		return Result{}, queueError(err)
	}
	s.contacts.add(sub.Account, noted)
	return Result{q.Base.MessageID, l}, nil
}

// prepare checks the message and makes of it what is queued.
func (s *Submitter) prepare(ctx context.Context, conf *config.Snapshot, account config.Account, sub Submission) (queuedb.Submission, error) {
	h, err := message.ReadHeader(sub.Spool, sub.Spool.Size(), message.Limits{})
	if err != nil {
		return queuedb.Submission{}, queueError(fmt.Errorf("read header: %w", err))
	}
	if sub.Digest == nil {
		if sub.Digest, err = message.NewDigest(sub.Spool, sub.Spool.Size(), message.Limits{}); err != nil {
			return queuedb.Submission{}, queueError(fmt.Errorf("parse message: %w", err))
		}
	}
	if err := checkHeader(conf, sub, &h); err != nil {
		return queuedb.Submission{}, err
	}
	ex, err := extra(&h)
	if err != nil {
		return queuedb.Submission{}, smtp.AsError(err).WithCause(ErrBadHeader)
	}
	utf8, err := smtpUTF8(conf, sub)
	if err != nil {
		return queuedb.Submission{}, err
	}
	q := queuedb.Submission{
		Account:    sub.Account,
		Spool:      sub.Spool,
		RequireTLS: requireTLS(&h),
		Bulk:       isBulk(&h),
		JumpFloor:  int64(account.MaxOutgoingMessagesPerDay) * jumpFloorPercent / 100,
		Base: queuedb.Base{
			Subject:  h.Text("Subject"),
			EightBit: sub.Digest.Needs8BitMIME(),
			SMTPUTF8: utf8,
			Extra:    ex,

			FutureRelease: sub.Mail.FutureReleaseRequest(),
			Ret:           string(sub.Mail.Ret),
			EnvID:         sub.Mail.EnvID,
		},
	}
	if sub.Mail.RequireTLS {
		yes := true
		q.RequireTLS = &yes
	}
	q.NextAttempt = release(sub.Mail)
	q.Base.Prefix, q.Base.MessageID = complete(conf, sub, &h)
	q.Base.Prefix = s.signUser(ctx, conf, &h, q.Base.Prefix, sub)
	for i, p := range sub.Rcpts {
		if p.IsPostmaster() {
			p.IPDomain = dns.IPDomain{Domain: conf.Hostname}
		}
		r := queuedb.Recipient{Sender: sub.Mail.ReversePath, To: p}
		if i < len(sub.DSN) {
			r.Notify, r.Original = sub.DSN[i].Notify, sub.DSN[i].OriginalRecipient
		}
		q.Recipients = append(q.Recipients, r)
	}
	if err := addFromIDs(account, conf, sub, q.Recipients); err != nil {
		return queuedb.Submission{}, err
	}
	return q, nil
}

// checkHeader checks what a user may send.
func checkHeader(conf *config.Snapshot, sub Submission, h *message.Header) error {
	if h.Cut {
		return smtp.Errorf(smtp.C554TransactionFailed, smtp.Se60MediaOther, "message header is too large").WithCause(ErrBadMessage)
	}
	if !h.HasBlankLine() {
		return smtp.Errorf(smtp.C554TransactionFailed, smtp.Se60MediaOther, "message needs a header and an empty line after it").WithCause(ErrBadMessage)
	}
	from, err := From(h)
	if err != nil {
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se60MediaOther, "message needs exactly one From header field with exactly one address").WithCause(errors.Join(ErrBadFrom, err))
	}
	owns, err := conf.AccountOwns(sub.Account, from)
	switch {
	case errors.Is(err, config.ErrDomainDisabled):
		return smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "domain of From header field is temporarily disabled").WithCause(errors.Join(ErrBadFrom, err))
	case err != nil:
		return queueError(err)
	case !owns:
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se71NotAuthorized, "address in From header field must belong to your account").WithCause(ErrBadFrom)
	}
	if _, ok := h.Get("Return-Path"); ok && conf.Pedantic {
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se60MediaOther, "message must not have a Return-Path header field").WithCause(ErrBadHeader)
	}
	return nil
}

// smtpUTF8 returns whether the message needs SMTPUTF8. What the client has declared
// is only a limit: RFC 6531 §3.6 lets a message that does not need it go without.
func smtpUTF8(conf *config.Snapshot, sub Submission) (bool, error) {
	need := sub.Digest.NeedsSMTPUTF8() || sub.Mail.ReversePath.IsInternational()
	for _, p := range sub.Rcpts {
		need = need || p.IsInternational()
	}
	if need && !sub.Mail.SMTPUTF8 && conf.Pedantic {
		return false, smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se60MediaOther, "message needs SMTPUTF8, which was not declared").WithCause(ErrMissingSMTPUTF8)
	}
	return need, nil
}

// release returns when a message is to be sent first, zero for now (RFC 4865 §4).
func release(c smtp.MailCommand) time.Time {
	if c.HoldFor > 0 {
		return time.Now().Add(c.HoldFor)
	}
	return c.HoldUntil
}

// complete returns the fields to go before the message: the trace, and those that
// are missing (RFC 6409 §8.2 and §8.3). It also returns the Message-Id.
func complete(conf *config.Snapshot, sub Submission, h *message.Header) (prefix []byte, id string) {
	var w message.HeaderWriter
	id = strings.TrimSpace(h.Value("Message-Id"))
	if _, ok := h.Get("Message-Id"); !ok {
		id = "<" + randomID() + "@" + conf.Hostname.ASCII + ">"
		w.Field("Message-Id")
		w.Add(id)
	}
	if _, ok := h.Get("Date"); !ok {
		w.Field("Date")
		w.AddText(message.FormatDate(time.Now()))
	}
	return append(append([]byte{}, sub.Trace...), w.Bytes()...), id
}

func randomID() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// queueError returns the error for the client, for one that is not one yet.
func queueError(err error) error {
	if smtp.AsError(err) != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, queuedb.ErrFromIDUsed) {
		return smtp.Errorf(smtp.C554TransactionFailed, smtp.Se17BadSenderSyntax, "the id in MAIL FROM is in use already").WithCause(errors.Join(ErrFromID, err))
	}
	code, se, text := smtp.C451LocalError, smtp.Se30SystemOther, "error processing"
	switch {
	case errors.Is(err, queuedb.ErrNoSpace), errors.Is(err, store.ErrNoSpace):
		code, se, text = smtp.C452InsufficientStorage, smtp.Se31SystemFull, "insufficient system storage"
	case errors.Is(err, queuedb.ErrAccountLimit):
		code, se, text = smtp.C452InsufficientStorage, smtp.Se31SystemFull, "too many messages of your account are waiting to be sent"
	case errors.Is(err, queuedb.ErrTooLarge):
		code, se, text = smtp.C554TransactionFailed, smtp.Se53TooManyRecipients, "too many recipients, or too much extra data"
	}
	return smtp.Errorf(code, se, "%s", text).WithCause(errors.Join(ErrQueue, err))
}
