package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mox/internal/safefile"
	"mox/internal/testkit"
)

// sparesAccount returns an account with a clock that stands still: messages come soon
// after one another, however long it takes to write them.
func sparesAccount(t *testing.T, change ...func(o *Options)) (*Account, *clock) {
	t.Helper()
	c := &clock{time.Now()}
	return testAccount(t, append(change, func(o *Options) { o.Now = c.now })...), c
}

// waitSpares appends messages until files are made ahead, and returns their ids.
func waitSpares(t *testing.T, a *Account) []int64 {
	t.Helper()
	for i := range 10 {
		if _, err := a.Append(ctx, newMessage(t, a, testMessage(i))); err != nil {
			t.Fatal(err)
		}
		a.spares.work.Wait()
		a.spares.mu.Lock()
		var l []int64
		for _, sp := range a.spares.ready {
			l = append(l, sp.id)
		}
		a.spares.mu.Unlock()
		if len(l) > 0 {
			return l
		}
	}
	t.Fatal("no files were made ahead")
	return nil
}

// emptyFiles returns how many empty message files there are.
func emptyFiles(t *testing.T, dir string) int {
	t.Helper()
	l, err := filepath.Glob(filepath.Join(dir, "msg", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range l {
		if info, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else if info.Size() == 0 {
			n++
		}
	}
	return n
}

func TestOneMessageMakesNoFilesAhead(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(1))); err != nil {
		t.Fatal(err)
	}
	a.spares.work.Wait()
	if n := emptyFiles(t, a.dir); n != 0 {
		t.Errorf("%d empty files", n)
	}
}

func TestFilesMadeAheadAreUsedInOrder(t *testing.T) {
	t.Parallel()
	a, _ := sparesAccount(t)
	ids := waitSpares(t, a)
	l, err := a.Append(ctx, newMessage(t, a, testMessage(99)))
	if err != nil {
		t.Fatal(err)
	}
	if l[0].ContentID != ids[0] {
		t.Errorf("message has content %d, want %d", l[0].ContentID, ids[0])
	}
	if b, err := os.ReadFile(a.contentPath(ids[0])); err != nil || string(b) != testMessage(99) {
		t.Errorf("file has %q, %v", b, err)
	}
}

func TestFilesMadeAheadAreRemovedWhenMessagesStopComing(t *testing.T) {
	t.Parallel()
	a, c := sparesAccount(t)
	waitSpares(t, a)
	if err := a.Sweep(ctx); err != nil || emptyFiles(t, a.dir) == 0 {
		t.Errorf("%d empty files at once, %v", emptyFiles(t, a.dir), err)
	}
	c.t = c.t.Add(spareInterval)
	if err := a.Sweep(ctx); err != nil || emptyFiles(t, a.dir) != 0 {
		t.Errorf("%d empty files after a while, %v", emptyFiles(t, a.dir), err)
	}
	waitSpares(t, a)
	if err := a.close(); err != nil || emptyFiles(t, a.dir) != 0 {
		t.Errorf("%d empty files after closing, %v", emptyFiles(t, a.dir), err)
	}
}

func TestFilesMadeAheadAreRemovedAfterACrash(t *testing.T) {
	t.Parallel()
	a, _ := sparesAccount(t)
	waitSpares(t, a)
	was := a.Tree().state.Messages
	crashed := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(crashed, os.DirFS(a.store.opts.Dir)); err != nil {
		t.Fatal(err)
	}
	opts := a.store.opts
	opts.Dir = crashed
	s, err := Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.Account(ctx, a.name)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	if n := emptyFiles(t, b.dir); n != 0 || b.Tree().state.Messages != was {
		t.Errorf("%d empty files, %d messages instead of %d", n, b.Tree().state.Messages, was)
	}
	if _, err := os.Stat(b.lostDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lost/: %v", err)
	}
	if problems, err := b.Verify(ctx); err != nil || len(problems) > 0 {
		t.Errorf("verify: %v, %v", problems, err)
	}
}

func TestFilesMadeAheadAreNotUsedAfterReopening(t *testing.T) {
	t.Parallel()
	a, _ := sparesAccount(t)
	ids := waitSpares(t, a)
	reopenFailed(t, a)
	l, err := a.Append(ctx, newMessage(t, a, testMessage(99)))
	if err != nil {
		t.Fatal(err)
	}
	if l[0].ContentID <= ids[len(ids)-1] {
		t.Errorf("message has content %d, of before reopening", l[0].ContentID)
	}
}

func TestFailureToMakeFilesAheadHarmsNoMessage(t *testing.T) {
	t.Parallel()
	for _, op := range []testkit.Op{testkit.OpCreate, testkit.OpSyncDir} {
		for k := 1; k <= spareFiles; k++ {
			faults := testkit.NewFaults(safefile.OS)
			a := testAccount(t, func(o *Options) { o.FS = faults })
			if _, err := a.Append(ctx, newMessage(t, a, testMessage(1))); err != nil {
				t.Fatal(err)
			}
			a.spares.mu.Lock()
			a.spares.filling = true // By this test.
			a.spares.mu.Unlock()
			faults.FailAt(k, testkit.ErrIO, op)
			a.spares.fill()
			failed := len(faults.Events()) > 0 && op == testkit.OpCreate || k == 1
			faults.Clear()
			if n := emptyFiles(t, a.dir); failed != (n == 0) {
				t.Errorf("%s %d fails: %d empty files", op, k, n)
			}
			if _, err := a.Append(ctx, newMessage(t, a, testMessage(2))); err != nil {
				t.Errorf("%s %d fails: append: %v", op, k, err)
			}
			a.spares.work.Wait()
		}
	}
}

func TestMessageThatCannotBeWrittenToAFileMadeAheadLeavesNone(t *testing.T) {
	t.Parallel()
	for _, op := range []testkit.Op{testkit.OpWrite, testkit.OpSync} {
		faults := testkit.NewFaults(safefile.OS)
		a, _ := sparesAccount(t, func(o *Options) { o.FS = faults })
		id := waitSpares(t, a)[0]
		faults.FailAt(1, testkit.ErrIO, op)
		if _, err := a.Append(ctx, newMessage(t, a, testMessage(99))); err == nil {
			t.Fatalf("append though %s fails", op)
		}
		faults.Clear()
		if _, err := os.Stat(a.contentPath(id)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s fails: file: %v", op, err)
		}
		if a.ids.held(id) {
			t.Errorf("%s fails: id was not given up", op)
		}
	}
}
