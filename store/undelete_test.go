package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/imap"
)

// expunged returns what can be undeleted.
func expunged(t testing.TB, a *Account, f ExpungedFilter) (l []Expunged) {
	t.Helper()
	if err := a.Expunged(ctx, f, func(x Expunged) error { l = append(l, x); return nil }); err != nil {
		t.Fatal(err)
	}
	return l
}

// expungedIDs returns the ids of expunged messages of a mailbox with one of some UIDs, of
// all if there are none, in the order in which they were expunged.
func expungedIDs(t testing.TB, a *Account, mailboxID int64, uids ...uint32) (ids []int64) {
	t.Helper()
	for _, x := range expunged(t, a, ExpungedFilter{}) {
		if x.MailboxID == mailboxID && (len(uids) == 0 || slices.Contains(uids, x.UID)) {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

// undeleteTest has an account, a clock, and a mailbox a/b with the special use for sent
// mail and three messages.
type undeleteTest struct {
	t *testing.T
	*Account
	clock *clock
	id    int64 // Of the mailbox.
}

func newUndeleteTest(t *testing.T, change ...func(*Options)) *undeleteTest {
	u := &undeleteTest{t: t, clock: &clock{time.Now().Round(0)}}
	u.Account = testAccount(t, append(change, func(o *Options) { o.Now = u.clock.now })...)
	t.Cleanup(func() {
		if problems, err := u.Verify(ctx); err != nil || len(problems) > 0 {
			t.Errorf("verify: %v %q", err, problems)
		}
	})
	u.update(func(tx *Tx) error {
		l, err := tx.CreateMailbox("a/b", UseSent)
		if err == nil {
			u.id = l[1].ID
		}
		return err
	})
	for i := range 3 {
		m := newMessage(t, u.Account, testMessage(i))
		m.Mailbox, m.Flags, m.Keywords = "a/b", imap.FlagFlagged|imap.FlagDeleted, []string{"todo"}
		if _, err := u.Append(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func (u *undeleteTest) update(fn func(tx *Tx) error) {
	u.t.Helper()
	if err := u.Update(ctx, fn); err != nil {
		u.t.Fatal(err)
	}
}

func (u *undeleteTest) expunge(uids ...uint32) {
	u.t.Helper()
	u.update(func(tx *Tx) error { _, err := tx.Expunge(u.id, uids, false); return err })
}

func (u *undeleteTest) sweep() {
	u.t.Helper()
	if err := u.Sweep(ctx); err != nil {
		u.t.Fatal(err)
	}
}

// subjects returns a mailbox's messages: the numbers in their subjects.
func (u *undeleteTest) subjects(mailbox string) string {
	u.t.Helper()
	mb, ok := u.Tree().ByName(mailbox)
	if !ok {
		return "no mailbox"
	}
	ix, err := u.Index(ctx, mb.ID)
	if err != nil {
		u.t.Fatal(err)
	}
	var l []string
	for i := range ix.Len() {
		c, err := u.OpenContent(ctx, ix.At(i).ContentID)
		if err != nil {
			u.t.Fatal(err)
		}
		l = append(l, strings.TrimPrefix(string(c.Digest().BaseSubject()), "test "))
		c.Close()
	}
	return strings.Join(l, " ")
}

func TestExpungedMessagesAreListed(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t)
	u.expunge(2)
	first := u.clock.t
	u.clock.t = first.Add(time.Hour)
	u.expunge(1, 3)
	l := expunged(t, u.Account, ExpungedFilter{})
	if len(l) != 3 || l[0].UID != 2 || l[1].UID != 1 || l[2].UID != 3 {
		t.Fatalf("got %+v", l)
	}
	x := l[0]
	if x.Mailbox != "a/b" || x.MailboxGone || !x.Since.Equal(first) || !x.Until.Equal(first.Add(DefaultUndeleteWindow)) ||
		x.Flags != imap.FlagFlagged|imap.FlagDeleted || !slices.Equal(x.Keywords, []string{"todo"}) || string(x.Digest.MessageID()) != "m1@example.org" {
		t.Errorf("got %+v", x)
	}
	for _, test := range []struct {
		f    ExpungedFilter
		want int
	}{
		{ExpungedFilter{IDs: []int64{l[2].ID, l[0].ID, 12345}}, 2},
		{ExpungedFilter{IDs: []int64{}}, 0},
		{ExpungedFilter{MessageID: "<M1@example.ORG>"}, 1},
		{ExpungedFilter{MessageID: "m5@example.org"}, 0},
		{ExpungedFilter{Mailbox: "a/b"}, 3},
		{ExpungedFilter{Mailbox: "a"}, 0},
		{ExpungedFilter{Mailbox: "a/b", Since: first.Add(time.Minute)}, 2},
	} {
		if l := expunged(t, u.Account, test.f); len(l) != test.want {
			t.Errorf("%+v: %d messages, expected %d", test.f, len(l), test.want)
		}
	}
	u.clock.t = first.Add(DefaultUndeleteWindow)
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 2 {
		t.Errorf("%d messages when the time of one is over", len(l))
	}
}

func TestUndeletedMessagesAreBackWithTheirFlags(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t)
	u.expunge(1, 2)
	ids := expungedIDs(t, u.Account, u.id)
	u.update(func(tx *Tx) error {
		l, err := tx.Undelete(append(ids[:1], 12345), "")
		if len(l) != 1 || l[0].MailboxID != u.id || l[0].UID != 4 {
			t.Errorf("undeleted %+v", l)
		}
		return err
	})
	ids = expungedIDs(t, u.Account, u.id)
	u.update(func(tx *Tx) error { _, err := tx.Undelete(ids, "new/box"); return err })
	if got := u.subjects("a/b") + ", " + u.subjects("new/box"); got != "2 0, 1" {
		t.Errorf("messages %s", got)
	}
	ix, err := u.Index(ctx, u.id)
	if err != nil || ix.Flags(1) != imap.FlagFlagged || !slices.Equal(ix.At(1).Keywords(), []string{"todo"}) {
		t.Errorf("%v, flags %v %v", err, ix.Flags(1), ix.At(1).Keywords())
	}
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 0 {
		t.Errorf("can be undeleted twice: %+v", l)
	}
}

func TestDeletedMailboxIsMadeAgain(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t)
	u.expunge(2)
	old, _ := u.Tree().ByID(u.id)
	u.update(func(tx *Tx) error {
		a, err := tx.MailboxByName("a")
		return errors.Join(err, tx.DeleteMailbox(u.id), tx.DeleteMailbox(a.ID))
	})
	l := expunged(t, u.Account, ExpungedFilter{Mailbox: "a/b"})
	if len(l) != 3 || !l[0].MailboxGone {
		t.Fatalf("got %+v", l)
	}
	ids := expungedIDs(t, u.Account, u.id)
	u.update(func(tx *Tx) error { _, err := tx.Undelete(ids, ""); return err })
	mb, ok := u.Tree().ByName("a/b")
	if got := u.subjects("a/b"); got != "1 0 2" || !ok || mb.SpecialUse != UseSent || mb.UIDValidity <= old.UIDValidity || !u.Tree().Subscribed("a/b") {
		t.Errorf("messages %s in %+v", got, mb)
	}
	u.clock.t = u.clock.t.Add(2 * DefaultUndeleteWindow)
	u.sweep()
	if l, err := u.formerMailboxes(); err != nil || l != 0 {
		t.Errorf("%d deleted mailboxes are remembered, %v", l, err)
	}
}

func (u *undeleteTest) formerMailboxes() (n int, err error) {
	err = u.Update(ctx, func(tx *Tx) error {
		for id := int64(1); id < 100; id++ {
			if tx.btx.Get(&formerMailbox{ID: id}) == nil {
				n++
			}
		}
		return nil
	})
	return n, err
}

func TestQuotaIsFreeAtExpungeAndNeededForUndelete(t *testing.T) {
	t.Parallel()
	size := int64(len(testMessage(0)))
	u := newUndeleteTest(t, func(o *Options) { o.Quota = func(string) int64 { return 3 * size } })
	u.expunge(1)
	if _, err := u.Append(ctx, newMessage(t, u.Account, testMessage(4))); err != nil {
		t.Fatalf("quota of an expunged message is not free: %v", err)
	}
	ids := expungedIDs(t, u.Account, u.id)
	err := u.Update(ctx, func(tx *Tx) error { _, err := tx.Undelete(ids, ""); return err })
	if !errors.Is(err, ErrOverQuota) {
		t.Errorf("undelete over quota: %v", err)
	}
	// The quota is the cap too.
	for range 3 {
		expungeAll(t, u.Account)
		u.expunge(2, 3)
		u.sweep()
	}
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 3 || l[0].UID != 1 && l[0].Mailbox == "a/b" {
		t.Errorf("%d messages stay, expected as many as the quota has room for", len(l))
	}
}

func TestLimitsAreThoseOfTheAccount(t *testing.T) {
	t.Parallel()
	limits := UndeleteLimits{Window: time.Hour}
	u := newUndeleteTest(t, func(o *Options) { o.Undelete = func(string) UndeleteLimits { return limits } })
	u.expunge(1, 2)
	u.sweep()
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 2 || l[0].Until.Sub(l[0].Since) != time.Hour {
		t.Errorf("got %+v", l)
	}
	limits.Bytes = 1
	u.sweep()
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 0 || files(t, u.Account) != 1 {
		t.Errorf("beyond the limit: %d messages, %d files", len(l), files(t, u.Account))
	}
	limits = UndeleteLimits{Window: -1}
	u.expunge(3)
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 0 {
		t.Errorf("without a window there is %+v", l)
	}
}

func TestRejectsAndWhatIsReplacedAreNotKept(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t, func(o *Options) {
		o.Policy = func(string) Policy { return Policy{RejectsMailbox: "Inbox"} }
	})
	if _, err := u.Append(ctx, newMessage(t, u.Account, testMessage(7))); err != nil {
		t.Fatal(err)
	}
	s := u.Session()
	defer s.Close()
	s.Pin(u.Tree().ModSeq)
	u.expunge(1) // It is kept, and older than the others.
	expungeAll(t, u.Account)
	u.update(func(tx *Tx) error { _, err := tx.ExpungeForGood(u.id, []uint32{2}); return err })
	u.sweep()
	if n := files(t, u.Account); n != 4 {
		t.Errorf("%d files while a session shows the messages", n)
	}
	s.Unpin()
	u.sweep()
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 1 || files(t, u.Account) != 2 {
		t.Errorf("%d messages can be undeleted, %d files", len(l), files(t, u.Account))
	}
}

func TestPurgedMessagesGoUnlessTheyAreUsed(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t)
	u.update(func(tx *Tx) error {
		in, err := tx.MailboxByName(imap.Inbox)
		if err == nil {
			_, err = tx.Copy(u.id, []uint32{1, 2}, in.ID)
		}
		return err
	})
	u.expunge(1, 2, 3)
	u.update(func(tx *Tx) error {
		in, err := tx.MailboxByName(imap.Inbox)
		if err == nil {
			_, err = tx.Expunge(in.ID, []uint32{1}, false)
		}
		return err
	})
	ids := expungedIDs(t, u.Account, u.id)
	u.update(func(tx *Tx) error {
		n, err := tx.Purge(ids)
		if n != 3 {
			t.Errorf("purged %d", n)
		}
		return err
	})
	u.sweep()
	// The first is still expunged in Inbox, the second is a message there.
	if l := expunged(t, u.Account, ExpungedFilter{}); len(l) != 1 || l[0].Mailbox != imap.Inbox || files(t, u.Account) != 2 {
		t.Errorf("%+v, %d files", l, files(t, u.Account))
	}
	if got := u.subjects(imap.Inbox); got != "1" {
		t.Errorf("Inbox has %s", got)
	}
}

func TestPrunedHistoryCanBeUndeleted(t *testing.T) {
	t.Parallel()
	u := newUndeleteTest(t, func(o *Options) { o.Tombstones = 1 })
	u.expunge(1)
	u.expunge(2)
	u.expunge(3)
	if uids, complete, err := u.Vanished(ctx, u.id, 0); err != nil || complete || len(uids) > 2 {
		t.Fatalf("history: %v %v %v", uids, complete, err)
	}
	ids := expungedIDs(t, u.Account, u.id)
	if len(ids) != 3 {
		t.Fatalf("can be undeleted: %v", ids)
	}
	u.update(func(tx *Tx) error { _, err := tx.Undelete(ids[:1], ""); return err })
	if got := u.subjects("a/b"); got != "0" {
		t.Errorf("messages %s", got)
	}
	u.clock.t = u.clock.t.Add(2 * DefaultUndeleteWindow)
	u.sweep()
	if uids, _, err := u.Vanished(ctx, u.id, -1); err != nil || len(uids) != 1 {
		t.Errorf("tombstones after all: %v %v", uids, err)
	}
}

// A restart between the steps of Sweep and of Undelete changes nothing of what can be
// undeleted.
func TestUndeleteOutlivesRestarts(t *testing.T) {
	t.Parallel()
	r := newModelRun(t, 1)
	for range 3 {
		if _, err := r.append(r.m, imap.Inbox); err != nil {
			t.Fatal(err)
		}
	}
	expungeAll(t, r.a)
	want := fmt.Sprint(expunged(t, r.a, ExpungedFilter{}))
	r.reopen()
	if got := fmt.Sprint(expunged(t, r.a, ExpungedFilter{})); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if err := os.Remove(r.a.contentPath(expunged(t, r.a, ExpungedFilter{})[0].ContentID)); err != nil {
		t.Fatal(err)
	}
	if problems, err := r.a.Verify(ctx); err != nil || len(problems) != 1 {
		t.Errorf("the file of an expunged message is not verified: %v %q", err, problems)
	}
}
