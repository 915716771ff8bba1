package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mox/config"
	"mox/dsn"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/safefile"
	"mox/message"
	"mox/queue/queuedb"
	"mox/smtp"
)

// LocalOptions are for NewLocal. All but Account and FS are needed.
type LocalOptions struct {
	Config  *config.Holder
	Decide  *inbound.Decider
	Deliver *deliver.Deliverer
	TempDir string // On the file system of the accounts.
	FS      safefile.FS

	// Account gets mail for addresses that are not configured. Empty refuses it.
	Account string

	// Simulate makes addresses fail that say so, see Simulation.
	Simulate bool
}

// Local is a transport that delivers everything to accounts of this server, without
// a network, for trying things out.
type Local struct {
	opts    LocalOptions
	members *deliver.Members
}

// NewLocal returns a local transport.
func NewLocal(opts LocalOptions) *Local {
	return &Local{opts, deliver.NewMembers(deliver.MembersOptions{Decide: opts.Decide.Decide, Deliver: opts.Deliver.Deliver})}
}

// Name returns "local".
func (*Local) Name() string { return "local" }

// Deliver delivers to each recipient.
func (l *Local) Deliver(ctx context.Context, d Delivery) []Result {
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: l.opts.TempDir, FS: l.opts.FS})
	defer spool.Close() // A file that stays is removed at the next start.
	if _, err := io.Copy(spool, io.NewSectionReader(d.Content, 0, d.Content.Size())); err != nil {
		return allFailed(d, fmt.Errorf("copy message: %w", err))
	}
	digest, err := message.NewDigest(spool, spool.Size(), message.Limits{})
	if err != nil {
		return allFailed(d, fmt.Errorf("parse message: %w", err))
	}
	results := make([]Result, len(d.Messages))
	for i, m := range d.Messages {
		results[i] = Result{Err: l.deliver(ctx, d.Base, m, spool, digest), Success: dsn.Delivered}
		if r, err := l.opts.Config.Snapshot().LookupAddress(m.Recipient()); err == nil && r.Expands() {
			results[i].Success = dsn.Expanded
		}
	}
	return results
}

func (l *Local) deliver(ctx context.Context, base queuedb.Base, m queuedb.Message, spool *safefile.Spool, digest message.Digest) error {
	if l.opts.Simulate {
		for _, p := range []smtp.Path{m.Sender(), m.Recipient()} {
			if err := simulate(ctx, p.Localpart); err != nil {
				return err
			}
		}
	}
	conf := l.opts.Config.Snapshot()
	rcpt, err := l.lookup(conf, m.Recipient())
	if err != nil {
		return err
	}
	facts := inbound.Facts{
		MailFrom:  m.Sender(),
		Rcpt:      m.Recipient(),
		Recipient: rcpt,
		SMTPUTF8:  base.SMTPUTF8,
		Digest:    digest,
		Size:      spool.Size(),
		Message:   spool,

		// For when it is forwarded. Of success the sender is told for this address.
		RequireTLS: m.RequireTLS != nil && *m.RequireTLS,
		Ret:        smtp.Ret(base.Ret),
		EnvID:      base.EnvID,
		Notify:     smtp.Notify(m.Notify),
		Original:   m.Original(),
	}
	if facts.Notify&smtp.NotifySuccess != 0 {
		if facts.Notify &^= smtp.NotifySuccess; facts.Notify == 0 {
			facts.Notify = smtp.NotifyNever
		}
	}
	del := deliver.Delivery{Facts: facts, Spool: spool, Trace: received(conf, base, m)}
	if rcpt.Alias != nil {
		// From was checked when the message was submitted. If only some members get it, the
		// next attempt is for all: a second copy is better than none.
		return l.members.Expand(ctx, deliver.Expansion{Delivery: del, Config: conf, FromAuthentic: true}).Err
	}
	del.Verdict = l.opts.Decide.Decide(ctx, facts)
	if !del.Verdict.Accept {
		return del.Verdict.Err
	}
	_, err = l.opts.Deliver.Deliver(ctx, del)
	return err
}

// lookup returns the account for a recipient.
func (l *Local) lookup(conf *config.Snapshot, p smtp.Path) (config.Recipient, error) {
	r, err := conf.LookupAddress(p)
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, config.ErrDomainDisabled):
		return config.Recipient{}, smtp.Errorf(smtp.C450MailboxUnavailable, smtp.Se21MailboxDisabled, "domain temporarily disabled").WithCause(err)
	case l.opts.Account == "":
		return config.Recipient{}, smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se11BadMailbox, "no such user").WithCause(err)
	}
	return config.Recipient{Account: l.opts.Account}, nil
}

// received returns the Received field for the way through the queue. It is what
// ends a loop.
func received(conf *config.Snapshot, base queuedb.Base, m queuedb.Message) []byte {
	var w message.HeaderWriter
	host := conf.Hostname.XName(base.SMTPUTF8)
	w.Field("Received")
	w.Add("from", host, "by", host, "id", "queue"+strconv.FormatInt(m.ID, 10), "for", "<"+m.Recipient().XString(base.SMTPUTF8)+">;")
	w.AddText(message.FormatDate(time.Now()))
	return w.Bytes()
}

// hangTime is how long an address hangs that simulates a time-out.
const hangTime = time.Hour

// simulate fails if a local-part says so by its end: "temperror" with 451,
// "permerror" with 550, a number from 400 to 599 with that code, and "timeout"
// after an hour without answer. What it begins with tells an SMTP server when to
// fail, and makes no difference here.
func simulate(ctx context.Context, localpart smtp.Localpart) error {
	s := strings.ToLower(string(localpart))
	switch {
	case strings.HasSuffix(s, "temperror"):
		return simulated(smtp.C451LocalError)
	case strings.HasSuffix(s, "permerror"):
		return simulated(smtp.C550MailboxUnavailable)
	case strings.HasSuffix(s, "timeout"):
		timer := time.NewTimer(hangTime)
		defer timer.Stop()
		select {
		case <-timer.C:
			return simulated(smtp.C451LocalError)
		case <-ctx.Done():
			return ctx.Err()
		}
	case len(s) < 3:
		return nil
	}
	if code, err := strconv.ParseUint(s[len(s)-3:], 10, 16); err == nil && code >= 400 && code < 600 {
		return simulated(int(code))
	}
	return nil
}

func simulated(code int) error {
	return smtp.Errorf(code, smtp.Se00Other, "failure simulated as the address asks for")
}
