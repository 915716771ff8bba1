package queue

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mox/queue/queuedb"
)

func TestRecipientsThatFailForGoodAreCountedOnce(t *testing.T) {
	var failed []string
	edit := func(o *Options) {
		o.Failed = func(b queuedb.Base) { failed = append(failed, b.Extra["kind"]) }
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
		if want := []string{"null sender", "sender"}; !slices.Equal(failed, want) {
			t.Fatalf("failed are %q, want %q", failed, want)
		}
		time.Sleep(24 * time.Hour)
		if want := []string{"null sender", "sender", "tried for a day"}; !slices.Equal(failed, want) {
			t.Fatalf("failed are %q, want %q", failed, want)
		}
	})
}
