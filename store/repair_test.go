package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mjl-/bstore"

	"mox/imap"
)

// repairTest is an account with messages in two mailboxes, copies of some, and some that
// were expunged.
type repairTest struct {
	*modelRun
	inbox, archive Mailbox
}

func newRepairTest(t *testing.T) *repairTest {
	r := &repairTest{modelRun: newModelRun(t, 1)}
	var msgs []NewMessage
	for i := range 10 {
		m := newMessage(t, r.a, testMessage(i))
		if i == 5 { // A reply to the first.
			m = newMessage(t, r.a, strings.Replace(testMessage(i), "Subject: test 5\r\n", "Subject: Re: test 0\r\nIn-Reply-To: <m0@example.org>\r\n", 1))
		}
		msgs = append(msgs, m)
	}
	if _, err := r.a.Append(ctx, msgs...); err != nil {
		t.Fatal(err)
	}
	r.inbox, _ = r.a.Tree().ByName(imap.Inbox)
	r.archive, _ = r.a.Tree().ByName("Archive")
	err := r.a.Update(ctx, func(tx *Tx) error {
		_, err := tx.Copy(r.inbox.ID, []uint32{2, 6, 8}, r.archive.ID)
		_, err2 := tx.Expunge(r.inbox.ID, []uint32{1, 3, 10}, false)
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.inbox, _ = r.a.Tree().ByName(imap.Inbox)
	r.archive, _ = r.a.Tree().ByName("Archive")
	return r
}

// damage changes records, and opens the account with them.
func (r *repairTest) damage(fn func(tx *bstore.Tx) error) {
	r.t.Helper()
	if err := r.a.db.Write(ctx, fn); err != nil {
		r.t.Fatal(err)
	}
	if problems, err := r.a.Verify(ctx); err != nil || len(problems) == 0 {
		r.t.Fatalf("there is no damage: %v", err)
	}
	r.a.Release()
	if err := r.s.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// repair repairs while a session is open, and returns whether that was ended.
func (r *repairTest) repair(kind RepairKind, mailbox, want string) (ended bool) {
	r.t.Helper()
	s := r.a.Session()
	s.OnEnd(func() { ended = true })
	got, err := r.s.Repair(ctx, "mox", kind, mailbox)
	if err != nil || got != want {
		r.t.Errorf("%s: %q, %v, expected %q", kind, got, err, want)
	}
	s.Close()
	if ended {
		r.a.Release()
		if r.a, err = r.s.Account(ctx, "mox"); err != nil {
			r.t.Fatal(err)
		}
	}
	if problems, err := r.a.Verify(ctx); err != nil || len(problems) > 0 {
		r.t.Errorf("after %s: %v %q", kind, err, problems)
	}
	return ended
}

func TestCountsAreRepaired(t *testing.T) {
	t.Parallel()
	r := newRepairTest(t)
	r.repair(RepairCounts, "", "counts of 0 mailboxes corrected")
	r.damage(func(tx *bstore.Tx) error {
		mb, st := Mailbox{ID: r.inbox.ID}, state{ID: 1}
		if err := errors.Join(tx.Get(&mb), tx.Get(&st)); err != nil {
			return err
		}
		mb.Unseen, mb.Size = 77, 0
		st.Size, st.EraseSize, st.Tombstones = 1, 2, 3
		return errors.Join(tx.Update(&mb), tx.Update(&st))
	})
	if r.repair(RepairCounts, "", "counts of 1 mailboxes corrected, and sums of the account") {
		t.Error("sessions were ended")
	}
	if mb, _ := r.a.Tree().ByID(r.inbox.ID); mb.Counts != r.inbox.Counts {
		t.Errorf("counts %+v, expected %+v", mb.Counts, r.inbox.Counts)
	}
}

func TestSizesAndWhatWasParsedAreRepaired(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind RepairKind
		want string
	}{
		{RepairSizes, "2 messages parsed with another result, sizes of 2 messages corrected"},
		{RepairParsed, "2 messages parsed with another result, sizes of 2 messages corrected"},
		{RepairReparse, "2 messages parsed with another result, sizes of 2 messages corrected"},
	} {
		r := newRepairTest(t)
		ix, err := r.a.Index(ctx, r.inbox.ID)
		if err != nil {
			t.Fatal(err)
		}
		id, size := ix.At(0).ContentID, r.inbox.Size // It has a copy.
		var expunged int64
		if err := r.a.Expunged(ctx, ExpungedFilter{}, func(x Expunged) error { expunged = x.ContentID; return nil }); err != nil {
			t.Fatal(err)
		}
		r.damage(func(tx *bstore.Tx) error {
			for _, id := range []int64{id, expunged} {
				ct := content{ID: id}
				if err := tx.Get(&ct); err != nil {
					return err
				}
				ct.Size += 100
				if err := tx.Update(&ct); err != nil {
					return err
				}
			}
			// What depends on it is damaged in the same way.
			e := erase{ContentID: expunged}
			if err := tx.Get(&e); err != nil {
				return err
			}
			e.Size += 100
			if err := tx.Update(&e); err != nil {
				return err
			}
			l, err := bstore.QueryTx[Message](tx).FilterEqual("ContentID", id).List()
			for _, m := range l {
				m.Size += 100
				err = errors.Join(err, tx.Update(&m))
			}
			return err
		})
		if _, err := r.s.Repair(ctx, "mox", RepairCounts, ""); err != nil {
			t.Fatal(err)
		}
		if r.repair(test.kind, "", test.want) {
			t.Error("sessions were ended")
		}
		if mb, _ := r.a.Tree().ByID(r.inbox.ID); mb.Size != size || mb.UIDValidity != r.inbox.UIDValidity {
			t.Errorf("%s: size %d of Inbox, expected %d", test.kind, mb.Size, size)
		}
		r.damage(func(tx *bstore.Tx) error {
			ct := content{ID: id}
			err := tx.Get(&ct)
			ct.Digest = []byte("garbage")
			return errors.Join(err, tx.Update(&ct))
		})
		r.repair(RepairParsed, "", "1 messages parsed with another result, sizes of 0 messages corrected")
		r.repair(RepairReparse, "", "0 messages parsed with another result, sizes of 0 messages corrected")
	}
}

func TestMissingFilesAreReported(t *testing.T) {
	t.Parallel()
	r := newRepairTest(t)
	ix, err := r.a.Index(ctx, r.inbox.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.a.contentPath(ix.At(1).ContentID)); err != nil {
		t.Fatal(err)
	}
	got, err := r.s.Repair(ctx, "mox", RepairReparse, "")
	if err != nil || !strings.HasSuffix(got, ", 1 files are missing") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUIDNextAndUIDValidityAreRaised(t *testing.T) {
	t.Parallel()
	r := newRepairTest(t)
	r.damage(func(tx *bstore.Tx) error {
		mb, st := Mailbox{ID: r.inbox.ID}, state{ID: 1}
		if err := errors.Join(tx.Get(&mb), tx.Get(&st)); err != nil {
			return err
		}
		mb.UIDNext, st.NextUIDValidity = 9, mb.UIDValidity
		return errors.Join(tx.Update(&mb), tx.Update(&st))
	})
	if !r.repair(RepairUIDMeta, "", "uidnext of 1 mailboxes corrected, and the next uidvalidity") {
		t.Error("sessions go on")
	}
	if mb, _ := r.a.Tree().ByID(r.inbox.ID); mb.UIDNext != 11 { // 10 is that of an expunged message.
		t.Errorf("UIDNEXT %d", mb.UIDNext)
	}
}

func TestUIDsAreReassigned(t *testing.T) {
	t.Parallel()
	r := newRepairTest(t)
	before := r.contentIDs(r.inbox.ID)
	if !r.repair(RepairUIDs, imap.Inbox, "uids of 1 mailboxes reassigned") {
		t.Error("sessions go on")
	}
	mb, _ := r.a.Tree().ByID(r.inbox.ID)
	other, _ := r.a.Tree().ByID(r.archive.ID)
	if mb.UIDNext != 8 || mb.UIDValidity <= r.inbox.UIDValidity || other.UIDValidity != r.archive.UIDValidity {
		t.Errorf("UIDNEXT %d, UIDVALIDITY %d, was %d", mb.UIDNext, mb.UIDValidity, r.inbox.UIDValidity)
	}
	ix, err := r.a.Index(ctx, mb.ID)
	if err != nil || ix.At(6).UID != 7 || !slices.Equal(r.contentIDs(mb.ID), before) {
		t.Errorf("messages changed: %v", err)
	}
	ids := expungedIDs(t, r.a, mb.ID)
	if err := r.a.Update(ctx, func(tx *Tx) error { _, err := tx.Undelete(ids, ""); return err }); err != nil || len(ids) != 3 || len(r.contentIDs(mb.ID)) != 10 {
		t.Errorf("undelete of %v: %v", ids, err)
	}
	if _, err := r.s.Repair(ctx, "mox", RepairUIDs, "nothing"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("mailbox that does not exist: %v", err)
	}
}

func (r *repairTest) contentIDs(mailboxID int64) (l []int64) {
	r.t.Helper()
	ix, err := r.a.Index(ctx, mailboxID)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range ix.Len() {
		l = append(l, ix.At(i).ContentID)
	}
	return l
}

func TestUIDValidityIsBumped(t *testing.T) {
	t.Parallel()
	r := newRepairTest(t)
	r.repair(RepairUIDValidity, "Archive", "1 mailboxes have a new uidvalidity")
	r.repair(RepairUIDValidity, "", fmt.Sprintf("%d mailboxes have a new uidvalidity", len(r.a.Tree().Mailboxes())))
	for _, mb := range r.a.Tree().Mailboxes() {
		if old := map[int64]uint32{r.inbox.ID: r.inbox.UIDValidity, r.archive.ID: r.archive.UIDValidity}[mb.ID]; mb.UIDValidity <= old {
			t.Errorf("%s has UIDVALIDITY %d, had %d", mb.Name, mb.UIDValidity, old)
		}
	}
}

func TestThreadsAreReassigned(t *testing.T) {
	t.Parallel()
	r := newRepairTest(t)
	threads := func() string {
		var l []int64
		for _, id := range []int64{r.inbox.ID, r.archive.ID} {
			ix, err := r.a.Index(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			for i := range ix.Len() {
				l = append(l, ix.At(i).ThreadID)
			}
		}
		return fmt.Sprint(l)
	}
	want := threads()
	// What is right stays.
	if !r.repair(RepairThreads, "", "9 threads, 0 messages are in another one, 0 mailboxes have a new uidvalidity") {
		t.Error("sessions go on")
	}
	if mb, _ := r.a.Tree().ByID(r.inbox.ID); threads() != want || mb.UIDValidity != r.inbox.UIDValidity {
		t.Errorf("threads were %s, are %s", want, threads())
	}
	r.damage(func(tx *bstore.Tx) error {
		m, err := bstore.QueryTx[Message](tx).FilterNonzero(Message{MailboxID: r.inbox.ID, UID: 4}).Get()
		m.ThreadID = 1 << 40
		_, err2 := bstore.QueryTx[threadKey](tx).Delete()
		return errors.Join(err, err2, tx.Update(&m))
	})
	r.repair(RepairThreads, "", "9 threads, 1 messages are in another one, 1 mailboxes have a new uidvalidity")
	in, _ := r.a.Tree().ByID(r.inbox.ID)
	other, _ := r.a.Tree().ByID(r.archive.ID)
	if threads() != want || in.UIDValidity <= r.inbox.UIDValidity || other.UIDValidity != r.archive.UIDValidity {
		t.Errorf("threads were %s, are %s", want, threads())
	}
	// A late reply finds its thread by the keys that were made again.
	l, err := r.a.Append(ctx, newMessage(t, r.a, "Subject: Re: test 8\r\nReferences: <m8@example.org>\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	ix, err := r.a.Index(ctx, r.inbox.ID)
	if err != nil {
		t.Fatal(err)
	}
	if pos, ok := ix.Find(9); !ok || ix.At(pos).ThreadID != l[0].ThreadID {
		t.Errorf("reply is in thread %d", l[0].ThreadID)
	}
}
