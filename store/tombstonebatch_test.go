package store

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/mjl-/bstore"

	"mox/imap"
)

// someTombstones returns n tombstones as one change leaves them.
func someTombstones(n int, keep bool) []tombstone {
	l := make([]tombstone, n)
	for i := range l {
		id := int64(i)
		l[i] = tombstone{ID: 100 + id, MailboxID: 7, UID: uint32(1 + 3*i), ModSeq: 50, CreateSeq: ModSeq(50 - i%5), MessageID: 1000 - 2*id}
		if keep {
			l[i].ContentID, l[i].ThreadID, l[i].Size = 900+5*id%11, 900-id, 1<<40+id
			l[i].Received = time.Unix(1700000000+id, id).In(time.FixedZone("", int(id%3-1)*3600))
			l[i].Since = time.Unix(1800000000, 0).UTC()
			if i%4 == 0 {
				l[i].Flags, l[i].Keywords = imap.FlagSeen|imap.FlagDeleted, []string{"$label1", "é"}
			}
		}
	}
	return l
}

func TestPackedTombstonesAreThoseThatWerePacked(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		want := someTombstones(readBatch, keep)
		last := &want[len(want)-1]
		tb := tombstoneBatch{last.ID, last.MailboxID, last.ModSeq, last.Since, packTombstones(want)}
		got, err := tb.tombstones()
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if !got[i].Received.Equal(want[i].Received) || got[i].Received.Format(time.RFC3339) != want[i].Received.Format(time.RFC3339) {
				t.Fatalf("received %v, want %v", got[i].Received, want[i].Received)
			}
			want[i].Received = got[i].Received
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("got %+v, want %+v", got[i], want[i])
			}
		}
		for n := range tb.Packed {
			short := tb
			short.Packed = tb.Packed[:n]
			if _, err := short.tombstones(); !errors.Is(err, errTombstoneBatch) {
				t.Fatalf("of %d octets: error %v", n, err)
			}
		}
	}
}

func FuzzTombstoneBatch(f *testing.F) {
	f.Add(packTombstones(someTombstones(5, true)))
	f.Add(packTombstones(someTombstones(5, false)))
	f.Fuzz(func(t *testing.T, b []byte) {
		tb := tombstoneBatch{ID: 1000, MailboxID: 1, ModSeq: 9, Packed: b}
		l, err := tb.tombstones()
		if err != nil {
			return
		}
		tb.Packed = packTombstones(l)
		again, err := tb.tombstones()
		if err != nil || !bytes.Equal(packTombstones(again), tb.Packed) {
			t.Fatalf("got %+v, error %v, want %+v", again, err, l)
		}
	})
}

// fill adds messages to the mailbox until it has n.
func (u *undeleteTest) fill(n int) {
	u.t.Helper()
	for i := 3; i < n; i++ {
		m := newMessage(u.t, u.Account, testMessage(i))
		m.Mailbox = "a/b"
		if _, err := u.Append(ctx, m); err != nil {
			u.t.Fatal(err)
		}
	}
}

// records returns how many tombstones are records of their own, and how many records have
// many.
func (u *undeleteTest) records() (tombstones, batches int) {
	u.t.Helper()
	err := u.read(ctx, func(tx *bstore.Tx) (err error) {
		var err2 error
		tombstones, err = bstore.QueryTx[tombstone](tx).Count()
		batches, err2 = bstore.QueryTx[tombstoneBatch](tx).Count()
		return errors.Join(err, err2)
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return tombstones, batches
}

func (u *undeleteTest) wantRecords(tombstones, batches int) {
	u.t.Helper()
	if n, m := u.records(); n != tombstones || m != batches {
		u.t.Fatalf("%d tombstones of their own and %d records with many, want %d and %d", n, m, tombstones, batches)
	}
}

func TestManyMessagesThatAreExpungedAreOneRecordUntilOneChanges(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t)
	u.fill(20)
	u.expunge(1, 2)
	u.expunge(3, 4, 5, 6, 7, 8)
	u.expunge(9)
	u.expunge(10, 11, 12, 13, 14, 15)
	u.wantRecords(2+2+1+2, 2)

	var uids []uint32
	var ids []int64
	for _, x := range expunged(t, u.Account, ExpungedFilter{}) {
		uids, ids = append(uids, x.UID), append(ids, x.ID)
	}
	want := []uint32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	if !slices.Equal(uids, want) || !slices.IsSorted(ids) {
		t.Fatalf("listed %v with ids %v", uids, ids)
	}
	if got, complete, err := u.Vanished(ctx, u.id, 0); err != nil || !complete || !slices.Equal(got, want) {
		t.Fatalf("vanished %v, complete %v, error %v", got, complete, err)
	}

	u.update(func(tx *Tx) error {
		done, err := tx.Undelete([]int64{ids[4], ids[0], ids[14] + 1}, "")
		if err == nil && len(done) != 2 {
			t.Errorf("%d messages are back", len(done))
		}
		return err
	})
	u.wantRecords(7+4, 1)
	u.update(func(tx *Tx) error {
		n, err := tx.Purge([]int64{ids[11], ids[4]})
		if err == nil && n != 1 {
			t.Errorf("%d messages were given up", n)
		}
		return err
	})
	u.wantRecords(15, 0)
	uids = nil
	for _, x := range expunged(t, u.Account, ExpungedFilter{}) {
		uids = append(uids, x.UID)
	}
	if want := []uint32{2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14, 15}; !slices.Equal(uids, want) {
		t.Fatalf("then listed %v", uids)
	}
	if got, _, err := u.Vanished(ctx, u.id, 0); err != nil || !slices.Equal(got, want) {
		t.Fatalf("then vanished %v, error %v", got, err)
	}
}

func TestManyMessagesThatAreMovedAreOneRecord(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t)
	u.fill(10)
	archive, _ := u.Tree().ByName("Archive")
	before := u.Tree().ModSeq
	u.update(func(tx *Tx) error {
		_, err := tx.Move(u.id, []uint32{1, 2, 3, 5, 6, 7, 8, 10}, archive.ID)
		return err
	})
	u.wantRecords(2, 1)
	if got, complete, err := u.Vanished(ctx, u.id, before); err != nil || !complete || !slices.Equal(got, []uint32{1, 2, 3, 5, 6, 7, 8, 10}) {
		t.Fatalf("vanished %v, complete %v, error %v", got, complete, err)
	}
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 0 {
		t.Fatalf("%d messages can be undeleted", len(l))
	}
}

func TestHistoryOfManyMessagesIsPrunedWithOthers(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t)
	u.fill(30)
	u.store.opts.Tombstones = 8
	u.expunge(1)
	u.expunge(2, 3, 4, 5, 6, 7)
	last := u.Tree().ModSeq
	u.expunge(8)
	u.expunge(9)
	if got, complete, err := u.Vanished(ctx, u.id, 0); err != nil || complete || len(got) > 8 {
		t.Fatalf("vanished %v, complete %v, error %v", got, complete, err)
	}
	u.expunge(10, 11, 12, 13, 14, 15, 16)
	if got, complete, err := u.Vanished(ctx, u.id, last); err != nil || complete && len(got) != 9 {
		t.Fatalf("vanished %v, complete %v, error %v", got, complete, err)
	}
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 16 {
		t.Fatalf("%d messages can be undeleted", len(l))
	}
	if st := u.Tree().state; st.Tombstones > 8 {
		t.Fatalf("%d tombstones are left", st.Tombstones)
	}
}
