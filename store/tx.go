package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
)

// Tx is a change to an account in the making. Its verbs are spread over files by
// noun. Everything in one Tx has one modseq. A Tx is only valid during the call
// it is passed to, and not safe for concurrent use.
type Tx struct {
	a     *Account
	btx   *bstore.Tx
	now   time.Time
	tree  *Tree // Before the change.
	state state // After it.

	boxes   map[int64]*box
	muts    map[int64][]mutation // By mailbox.
	subs    map[string]bool      // Changed subscriptions: true added, false removed.
	changes []Change
	written bool // Something changed that needs a commit.

	reputations map[string]*reputation // Changed, by key.
	lessons     bool                   // There are new ones.
	contents    bool                   // Some were added or erased.
	erased      bool                   // Some were erased.
}

// box is a mailbox as changed by a Tx.
type box struct {
	Mailbox
	added, removed, dirty bool
}

// Update calls fn with a transaction. When fn returns an error, nothing has
// changed. When Update returns nil, the change is on stable storage and has been
// published to sessions. Inside fn, only tx may be used to read what the account
// holds. Update returns ErrReadOnly after a disk failure, ErrNoSpace when the
// disk is full, else the error of fn.
func (a *Account) Update(ctx context.Context, fn func(tx *Tx) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.updateLocked(ctx, fn)
}

// updateLocked is Update for callers that hold mu.
func (a *Account) updateLocked(ctx context.Context, fn func(tx *Tx) error) error {
	if a.closed {
		return ErrClosed
	} else if a.failed != nil {
		return ErrReadOnly
	}
	a.dbmu.RLock()
	defer a.dbmu.RUnlock()
	if a.db == nil {
		return ErrClosed
	}
	btx, err := a.db.Begin(ctx, true)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	t := a.Tree()
	tx := &Tx{a: a, btx: btx, now: a.store.opts.Now(), tree: t, state: t.state, boxes: map[int64]*box{}, muts: map[int64][]mutation{}, subs: map[string]bool{}}
	if err := fn(tx); err != nil {
		return errors.Join(err, btx.Rollback())
	}
	reserve := a.ids.runningOut()
	if !tx.written && !reserve {
		return btx.Rollback()
	}
	if err := tx.flush(reserve); err != nil {
		return errors.Join(fmt.Errorf("write mailboxes: %w", err), btx.Rollback())
	}
	if err := btx.Commit(); err != nil {
		a.fail(err)
		if safefile.IsNoSpace(err) {
			return fmt.Errorf("%w: %w: %w", ErrNoSpace, errCommit, err)
		}
		return fmt.Errorf("%w: %w: %w", ErrReadOnly, errCommit, err)
	}
	a.publish(tx)
	return nil
}

// errCommit marks a failed commit: whether it happened is not known until the
// account has been reopened, so files it names must stay.
var errCommit = errors.New("commit")

// flush writes the records that a Tx keeps in memory: changed mailboxes and the
// state.
func (tx *Tx) flush(reserve bool) error {
	for _, id := range tx.dirtyBoxes() {
		if b := tx.boxes[id]; !b.removed {
			if err := tx.btx.Update(&b.Mailbox); err != nil {
				return fmt.Errorf("mailbox %q: %w", b.Name, err)
			}
		}
	}
	if err := errors.Join(tx.pruneTombstones(), tx.flushReputations()); err != nil {
		return err
	}
	tx.state.ContentLow = tx.a.ids.low()
	if reserve {
		tx.state.ContentHigh += idBlock
	}
	if err := tx.btx.Update(&tx.state); err != nil {
		return fmt.Errorf("account state: %w", err)
	}
	return nil
}

func (tx *Tx) dirtyBoxes() []int64 {
	var l []int64
	for id, b := range tx.boxes {
		if b.dirty || b.added || b.removed {
			l = append(l, id)
		}
	}
	slices.Sort(l)
	return l
}

// next returns the modseq of this change.
func (tx *Tx) next() ModSeq {
	if tx.state.ModSeq == tx.tree.state.ModSeq {
		tx.state.ModSeq++
	}
	tx.written = true
	return tx.state.ModSeq
}

// box returns a mailbox for changing. What it returns is written at commit if
// touch was called.
func (tx *Tx) box(id int64) (*box, error) {
	if b, ok := tx.boxes[id]; ok {
		if b.removed {
			return nil, ErrNoMailbox
		}
		return b, nil
	}
	mb, ok := tx.tree.ByID(id)
	if !ok {
		return nil, ErrNoMailbox
	}
	b := &box{Mailbox: mb}
	tx.boxes[id] = b
	return b, nil
}

// touch marks a mailbox as changed by this Tx.
func (tx *Tx) touch(b *box) {
	b.ModSeq = tx.next()
	b.dirty = true
}

// messageSet records the new state of a message for the index and for sessions.
func (tx *Tx) messageSet(m *Message) {
	tx.muts[m.MailboxID] = append(tx.muts[m.MailboxID], mutationOf(m))
}

// messageGone is messageSet for a message that left its mailbox.
func (tx *Tx) messageGone(mailboxID int64, uid uint32) {
	tx.muts[mailboxID] = append(tx.muts[mailboxID], mutation{uid: uid, removed: true})
}

// publish makes a committed change visible: first the indexes, so that who reads the
// tree before an index finds in that all that the tree has, then the tree, then the
// changes to sessions. The caller holds mu, which orders them.
func (a *Account) publish(tx *Tx) {
	a.ids.reserved(tx.state.ContentHigh)
	t := tx.newTree()
	c := a.store.cache
	c.mu.Lock()
	a.forgetFiles(tx)
	for id, s := range a.slots {
		mb, ok := t.ByID(id)
		if !ok {
			if s.latest != nil {
				c.dropSlot(s)
			}
			continue
		}
		muts := tx.muts[id]
		switch {
		case len(muts) == 0:
		case s.latest == nil:
			s.pending = append(s.pending, muts...)
		default:
			s.latest = s.latest.apply(&mb, t.ModSeq, muts)
			c.keep(s)
		}
	}
	c.mu.Unlock()
	a.tree.Store(t)
	for _, id := range tx.dirtyBoxes() {
		if b := tx.boxes[id]; b.dirty && !b.removed {
			tx.changes = append(tx.changes, Change{Kind: ChangeMessages, ModSeq: t.ModSeq, MailboxID: id, Name: b.Name})
		}
	}
	a.sessions.publish(slices.DeleteFunc(tx.changes, func(c Change) bool { return isHidden(c.Name) }))
	if fn := a.store.opts.Lessons; fn != nil && tx.lessons {
		fn(a.name)
	}
	if fn := a.store.opts.Contents; fn != nil && tx.contents {
		fn(a.name, tx.erased)
	}
}

// newTree returns the tree after the change.
func (tx *Tx) newTree() *Tree {
	reshape := len(tx.subs) > 0
	for _, b := range tx.boxes {
		reshape = reshape || b.added || b.removed || b.dirty && tx.tree.boxes[tx.tree.shape.byID[b.ID]].Name != b.Name
	}
	if !reshape {
		boxes := slices.Clone(tx.tree.boxes)
		for id, b := range tx.boxes {
			if b.dirty {
				boxes[tx.tree.shape.byID[id]] = &b.Mailbox
			}
		}
		return &Tree{ModSeq: tx.state.ModSeq, shape: tx.tree.shape, boxes: boxes, state: tx.state}
	}
	var boxes []*Mailbox
	for _, mb := range tx.tree.boxes {
		if b, ok := tx.boxes[mb.ID]; !ok {
			boxes = append(boxes, mb)
		} else if !b.removed {
			boxes = append(boxes, &b.Mailbox)
		}
	}
	for _, b := range tx.boxes {
		if b.added && !b.removed {
			boxes = append(boxes, &b.Mailbox)
		}
	}
	return newTree(tx.state, boxes, tx.subscriptions())
}

// subscriptions returns the subscribed names after the change.
func (tx *Tx) subscriptions() []string {
	l := slices.DeleteFunc(slices.Clone(tx.tree.shape.subs), func(n string) bool { _, changed := tx.subs[n]; return changed })
	for n, on := range tx.subs {
		if on {
			l = append(l, n)
		}
	}
	return l
}
