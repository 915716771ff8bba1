package store

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mjl-/bstore"

	"mox/imap"
)

// uidGap is how many absent UIDs between two wanted ones are rather read over than
// looked up one by one.
const uidGap = 16

// sortedUIDs sorts UIDs and removes duplicates, in place.
func sortedUIDs(uids []uint32) []uint32 {
	if !slices.IsSorted(uids) {
		slices.Sort(uids)
	}
	return slices.Compact(uids)
}

// messages returns the messages of a mailbox with the given ascending UIDs, in
// that order, without those that do not exist.
func (tx *Tx) messages(mailboxID int64, uids []uint32) ([]Message, error) {
	l := make([]Message, 0, len(uids))
	for len(uids) > 0 {
		// A run of UIDs that are close to each other is one query.
		n := 1
		for n < len(uids) && uids[n]-uids[n-1] <= uidGap {
			n++
		}
		run := uids[:n]
		uids = uids[n:]
		q := bstore.QueryTx[Message](tx.btx).FilterNonzero(Message{MailboxID: mailboxID})
		if n == 1 {
			q.FilterEqual("UID", run[0])
		} else {
			q.FilterGreaterEqual("UID", run[0]).FilterLessEqual("UID", run[n-1]).SortAsc("UID")
		}
		err := q.ForEach(func(m Message) error {
			for len(run) > 0 && run[0] < m.UID {
				run = run[1:]
			}
			if len(run) > 0 && run[0] == m.UID {
				l = append(l, m)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read messages: %w", err)
		}
	}
	return l, nil
}

// flagged is a message whose flags are changed.
type flagged struct {
	mutation
	before Flags
}

// items is messages for what the index knows of them. That is not read from the records if
// it is in memory.
func (tx *Tx) items(mailboxID int64, uids []uint32) ([]flagged, error) {
	l := make([]flagged, 0, len(uids))
	if ix := tx.a.indexInMemory(mailboxID); ix != nil && len(tx.muts[mailboxID]) == 0 {
		for _, uid := range uids {
			if pos, ok := ix.Find(uid); ok {
				c, i := ix.locate(pos)
				l = append(l, flagged{mutation: mutation{uid: uid, flags: c.flags[i], entry: c.entries()[i]}})
			}
		}
		return l, nil
	}
	msgs, err := tx.messages(mailboxID, uids)
	for i := range msgs {
		l = append(l, flagged{mutation: mutationOf(&msgs[i])})
	}
	return l, err
}

// allUIDs returns the UIDs of a mailbox, ascending.
func (tx *Tx) allUIDs(mailboxID int64) (uids []uint32, err error) {
	q := bstore.QueryTx[Message](tx.btx).FilterNonzero(Message{MailboxID: mailboxID}).SortAsc("UID")
	err = q.ForEach(func(m Message) error { uids = append(uids, m.UID); return nil })
	return uids, err
}

// count adds a message with sign 1 to the counts of its mailbox, or removes it
// with sign -1.
func (c *Counts) count(flags Flags, size, sign int64) {
	c.Messages += sign
	c.Size += sign * size
	if !flags.Has(imap.FlagSeen) {
		c.Unseen += sign
	}
	if flags.Has(imap.FlagDeleted) {
		c.Deleted += sign
		c.DeletedSize += sign * size
	}
}

// FlagsResult is what SetFlags did. UIDs are ascending.
type FlagsResult struct {
	ModSeq   ModSeq   // Of the change; zero if no message changed.
	Changed  []uint32 // Messages that have other flags now.
	Modified []uint32 // Not touched because they changed after unchangedSince (RFC 7162 §3.1.3).
	Missing  []uint32 // Do not exist.
}

// SetFlags changes flags and keywords of messages. Messages that changed after
// unchangedSince, if that is not negative, are left alone. Messages that have the
// flags already get no new modseq. Errors: ErrNoMailbox, ErrLimit.
func (tx *Tx) SetFlags(mailboxID int64, uids []uint32, c FlagChange, unchangedSince ModSeq) (res FlagsResult, err error) {
	b, err := tx.box(mailboxID)
	if err != nil {
		return res, err
	}
	if c.Op != FlagsRemove {
		if err := tx.addKeywords(b, c.Keywords); err != nil {
			return res, err
		}
	}
	uids = sortedUIDs(slices.Clone(uids))
	items, err := tx.items(mailboxID, uids)
	if err != nil {
		return res, err
	}
	changed := items[:0]
	i := 0
	for _, it := range items {
		for ; uids[i] != it.uid; i++ {
			res.Missing = append(res.Missing, uids[i])
		}
		i++
		if unchangedSince >= 0 && it.entry.ModSeq > unchangedSince {
			res.Modified = append(res.Modified, it.uid)
			continue
		}
		flags, kw := c.apply(it.flags, it.entry.Keywords())
		if flags == it.flags && slices.Equal(kw, it.entry.Keywords()) {
			continue
		}
		if len(kw) > imap.MaxKeywords {
			return res, fmt.Errorf("%w: %d keywords of a message", ErrLimit, imap.MaxKeywords)
		}
		b.Counts.count(it.flags, it.entry.Size, -1)
		b.Counts.count(flags, it.entry.Size, 1)
		it.before, it.flags, it.entry.keywords, it.entry.ModSeq = it.flags, flags, keywordsField(kw), tx.next()
		changed = append(changed, it)
		res.Changed = append(res.Changed, it.uid)
	}
	res.Missing = append(res.Missing, uids[i:]...)
	if len(changed) == 0 {
		return res, nil
	}
	res.ModSeq = tx.next()
	tx.touch(b)
	return res, tx.writeFlags(b.ID, changed)
}

// writeFlags writes the flags of messages that have changed. All that have the same now are
// written with one query, which reads each of the records once.
func (tx *Tx) writeFlags(mailboxID int64, changed []flagged) error {
	type group struct {
		flags    Flags
		keywords string
	}
	tx.muts[mailboxID] = slices.Grow(tx.muts[mailboxID], len(changed))
	ids := map[group][]int64{}
	keywords := map[string][]string{}
	for i := range changed {
		it := &changed[i]
		g := group{it.flags, strings.Join(it.entry.Keywords(), " ")}
		ids[g] = append(ids[g], it.entry.MessageID)
		keywords[g.keywords] = it.entry.Keywords()
		tx.muts[mailboxID] = append(tx.muts[mailboxID], it.mutation)
	}
	for g, l := range ids {
		fields := map[string]any{"Flags": g.flags, "Keywords": keywords[g.keywords], "ModSeq": tx.next()}
		for batch := range slices.Chunk(l, readBatch) {
			n, err := bstore.QueryTx[Message](tx.btx).FilterIDs(batch).UpdateFields(fields)
			if err != nil {
				return fmt.Errorf("update messages: %w", err)
			} else if n != len(batch) {
				return fmt.Errorf("update messages: %d of %d are there", n, len(batch))
			}
		}
	}
	for i := range changed {
		it := &changed[i]
		m := Message{ContentID: it.entry.ContentID, Flags: it.flags, Received: time.Unix(it.entry.received, 0)}
		if err := tx.judge(&m, it.before); err != nil {
			return err
		}
	}
	return nil
}

// Expunge removes messages, all of the mailbox if uids is nil, of them only those
// marked \Deleted if onlyDeleted is set. It returns the UIDs that are gone. Messages
// can be undeleted, unless the mailbox is the one for copies of refused messages.
func (tx *Tx) Expunge(mailboxID int64, uids []uint32, onlyDeleted bool) (expunged []uint32, err error) {
	b, err := tx.box(mailboxID)
	if err != nil {
		return nil, err
	}
	return tx.expungeFrom(b, uids, onlyDeleted, !isHidden(b.Name) && b.Name != tx.a.policy().RejectsMailbox)
}

// ExpungeForGood removes messages that nobody would want to undelete, such as a draft that
// was replaced, or what an import that is aborted has added. It returns the UIDs that are
// gone.
func (tx *Tx) ExpungeForGood(mailboxID int64, uids []uint32) (expunged []uint32, err error) {
	b, err := tx.box(mailboxID)
	if err != nil || len(uids) == 0 {
		return nil, err
	}
	return tx.expungeFrom(b, uids, false, false)
}

func (tx *Tx) expungeFrom(b *box, uids []uint32, onlyDeleted, keep bool) (expunged []uint32, err error) {
	if onlyDeleted && b.Deleted == 0 {
		return nil, nil
	}
	if uids == nil {
		uids, err = tx.allUIDs(b.ID)
	} else {
		uids = sortedUIDs(slices.Clone(uids))
	}
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(uids))
	for batch := range slices.Chunk(uids, readBatch) {
		items, err := tx.items(b.ID, batch)
		if err != nil {
			return nil, err
		}
		for i := range items {
			if it := &items[i]; !onlyDeleted || it.flags.Has(imap.FlagDeleted) {
				ids = append(ids, it.entry.MessageID)
				expunged = append(expunged, it.uid)
			}
		}
	}
	for batch := range slices.Chunk(ids, readBatch) {
		if err := tx.expunge(b, batch, keep); err != nil {
			return nil, err
		}
	}
	return expunged, nil
}

// expunge removes messages of a mailbox. If they are to be kept, their contents stay while
// they can be undeleted.
func (tx *Tx) expunge(b *box, ids []int64, keep bool) error {
	msgs := make([]Message, 0, len(ids))
	n, err := bstore.QueryTx[Message](tx.btx).FilterIDs(ids).Gather(&msgs).Delete()
	if err != nil {
		return fmt.Errorf("delete messages: %w", err)
	} else if n != len(ids) {
		return fmt.Errorf("delete messages: %d of %d are there", n, len(ids))
	}
	l := make([]tombstone, n)
	for i := range msgs {
		l[i].Since = tx.now
		if m := &msgs[i]; keep {
			l[i] = tombstone{Since: tx.now, ContentID: m.ContentID, Flags: m.Flags, Keywords: m.Keywords, Received: m.Received, Size: m.Size, ThreadID: m.ThreadID}
		}
	}
	if err := tx.bury(b, msgs, l); err != nil {
		return err
	}
	for i := range msgs {
		m := &msgs[i]
		tx.state.Messages--
		tx.state.Size -= m.Size
		last, err := tx.dropContent(m.ContentID, m.Size, m.ThreadID, keep)
		if err == nil && last {
			err = tx.unjudge(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bury takes messages out of a mailbox and leaves tombstones.
func (tx *Tx) bury(b *box, msgs []Message, l []tombstone) error {
	if len(msgs) == 0 {
		return nil
	}
	tx.touch(b)
	for i := range msgs {
		m, t := &msgs[i], &l[i]
		t.MailboxID, t.UID, t.ModSeq, t.CreateSeq, t.MessageID = b.ID, m.UID, b.ModSeq, m.CreateSeq, m.ID
		b.Counts.count(m.Flags, m.Size, -1)
		tx.messageGone(b.ID, m.UID)
	}
	return tx.insertTombstones(l)
}

// Copied is the UID of a message in the source and in the destination mailbox.
type Copied struct{ Src, Dst uint32 }

// Copy copies messages to a mailbox, which may be the same one. Flags, internal
// date and thread stay. Messages that do not exist are left out of the result,
// which is in ascending order. Errors: ErrNoMailbox, ErrOverQuota, ErrLimit.
func (tx *Tx) Copy(srcID int64, uids []uint32, dstID int64) ([]Copied, error) {
	return tx.transfer(srcID, uids, dstID, false)
}

// Move moves messages to another mailbox. A message keeps its id, so that it is
// the same one for JMAP and for undelete. Otherwise it is as Copy, without quota.
func (tx *Tx) Move(srcID int64, uids []uint32, dstID int64) ([]Copied, error) {
	return tx.transfer(srcID, uids, dstID, true)
}

// transfer copies or moves messages, one by one, giving out UIDs in order.
func (tx *Tx) transfer(srcID int64, uids []uint32, dstID int64, move bool) ([]Copied, error) {
	src, err := tx.box(srcID)
	if err != nil {
		return nil, err
	}
	dst, err := tx.box(dstID)
	if err != nil {
		return nil, err
	}
	uids = sortedUIDs(slices.Clone(uids))
	var done []Copied
	for batch := range slices.Chunk(uids, readBatch) {
		msgs, err := tx.messages(srcID, batch)
		if err != nil {
			return nil, err
		}
		uid, err := tx.takeUIDs(dst, len(msgs))
		if err != nil {
			return nil, err
		}
		one := tx.copyMessage
		if move {
			one = tx.arrive
			if err := tx.bury(src, msgs, make([]tombstone, len(msgs))); err != nil {
				return nil, err
			}
		}
		for i := range msgs {
			if err := tx.addKeywords(dst, msgs[i].Keywords); err != nil {
				return nil, err
			}
			c := Copied{msgs[i].UID, uid + uint32(i)}
			if err := one(src, dst, &msgs[i], c.Dst); err != nil {
				return nil, err
			}
			done = append(done, c)
		}
	}
	return done, nil
}

func (tx *Tx) copyMessage(src, dst *box, m *Message, uid uint32) error {
	if err := tx.checkQuota(Usage{1, m.Size}); err != nil {
		return err
	}
	if err := tx.shareContent(m.ContentID); err != nil {
		return err
	}
	n := *m
	n.ID, n.CreateSeq = 0, tx.next()
	tx.state.Messages++
	tx.state.Size += m.Size
	return tx.arrive(src, dst, &n, uid)
}

// arrive is place for a message that comes from another mailbox.
func (tx *Tx) arrive(src, dst *box, m *Message, uid uint32) error {
	before, copied := m.Flags, m.ID == 0
	var err error
	if m.Flags, err = tx.arrivalFlags(src, dst, m); err != nil {
		return err
	}
	if err := tx.place(dst, m, uid); err != nil {
		return err
	}
	if err := tx.noteSent(dst, m, nil); err != nil {
		return err
	}
	if copied && judgementOf(m.Flags) == 0 {
		return nil // The message it is a copy of is still there, with its flags.
	}
	return tx.judge(m, before)
}

// place puts a new or moved message in a mailbox under a UID.
func (tx *Tx) place(dst *box, m *Message, uid uint32) error {
	m.MailboxID, m.UID, m.ModSeq, m.SaveDate = dst.ID, uid, tx.next(), tx.now
	var err error
	if m.ID == 0 {
		err = tx.btx.Insert(m)
	} else {
		err = tx.btx.Update(m)
	}
	if err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	dst.Counts.count(m.Flags, m.Size, 1)
	tx.touch(dst)
	tx.messageSet(m)
	return nil
}

// checkQuota returns ErrOverQuota if more does not fit.
func (tx *Tx) checkQuota(more Usage) error { return tx.a.quota().allows(tx.state.usage(), more) }

// SetThread mutes or collapses a thread. New replies to a muted thread arrive with
// \Seen; those that are unseen now are marked \Seen.
func (tx *Tx) SetThread(threadID int64, muted, collapsed bool) error {
	if ok, err := bstore.QueryTx[Message](tx.btx).FilterNonzero(Message{ThreadID: threadID}).Exists(); err != nil {
		return fmt.Errorf("read messages of thread: %w", err)
	} else if !ok {
		return ErrNoMessage
	}
	t, err := tx.threadState(threadID)
	if err != nil {
		return err
	}
	mute := muted && !t.Muted
	if t.Muted == muted && t.Collapsed == collapsed {
		return nil
	}
	if err := tx.setThreadState(t, thread{threadID, muted, collapsed}); err != nil {
		return fmt.Errorf("write thread: %w", err)
	}
	tx.changes = append(tx.changes, Change{Kind: ChangeThread, ModSeq: tx.next(), ThreadID: threadID})
	if !mute {
		return nil
	}
	msgs, err := bstore.QueryTx[Message](tx.btx).FilterNonzero(Message{ThreadID: threadID}).List()
	if err != nil {
		return fmt.Errorf("read messages of thread: %w", err)
	}
	uids := map[int64][]uint32{}
	for _, m := range msgs {
		uids[m.MailboxID] = append(uids[m.MailboxID], m.UID)
	}
	seen := FlagChange{Op: FlagsAdd, FlagSet: imap.FlagSet{Flags: imap.FlagSeen}}
	for id, l := range uids {
		if _, err := tx.SetFlags(id, l, seen, -1); err != nil {
			return err
		}
	}
	return nil
}
