package deliver

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"mox/internal/tracedb"
	"mox/store"
)

// stepRecorder keeps steps of messages.
type stepRecorder struct {
	mu    sync.Mutex
	steps []tracedb.Step
}

func (r *stepRecorder) Step(_ context.Context, s tracedb.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, s)
}

func (r *stepRecorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var l []string
	for _, s := range r.steps {
		l = append(l, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s %s %s %s %d %s", s.Kind, s.From, s.To, s.Member, s.Result, s.Account, s.Mailbox, s.Code, s.Reason)), " "))
	}
	r.steps = nil
	return strings.Join(l, "\n")
}

func TestStepsOfDeliveriesAreRecorded(t *testing.T) {
	t.Parallel()
	rec := &stepRecorder{}
	quota := int64(1 << 20)
	st := testStore(t, store.Options{Quota: func(string) int64 { return quota }})
	d := New(Options{Store: st, Trace: rec})
	want := func(what, lines string) {
		t.Helper()
		if got := rec.take(); got != lines {
			t.Errorf("%s: got\n%s\nwant\n%s", what, got, lines)
		}
	}
	del := delivery(t, "ann", "Message-ID: <A@b.example>\r\n"+text)
	del.Verdict.Reasons = []string{"for a reason"}
	_, err := d.Deliver(ctxbg, del)
	tcheck(t, err)
	if s := rec.steps; len(s) != 2 || s[0].MessageID != "a@b.example" || s[0].Reasons[0] != "for a reason" || s[1].Content == 0 || s[1].Duration <= 0 || s[1].Time.Before(s[0].Time) {
		t.Errorf("got %+v", s)
	}
	want("stored", "verdict bounces@remote.example Ann+x@example.org accepted ann 0 "+del.Verdict.Reason+"\ndelivered bounces@remote.example Ann+x@example.org ok ann Inbox 0")

	del.DeliveredTo = path(t, "bob@example.org")
	del.Verdict.Reason = ""
	_, err = d.Deliver(ctxbg, del)
	tcheck(t, err)
	want("member, without a verdict", "delivered bounces@remote.example Ann+x@example.org bob@example.org ok ann Inbox 0")

	quota = 1
	_, err = d.Deliver(ctxbg, delivery(t, "ann", text))
	if err == nil {
		t.Fatal("stored beyond quota")
	}
	want("no room", "verdict bounces@remote.example Ann+x@example.org accepted ann 0 "+delivery(t, "ann", text).Verdict.Reason+
		"\ndelivered bounces@remote.example Ann+x@example.org error ann Inbox 452")
}

func TestCopyOfARefusedMessageIsAStep(t *testing.T) {
	t.Parallel()
	rec := &stepRecorder{}
	d, _ := keeper(t, false)
	d.tracer = rec
	for range 2 { // The second time it is there already.
		d.KeepRejected(ctxbg, refused(t, "ann", text))
	}
	if got, want := rec.take(), "kept bounces@remote.example Ann+x@example.org ann Rejects 0"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
