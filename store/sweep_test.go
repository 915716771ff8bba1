package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mox/imap"
	"mox/internal/boltpages"
	"mox/internal/testkit"
)

// clock is a time that a test sets.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func expungeAll(t *testing.T, a *Account) {
	t.Helper()
	mb, _ := a.Tree().ByName(imap.Inbox)
	if err := a.Update(ctx, func(tx *Tx) error { _, err := tx.Expunge(mb.ID, nil, false); return err }); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, a *Account) int {
	t.Helper()
	l, err := filepath.Glob(filepath.Join(a.dir, "msg", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range l {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 { // Not one for a message to come.
			n++
		}
	}
	return n
}

func TestExpungedFileStaysUntilTheUndeleteWindowHasPassed(t *testing.T) {
	t.Parallel()
	c := &clock{time.Now()}
	a := testAccount(t, func(o *Options) { o.Now = c.now })
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(1)), newMessage(t, a, testMessage(2))); err != nil {
		t.Fatal(err)
	}
	expungeAll(t, a)
	for _, step := range []struct {
		after time.Duration
		files int
	}{{0, 2}, {DefaultUndeleteWindow - time.Minute, 2}, {time.Hour, 0}} {
		c.t = c.t.Add(step.after)
		if err := a.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if n := files(t, a); n != step.files {
			t.Fatalf("%d files at %v, expected %d", n, step.after, step.files)
		}
	}
	if st := a.Tree().state; st.EraseSize != 0 || st.Size != 0 {
		t.Fatalf("state %+v", st)
	}
}

func TestUndeleteBytesEraseTheOldestFirst(t *testing.T) {
	t.Parallel()
	a := testAccount(t, func(o *Options) { o.UndeleteBytes = int64(len(testMessage(1)) + 10) })
	mb, _ := a.Tree().ByName(imap.Inbox)
	for i := range 3 {
		l, err := a.Append(ctx, newMessage(t, a, testMessage(i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Update(ctx, func(tx *Tx) error { _, err := tx.Expunge(mb.ID, []uint32{l[0].UID}, false); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	ids := expungedIDs(t, a, mb.ID, 1, 2, 3)
	var done []Undeleted
	if err := a.Update(ctx, func(tx *Tx) (err error) { done, err = tx.Undelete(ids, ""); return err }); err != nil {
		t.Fatal(err)
	}
	if len(done) != 1 || len(ids) != 1 || done[0].UID != 4 {
		t.Fatalf("undeleted %v", done)
	}
}

func TestPinnedSessionKeepsExpungedMessagesReadable(t *testing.T) {
	t.Parallel()
	a := testAccount(t, func(o *Options) { o.UndeleteWindow = -1 })
	l, err := a.Append(ctx, newMessage(t, a, testMessage(1)))
	if err != nil {
		t.Fatal(err)
	}
	s := a.Session()
	defer s.Close()
	s.Pin(a.Tree().ModSeq)
	expungeAll(t, a)
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	c, err := a.OpenContent(ctx, l[0].ContentID)
	if err != nil {
		t.Fatalf("pinned message: %v", err)
	}
	c.Close()
	s.Pin(a.Tree().ModSeq)
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := a.OpenContent(ctx, l[0].ContentID); !errors.Is(err, ErrNoMessage) {
		t.Fatalf("after the session has seen it: %v", err)
	}
	if n := files(t, a); n != 0 {
		t.Fatalf("%d files", n)
	}
}

// Each step of erasing may be the last one before a crash.
func TestInterruptedEraseIsFinishedAtOpen(t *testing.T) {
	t.Parallel()
	for k := 1; k <= 2; k++ {
		faults := testkit.NewFaults(nil)
		r := newModelRun(t, 1, func(o *Options) { o.FS, o.UndeleteWindow = faults, -1 })
		if _, err := r.append(r.m, imap.Inbox); err != nil {
			t.Fatal(err)
		}
		expungeAll(t, r.a)
		r.m.boxes[imap.Inbox].msgs = nil
		faults.FailAt(k, testkit.ErrIO, testkit.OpRemove, testkit.OpSyncDir)
		if err := r.a.Sweep(ctx); !errors.Is(err, testkit.ErrIO) {
			t.Fatalf("sweep with fault %d: %v", k, err)
		}
		faults.Clear()
		r.reopen()
		if n := files(t, r.a); n != 0 {
			t.Errorf("fault %d: %d files left", k, n)
		}
	}
}

func TestFileOfUnacknowledgedMessageGoesToLost(t *testing.T) {
	t.Parallel()
	r := newModelRun(t, 1)
	if _, err := r.append(r.m, imap.Inbox); err != nil {
		t.Fatal(err)
	}
	id, err := r.a.reserveID(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.a.contentPath(id), []byte("not acknowledged"), 0600); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if b, err := os.ReadFile(filepath.Join(r.a.lostDir(), filepath.Base(r.a.contentPath(id)))); err != nil || string(b) != "not acknowledged" {
		t.Fatalf("lost file: %q %v", b, err)
	}
	r.readAll()
	next, err := r.a.reserveID(ctx)
	if err != nil || next <= id {
		t.Fatalf("next id %d after %d: %v", next, id, err)
	}
}

func TestVerifyFindsAndFixesDamage(t *testing.T) {
	t.Parallel()
	r := newModelRun(t, 1)
	if _, err := r.append(r.m, imap.Inbox); err != nil {
		t.Fatal(err)
	}
	mb, _ := r.a.Tree().ByName(imap.Inbox)
	mb.Messages += 5
	if err := r.a.db.Update(ctx, &mb); err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(r.a.dir, "msg", "a", "123456789")
	if err := os.WriteFile(stray, nil, 0600); err != nil {
		t.Fatal(err)
	}
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, fix := range []bool{false, true} {
		rep, err := Verify(ctx, r.opts.Dir, VerifyOptions{Fix: fix})
		if err != nil || len(rep.Problems) != 2 || rep.Problems[0].Fixed != fix {
			t.Fatalf("verify with fix %v: %v %v", fix, err, rep.Problems)
		}
	}
	rep, err := Verify(ctx, r.opts.Dir, VerifyOptions{})
	if err != nil || len(rep.Problems) != 0 || rep.Accounts != 1 {
		t.Fatalf("verify after fix: %v %+v", err, rep)
	}
	r.open()
	r.compare("after fix")
	ix, err := r.a.Index(ctx, mb.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.a.contentPath(ix.At(0).ContentID)); err != nil {
		t.Fatal(err)
	}
	if problems, err := r.a.Verify(ctx); err != nil || len(problems) != 1 {
		t.Fatalf("missing file: %v %q", err, problems)
	}
}

func TestCompactKeepsEverything(t *testing.T) {
	t.Parallel()
	r := newModelRun(t, 3)
	for range 100 {
		want, what, err := r.step()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		r.m = want
	}
	if err := r.s.Close(); err != nil {
		t.Fatal(err)
	}
	before, after, err := boltpages.Compact(filepath.Join(r.opts.Dir, "accounts", "mox", dbName))
	if err != nil || after > before {
		t.Fatalf("%d bytes before, %d after, %v", before, after, err)
	}
	r.open()
	r.reopen()
	r.compare("compact")
	r.readAll()
}
