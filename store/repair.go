package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mjl-/bstore"
)

// RepairKind is what Repair does.
type RepairKind string

// The names are those of commands.
const (
	RepairCounts      RepairKind = "recalculatemailboxcounts" // Counts of mailboxes and sums of the account.
	RepairSizes       RepairKind = "fixmsgsize"               // Sizes of messages, from their files.
	RepairParsed      RepairKind = "ensureparsed"             // What was parsed of messages, where that cannot be used.
	RepairReparse     RepairKind = "reparse"                  // What was parsed of all messages.
	RepairUIDMeta     RepairKind = "fixuidmeta"               // UIDNEXT and the next UIDVALIDITY, if they are too low.
	RepairUIDs        RepairKind = "reassignuids"             // UIDs, from 1 on.
	RepairUIDValidity RepairKind = "bumpuidvalidity"          // UIDVALIDITY.
	RepairThreads     RepairKind = "reassignthreads"          // Threads.
)

// Repair changes records of an account that are damaged, or that clients should see anew,
// and returns what it did, as text. Mailbox is the name of the only mailbox that is meant,
// empty for all; it is for UIDs and UIDVALIDITY.
//
// What changes UIDs or threads is done while nobody else has the account: its sessions end,
// and mail is refused for the time being. All else is done while it is in use.
func (s *Store) Repair(ctx context.Context, account string, kind RepairKind, mailbox string) (result string, rerr error) {
	repair, apart := (*Account).recount, false
	switch kind {
	case RepairCounts:
	case RepairSizes, RepairParsed, RepairReparse:
		repair = func(a *Account, ctx context.Context) (string, error) { return a.reparse(ctx, kind) }
	case RepairUIDMeta:
		repair, apart = (*Account).fixUIDMeta, true
	case RepairUIDs:
		repair, apart = func(a *Account, ctx context.Context) (string, error) {
			return a.eachMailbox(mailbox, func(mb Mailbox) error { return a.reassignUIDs(ctx, mb) }, "uids of %d mailboxes reassigned")
		}, true
	case RepairUIDValidity:
		repair, apart = func(a *Account, ctx context.Context) (string, error) {
			return a.eachMailbox(mailbox, func(mb Mailbox) error {
				return a.Update(ctx, func(tx *Tx) error { return tx.BumpUIDValidity(mb.ID) })
			}, "%d mailboxes have a new uidvalidity")
		}, true
	case RepairThreads:
		repair, apart = (*Account).reassignThreads, true
	default:
		return "", fmt.Errorf("unknown repair %q", kind)
	}
	if !apart {
		a, err := s.Account(ctx, account)
		if err != nil {
			return "", err
		}
		defer a.Release()
		return repair(a, ctx)
	}
	t, err := s.Take(ctx, account)
	if err != nil {
		return "", err
	}
	defer func() {
		if err := t.Release(); rerr == nil {
			rerr = err
		}
	}()
	a, err := t.Open(ctx)
	if err != nil {
		return "", err
	}
	// Records were changed that an index in memory may not know of: none may be kept.
	defer a.store.cache.dropAccount(a)
	return repair(a, ctx)
}

// OnDisk returns the names of the accounts that have data.
func (s *Store) OnDisk() (names []string, err error) {
	l, err := filepath.Glob(filepath.Join(s.opts.Dir, "accounts", "*", dbName))
	for _, path := range l {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			names = append(names, filepath.Base(filepath.Dir(path)))
		}
	}
	return names, err
}

// eachMailbox calls fn for the mailbox of a name, or for all, also hidden ones.
func (a *Account) eachMailbox(name string, fn func(Mailbox) error, result string) (string, error) {
	n := 0
	for _, mb := range a.Tree().boxes {
		if name != "" && name != mb.Name {
			continue
		}
		if err := fn(*mb); err != nil {
			return "", fmt.Errorf("mailbox %q: %w", mb.Name, err)
		}
		n++
	}
	if n == 0 {
		return "", ErrNoMailbox
	}
	return fmt.Sprintf(result, n), nil
}

// recount makes counts and sums those that the records make.
func (a *Account) recount(ctx context.Context) (result string, err error) {
	boxes, sums := 0, false
	err = a.Update(ctx, func(tx *Tx) error {
		v := newVerifier(a)
		for _, step := range []func(*bstore.Tx) error{v.readState, v.mailboxes, v.messages, v.tombstones, v.annotations, v.readErases} {
			if err := step(tx.btx); err != nil {
				return err
			}
		}
		for id, c := range v.counted {
			b, err := tx.box(id)
			if err != nil {
				return err
			}
			if b.Counts != *c {
				b.Counts = *c
				tx.touch(b)
				boxes++
			}
		}
		want := v.wantState()
		if sums = want != v.state; sums {
			tx.written = true
			tx.state.Messages, tx.state.Size, tx.state.EraseSize, tx.state.Tombstones = want.Messages, want.Size, want.EraseSize, want.Tombstones
			tx.state.Annotations, tx.state.AnnotationBytes = want.Annotations, want.AnnotationBytes
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	result = fmt.Sprintf("counts of %d mailboxes corrected", boxes)
	if sums {
		result += ", and sums of the account"
	}
	return result, nil
}

// fixUIDMeta raises UIDNEXT above all UIDs of a mailbox that are used or were, and the next
// UIDVALIDITY above all that mailboxes have.
func (a *Account) fixUIDMeta(ctx context.Context) (result string, err error) {
	next, validity := 0, false
	err = a.Update(ctx, func(tx *Tx) error {
		highest := map[int64]uint32{}
		if err := bstore.QueryTx[Message](tx.btx).ForEach(func(m Message) error {
			highest[m.MailboxID] = max(highest[m.MailboxID], m.UID)
			return nil
		}); err != nil {
			return err
		}
		if err := eachTombstone(tx.btx, func(t tombstone) error {
			if t.ModSeq > 0 {
				highest[t.MailboxID] = max(highest[t.MailboxID], t.UID)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, mb := range tx.tree.boxes {
			if mb.UIDNext <= highest[mb.ID] {
				b, err := tx.box(mb.ID)
				if err != nil {
					return err
				}
				b.UIDNext = highest[mb.ID] + 1
				tx.touch(b)
				next++
			}
			if tx.state.NextUIDValidity <= mb.UIDValidity {
				tx.state.NextUIDValidity = mb.UIDValidity + 1
				tx.written, validity = true, true
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	result = fmt.Sprintf("uidnext of %d mailboxes corrected", next)
	if validity {
		result += ", and the next uidvalidity"
	}
	return result, nil
}

// reassignUIDs numbers the messages of a mailbox from 1 on, in order, some in a commit. The
// first of these gives it a new UIDVALIDITY. Nobody else has the account.
func (a *Account) reassignUIDs(ctx context.Context, mb Mailbox) error {
	var after, uid uint32
	for first, more := true, true; more; first = false {
		err := a.Update(ctx, func(tx *Tx) error {
			b, err := tx.box(mb.ID)
			if err != nil {
				return err
			}
			if first {
				b.UIDValidity, b.RecentUID = tx.nextUIDValidity(), 1
				if err := tx.forgetHistory(mb.ID); err != nil {
					return err
				}
			}
			tx.touch(b)
			l, err := bstore.QueryTx[Message](tx.btx).FilterNonzero(Message{MailboxID: mb.ID}).FilterGreater("UID", after).SortAsc("UID").Limit(loadBatch).List()
			if err != nil {
				return err
			}
			for i := range l {
				m := &l[i]
				uid++ // At most that of the message, and that of no other one any more.
				after = m.UID
				m.UID, m.ModSeq = uid, tx.next()
				if err := tx.btx.Update(m); err != nil {
					return err
				}
			}
			if more = len(l) == loadBatch; !more {
				b.UIDNext = uid + 1
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetHistory removes the tombstones of a mailbox, but for what can be undeleted.
func (tx *Tx) forgetHistory(mailboxID int64) error {
	if err := tx.unpackAllTombstones(mailboxID); err != nil {
		return err
	}
	l, err := bstore.QueryTx[tombstone](tx.btx).FilterNonzero(tombstone{MailboxID: mailboxID}).FilterGreater("ModSeq", ModSeq(0)).List()
	if err != nil {
		return err
	}
	for i := range l {
		t := &l[i]
		tx.state.Tombstones--
		if t.ContentID == 0 {
			err = tx.btx.Delete(t)
		} else {
			t.ModSeq = 0
			err = tx.btx.Update(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
