package training

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mox/imap"
	"mox/store"
)

func TestRetrainLearnsEachJudgedMessageOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	const n = batchRows
	l := e.deliver("ann", n)
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.flag("ann", l[0], 0)
	e.flag("ann", l[2], imap.FlagNotJunk)
	var steps []int
	stats, err := e.Retrain(ctxbg, "ann", func(done, total int) {
		if total != 2*n-1 {
			t.Errorf("total %d", total)
		}
		steps = append(steps, done)
		if !e.isJunk("ann", true) || e.isJunk("ann", false) { // By the old one.
			t.Errorf("messages are misjudged after %d", done)
		}
	})
	tcheck(t, err)
	if stats.Ham != n+1 || stats.Spam != n-2 {
		t.Errorf("got %+v", stats)
	}
	if !slices.Equal(steps, []int{0, batchRows, 2*n - 1}) {
		t.Errorf("progress %v", steps)
	}
	e.want("ann", n+1, n-2)
	e.restart()
	e.want("ann", n+1, n-2)
	if got := e.files("ann"); got != FileName {
		t.Errorf("files %q", got)
	}
}

func TestRetrainOfAccountsWithoutMail(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	for range 2 {
		stats, err := e.Retrain(ctxbg, "ann", nil)
		if err != nil || stats.Ham != 0 || stats.Spam != 0 {
			t.Errorf("got %+v, %v", stats, err)
		}
	}
	e.want("ann", 0, 0)
}

func TestInterruptedRetrainGoesOnLater(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	const n = batchRows
	e.deliver("ann", n)
	tcheck(t, e.Flush(ctxbg, "ann"))
	ctx, cancel := context.WithCancel(ctxbg)
	_, err := e.Retrain(ctx, "ann", func(done, _ int) {
		if done > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := e.rows("ann"); got != 2*n-batchRows {
		t.Errorf("%d rows are left", got)
	}
	if s := e.stats("ann"); s.Ham+s.Spam != batchRows {
		t.Errorf("the new filter is not the one in use: %+v", s)
	}
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", n, n)
}

// A crash while the journal is written anew leaves a file that says so, and the old
// filter must not take what is in the journal.
func TestMakingAFilterBeginsAgainAfterACrash(t *testing.T) {
	t.Parallel()
	for _, rows := range []bool{false, true} {
		e := newEnv(t, Options{})
		const n = 5
		l := e.deliver("ann", n)
		tcheck(t, e.Flush(ctxbg, "ann"))
		e.stop()
		path := filepath.Join(e.dir, "accounts/ann", FileName)
		tcheck(t, os.WriteFile(path+newSuffix, []byte("half a file"), 0600))
		e.start()
		if rows {
			acc, err := e.store.Account(ctxbg, "ann")
			tcheck(t, err)
			_, err = acc.Relearn(ctxbg)
			tcheck(t, err)
			e.flag("ann", l[0], imap.FlagNotJunk)
			acc.Release()
		}
		e.isJunk("ann", true)
		tcheck(t, e.Flush(ctxbg, "ann"))
		if rows {
			e.want("ann", n+1, n-1)
		} else {
			e.want("ann", n, n)
		}
		if got := e.files("ann"); got != FileName {
			t.Errorf("files %q", got)
		}
	}
}

// A journal that cannot be written leaves no filter that would take what is in it.
func TestRetrainThatFailsBeginsAgain(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	e.deliver("ann", 3)
	tcheck(t, e.Flush(ctxbg, "ann"))
	conf, _ := e.conf.Snapshot().Account("ann")
	f, err := e.acquire(ctxbg, "ann", *conf.JunkFilter)
	tcheck(t, err)
	next, err := e.startNext(ctxbg, "ann", f)
	tcheck(t, err)
	if got := e.files("ann"); got != FileName+" "+FileName+newSuffix {
		t.Errorf("files %q", got)
	}
	if err := e.discard(ctxbg, "ann", f, errCrash); !errors.Is(err, errCrash) {
		t.Errorf("discard while the next one is made: %v", err)
	}
	tcheck(t, e.replace("ann", f, next))
	tcheck(t, e.open.Release(f))
	if got := e.opened(); got != "" {
		t.Errorf("open: %q", got)
	}
	if _, err := e.startNext(ctxbg, "ann", f); err == nil {
		t.Errorf("no error for a filter that is not in use any more")
	}
	tcheck(t, e.Flush(ctxbg, "ann"))
	e.want("ann", 3, 3)
}

func TestLessonsOfExpungedMessagesAreKeptByRetrain(t *testing.T) {
	t.Parallel()
	e := newEnv(t, Options{})
	l := e.deliver("ann", 2)
	e.update("ann", func(tx *store.Tx) error {
		_, err := tx.Expunge(l[0].MailboxID, []uint32{l[0].UID}, false)
		return err
	})
	_, err := e.Retrain(ctxbg, "ann", nil)
	tcheck(t, err)
	e.want("ann", 2, 2) // Its content is kept for undelete.
}
