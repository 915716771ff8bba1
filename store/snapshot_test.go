package store

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mox/imap"
)

func TestFilesThatASnapshotNamesStayWhileTheyAreHeld(t *testing.T) {
	t.Parallel()
	c := &clock{time.Now()}
	a := testAccount(t, func(o *Options) { o.Now = c.now })
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(1)), newMessage(t, a, testMessage(2))); err != nil {
		t.Fatal(err)
	}
	release := a.store.HoldFiles()
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := a.Snapshot(ctx, path); err != nil {
		t.Fatal(err)
	}
	expungeAll(t, a)
	c.t = c.t.Add(2 * DefaultUndeleteWindow)
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	found := 0
	err := SnapshotFiles(ctx, path, func(id, size int64) error {
		info, err := os.Stat(filepath.Join(a.dir, ContentPath(id)))
		if err == nil && info.Size() == size {
			found++
		}
		return err
	})
	if err != nil || found != 2 {
		t.Fatalf("%d files of the snapshot are there, %v", found, err)
	}
	if l, err := a.Verify(ctx); err != nil || len(l) > 0 {
		t.Errorf("while files are held: %v, %v", l, err)
	}
	release()
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if n := files(t, a); n != 0 {
		t.Errorf("%d files are left after release", n)
	}
	var ids []string
	err = SnapshotMessages(ctx, path, func(m SnapshotMessage) error {
		ids = append(ids, m.Mailbox)
		return nil
	})
	if err != nil || !slices.Equal(ids, []string{imap.Inbox, imap.Inbox}) {
		t.Errorf("messages of the snapshot are in %v, %v", ids, err)
	}
}

func TestRestoredSnapshotHasOtherUIDValidityAndIDs(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(1))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := a.Snapshot(ctx, path); err != nil {
		t.Fatal(err)
	}
	before := map[uint32]bool{}
	for _, mb := range a.Tree().Mailboxes() {
		before[mb.UIDValidity] = true
	}
	if err := Restored(ctx, path, time.Now()); err != nil {
		t.Fatal(err)
	}
	l, err := SnapshotMailboxes(ctx, path)
	if err != nil || len(l) != len(before) {
		t.Fatalf("%v, %v", l, err)
	}
	for _, mb := range l {
		if before[mb.UIDValidity] {
			t.Errorf("mailbox %q has UIDVALIDITY %d, which was used", mb.Name, mb.UIDValidity)
		}
	}
}
