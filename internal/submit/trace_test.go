package submit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mox/internal/tracedb"
	"mox/smtp"
)

// stepRecorder keeps steps of messages, with the message that the context says.
type stepRecorder struct{ steps []tracedb.Step }

func (r *stepRecorder) Step(ctx context.Context, s tracedb.Step) {
	s.Ref = tracedb.RefOf(ctx)
	r.steps = append(r.steps, s)
}

func TestWhatIsQueuedIsRecorded(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	rec := &stepRecorder{}
	opts := e.s.opts
	opts.Trace = rec
	s := New(opts)
	ref := tracedb.Ref{Cid: 5, N: 2}
	sub := submission(t, goodHeader+"\r\nbody\r\n", "x@remote.example", "y@remote.example")
	sub.Mail.HoldFor = time.Hour
	res, err := s.Submit(tracedb.WithRef(ctxbg, ref), sub)
	tcheck(t, err)
	if len(rec.steps) != 2 {
		t.Fatalf("got %+v", rec.steps)
	}
	for i, s := range rec.steps {
		if s.Kind != tracedb.Queued || s.Ref != ref || s.MessageID != "id@example.org" || s.From != "ann@example.org" || s.Account != "ann" ||
			s.To != []string{"x@remote.example", "y@remote.example"}[i] || s.Queue != res.Messages[i].ID || s.Size == 0 || s.Next.Before(time.Now().Add(time.Minute)) {
			t.Errorf("got %+v", s)
		}
	}

	// Without a context that says so, the recipients are of one message all the same.
	rec.steps = nil
	_, err = s.Submit(ctxbg, submission(t, goodHeader+"\r\nbody\r\n", "x@remote.example", "y@remote.example"))
	tcheck(t, err)
	if l := rec.steps; len(l) != 2 || l[0].Ref != (tracedb.Ref{Queue: l[0].Queue}) || l[1].Ref != l[0].Ref || !l[0].Next.IsZero() {
		t.Errorf("got %+v", l)
	}

	rec.steps = nil
	d := Delivered{Mail: smtp.MailCommand{ReversePath: path(t, "x@remote.example")}, Spool: sub.Spool, Recipients: []DeliveredRecipient{{RcptCommand: smtp.RcptCommand{ForwardPath: path(t, "ann@example.org")}}}}
	tcheck(t, s.NotifyDelivered(tracedb.WithRef(ctxbg, ref), d))
	if l := rec.steps; len(l) != 1 || l[0].From != "<>" || l[0].To != "x@remote.example" || l[0].Ref != ref {
		t.Errorf("got %+v", l)
	}

	rec.steps = nil
	e.fail = errors.New("no disk")
	if _, err := s.Submit(ctxbg, submission(t, goodHeader+"\r\nbody\r\n", "x@remote.example")); err == nil || len(rec.steps) > 0 {
		t.Errorf("got %v, %s", err, strings.TrimSpace(fmt.Sprint(rec.steps)))
	}
}
