package queue

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/queue/queuedb"
)

func TestRecipientsThatFailForGoodAreCountedOnce(t *testing.T) {
	var mu sync.Mutex
	var failed []string
	edit := func(o *Options) {
		o.Failed = func(b queuedb.Base) {
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, b.Extra["kind"])
		}
	}
	check := func(t *testing.T, want ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(failed, want) {
			t.Fatalf("failed are %q, want %q", failed, want)
		}
	}
	testQueue(t, edit, func(t *testing.T, e *env) {
		send := func(kind, sender, rcpt string) {
			s := e.submission(sender, rcpt)
			s.Base.Extra = map[string]string{"kind": kind}
			e.enqueue(s)
			synctest.Wait()
		}
		e.tr.answers(fail(550, "5.1.1", "no"))
		send("null sender", "", "a@one.example")
		send("sender", "ann@mox.example", "b@one.example")
		e.tr.answers(nil)
		send("delivered", "", "c@one.example")
		e.tr.answers(fail(451, "4.0.0", "later"))
		send("tried for a day", "", "d@one.example")
		check(t, "null sender", "sender")
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		check(t, "null sender", "sender", "tried for a day")
	})
}
