package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"mox/config"
	"mox/dsn"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/safefile"
	"mox/internal/submit"
	"mox/message"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
)

// notify tells the sender of a failed message, or of one that was delivered and for
// which that was not possible then, or after a while the postmaster. Then the message
// leaves the queue. If it is not possible now, it is tried again later.
func (q *Queue) notify(ctx context.Context, job queuedb.Job) []queuedb.Outcome {
	m := job.Messages[0]
	outcomes := []queuedb.Outcome{{ID: m.ID, Fate: queuedb.Drop, Retain: q.opts.Retain(m.Account)}}
	n := notice{base: job.Base, m: m, success: dsn.Action(m.Success), postmaster: m.Notices >= postmasterNotice}
	wanted := smtp.NotifyFailure
	if n.success != "" {
		wanted = smtp.NotifySuccess
	}
	if m.Sender().IsZero() || !m.WantsNotice(wanted) {
		return outcomes
	}
	err := q.tell(ctx, n)
	switch {
	case err == nil:
	case int(m.Notices) < maxNotices:
		q.log.ErrorContext(ctx, "telling sender of message, will try again", mlog.Err(err), slog.Int64("msgid", m.ID), slog.Time("nextattempt", m.NextAttempt))
		return nil // NextAttempt was moved when the job was claimed.
	default:
		q.log.ErrorContext(ctx, "giving up telling sender of message", mlog.Err(err), slog.Int64("msgid", m.ID),
			slog.String("account", m.Account), slog.Any("mailfrom", m.Sender()), slog.Any("rcptto", m.Recipient()))
	}
	return outcomes
}

// notice is what a sender is told of a message. Unless it says something else, the
// message has failed.
type notice struct {
	base       queuedb.Base
	m          queuedb.Message
	delayed    bool
	success    dsn.Action // Delivered, relayed or expanded, if not empty.
	postmaster bool       // Tell the postmaster instead.
	schedule   Schedule   // Set by tell.
}

// failed reports whether the notice is about a failure.
func (n notice) failed() bool { return !n.delayed && n.success == "" }

// tell stores a notification in the Inbox of the sender's account, or of the
// postmaster if the account is gone.
func (q *Queue) tell(ctx context.Context, n notice) error {
	conf := q.opts.Config.Snapshot()
	rcpt := config.Recipient{Account: n.m.Account}
	mailbox := inbound.DefaultMailbox
	if _, ok := conf.Account(n.m.Account); !ok || n.postmaster {
		rcpt = conf.Postmaster()
		mailbox = rcpt.Destination.Mailbox
	}
	original, content, err := q.original(n)
	if err != nil {
		return fmt.Errorf("read original message: %w", err)
	}
	n.schedule = q.opts.Schedule
	if to, ok := q.elsewhere(n); ok {
		return q.tellElsewhere(ctx, n, n.message(conf, to, original, content, time.Now()))
	}
	text, err := n.compose(conf, original, content, time.Now())
	if err != nil {
		return fmt.Errorf("compose notification: %w", err)
	}
	err = q.deliverNotice(ctx, rcpt, mailbox, n.m.Sender(), n.base.SMTPUTF8, text)
	if err != nil {
		return err
	}
	q.traceNotice(ctx, n, rcpt.Account, mailbox)
	q.log.InfoContext(ctx, "sender was notified", slog.Int64("msgid", n.m.ID), slog.String("account", rcpt.Account),
		slog.Any("mailfrom", n.m.Sender()), slog.Any("rcptto", n.m.Recipient()), slog.String("action", string(n.action())))
	return nil
}

// elsewhere returns the sender to tell, and whether it is one elsewhere, or in another
// account, whose message was forwarded: what became of it matters to them.
func (q *Queue) elsewhere(n notice) (smtp.Path, bool) {
	if q.opts.Notify == nil || n.postmaster {
		return smtp.Path{}, false
	}
	to, err := q.opts.Notify.BounceTo(n.m.Sender())
	if err == nil {
		return to.Path(), true
	}
	return n.m.Sender(), submit.ForwardedFrom(n.base) == n.m.Sender().XString(true)
}

// tellElsewhere sends a notification.
func (q *Queue) tellElsewhere(ctx context.Context, n notice, m dsn.Message) error {
	if err := q.opts.Notify.Notify(ctx, m, n.base.SMTPUTF8); err != nil {
		return fmt.Errorf("send notification: %w", err)
	}
	q.traceNotice(ctx, n, "", "")
	q.log.InfoContext(ctx, "sender of forwarded message was notified", slog.Int64("msgid", n.m.ID), slog.String("account", n.m.Account),
		slog.Any("mailfrom", m.To), slog.Any("rcptto", n.m.Recipient()), slog.String("action", string(n.action())))
	return nil
}

// deliverNotice stores a message of the queue itself.
func (q *Queue) deliverNotice(ctx context.Context, rcpt config.Recipient, mailbox string, to smtp.Path, utf8 bool, text []byte) error {
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: q.opts.TempDir, FS: q.opts.FS})
	defer spool.Close() // A file that stays is removed at the next start.
	if _, err := spool.Write(text); err != nil {
		return fmt.Errorf("write notification: %w", err)
	}
	digest, err := message.NewDigest(spool, spool.Size(), message.Limits{})
	if err != nil {
		return fmt.Errorf("parse notification: %w", err)
	}
	_, err = q.opts.Deliver.Deliver(ctx, deliver.Delivery{
		Facts: inbound.Facts{
			Rcpt:      to,
			Recipient: rcpt,
			SMTPUTF8:  utf8,
			Digest:    digest,
			Size:      spool.Size(),
		},
		Verdict: inbound.Verdict{Accept: true, Mailbox: mailbox},
		Spool:   spool,
		Notice:  true,
	})
	if err != nil {
		return fmt.Errorf("deliver notification: %w", err)
	}
	return nil
}

// original returns the header section of a message, cut at its limit, and the whole
// message if the notice is to return that, otherwise nil. They are empty if the
// content is lost.
func (q *Queue) original(n notice) (header, content []byte, err error) {
	c, err := q.db.OpenContent(n.base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	defer c.Close() // Only read.
	h, err := message.ReadHeader(c, c.Size(), message.Limits{Header: maxOriginalHeader})
	if err != nil || smtp.Ret(n.base.Ret) != smtp.RetFull || !n.failed() || c.Size() > maxOriginal {
		return h.Raw, nil, err
	}
	content, err = io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	return h.Raw, content, err
}

const (
	// maxOriginalHeader is how much of the header of a message its notification
	// returns, in octets.
	maxOriginalHeader = 64 << 10

	// maxOriginal is the size in octets of the largest message that is returned as a
	// whole, to senders who asked for that.
	maxOriginal = 1 << 20
)
