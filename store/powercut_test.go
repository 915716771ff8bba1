//go:build linux

package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"mox/imap"
	"mox/internal/testkit/powercut"
)

// cutPoints is how many points of a log are tried, more with make soak.
func cutPoints() int {
	if os.Getenv("MOX_SOAK") != "" {
		return 200
	}
	if testing.Short() { // With the race detector, which is about other things.
		return 10
	}
	return 40
}

// The same as a power cut at any point of random operations: what was acknowledged
// is there, at most the one operation in progress besides.
func TestPowerCutDuringRandomOperations(t *testing.T) {
	t.Parallel()
	rec := powercut.Mount(t)
	r := newModelRun(t, 7, func(o *Options) { o.Dir = rec.Dir })
	models := []*model{r.m}
	rec.Mark(0)
	for range 120 {
		want, what, err := r.step()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		r.m = want
		models = append(models, want)
		rec.Mark(len(models) - 1)
		if r.rnd.IntN(20) == 0 {
			r.reopen()
		}
	}
	p := rec.Replay()
	rnd := rand.New(rand.NewPCG(7, 7))
	cuts := p.Cuts(cutPoints())
	for i, cut := range cuts {
		marks, err := p.Advance(cut)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "cut")
		if err := p.Build(dir, powercut.Keep(i%3), rnd); err != nil {
			t.Fatal(err)
		}
		after := &modelRun{t: t, opts: r.opts, seen: map[string]*Index{}}
		after.opts.Dir = dir
		checkCut(t, after, fmt.Sprintf("cut %d of %d", cut, p.Len()), models, marks)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d cut points of %d events", len(cuts), p.Len())
}

// checkCut opens what a power cut left, and compares it with the last
// acknowledged model or the next one.
func checkCut(t *testing.T, r *modelRun, what string, models []*model, marks []any) {
	t.Helper()
	r.open()
	defer r.s.Close()
	if problems, err := r.a.Verify(ctx); err != nil || len(problems) > 0 {
		t.Fatalf("%s: verify: %v %q", what, err, problems)
	}
	if len(marks) == 0 {
		return
	}
	last := marks[len(marks)-1].(int)
	r.m = models[last]
	if last+1 < len(models) && !r.same() {
		r.m = models[last+1]
	}
	r.compare(what)
	r.readAll()
}

// same reports whether the mailboxes and messages are those of the model.
func (r *modelRun) same() bool {
	boxes := r.a.Tree().Mailboxes()
	for _, mb := range boxes {
		b := r.m.boxes[mb.Name]
		if b == nil || mb.UIDNext != b.uidNext || mb.Messages != int64(len(b.msgs)) {
			return false
		}
		ix, err := r.a.Index(ctx, mb.ID)
		if err != nil {
			return false
		}
		for i, it := range ix.Range(0, ix.Len()) {
			if it.UID != b.msgs[i].uid || it.Flags != b.msgs[i].flags || len(it.Keywords()) != len(b.msgs[i].kw) {
				return false
			}
		}
	}
	return len(boxes) == len(r.m.boxes)
}

func TestPowerCutDuringConcurrentAppends(t *testing.T) {
	t.Parallel()
	rec := powercut.Mount(t)
	r := newModelRun(t, 8, func(o *Options) { o.Dir = rec.Dir })
	var wg sync.WaitGroup
	for s := range 8 {
		wg.Go(func() {
			for i := range 15 {
				data := testMessage(s*100 + i)
				l, err := r.a.Append(ctx, newMessage(t, r.a, data))
				if err != nil {
					t.Error(err)
					return
				}
				rec.Mark(modelMsg{uid: l[0].UID, data: data})
			}
		})
	}
	wg.Wait()
	p := rec.Replay()
	rnd := rand.New(rand.NewPCG(8, 8))
	for i, cut := range p.Cuts(cutPoints()) {
		marks, err := p.Advance(cut)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "cut")
		if err := p.Build(dir, powercut.Keep(i%3), rnd); err != nil {
			t.Fatal(err)
		}
		after := &modelRun{t: t, opts: r.opts, seen: map[string]*Index{}}
		after.opts.Dir = dir
		after.open()
		if problems, err := after.a.Verify(ctx); err != nil || len(problems) > 0 {
			t.Fatalf("cut %d: verify: %v %q", cut, err, problems)
		}
		after.checkAcknowledged(marks)
		if err := after.s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// checkAcknowledged checks that each acknowledged message is there, once.
func (r *modelRun) checkAcknowledged(marks []any) {
	r.t.Helper()
	ix, err := r.a.Index(ctx, r.id(imap.Inbox))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, mark := range marks {
		m := mark.(modelMsg)
		pos, ok := ix.Find(m.uid)
		if !ok || ix.At(pos).Size != int64(len(m.data)) {
			r.t.Fatalf("acknowledged message %d is not there", m.uid)
		}
		c, err := r.a.OpenContent(ctx, ix.At(pos).ContentID)
		if err != nil {
			r.t.Fatal(err)
		}
		buf := make([]byte, c.Size())
		if _, err := c.ReadAt(buf, 0); err != nil || string(buf) != m.data {
			r.t.Fatalf("acknowledged message %d: %q %v", m.uid, buf, err)
		}
		c.Close()
	}
}

// A failing write or sync, of message files and of the database, at any point:
// the operation fails, nothing acknowledged is lost, and after reopening all is
// well.
func TestFailingDiskLosesNothing(t *testing.T) {
	t.Parallel()
	rec := powercut.Mount(t)
	r := newModelRun(t, 9, func(o *Options) { o.Dir = rec.Dir })
	failed := 0
	for i := range 150 {
		errno := []syscall.Errno{syscall.EIO, syscall.ENOSPC}[i%2]
		rec.FailAt(1+r.rnd.IntN(15), errno, powercut.OpWrite, powercut.OpSync, powercut.OpSyncDir, powercut.OpCreate, powercut.OpTruncate)
		was := r.a.db
		want, what, err := r.step()
		rec.Clear()
		// It may have been reopened by now, after the wait for an earlier failure.
		r.a.mu.Lock()
		broken := r.a.failed != nil || r.a.db != was
		r.a.mu.Unlock()
		if broken {
			failed++
		}
		if err := r.a.reopen(ctx); err != nil {
			t.Fatalf("%s: reopen: %v", what, err)
		}
		// After a failed commit it may have happened or not.
		if err == nil {
			r.m = want
		} else if broken && !r.same() {
			r.m = want
		}
		r.compare(fmt.Sprintf("%d: %s, %v", i, what, err))
	}
	if failed < 10 {
		t.Errorf("only %d commits failed", failed)
	}
	r.readAll()
	r.reopen()
	r.readAll()
}
