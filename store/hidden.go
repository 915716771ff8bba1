package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/mjl-/bstore"

	"mox/imap"
)

// A hidden mailbox holds messages of an import that is not complete. Its name is one
// that no mailbox can have: it is in no list, is found by id only, and nobody is told of
// it. Its messages count for quota.

// isHidden reports whether a name is that of a hidden mailbox.
func isHidden(name string) bool { return strings.HasPrefix(name, vacated) }

// CreateHidden makes a hidden mailbox.
func (tx *Tx) CreateHidden() (Mailbox, error) {
	// A UIDVALIDITY is never used twice in an account, so neither is the name.
	b, err := tx.addMailbox(vacated+strconv.FormatUint(uint64(tx.state.NextUIDValidity), 10), 0)
	if err != nil {
		return Mailbox{}, err
	}
	return b.Mailbox, nil
}

// Reveal gives a hidden mailbox a name, with which it becomes a mailbox like others, and
// subscribes to it. Parents that are missing are created. Errors: ErrNoMailbox,
// ErrMailboxExists, ErrMailboxName, ErrLimit.
func (tx *Tx) Reveal(id int64, name string) error {
	name, err := imap.ParseMailboxName(name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMailboxName, err)
	}
	b, err := tx.box(id)
	if err != nil || !isHidden(b.Name) {
		return ErrNoMailbox
	}
	if _, err := tx.boxByName(name); err == nil {
		return ErrMailboxExists
	}
	if b.ParentID, err = tx.ensureParent(name); err != nil {
		return err
	}
	b.Name, b.UIDValidity = name, tx.nextUIDValidity() // Others may have had the name meanwhile.
	tx.touch(b)
	tx.changes = append(tx.changes, Change{Kind: ChangeMailboxAdded, ModSeq: b.ModSeq, MailboxID: id, Name: name})
	if err := tx.btx.Update(&b.Mailbox); err != nil {
		return fmt.Errorf("name mailbox: %w", err)
	}
	return tx.Subscribe(name)
}

// DiscardHidden removes a hidden mailbox with its messages and their files, some at a
// time. The error is ErrNoMailbox if there is none.
func (a *Account) DiscardHidden(ctx context.Context, id int64) error {
	for done := false; !done; {
		err := a.Update(ctx, func(tx *Tx) error {
			b, err := tx.box(id)
			if err != nil || !isHidden(b.Name) {
				return ErrNoMailbox
			}
			l, err := bstore.QueryTx[Message](tx.btx).FilterNonzero(Message{MailboxID: id}).Limit(sweepBatch).List()
			if err != nil {
				return fmt.Errorf("read messages: %w", err)
			}
			for i := range l {
				if err := tx.discard(b, &l[i]); err != nil {
					return err
				}
			}
			if done = len(l) == 0; done {
				return tx.DeleteMailbox(id)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := a.removeGone(ctx, a.Update); err != nil {
			return err
		}
	}
	return nil
}

// discard removes a message that nobody has seen: no tombstone is left, and it is not
// kept for undelete.
func (tx *Tx) discard(b *box, m *Message) error {
	if err := tx.btx.Delete(&Message{ID: m.ID}); err != nil {
		return fmt.Errorf("delete message: %w", err)
	}
	b.Counts.count(m.Flags, m.Size, -1)
	tx.touch(b)
	tx.messageGone(b.ID, m.UID)
	tx.state.Messages--
	tx.state.Size -= m.Size
	last, err := tx.dropContent(m.ContentID, m.Size, m.ThreadID, false)
	if err != nil || !last {
		return err
	}
	e := erase{ContentID: m.ContentID}
	if err := errors.Join(tx.unjudge(m), tx.btx.Get(&e)); err != nil {
		return err
	}
	return tx.forget(&e)
}
