package queue

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/testkit"
	"mox/queue/queuedb"
)

func TestQueueComesBackAfterADiskFailure(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(fail(451, "4.0.0", "later"))
		l := e.enqueue(e.submission("ann@example.org", "a@one.example"))
		synctest.Wait()
		e.faults.FailFrom(1, testkit.ErrIO, testkit.OpSyncDir)
		if _, err := e.db.Enqueue(ctxbg, e.submission("ann@example.org", "b@one.example")); !errors.Is(err, queuedb.ErrReadOnly) {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // The disk is still broken.
		if err := e.db.ReadOnly(); err == nil {
			t.Fatal("writable on a broken disk")
		}
		e.faults.Clear()
		time.Sleep(maxSleep + retryDatabase)
		synctest.Wait()
		tcheck(t, e.db.ReadOnly())
		e.tr.answers(nil)
		e.enqueue(e.submission("ann@example.org", "c@one.example"))
		time.Sleep(2 * time.Hour)
		if left := e.queued(); len(left) != 0 {
			t.Fatalf("left %+v of %+v", left, l)
		}
	})
}

// A message that was delivered is not delivered again because that could not be
// recorded when it was.
func TestResultsAreRecordedAfterADiskFailure(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(context.Context, queuedb.Message) error {
			time.Sleep(time.Minute)
			return nil
		})
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		synctest.Wait()
		e.faults.FailFrom(1, testkit.ErrIO, testkit.OpSyncDir)
		if _, err := e.db.Enqueue(ctxbg, e.submission("ann@example.org", "b@one.example")); !errors.Is(err, queuedb.ErrReadOnly) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		e.faults.Clear()
		time.Sleep(24 * time.Hour)
		if l := e.queued(); len(l) != 0 || len(e.tr.take()) != 1 {
			t.Fatalf("left %+v, or delivered twice", l)
		}
	})
}

func TestShutdownWaitsForDeliveries(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(ctx context.Context, m queuedb.Message) error {
			time.Sleep(5 * time.Second)
			return nil
		})
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		synctest.Wait()
		start := time.Now()
		tcheck(t, e.q.Shutdown(ctxbg))
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("shutdown took %v", d)
		}
		if l := e.queued(); len(l) != 0 {
			t.Errorf("left %+v", l)
		}
	})
}

func TestShutdownOfAQueueThatNeverRan(t *testing.T) {
	t.Parallel()
	q := New(Options{})
	tcheck(t, q.Shutdown(ctxbg))
	tcheck(t, q.Run(ctxbg))
	tcheck(t, q.Shutdown(ctxbg))
}

func TestShutdownInterruptsDeliveriesInTheEnd(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(ctx context.Context, m queuedb.Message) error {
			<-ctx.Done()
			return ctx.Err()
		})
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(ctxbg, 3*time.Second)
		defer cancel()
		if err := e.q.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		l := e.queued()
		if r, ok := l[0].LastResult(); !ok || !strings.Contains(r.Error, "interrupted") || l[0].NextAttempt.After(time.Now()) {
			t.Fatalf("queue %+v", l)
		}
		// The next start tries again, at once.
		e.tr.answers(nil)
		e.start(nil)
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("left %+v", l)
		}
	})
}

// An attempt can take longer than the time until the next one, as with a server that is
// silent after the final dot. It is not tried again at once.
func TestThereIsAPauseAfterALongAttempt(t *testing.T) {
	testQueue(t, nil, func(t *testing.T, e *env) {
		e.tr.answers(func(context.Context, queuedb.Message) error {
			time.Sleep(10 * time.Minute)
			return errors.New("no reply")
		})
		e.enqueue(e.submission("ann@example.org", "a@one.example"))
		time.Sleep(10*time.Minute + time.Second)
		l := e.queued()
		if len(e.tr.seen()) != 1 || len(l) != 1 {
			t.Fatalf("%d attempts, %d messages", len(e.tr.seen()), len(l))
		}
		if pause := time.Until(l[0].NextAttempt); pause < firstBackoff/3 || pause > firstBackoff {
			t.Errorf("pause of %v", pause)
		}
		if len(l[0].Results) != 1 {
			t.Errorf("results %+v", l[0].Results)
		}
	})
}
