package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"mox/imap"
	"mox/message"
	"mox/mlog"
	"mox/store"
)

// Copies of messages that were refused, in the mailbox that the account has for them.
// They are a service to the user: whatever goes wrong with them does not change what
// the sender is told.

const (
	// rejectsAge is how long a copy stays.
	rejectsAge = 14 * 24 * time.Hour
	// maxRejects is how many copies there are at most.
	maxRejects = 1000
)

// KeepRejected stores a copy of a message that was refused for a recipient, if the
// verdict and the account want one, and reports whether it did. A message that comes
// again, as servers try again after a temporary error, is there once.
func (d *Deliverer) KeepRejected(ctx context.Context, del Delivery) bool {
	mailbox, keep := d.rejects(del.Recipient.Account)
	if mailbox == "" || !del.Verdict.KeepCopy || del.Digest == nil {
		return false
	}
	kept, err := d.keepRejected(ctx, del, mailbox, keep)
	if err != nil {
		level := slog.LevelError
		if errors.Is(err, store.ErrOverQuota) || errors.Is(err, store.ErrNoSpace) {
			level = slog.LevelInfo
		}
		d.log.Log(ctx, level, "keeping copy of refused message", mlog.Err(err), slog.String("account", del.Recipient.Account))
	}
	return kept
}

// rejects returns the mailbox for copies of an account, empty for none, and whether
// they stay.
func (d *Deliverer) rejects(account string) (mailbox string, keep bool) {
	if d.conf == nil {
		return "", false
	}
	acc, _ := d.conf.Snapshot().Account(account)
	return acc.RejectsMailbox, acc.KeepRejects
}

func (d *Deliverer) keepRejected(ctx context.Context, del Delivery, mailbox string, keep bool) (bool, error) {
	acc, err := d.store.Ensure(ctx, del.Recipient.Account)
	if err != nil {
		return false, fmt.Errorf("open account: %w", err)
	}
	defer acc.Release()
	if !keep {
		if full, err := pruneRejects(ctx, acc, mailbox, time.Now().Add(-rejectsAge)); err != nil || full {
			return false, err
		}
	}
	if uids, _, err := findRejected(ctx, acc, mailbox, 0, del.Digest); err != nil || len(uids) > 0 {
		return false, err
	}
	o := origin(del)
	o.IsReject = true
	msgs, err := acc.Append(ctx, store.NewMessage{
		Mailbox:  mailbox,
		Create:   true,
		Spool:    del.Spool,
		Prefix:   prefix(del),
		Flags:    imap.FlagSeen,
		Received: del.Received,
		Origin:   o,
		Destined: del.Verdict.Destined,
		Digest:   del.Digest,
	})
	if err != nil {
		return false, fmt.Errorf("append: %w", err)
	}
	d.traceKept(ctx, del, mailbox, msgs[0])
	return true, nil
}

// pruneRejects removes copies from before a time, and reports whether there are still
// too many.
func pruneRejects(ctx context.Context, acc *store.Account, mailbox string, before time.Time) (full bool, err error) {
	mb, ok := acc.Tree().ByName(mailbox)
	if !ok || mb.Messages == 0 {
		return false, nil
	}
	ix, err := acc.Index(ctx, mb.ID)
	if err != nil {
		return false, fmt.Errorf("read copies: %w", err)
	}
	var old []uint32
	for i := range ix.Len() {
		if e := ix.At(i); e.Received().Before(before) {
			old = append(old, e.UID)
		}
	}
	if err := expunge(ctx, acc, mb.ID, old); err != nil {
		return false, err
	}
	return ix.Len()-len(old) >= maxRejects, nil
}

func expunge(ctx context.Context, acc *store.Account, mailboxID int64, uids []uint32) error {
	if len(uids) == 0 {
		return nil
	}
	err := acc.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Expunge(mailboxID, uids, false)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove copies: %w", err)
	}
	return nil
}

// findRejected returns the copies of a message: those with its Message-ID, or if it
// has none, with the same fields and preview. If a thread is given, only copies in it
// are looked at.
func findRejected(ctx context.Context, acc *store.Account, mailbox string, threadID int64, d message.Digest) (uids []uint32, mailboxID int64, err error) {
	mb, ok := acc.Tree().ByName(mailbox)
	if !ok || mb.Messages == 0 {
		return nil, 0, nil
	}
	ix, err := acc.Index(ctx, mb.ID)
	if err != nil {
		return nil, 0, fmt.Errorf("read copies: %w", err)
	}
	var ids []int64
	var candidates []uint32
	for i := range ix.Len() {
		if e := ix.At(i); threadID == 0 || e.ThreadID == threadID {
			ids, candidates = append(ids, e.ContentID), append(candidates, e.UID)
		}
	}
	id := d.MessageID()
	err = acc.Digests(ctx, ids, func(i int, copied message.Digest) error {
		same := bytes.Equal(copied.MessageID(), id)
		if len(id) == 0 {
			same = same && bytes.HasSuffix(copied.Fields(), d.Fields()) && bytes.Equal(copied.Preview(), d.Preview())
		}
		if same {
			uids = append(uids, candidates[i])
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read copies: %w", err)
	}
	return uids, mb.ID, nil
}

// forgetRejected removes the copies of a message that has now been accepted. They are
// in its thread, because they have its Message-ID.
func (d *Deliverer) forgetRejected(ctx context.Context, acc *store.Account, del Delivery, m store.Message) {
	mailbox, _ := d.rejects(del.Recipient.Account)
	if mailbox == "" || mailbox == del.Verdict.Mailbox || m.ThreadID == m.ContentID {
		return
	}
	uids, mailboxID, err := findRejected(ctx, acc, mailbox, m.ThreadID, del.Digest)
	if err == nil {
		err = expunge(ctx, acc, mailboxID, uids)
	}
	if err != nil {
		d.log.ErrorContext(ctx, "removing copies of a message that was refused before", mlog.Err(err), slog.String("account", del.Recipient.Account))
	}
}
