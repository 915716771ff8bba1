package training

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
	"mox/imap"
	"mox/internal/background"
	"mox/internal/metrics"
	"mox/store"
)

func TestLessonsAreLearnedInTheBackground(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{Delay: time.Millisecond})
	learned := make(chan struct{}, 1000)
	e.applied = func() error { learned <- struct{}{}; return nil }
	e.Start()
	e.deliver("ann", 20)
	for s := e.stats("ann"); s.Ham+s.Spam < 40; s = e.stats("ann") {
		select {
		case <-learned:
		case <-time.After(20 * time.Second):
			t.Fatal("not all was learned")
		}
	}
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", 20, 20)
	if !e.isJunk("ann", true) || e.isJunk("ann", false) {
		t.Errorf("messages are misjudged")
	}
}

func TestWhatWasLeftIsLearnedAtTheStart(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{Delay: time.Millisecond})
	e.deliver("ann", 5)
	e.restart()
	learned := make(chan struct{}, 1000)
	e.applied = func() error { learned <- struct{}{}; return nil }
	e.Start()
	<-learned
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", 5, 5)
}

func TestAccountsWithoutLessonsAreNotOpened(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{}, "ann", "bob")
	e.deliver("none", 1)
	for _, name := range []string{"ann", "bob", "none", "unheard-of"} {
		tcheck(t, e.Flush(ctxbg, name))
	}
	if got := e.opened(); got != "" {
		t.Errorf("open: %q", got)
	}
}

func TestAccountWithoutFilterHasNoVerdict(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	for _, name := range []string{"none", "unheard-of"} {
		if _, ok, err := e.Classify(ctxbg, name, tokens(t, text(1, true))); ok || err != nil {
			t.Errorf("%s: got %v, %v", name, ok, err)
		}
		if _, err := e.Retrain(ctxbg, name, nil); !errors.Is(err, ErrNoFilter) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// It has one from its first message on.
	if e.isJunk("ann", true) {
		t.Errorf("junk without a lesson")
	}
}

// What was written in front of a message when it came would tell what was thought of it.
func TestMessagesAreLearnedAsTheyCame(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	acc, err := e.store.Ensure(ctxbg, "ann")
	tcheck(t, err)
	defer acc.Release()
	m := e.addPrefixed("ann", "X-Mailer: pills\r\n", text(1, true), true)
	got, err := e.read(ctxbg, acc, m.ContentID)
	tcheck(t, err)
	if want := tokens(t, text(1, true)); got.String() != want.String() {
		t.Errorf("got %s, expected %s", got, want)
	}
}

func TestChangesOfMindAreLearned(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.deliver("ann", 3)
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.flag("ann", l[0], imap.FlagNotJunk)
	e.flag("ann", l[1], 0)
	e.flag("ann", l[2], imap.FlagNotJunk)
	e.flag("ann", l[2], imap.FlagJunk)
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", 3, 2)
}

func TestMessagesThatAreGoneAreSkippedButTheirRowsCount(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	e.deliver("ann", 1)
	tcheck(t, e.Flush(ctxbg, "ann"))
	l := e.deliver("ann", 1)
	// One is expunged and erased, the other has lost its file.
	path := e.dir + "/accounts/ann/msg/a/" + fmt.Sprint(l[1].ContentID)
	data, err := os.ReadFile(path)
	tcheck(t, err)
	tcheck(t, os.Remove(path))
	e.update("ann", func(tx *store.Tx) error {
		_, err := tx.Expunge(l[0].MailboxID, []uint32{l[0].UID}, false)
		return err
	})
	e.add("ann", text(5, true), true)
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", 1, 3) // That of the expunged one can still be read.
	if got := e.log.String(); strings.Count(got, "message for junk filter skipped") != 1 {
		t.Errorf("log %q", got)
	}
	tcheck(t, os.WriteFile(path, data, 0600))
}

// What cannot be read now can perhaps be later: it holds up what comes after it, but not
// forever, and what came before it is learned.
func TestMessagesThatCannotBeReadAreTriedSeveralTimes(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.deliver("ann", 2)
	path := e.dir + "/accounts/ann/msg/a/" + fmt.Sprint(l[1].ContentID)
	tcheck(t, os.Rename(path, path+".away"))
	tcheck(t, os.Mkdir(path, 0700))
	job := background.Job{Account: "ann"}
	fails := 0
	for more := true; more; {
		var err error
		if more, err = e.guarded(ctxbg, &job); err != nil {
			fails++
			job.Failures++
			more = true
		}
		if fails == 1 && e.rows("ann") != 3 {
			t.Errorf("%d rows are left, expected 3", e.rows("ann"))
		}
	}
	if fails != maxTries-1 {
		t.Errorf("tried %d times", fails+1)
	}
	e.want("ann", 1, 2)
	tcheck(t, os.Remove(path))
	tcheck(t, os.Rename(path+".away", path))
}

func TestEachRowCountsOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	const n = batchRows + 5 // Of each kind, so three batches.
	e.deliver("ann", n)
	for crashes := 0; ; crashes++ {
		if crashes > 5 {
			t.Fatal("no progress")
		}
		crashed := false
		e.applied = func() error { crashed = true; return errCrash }
		if err := e.Flush(ctxbg, "ann"); err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		e.restart()
		if !crashed {
			break
		}
		// After the crash the batch is there still. It is taken out, and no more.
		rows := e.rows("ann")
		if _, err := e.step(ctxbg, &background.Job{Account: "ann"}); err != nil {
			t.Fatal(err)
		}
		if left := e.rows("ann"); left >= rows {
			t.Errorf("%d rows, %d before", left, rows)
		}
	}
	e.want("ann", n, n)
}

func TestErrorsOfOneAccountDoNotStopOthers(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{Delay: time.Millisecond}, "ann", "bob")
	learned := make(chan struct{}, 1000)
	first := true
	var mu sync.Mutex
	e.applied = func() error {
		mu.Lock()
		defer mu.Unlock()
		if first {
			first = false
			return errCrash
		}
		learned <- struct{}{}
		return nil
	}
	e.deliver("ann", 1)
	e.deliver("bob", 1)
	e.Start()
	<-learned
	<-learned // The one that failed is tried again.
	tcheck(t, e.Flush(ctxbg, "ann"))
	tcheck(t, e.Flush(ctxbg, "bob"))
	e.want("ann", 1, 1)
	e.want("bob", 1, 1)
	if !strings.Contains(e.log.String(), "trying again later") {
		t.Errorf("log %q", e.log.String())
	}
}

func TestPanicsAreErrors(t *testing.T) { // Not parallel: it counts panics.
	e := newEnv(t, Options{})
	e.deliver("ann", 1)
	e.applied = func() error { panic("test") }
	before := metrics.PanicCount()
	job := background.Job{Account: "ann"}
	if _, err := e.guarded(ctxbg, &job); err != nil {
		t.Fatal(err) // Of a fresh filter, the journal is written first.
	}
	if _, err := e.guarded(ctxbg, &job); err == nil || metrics.PanicCount() != before+1 {
		t.Errorf("got %v, %d panics", err, metrics.PanicCount()-before)
	}
	e.applied = nil
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", 1, 1)
}

func TestFiltersThatAreNotUsedAreClosed(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{MaxOpen: 2}, "ann", "bob", "cleo")
	for _, tc := range []struct{ account, want string }{
		{"ann", "ann"}, {"bob", "ann bob"}, {"cleo", "bob cleo"}, {"bob", "bob cleo"}, {"ann", "ann bob"},
	} {
		e.isJunk(tc.account, true)
		if got := e.opened(); got != tc.want {
			t.Errorf("after %s: open are %q, expected %q", tc.account, got, tc.want)
		}
	}
	// One in use is not closed.
	conf, _ := e.conf.Snapshot().Account("ann")
	f, err := e.acquire(ctxbg, "ann", *conf.JunkFilter)
	tcheck(t, err)
	for _, name := range []string{"bob", "cleo", "bob", "cleo"} {
		e.isJunk(name, true)
	}
	if _, err := f.Classify(ctxbg, tokens(t, text(1, true))); err != nil {
		t.Error(err)
	}
	tcheck(t, e.open.Release(f))
	if got := e.opened(); got != "ann cleo" {
		t.Errorf("open are %q", got)
	}
}

func TestFiltersAreUsedByManyAtOnce(t *testing.T) {
	t.Parallel()
	accounts := []string{"ann", "bob", "cleo", "dora"}
	want := map[string]int{"ann": 5, "bob": 6, "cleo": 5, "dora": 4}
	e := newEnv(t, Options{MaxOpen: 2, Delay: time.Millisecond}, accounts...)
	e.Start()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				name := accounts[(i+j)%len(accounts)]
				if _, ok, err := e.Classify(ctxbg, name, tokens(t, text(j, true))); err != nil || !ok {
					t.Errorf("%s: %v", name, err)
				}
				switch {
				case i < 2:
					e.deliver(name, 1)
				case i == 3:
					if _, err := e.Retrain(ctxbg, name, nil); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, name := range accounts {
		tcheck(t, e.Flush(ctxbg, name))
		e.want(name, want[name], want[name])
	}
}

func TestParametersOfTheConfigurationCount(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	e.deliver("ann", 20)
	tcheck(t, e.Flush(ctxbg, "ann"))
	if !e.isJunk("ann", true) {
		t.Errorf("not junk")
	}
	fields := config.JunkFilterFields{Threshold: 0.999999999}
	fields.Params.TopWords = 1
	e.conf = config.NewHolder(snapshot(t, e.dir, fields, "ann"))
	e.opts.Config = e.conf
	e.Trainer.opts.Config = e.conf
	v, ok, err := e.Classify(ctxbg, "ann", tokens(t, text(-1, true)))
	if err != nil || !ok || v.Junk || len(v.Spam) != 1 {
		t.Errorf("got %+v, %v, %v", v, ok, err)
	}
	if e.opened() != "ann" {
		t.Errorf("it was closed")
	}
}

func TestClosedTrainer(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	e.deliver("ann", 1)
	tcheck(t, e.Flush(ctxbg, "ann"))
	conf, _ := e.conf.Snapshot().Account("ann")
	f, err := e.acquire(ctxbg, "ann", *conf.JunkFilter)
	tcheck(t, err)
	tcheck(t, e.Close())
	// Who uses a filter still can, until the end.
	if _, err := f.Classify(ctxbg, tokens(t, text(1, true))); err != nil {
		t.Error(err)
	}
	tcheck(t, e.open.Release(f))
	if _, _, err := e.Classify(ctxbg, "ann", tokens(t, text(1, true))); !errors.Is(err, ErrClosed) {
		t.Errorf("classify: %v", err)
	}
	if err := e.Flush(ctxbg, "ann"); !errors.Is(err, ErrClosed) {
		t.Errorf("flush: %v", err)
	}
	if _, err := e.Retrain(ctxbg, "ann", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("retrain: %v", err)
	}
	e.Wake("ann")
	tcheck(t, e.Close())
}

// Who stops the server does not wait for all that is left to learn.
func TestStopFinishesTheBatch(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{Delay: time.Millisecond})
	const n = 2 * batchRows
	e.deliver("ann", n)
	e.restart() // So that the journal is not written anew.
	tcheck(t, func() error { _, err := e.Retrain(ctxbg, "ann", nil); return err }())
	for i := range n {
		e.add("ann", text(n+i, true), true)
	}
	began, stopped := make(chan struct{}), make(chan struct{})
	once := sync.Once{}
	e.applied = func() error {
		once.Do(func() { close(began) })
		<-stopped
		return nil
	}
	e.Start()
	<-began
	done := make(chan error, 1)
	go func() { done <- e.Close() }()
	<-e.sched.Context().Done()
	close(stopped)
	tcheck(t, <-done)
	if left := e.rows("ann"); left != n-batchRows {
		t.Errorf("%d rows are left, expected %d", left, n-batchRows)
	}
	e.restart()
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", n, 2*n)
}

// damage replaces the file of a filter, of which a copy stays open nowhere.
func (e *env) damage(account string, change func(b []byte) []byte) {
	e.Helper()
	path := filepath.Join(e.dir, "accounts", account, FileName)
	b, err := os.ReadFile(path)
	tcheck(e, err)
	tcheck(e, os.WriteFile(path, change(b), 0600))
}

func TestDamagedFiltersAreMadeAnew(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	for name, change := range map[string]func(b []byte) []byte{
		"empty":       func(b []byte) []byte { return b[:1] },
		"not one":     func(b []byte) []byte { return bytes.Repeat([]byte("junk"), len(b)/4) },
		"words wrong": func(b []byte) []byte { return append(b[:2*page:2*page], bytes.Repeat([]byte{0xff}, len(b)-2*page)...) },
		"cut off":     func(b []byte) []byte { return b[:3*page] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, Options{})
			e.deliver("ann", 20)
			tcheck(t, e.Flush(ctxbg, "ann"))
			e.stop()
			e.damage("ann", change)
			e.start()
			e.isJunk("ann", true) // Mail keeps flowing, whatever it says.
			tcheck(t, e.Flush(ctxbg, "ann"))
			e.want("ann", 20, 20)
			if !e.isJunk("ann", true) || e.isJunk("ann", false) {
				t.Errorf("messages are misjudged")
			}
			if got := e.files("ann"); got != "junkfilter.db junkfilter.db.damaged" {
				t.Errorf("files %q", got)
			}
			if !strings.Contains(e.log.String(), "junk filter cannot be used") {
				t.Errorf("log %q", e.log.String())
			}
		})
	}
}

func TestFilterThatIsAheadOfItsAccountIsMadeAnew(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{}, "ann", "bob")
	e.deliver("ann", 1)
	e.deliver("bob", 2)
	tcheck(t, e.Flush(ctxbg, "ann"))
	tcheck(t, e.Flush(ctxbg, "bob"))
	e.stop()
	b, err := os.ReadFile(filepath.Join(e.dir, "accounts/bob", FileName))
	tcheck(t, err)
	e.damage("ann", func([]byte) []byte { return b })
	e.start()
	e.deliver("ann", 1)
	e.isJunk("ann", true)
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", 2, 2)
}

func TestDamageThatComesBackIsNotRepairedAllTheTime(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	e.deliver("ann", 1)
	tcheck(t, e.Flush(ctxbg, "ann"))
	f := e.current("ann")
	tcheck(t, e.discard(ctxbg, "ann", f, errCrash))
	tcheck(t, e.discard(ctxbg, "ann", f, errCrash)) // By someone else who saw the same.
	e.isJunk("ann", true)
	f = e.current("ann")
	if err := e.discard(ctxbg, "ann", f, errCrash); !errors.Is(err, errCrash) {
		t.Errorf("got %v", err)
	}
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", 1, 1)
	// Mail goes on without a filter then.
	tcheck(t, e.open.Drop(ctxbg, "ann", nil))
	e.damage("ann", func(b []byte) []byte { return b[:1] })
	if _, ok, err := e.Classify(ctxbg, "ann", tokens(t, text(1, true))); ok || err != nil {
		t.Errorf("classify: %v, %v", ok, err)
	}
	if err := e.Flush(ctxbg, "ann"); err != nil {
		t.Errorf("nothing to learn: %v", err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	ctx, cancel := context.WithCancel(ctxbg)
	cancel()
	slot, err := e.open.Lock(ctxbg, "ann")
	tcheck(t, err)
	if _, _, err := e.Classify(ctx, "ann", tokens(t, text(1, true))); !errors.Is(err, context.Canceled) {
		t.Errorf("classify: %v", err)
	}
	slot.Unlock()
	tcheck(t, e.sched.Do(ctxbg, "ann", func(context.Context, *background.Job) error {
		if err := e.Flush(ctx, "ann"); !errors.Is(err, context.Canceled) {
			t.Errorf("flush: %v", err)
		}
		return nil
	}))
}
