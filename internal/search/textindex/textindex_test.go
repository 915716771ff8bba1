package textindex

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/internal/background"
	"mox/internal/fts"
	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/store"
)

func TestMessagesAreIndexedInTheBackground(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{Delay: time.Millisecond})
	done := make(chan struct{}, 100)
	e.applied = func() error { done <- struct{}{}; return nil }
	e.Start(nil)
	l := e.fill("ann", 0, 5)
	for i, m := range l { // They may have been stored in any order.
		for e.answer("ann", m.ContentID, fmt.Sprintf("word%d ", i)) == fts.Unknown {
			<-done
		}
	}
	e.want("ann", l, numbers(0, 5)...)
}

func TestWhatWasLeftIsIndexedAtTheNextStart(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.fill("ann", 0, 5)
	e.opts.Delay = time.Millisecond
	e.restart()
	done := make(chan struct{}, 100)
	e.applied = func() error { done <- struct{}{}; return nil }
	e.Start([]string{"ann", "none"})
	for i, m := range l { // They may have been stored in any order.
		for e.answer("ann", m.ContentID, fmt.Sprintf("word%d ", i)) == fts.Unknown {
			<-done
		}
	}
	e.want("ann", l, numbers(0, 5)...)
}

func TestIndexThatLagsBehindSaysSo(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.fill("ann", 0, 3)
	if a := e.answer("ann", l[2].ContentID, "word2"); a != fts.Unknown {
		t.Errorf("before it is indexed: %d", a)
	}
	e.flush("ann")
	l = append(l, e.fill("ann", 3, 4)...)
	e.want("ann", l, 0, 1, 2)
	if a := e.answer("ann", l[3].ContentID, "word3"); a != fts.Unknown {
		t.Errorf("not yet indexed: %d", a)
	}
}

var errCrash = errors.New("crash")

func TestEachMessageIsAddedOnceWhereverItCrashes(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	var l []store.Message
	for i := range 6 {
		l = append(l, e.fill("ann", 3*i, 3*i+3)...)
		if i%2 == 0 {
			e.applied = func() error { return errCrash }
			if err := e.Flush(ctxbg, "ann"); !errors.Is(err, errCrash) {
				t.Fatalf("flush: %v", err)
			}
		}
		e.restart()
	}
	e.flush("ann")
	e.flush("ann")
	e.want("ann", l, numbers(0, len(l))...)
	if n := e.messages("ann"); n != int64(len(l)) {
		t.Errorf("%d messages in the index", n)
	}
}

func TestErasedMessagesLeaveTheIndex(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.fill("ann", 0, 20)
	e.flush("ann")
	e.expunge("ann", l[3:10]...)
	e.flush("ann")
	if n := e.messages("ann"); n != 13 {
		t.Errorf("%d messages in the index", n)
	}
	e.want("ann", l[10:], numbers(10, 20)...)
	// Also those that are erased before they are indexed, and while nobody looks.
	l = append(l, e.fill("ann", 20, 25)...)
	e.expunge("ann", l[20:22]...)
	e.expunge("ann", l[0])
	e.restart()
	e.flush("ann")
	if n := e.messages("ann"); n != 15 {
		t.Errorf("%d messages in the index", n)
	}
	tcheck(t, e.Indexer.Close())
	b, err := os.ReadFile(e.file("ann"))
	tcheck(t, err)
	if len(b) == 0 {
		t.Error("file is empty")
	}
}

func TestIndexThatCannotBeUsedIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(e *env) error{
		"missing": func(e *env) error { return os.Remove(e.file("ann")) },
		"damaged": func(e *env) error { return os.WriteFile(e.file("ann"), []byte(strings.Repeat("no index", 5000)), 0600) },
		"cut off": func(e *env) error { return os.Truncate(e.file("ann"), 5000) },
		"of another past": func(e *env) error {
			x, err := fts.Open(e.file("ann"))
			if err != nil {
				return err
			}
			var b fts.Batch
			return errors.Join(b.Add(1<<40, fts.Text{Body: []byte("text")}), x.Apply(ctxbg, &b, 1<<41), x.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, Options{})
			l := e.fill("ann", 0, 10)
			e.flush("ann")
			e.stop()
			tcheck(t, spoil(e))
			e.start()
			if a := e.answer("ann", l[0].ContentID, "word0 "); a != fts.Unknown {
				t.Errorf("new index: answer %d", a)
			}
			tcheck(t, e.Flush(ctxbg, "ann"))
			e.want("ann", l, numbers(0, 10)...)
		})
	}
}

func TestRebuildWhileSearching(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.fill("ann", 0, 10)
	e.flush("ann")
	acc := e.account("ann")
	defer acc.Release()
	r := e.Reader(ctxbg, acc)
	s := r.Search(ctxbg, []fts.Pattern{{Text: []byte("word5")}})
	var last fts.Stats
	tcheck(t, e.Rebuild(ctxbg, "ann", func(s fts.Stats) { last = s }))
	found := make([]fts.Answer, 1)
	tcheck(t, s.Match(ctxbg, []int64{l[5].ContentID}, found))
	if found[0] != fts.Yes || last.Messages != 10 {
		t.Errorf("found %d, stats %+v", found[0], last)
	}
	r.Close()
	e.want("ann", l, numbers(0, 10)...)
}

func TestMessagesThatCannotBeIndexedAreSkipped(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.add("ann", data(0), "Subject: long\r\n\r\n"+strings.Repeat("0123456789abcdef\r\n", fts.MaxText/16), data(2), data(3))
	tcheck(t, os.Rename(filepath.Join(e.dir, "accounts/ann/msg/a", fmt.Sprint(l[2].ContentID)), filepath.Join(e.dir, "away")))
	e.flush("ann")
	tcheck(t, os.Rename(filepath.Join(e.dir, "away"), filepath.Join(e.dir, "accounts/ann/msg/a", fmt.Sprint(l[2].ContentID))))
	for i, want := range []fts.Answer{fts.Yes, fts.Unknown, fts.Unknown, fts.Yes} {
		if a := e.answer("ann", l[i].ContentID, "body has word"); a != want {
			t.Errorf("message %d: answer %d instead of %d", i, a, want)
		}
	}
	e.expunge("ann", l[1:3]...)
	e.flush("ann")
	if a := e.answer("ann", l[1].ContentID, "word999"); a == fts.Unknown {
		t.Error("message that was skipped is still known")
	}
}

func TestOnlySoManyIndexesStayOpen(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{MaxOpen: 2})
	for _, name := range []string{"a", "b", "c", "d"} {
		e.fill(name, 0, 2)
	}
	e.restart()
	for _, name := range []string{"a", "b", "c", "d"} {
		tcheck(t, e.Flush(ctxbg, name))
	}
	if n := e.opened("a", "b", "c", "d"); n != 2 {
		t.Errorf("%d are open", n)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		if n := e.messages(name); n != 2 {
			t.Errorf("account %s: %d messages", name, n)
		}
	}
	tcheck(t, e.Forget(ctxbg, "d"))
}

func TestDeliveriesExpungesAndSearchesAtOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{Delay: time.Millisecond})
	e.Start(nil)
	acc := e.account("ann")
	var wg sync.WaitGroup
	var sweeping sync.Mutex // The store does it one at a time.
	for w := range 3 {
		wg.Go(func() {
			var mine []store.Message
			for i := range 40 {
				mine = append(mine, appendMessage(t, e.store, acc, data(100*w+i)))
				if i%4 == 3 {
					m := mine[i-2]
					err := acc.Update(ctxbg, func(tx *store.Tx) error {
						_, err := tx.Expunge(m.MailboxID, []uint32{m.UID}, false)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
				if i%10 == 9 {
					sweeping.Lock()
					err := acc.Sweep(ctxbg)
					sweeping.Unlock()
					if err != nil {
						t.Error(err)
					}
				}
				if a := e.answer("ann", mine[i].ContentID, fmt.Sprintf("word%d ", 100*w+i)); a == fts.No {
					t.Errorf("message that was stored is not found")
				}
			}
		})
	}
	wg.Wait()
	tcheck(t, acc.Sweep(ctxbg))
	acc.Release()
	e.flush("ann")
	if n := e.messages("ann"); n != 90 {
		t.Errorf("%d messages in the index", n)
	}
}

func TestFilesThatCannotBeReadAreTriedAgainAndSkippedInTheEnd(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.fill("ann", 0, 3)
	e.stop()
	faults := testkit.NewFaults(safefile.OS)
	e.fs = faults
	e.start()
	acc := e.account("ann")
	faults.FailFrom(1, testkit.ErrIO, testkit.OpOpen)
	for range maxTries - 1 {
		if err := e.Flush(ctxbg, "ann"); !errors.Is(err, testkit.ErrIO) {
			t.Fatalf("flush: %v", err)
		}
		tcheck(t, e.sched.Do(ctxbg, "ann", func(_ context.Context, job *background.Job) error {
			job.Failures++ // As it is in the background.
			return nil
		}))
	}
	acc.Release()
	if err := e.Flush(ctxbg, "ann"); !errors.Is(err, testkit.ErrIO) {
		t.Errorf("the next message: %v", err)
	}
	e.fs = nil
	e.flush("ann")
	if a := e.answer("ann", l[0].ContentID, "word0"); a != fts.Unknown {
		t.Errorf("message that was skipped: %d", a)
	}
	if a := e.answer("ann", l[2].ContentID, "word2"); a != fts.Yes {
		t.Errorf("message that was tried again: %d", a)
	}
}

func TestFailedWriteIsTriedAgain(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.fill("ann", 0, 3)
	e.restart()
	e.answer("ann", l[0].ContentID, "x") // Opens it.
	e.applied = func() error { return fmt.Errorf("%w: %w", fts.ErrWrite, testkit.ErrNoSpace) }
	if err := e.Flush(ctxbg, "ann"); !errors.Is(err, testkit.ErrNoSpace) {
		t.Fatalf("flush: %v", err)
	}
	if e.opened("ann") != 0 {
		t.Error("index is still open after a failed write")
	}
	e.applied = nil
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", l, 0, 1, 2)
}
