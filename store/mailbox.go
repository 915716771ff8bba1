package store

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/mjl-/bstore"

	"mox/imap"
)

const (
	// MaxMailboxes is how many mailboxes an account can have.
	MaxMailboxes = 10000
	// MaxSubscriptions is how many names an account can be subscribed to.
	MaxSubscriptions = 20000
)

// Mailbox returns a mailbox as of this change.
func (tx *Tx) Mailbox(id int64) (Mailbox, error) {
	b, err := tx.box(id)
	if err != nil {
		return Mailbox{}, err
	}
	return b.Mailbox, nil
}

// MailboxByName returns the mailbox of a normalised name as of this change.
func (tx *Tx) MailboxByName(name string) (Mailbox, error) {
	b, err := tx.boxByName(name)
	if err != nil {
		return Mailbox{}, err
	}
	return b.Mailbox, nil
}

func (tx *Tx) boxByName(name string) (*box, error) {
	for _, b := range tx.boxes {
		if b.Name == name && !b.removed {
			return b, nil
		}
	}
	if mb, ok := tx.tree.ByName(name); ok && tx.boxes[mb.ID] == nil {
		return tx.box(mb.ID)
	}
	return nil, ErrNoMailbox
}

// Mailboxes returns all mailboxes as of this change, in no order.
func (tx *Tx) Mailboxes() []Mailbox {
	var l []Mailbox
	for _, b := range tx.boxes {
		if !b.removed {
			l = append(l, b.Mailbox)
		}
	}
	for _, mb := range tx.tree.boxes {
		if tx.boxes[mb.ID] == nil {
			l = append(l, *mb)
		}
	}
	return l
}

// CreateMailbox creates a mailbox with a special use, or none, and the parents
// that are missing, and subscribes to them. A special use is taken from the
// mailbox that had it (RFC 6154 §3 leaves that to the server). It returns what
// was created, parents first. Errors: ErrMailboxExists, ErrMailboxName, ErrLimit.
func (tx *Tx) CreateMailbox(name string, use SpecialUse) (created []Mailbox, err error) {
	if name, err = imap.ParseMailboxName(name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMailboxName, err)
	}
	if _, err := tx.boxByName(name); err == nil {
		return nil, ErrMailboxExists
	}
	var parent int64
	levels := strings.Split(name, "/")
	for i := range levels {
		n := strings.Join(levels[:i+1], "/")
		b, err := tx.boxByName(n)
		if errors.Is(err, ErrNoMailbox) {
			if b, err = tx.addMailbox(n, parent); err == nil {
				err = tx.Subscribe(n)
			}
			if err == nil && n == name && use != 0 {
				err = tx.SetSpecialUse(b.ID, use)
			}
			if err == nil {
				created = append(created, b.Mailbox)
			}
		}
		if err != nil {
			return nil, err
		}
		parent = b.ID
	}
	return created, nil
}

// addMailbox inserts one mailbox, without subscribing to it.
func (tx *Tx) addMailbox(name string, parent int64) (*box, error) {
	if len(tx.tree.boxes)+len(tx.boxes) >= MaxMailboxes && len(tx.Mailboxes()) >= MaxMailboxes {
		return nil, fmt.Errorf("%w: %d mailboxes", ErrLimit, MaxMailboxes)
	}
	modseq := tx.next()
	b := &box{Mailbox: Mailbox{ParentID: parent, Name: name, UIDValidity: tx.nextUIDValidity(), UIDNext: 1, ModSeq: modseq, CreateSeq: modseq, RecentUID: 1}, added: true}
	if err := tx.btx.Insert(&b.Mailbox); err != nil {
		return nil, fmt.Errorf("insert mailbox: %w", err)
	}
	tx.boxes[b.ID] = b
	tx.changes = append(tx.changes, Change{Kind: ChangeMailboxAdded, ModSeq: modseq, MailboxID: b.ID, Name: name})
	return b, nil
}

// nextUIDValidity returns a value that no mailbox of the account ever had.
func (tx *Tx) nextUIDValidity() uint32 {
	v := tx.state.NextUIDValidity
	tx.state.NextUIDValidity++
	tx.written = true
	return v
}

// DeleteMailbox removes a mailbox and its messages. Its subscription stays (RFC
// 9051 §6.3.7). Errors: ErrNoMailbox, ErrInbox, ErrHasChildren.
func (tx *Tx) DeleteMailbox(id int64) error {
	b, err := tx.box(id)
	if err != nil {
		return err
	}
	if b.Name == imap.Inbox {
		return ErrInbox
	}
	for _, mb := range tx.Mailboxes() {
		if mb.ParentID == id {
			return ErrHasChildren
		}
	}
	if _, err := tx.Expunge(id, nil, false); err != nil {
		return fmt.Errorf("remove messages: %w", err)
	}
	modseq := tx.next()
	if err := tx.btx.Delete(&Mailbox{ID: id}); err != nil {
		return fmt.Errorf("delete mailbox: %w", err)
	}
	if b.UIDNext > 1 && !isHidden(b.Name) { // There were messages.
		if err := tx.btx.Insert(&formerMailbox{ID: id, Name: b.Name, SpecialUse: b.SpecialUse, Since: tx.now}); err != nil {
			return fmt.Errorf("remember deleted mailbox: %w", err)
		}
	}
	if err := errors.Join(tx.forgetReputation(id), tx.dropAnnotations(id)); err != nil {
		return err
	}
	b.removed = true
	delete(tx.muts, id)
	tx.changes = append(tx.changes, Change{Kind: ChangeMailboxRemoved, ModSeq: modseq, MailboxID: id, Name: b.Name})
	return nil
}

// RenameMailbox renames a mailbox and all below it, creating the parents that are
// missing. Ids, UIDs and UIDVALIDITY stay; subscriptions keep the old names (RFC
// 9051 §6.3.6). Renaming Inbox moves its messages to a new mailbox instead and
// leaves its children alone. Errors: ErrNoMailbox, ErrMailboxExists,
// ErrMailboxName, ErrInbox for renaming to Inbox, ErrLimit.
func (tx *Tx) RenameMailbox(id int64, newName string) error {
	newName, err := imap.ParseMailboxName(newName)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMailboxName, err)
	}
	b, err := tx.box(id)
	if err != nil {
		return err
	}
	if newName == imap.Inbox {
		return ErrInbox
	}
	if _, err := tx.boxByName(newName); err == nil {
		return ErrMailboxExists
	}
	if b.Name == imap.Inbox {
		return tx.renameInbox(id, newName)
	}
	oldName := b.Name
	var tree []*box
	for _, mb := range tx.Mailboxes() {
		if mb.ID == id || strings.HasPrefix(mb.Name, oldName+"/") {
			c, err := tx.box(mb.ID)
			if err != nil {
				return err
			}
			if _, err := imap.ParseMailboxName(newName + c.Name[len(oldName):]); err != nil {
				return fmt.Errorf("%w: %w", ErrMailboxName, err)
			}
			tree = append(tree, c)
		}
	}
	if err := tx.vacate(tree); err != nil {
		return err
	}
	parent, err := tx.ensureParent(newName)
	if err != nil {
		return err
	}
	b.ParentID = parent
	for _, c := range tree {
		old := c.Name[len(vacated):]
		tx.touch(c)
		c.Name = newName + old[len(oldName):]
		tx.changes = append(tx.changes, Change{Kind: ChangeMailboxRenamed, ModSeq: c.ModSeq, MailboxID: c.ID, Name: c.Name, OldName: old})
		if err := tx.btx.Update(&c.Mailbox); err != nil {
			return fmt.Errorf("rename mailbox: %w", err)
		}
	}
	return nil
}

// vacated is in front of names that vacate gives.
const vacated = "//"

// vacate gives mailboxes that are about to be renamed names that no mailbox can
// have, so that for "a" to "a/b" a new "a" can be made first, and names stay
// unique at each step.
func (tx *Tx) vacate(tree []*box) error {
	for _, c := range tree {
		c.Name = vacated + c.Name
		if err := tx.btx.Update(&c.Mailbox); err != nil {
			return fmt.Errorf("rename mailbox: %w", err)
		}
	}
	return nil
}

// ensureParent returns the id of the parent of a name, creating parents, zero for
// a name at the top.
func (tx *Tx) ensureParent(name string) (int64, error) {
	parent := imap.MailboxParent(name)
	if parent == "" {
		return 0, nil
	}
	b, err := tx.boxByName(parent)
	if err == nil {
		return b.ID, nil
	}
	created, err := tx.CreateMailbox(parent, 0)
	if err != nil {
		return 0, fmt.Errorf("create parent mailbox: %w", err)
	}
	return created[len(created)-1].ID, nil
}

func (tx *Tx) renameInbox(id int64, newName string) error {
	parent, err := tx.ensureParent(newName)
	if err != nil {
		return err
	}
	dst, err := tx.addMailbox(newName, parent)
	if err != nil {
		return err
	}
	if err := tx.copyAnnotations(id, dst.ID); err != nil { // RFC 5464 §4.1
		return err
	}
	uids, err := tx.allUIDs(id)
	if err != nil {
		return err
	}
	_, err = tx.Move(id, uids, dst.ID)
	return err
}

// SetSpecialUse sets the special uses of a mailbox, and takes them from others.
func (tx *Tx) SetSpecialUse(id int64, use SpecialUse) error {
	b, err := tx.box(id)
	if err != nil {
		return err
	}
	if use != 0 {
		for _, mb := range tx.Mailboxes() {
			if mb.ID == id || mb.SpecialUse&use == 0 {
				continue
			}
			o, err := tx.box(mb.ID)
			if err != nil {
				return err
			}
			tx.setUse(o, o.SpecialUse&^use)
		}
	}
	if b.SpecialUse != use {
		tx.setUse(b, use)
	}
	return nil
}

func (tx *Tx) setUse(b *box, use SpecialUse) {
	b.SpecialUse = use
	tx.touch(b)
	tx.changes = append(tx.changes, Change{Kind: ChangeSpecialUse, ModSeq: b.ModSeq, MailboxID: b.ID, Name: b.Name})
}

// BumpUIDValidity gives a mailbox a new UIDVALIDITY, after which clients fetch it
// anew.
func (tx *Tx) BumpUIDValidity(id int64) error {
	b, err := tx.box(id)
	if err != nil {
		return err
	}
	b.UIDValidity = tx.nextUIDValidity()
	tx.touch(b)
	return nil
}

// takeUIDs hands out n consecutive UIDs and returns the first.
func (tx *Tx) takeUIDs(b *box, n int) (uint32, error) {
	if uint64(b.UIDNext)+uint64(n) > math.MaxUint32 {
		return 0, fmt.Errorf("%w: uids of mailbox are used up, give it a new uidvalidity", ErrLimit)
	}
	first := b.UIDNext
	b.UIDNext += uint32(n)
	return first, nil
}

// addKeywords adds to the keywords ever used in a mailbox.
func (tx *Tx) addKeywords(b *box, kw []string) error {
	l := mergeKeywords(b.Keywords, kw)
	if len(l) > imap.MaxMailboxKeywords {
		return fmt.Errorf("%w: %d different keywords in a mailbox", ErrLimit, imap.MaxMailboxKeywords)
	}
	b.Keywords = l
	return nil
}

// Subscribe subscribes to a name, whether or not the mailbox exists (RFC 9051
// §6.3.7). Errors: ErrMailboxName, ErrLimit.
func (tx *Tx) Subscribe(name string) error {
	name, err := imap.ParseMailboxName(name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMailboxName, err)
	}
	if tx.subscribed(name) {
		return nil
	}
	if len(tx.tree.shape.subs)+len(tx.subs) >= MaxSubscriptions {
		return fmt.Errorf("%w: %d subscriptions", ErrLimit, MaxSubscriptions)
	}
	if err := tx.btx.Insert(&subscription{name}); err != nil {
		return fmt.Errorf("insert subscription: %w", err)
	}
	tx.subs[name] = true
	tx.changes = append(tx.changes, Change{Kind: ChangeSubscribed, ModSeq: tx.next(), Name: name})
	return nil
}

// Unsubscribe ends a subscription. The error is ErrNotSubscribed for a name that
// is neither subscribed to nor a mailbox.
func (tx *Tx) Unsubscribe(name string) error {
	name = imap.CanonicalInbox(name)
	if !tx.subscribed(name) {
		if _, err := tx.boxByName(name); err == nil {
			return nil
		}
		return ErrNotSubscribed
	}
	if err := tx.btx.Delete(&subscription{name}); err != nil && !errors.Is(err, bstore.ErrAbsent) {
		return fmt.Errorf("delete subscription: %w", err)
	}
	tx.subs[name] = false
	tx.changes = append(tx.changes, Change{Kind: ChangeUnsubscribed, ModSeq: tx.next(), Name: name})
	return nil
}

func (tx *Tx) subscribed(name string) bool {
	on, changed := tx.subs[name]
	return on || !changed && tx.tree.Subscribed(name)
}
