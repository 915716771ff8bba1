package queuedb

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSnapshotHasMessagesOnHoldAndTheirFilesStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := testOpen(t, Options{Dir: dir})
	l := enqueue(t, d, "one\r\n", "a@rcpt.example", "b@other.example")
	l = append(l, enqueue(t, d, "two\r\n", "c@rcpt.example")...)
	if _, err := d.SetHold(ctxbg, Filter{IDs: []int64{l[1].ID}}, true); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Fail(ctxbg, Filter{IDs: []int64{l[2].ID}}, "test"); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	release := d.HoldFiles()
	path := filepath.Join(t.TempDir(), "copy.db")
	tcheck(t, d.Snapshot(ctxbg, path))
	if n, err := HoldAll(ctxbg, path, "test"); err != nil || n != 1 { // One is on hold, of another only the sender is to be told.
		t.Errorf("%d messages were put on hold, %v", n, err)
	}
	if problems, err := VerifySnapshot(ctxbg, path); err != nil || len(problems) > 0 {
		t.Errorf("copy: %v, %v", problems, err)
	}
	if n, err := d.Drop(ctxbg, Filter{}, forget); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	d.sweeper.sweep()
	found := 0
	tcheck(t, SnapshotFiles(ctxbg, path, func(id, size int64) error {
		info, err := os.Stat(filepath.Join(dir, ContentPath(id)))
		if err == nil && info.Size() == size {
			found++
		}
		return err
	}))
	if found != 2 {
		t.Errorf("%d files of the snapshot are there", found)
	}
	verify(t, d)
	release()
	d.sweeper.sweep()
	if l := files(t, d); len(l) != 0 {
		t.Errorf("files are left after release: %v", l)
	}
	verify(t, d)
}
