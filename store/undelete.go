package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/imap"
	"mox/internal/metrics"
	"mox/message"
)

// maxFormerMailboxes is how many deleted mailboxes are remembered.
const maxFormerMailboxes = MaxMailboxes

var (
	metricErasableBytes = metrics.NewGauge("mox_store_undelete_bytes",
		"Octets of messages that were expunged and can still be undeleted, as of the last time old ones were erased, of the accounts that were open since the start.")
	metricErasableMessages = metrics.NewGauge("mox_store_undelete_messages",
		"Messages that were expunged and can still be undeleted, as of the last time old ones were erased, of the accounts that were open since the start.")
)

// UndeleteLimits is how much of what was expunged an account keeps. Zero is the default,
// a negative Window none.
type UndeleteLimits struct {
	Window time.Duration
	Bytes  int64
}

// undeleteLimits returns the limits of the account, without zero and negative values but
// for no window.
func (a *Account) undeleteLimits() UndeleteLimits {
	var l UndeleteLimits
	if fn := a.store.opts.Undelete; fn != nil {
		l = fn(a.name)
	}
	return UndeleteLimits{
		Window: max(0, cmp.Or(l.Window, a.store.opts.UndeleteWindow, DefaultUndeleteWindow)),
		Bytes:  cmp.Or(l.Bytes, a.store.opts.UndeleteBytes, a.QuotaLimit(), DefaultUndeleteBytes),
	}
}

// Expunged is a message that was expunged and can be undeleted.
type Expunged struct {
	ID          int64 // For Undelete and Purge.
	MailboxID   int64
	Mailbox     string // Name of the mailbox, or that it had. Empty if that is not known any more.
	MailboxGone bool   // The mailbox was deleted.
	UID         uint32
	ContentID   int64
	ThreadID    int64
	Flags       Flags
	Keywords    []string
	Received    time.Time
	Size        int64
	Since       time.Time // When it was expunged.
	Until       time.Time // When it is erased, at the latest: the oldest go earlier when there is too much.
	Digest      message.Digest
}

// ExpungedFilter says which messages are meant. Zero fields do not count.
type ExpungedFilter struct {
	IDs       []int64
	MessageID string    // In any form.
	Mailbox   string    // Normalised name.
	Since     time.Time // Expunged then or later.
}

// Expunged calls fn with the messages that can be undeleted, in the order in which they
// were expunged.
func (a *Account) Expunged(ctx context.Context, f ExpungedFilter, fn func(Expunged) error) error {
	r := expungedReader{limits: a.undeleteLimits(), now: a.store.opts.Now(), names: map[int64]string{}}
	f.IDs = slices.Clone(f.IDs)
	slices.Sort(f.IDs)
	r.f = f
	if f.MessageID != "" {
		r.messageID = message.CanonicalMessageID(f.MessageID)
	}
	for more := true; more; {
		var l []Expunged
		err := a.read(ctx, func(tx *bstore.Tx) (err error) {
			l, more, err = r.batch(tx, a.Tree())
			return err
		})
		if err != nil {
			return fmt.Errorf("read expunged messages: %w", err)
		}
		for _, x := range l {
			if err := fn(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// expungedReader reads what Expunged returns.
type expungedReader struct {
	f         ExpungedFilter
	messageID string
	limits    UndeleteLimits
	now       time.Time
	after     int64            // Id of the last tombstone that was read.
	names     map[int64]string // Of deleted mailboxes.
}

// batch reads some tombstones.
func (r *expungedReader) batch(tx *bstore.Tx, t *Tree) (l []Expunged, more bool, err error) {
	tombs, err := tombstonesAfter(tx, r.after)
	if err != nil {
		return nil, false, err
	}
	for i := range tombs {
		r.after = tombs[i].ID
		x, ok, err := r.expunged(tx, t, &tombs[i])
		if err != nil {
			return nil, false, err
		} else if ok {
			l = append(l, x)
		}
	}
	return l, len(tombs) > 0, nil
}

// expunged returns what a tombstone is of, false if the filter does not match or it cannot
// be undeleted.
func (r *expungedReader) expunged(tx *bstore.Tx, tree *Tree, t *tombstone) (x Expunged, ok bool, err error) {
	if t.ContentID == 0 {
		return x, false, nil
	}
	if _, ok := slices.BinarySearch(r.f.IDs, t.ID); !ok && r.f.IDs != nil {
		return x, false, nil
	}
	e := erase{ContentID: t.ContentID}
	erasing := true
	if err := tx.Get(&e); errors.Is(err, bstore.ErrAbsent) {
		erasing = false
	} else if err != nil {
		return x, false, err
	}
	since := t.Since
	if since.IsZero() {
		since = e.Since
	}
	until := since.Add(r.limits.Window)
	if !until.After(r.now) || since.Before(r.f.Since) || erasing && e.ModSeq <= 0 {
		return x, false, nil
	}
	mb, exists := tree.ByID(t.MailboxID)
	if !exists {
		mb.Name, err = r.former(tx, t.MailboxID)
	}
	if err != nil || r.f.Mailbox != "" && r.f.Mailbox != mb.Name {
		return x, false, err
	}
	ct := content{ID: t.ContentID}
	if err := tx.Get(&ct); errors.Is(err, bstore.ErrAbsent) {
		return x, false, nil
	} else if err != nil {
		return x, false, err
	}
	if r.messageID != "" && r.messageID != string(ct.Digest.MessageID()) {
		return x, false, nil
	}
	return Expunged{
		ID: t.ID, MailboxID: t.MailboxID, Mailbox: mb.Name, MailboxGone: !exists, UID: t.UID,
		ContentID: t.ContentID, ThreadID: t.ThreadID, Flags: t.Flags, Keywords: t.Keywords, Received: t.Received, Size: t.Size,
		Since: since, Until: until, Digest: ct.Digest,
	}, true, nil
}

// former returns the name of a deleted mailbox, empty if it is not known any more.
func (r *expungedReader) former(tx *bstore.Tx, id int64) (string, error) {
	if name, ok := r.names[id]; ok {
		return name, nil
	}
	f := formerMailbox{ID: id}
	if err := tx.Get(&f); err != nil && !errors.Is(err, bstore.ErrAbsent) {
		return "", err
	}
	r.names[id] = f.Name
	return f.Name, nil
}

// Undeleted is a message that is back.
type Undeleted struct {
	ID        int64 // Of Expunged.
	ContentID int64
	MailboxID int64
	UID       uint32
}

// Undelete brings expunged messages back, with their flags but \Deleted, under new UIDs:
// into the mailbox of a name, which is created when it does not exist, or, if that is empty,
// into those in which they were, which are made again when they were deleted. Those that
// are not there any more are left out of the result. Errors: ErrOverQuota, ErrMailboxName,
// ErrLimit.
func (tx *Tx) Undelete(ids []int64, mailbox string) (done []Undeleted, err error) {
	for _, id := range slices.Sorted(slices.Values(ids)) {
		t, ok, err := tx.tombstone(id)
		if err != nil {
			return nil, fmt.Errorf("read expunged message: %w", err)
		} else if !ok || t.ContentID == 0 {
			continue
		}
		b, err := tx.undeleteTo(&t, mailbox)
		if errors.Is(err, ErrNoMailbox) {
			continue
		} else if err != nil {
			return nil, err
		}
		m, ok, err := tx.undelete(b, &t)
		if err != nil {
			return nil, err
		} else if ok {
			done = append(done, Undeleted{id, m.ContentID, b.ID, m.UID})
		}
	}
	return done, nil
}

// undeleteTo returns the mailbox for an expunged message.
func (tx *Tx) undeleteTo(t *tombstone, mailbox string) (*box, error) {
	var use SpecialUse
	if mailbox == "" {
		b, err := tx.box(t.MailboxID)
		if err == nil {
			return b, nil
		}
		f := formerMailbox{ID: t.MailboxID}
		if err := tx.btx.Get(&f); errors.Is(err, bstore.ErrAbsent) {
			return nil, ErrNoMailbox
		} else if err != nil {
			return nil, fmt.Errorf("read deleted mailbox: %w", err)
		}
		mailbox, use = f.Name, f.SpecialUse
		for _, mb := range tx.Mailboxes() {
			use &^= mb.SpecialUse
		}
	}
	mailbox, err := imap.ParseMailboxName(mailbox)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMailboxName, err)
	}
	b, err := tx.boxByName(mailbox)
	if !errors.Is(err, ErrNoMailbox) {
		return b, err
	}
	if _, err := tx.CreateMailbox(mailbox, use); err != nil {
		return nil, fmt.Errorf("make mailbox of expunged messages: %w", err)
	}
	return tx.boxByName(mailbox)
}

// undelete brings one message back, and reports whether it is still there.
func (tx *Tx) undelete(b *box, t *tombstone) (m Message, ok bool, err error) {
	if err := tx.checkQuota(Usage{1, t.Size}); err != nil {
		return m, false, err
	}
	if ok, err := tx.reviveContent(t.ContentID); err != nil || !ok {
		return m, false, err
	}
	if err := tx.addKeywords(b, t.Keywords); err != nil {
		return m, false, err
	}
	uid, err := tx.takeUIDs(b, 1)
	if err != nil {
		return m, false, err
	}
	m = Message{ContentID: t.ContentID, Flags: t.Flags &^ imap.FlagDeleted, Keywords: t.Keywords, CreateSeq: tx.next(), Size: t.Size, Received: t.Received, ThreadID: t.ThreadID}
	tx.state.Messages++
	tx.state.Size += m.Size
	if err := errors.Join(tx.place(b, &m, uid), tx.judge(&m, 0)); err != nil {
		return m, false, err
	}
	return m, true, tx.settle(t)
}

// settle has a tombstone forget what it knows for undelete.
func (tx *Tx) settle(t *tombstone) error {
	tx.written = true
	var err error
	if t.ModSeq == 0 {
		err = tx.btx.Delete(t)
	} else {
		t.ContentID = 0
		err = tx.btx.Update(t)
	}
	if err != nil {
		return fmt.Errorf("update expunged message: %w", err)
	}
	return nil
}

// Purge gives up expunged messages before their time, and returns how many. Their files go
// at the next Sweep, unless a session shows them or other messages use them.
func (tx *Tx) Purge(ids []int64) (n int, err error) {
	ids = slices.Sorted(slices.Values(ids))
	var tombs []tombstone
	others := map[int64]bool{} // Contents of messages that stay.
	for _, id := range ids {   // So that each has a record of its own.
		if _, _, err := tx.tombstone(id); err != nil {
			return 0, fmt.Errorf("read expunged message: %w", err)
		}
	}
	err = eachTombstone(tx.btx, func(t tombstone) error {
		if _, ok := slices.BinarySearch(ids, t.ID); ok && t.ContentID != 0 {
			tombs = append(tombs, t)
		} else {
			others[t.ContentID] = true
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("read expunged messages: %w", err)
	}
	for i := range tombs {
		e := erase{ContentID: tombs[i].ContentID}
		err := tx.btx.Get(&e)
		if err == nil && e.ModSeq > 0 && !others[e.ContentID] {
			e.ModSeq = -e.ModSeq
			err = tx.btx.Update(&e)
		}
		if err != nil && !errors.Is(err, bstore.ErrAbsent) {
			return 0, fmt.Errorf("give up expunged message: %w", err)
		}
		if err := tx.settle(&tombs[i]); err != nil {
			return 0, err
		}
	}
	return len(tombs), nil
}

// forgetExpunged forgets tombstones that were only kept for undelete, and deleted mailboxes,
// when their time is over.
func (a *Account) forgetExpunged(ctx context.Context) error {
	for more := true; more; {
		err := a.Update(ctx, func(tx *Tx) (err error) {
			cutoff := tx.now.Add(-a.undeleteLimits().Window)
			if more, err = tx.forgetKept(cutoff); err != nil || more {
				return err
			}
			return tx.forgetFormer(cutoff)
		})
		if err != nil {
			return fmt.Errorf("forget what was expunged: %w", err)
		}
	}
	return nil
}

func (tx *Tx) forgetKept(cutoff time.Time) (more bool, err error) {
	l, err := bstore.QueryTx[tombstone](tx.btx).FilterEqual("ModSeq", ModSeq(0)).Limit(pruneBatch).List()
	if err != nil {
		return false, err
	}
	for i := range l {
		err := tx.btx.Get(&content{ID: l[i].ContentID})
		if err == nil && l[i].Since.After(cutoff) {
			return false, nil // They are in order.
		} else if err != nil && !errors.Is(err, bstore.ErrAbsent) {
			return false, err
		}
		if err := tx.settle(&l[i]); err != nil {
			return false, err
		}
	}
	return len(l) == pruneBatch, nil
}

func (tx *Tx) forgetFormer(cutoff time.Time) error {
	l, err := bstore.QueryTx[formerMailbox](tx.btx).SortAsc("ID").List()
	if err != nil {
		return err
	}
	for i, f := range l {
		if f.Since.After(cutoff) && len(l)-i <= maxFormerMailboxes {
			continue
		}
		tx.written = true
		if err := tx.btx.Delete(&f); err != nil {
			return err
		}
	}
	return nil
}

// measureErasable tells metrics how much can be undeleted.
func (a *Account) measureErasable(ctx context.Context) error {
	n := 0
	size := a.Tree().state.EraseSize
	err := a.read(ctx, func(tx *bstore.Tx) (err error) {
		n, err = bstore.QueryTx[erase](tx).FilterGreater("ModSeq", ModSeq(0)).Count()
		return err
	})
	if err != nil {
		return fmt.Errorf("count expunged messages: %w", err)
	}
	s := a.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setErasable(a.name, erasable{n, size})
	return nil
}

// erasable is what an account has for undelete.
type erasable struct {
	messages int
	size     int64
}

// setErasable replaces what is known of an account. The caller holds mu.
func (s *Store) setErasable(account string, now erasable) {
	old := s.erasable[account]
	metricErasableMessages.Add(float64(now.messages - old.messages))
	metricErasableBytes.Add(float64(now.size - old.size))
	if now == (erasable{}) {
		delete(s.erasable, account)
	} else {
		s.erasable[account] = now
	}
}
