package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/mjl-/bstore"
)

// minTombstoneBatch is how many tombstones of one change to a mailbox are one record.
const minTombstoneBatch = 4

// tombstoneBatch is the tombstones of many messages that one change took out of a mailbox, in
// one record: to write each of them, with its keys in indexes, takes longer than to delete the
// message. They become records of their own when one of them is to change. In the database, and
// in docs/storage.md, it is a Burial.
type tombstoneBatch struct {
	ID        int64  `bstore:"noauto,typename Burial"` // Of the last of the tombstones, whose ids follow each other.
	MailboxID int64  `bstore:"nonzero,index MailboxID+ModSeq"`
	ModSeq    ModSeq `bstore:"nonzero"`
	Since     time.Time
	Packed    []byte `bstore:"nonzero"` // See packTombstones.
}

// errTombstoneBatch is for one that is not what was written.
var errTombstoneBatch = errors.New("record of expunged messages is damaged")

// insertTombstones writes what remembers messages that one change has taken out of a mailbox.
func (tx *Tx) insertTombstones(l []tombstone) error {
	tx.state.Tombstones += int64(len(l))
	var packed []tombstone
	if n := len(l); n >= minTombstoneBatch {
		// The first gets a next id, and the last takes those between.
		if err := tx.btx.Insert(&l[0]); err != nil {
			return fmt.Errorf("insert tombstone: %w", err)
		}
		for i := range l {
			l[i].ID = l[0].ID + int64(i)
		}
		l, packed = l[n-1:], l[1:n-1]
	}
	for i := range l {
		if err := tx.btx.Insert(&l[i]); err != nil {
			return fmt.Errorf("insert tombstone: %w", err)
		}
	}
	if len(packed) == 0 {
		return nil
	}
	t := &packed[len(packed)-1]
	tb := tombstoneBatch{t.ID, t.MailboxID, t.ModSeq, t.Since, packTombstones(packed)}
	if err := tx.btx.Insert(&tb); err != nil {
		return fmt.Errorf("insert tombstones: %w", err)
	}
	return nil
}

// packTombstones writes tombstones, of which mailbox, modseq and time are the same, as
// numbers of variable length, mostly as differences to the one before.
func packTombstones(l []tombstone) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 8+len(l)*40), uint64(len(l)))
	var p tombstone // Before it.
	for i := range l {
		t := &l[i]
		for _, n := range [...]int64{
			int64(t.UID) - int64(p.UID), int64(t.ModSeq - t.CreateSeq), t.MessageID - p.MessageID,
			t.ContentID - p.ContentID, t.ContentID - t.ThreadID, int64(t.Flags), t.Size, int64(len(t.Keywords)),
		} {
			b = binary.AppendVarint(b, n)
		}
		for _, kw := range t.Keywords {
			b = append(binary.AppendUvarint(b, uint64(len(kw))), kw...)
		}
		var received []byte
		if !t.Received.IsZero() {
			// Year and zone were checked when it was stored with the message.
			received, _ = t.Received.MarshalBinary()
		}
		b = append(binary.AppendUvarint(b, uint64(len(received))), received...)
		p = *t
	}
	return b
}

// tombstones returns those that are in the record.
func (tb *tombstoneBatch) tombstones() ([]tombstone, error) {
	r := &numberReader{b: tb.Packed}
	l := make([]tombstone, r.count(9))
	var p tombstone
	for i := range l {
		t := &l[i]
		t.ID, t.MailboxID, t.ModSeq, t.Since = tb.ID-int64(len(l)-1-i), tb.MailboxID, tb.ModSeq, tb.Since
		t.UID = uint32(int64(p.UID) + r.varint())
		t.CreateSeq = t.ModSeq - ModSeq(r.varint())
		t.MessageID = p.MessageID + r.varint()
		t.ContentID = p.ContentID + r.varint()
		t.ThreadID = t.ContentID - r.varint()
		t.Flags, t.Size = Flags(r.varint()), r.varint()
		for range r.varint() {
			if r.err != nil {
				break
			}
			t.Keywords = append(t.Keywords, r.text())
		}
		if received := r.text(); received != "" && (t.Received.UnmarshalBinary([]byte(received)) != nil || t.Received.IsZero()) {
			r.fail()
		}
		p = *t
	}
	if r.err != nil || len(r.b) > 0 || len(l) == 0 {
		return nil, fmt.Errorf("%w: %d", errTombstoneBatch, tb.ID)
	}
	return l, nil
}

// unpackTombstones makes the tombstones in a record such that each has one of its own.
func (tx *Tx) unpackTombstones(tb *tombstoneBatch) error {
	l, err := tb.tombstones()
	if err != nil {
		return err
	}
	tx.written = true
	if err := tx.btx.Delete(tb); err != nil {
		return fmt.Errorf("delete tombstones: %w", err)
	}
	for i := range l {
		if err := tx.btx.Insert(&l[i]); err != nil {
			return fmt.Errorf("insert tombstone: %w", err)
		}
	}
	return nil
}

// unpackAllTombstones is unpackTombstones for all of a mailbox, or of the account if that is
// zero.
func (tx *Tx) unpackAllTombstones(mailboxID int64) error {
	q := bstore.QueryTx[tombstoneBatch](tx.btx)
	if mailboxID != 0 {
		q.FilterNonzero(tombstoneBatch{MailboxID: mailboxID})
	}
	l, err := q.List()
	if err != nil {
		return fmt.Errorf("read expunged messages: %w", err)
	}
	for i := range l {
		if err := tx.unpackTombstones(&l[i]); err != nil {
			return err
		}
	}
	return nil
}

// tombstone returns a tombstone for changing, false if there is none with the id.
func (tx *Tx) tombstone(id int64) (t tombstone, ok bool, err error) {
	t.ID = id
	if err = tx.btx.Get(&t); !errors.Is(err, bstore.ErrAbsent) {
		return t, err == nil, err
	}
	l, err := bstore.QueryTx[tombstoneBatch](tx.btx).FilterGreaterEqual("ID", id).SortAsc("ID").Limit(1).List()
	if err != nil || len(l) == 0 {
		return t, false, err
	}
	packed, err := l[0].tombstones()
	if err != nil || packed[0].ID > id {
		return t, false, err
	}
	return packed[len(packed)-1-int(l[0].ID-id)], true, tx.unpackTombstones(&l[0])
}

// tombstonesAfter returns some tombstones with higher ids than one, ascending: none at the end.
func tombstonesAfter(tx *bstore.Tx, id int64) ([]tombstone, error) {
	l, err := bstore.QueryTx[tombstone](tx).FilterGreater("ID", id).SortAsc("ID").Limit(readBatch).List()
	if err != nil {
		return nil, err
	}
	batches, err := bstore.QueryTx[tombstoneBatch](tx).FilterGreater("ID", id).SortAsc("ID").Limit(1).List()
	if err != nil || len(batches) == 0 {
		return l, err
	}
	packed, err := batches[0].tombstones()
	if err != nil {
		return nil, err
	}
	// None of the others has an id between theirs.
	before := sort.Search(len(l), func(i int) bool { return l[i].ID > batches[0].ID })
	if before == readBatch {
		return l, nil
	}
	packed = slices.DeleteFunc(packed, func(t tombstone) bool { return t.ID <= id })
	return append(l[:before], packed...), nil
}

// eachTombstone calls fn with all tombstones, in the order of their ids.
func eachTombstone(tx *bstore.Tx, fn func(tombstone) error) error {
	for after := int64(0); ; {
		l, err := tombstonesAfter(tx, after)
		if err != nil || len(l) == 0 {
			return err
		}
		for _, t := range l {
			if err := fn(t); err != nil {
				return err
			}
		}
		after = l[len(l)-1].ID
	}
}
