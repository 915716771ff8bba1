package store

import (
	"errors"
	"slices"
	"testing"

	"mox/imap"
)

func tcheck(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addTo(t *testing.T, a *Account, mailboxID int64) Message {
	t.Helper()
	m := newMessage(t, a, testMessage(1))
	m.Mailbox, m.MailboxID = "", mailboxID
	l, err := a.Append(ctx, m)
	tcheck(t, err)
	return l[0]
}

func TestHiddenMailboxesAreSeenByNobodyUntilTheyAreRevealed(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	s := a.Session()
	defer s.Close()
	before := len(a.Tree().Mailboxes())
	var mb Mailbox
	tcheck(t, a.Update(ctx, func(tx *Tx) (err error) { mb, err = tx.CreateHidden(); return err }))
	m := addTo(t, a, mb.ID)
	if l, _ := s.Take(); len(l) != 0 {
		t.Errorf("session was told %v", l)
	}
	if l := a.Tree().Mailboxes(); len(l) != before {
		t.Errorf("%d mailboxes, was %d", len(l), before)
	}
	if _, ok := a.Tree().ByName(mb.Name); ok {
		t.Error("found by name")
	}
	tcheck(t, a.Update(ctx, func(tx *Tx) error { return tx.Reveal(mb.ID, "Old/2020") }))
	got, ok := a.Tree().ByName("Old/2020")
	if !ok || got.Messages != 1 || got.UIDValidity == mb.UIDValidity || !a.Tree().Subscribed("Old/2020") {
		t.Errorf("mailbox %+v, %v", got, ok)
	}
	l, _ := s.Take()
	if !slices.ContainsFunc(l, func(c Change) bool { return c.Kind == ChangeMailboxAdded && c.Name == "Old/2020" }) {
		t.Errorf("session was told %v", l)
	}
	ix, err := a.Index(ctx, mb.ID)
	tcheck(t, err)
	if ix.Len() != 1 || ix.At(0).MessageID != m.ID || ix.UIDValidity() != got.UIDValidity {
		t.Errorf("index has %d messages", ix.Len())
	}
	if err := a.DiscardHidden(ctx, mb.ID); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("discard of a mailbox that is not hidden: %v", err)
	}
	if err := a.Update(ctx, func(tx *Tx) error { return tx.Reveal(mb.ID, "New") }); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("reveal again: %v", err)
	}
}

func TestDiscardedHiddenMailboxesLeaveNothing(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	var mb Mailbox
	tcheck(t, a.Update(ctx, func(tx *Tx) (err error) { mb, err = tx.CreateHidden(); return err }))
	var m Message
	for range sweepBatch + 1 {
		m = addTo(t, a, mb.ID)
	}
	st := a.Tree().state
	if st.Messages != sweepBatch+1 {
		t.Fatalf("%d messages", st.Messages)
	}
	tcheck(t, a.DiscardHidden(ctx, mb.ID))
	st = a.Tree().state
	if st.Messages != 0 || st.Size != 0 || st.EraseSize != 0 || st.Tombstones != 0 {
		t.Errorf("state %+v", st)
	}
	if _, ok := a.Tree().ByID(mb.ID); ok {
		t.Error("mailbox is there")
	}
	if _, err := a.store.fs.Stat(a.contentPath(m.ContentID)); err == nil {
		t.Error("file is there")
	}
}

func TestNotesChangeWithTheMessagesThatAreStored(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	_, err := a.AppendThen(ctx, func(tx *Tx, l []Message) error {
		if len(l) != 1 || l[0].UID != 1 {
			t.Errorf("stored %v", l)
		}
		return tx.SetNote("a/1", []byte("x"))
	}, newMessage(t, a, testMessage(1)))
	tcheck(t, err)
	boom := errors.New("boom")
	_, err = a.AppendThen(ctx, func(tx *Tx, l []Message) error { return errors.Join(tx.SetNote("a/2", []byte("y")), boom) }, newMessage(t, a, testMessage(1)))
	if !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	if b, err := a.Note(ctx, "a/1"); err != nil || string(b) != "x" {
		t.Errorf("note %q, %v", b, err)
	}
	if l, err := a.Notes(ctx, "a/"); err != nil || !slices.Equal(l, []string{"a/1"}) {
		t.Errorf("notes %q, %v", l, err)
	}
	if mb, _ := a.Tree().ByName(imap.Inbox); mb.Messages != 1 {
		t.Errorf("%d messages", mb.Messages)
	}
	tcheck(t, a.Update(ctx, func(tx *Tx) error { return tx.SetNote("a/1", nil) }))
	if b, err := a.Note(ctx, "a/1"); err != nil || b != nil {
		t.Errorf("note %q, %v", b, err)
	}
}
