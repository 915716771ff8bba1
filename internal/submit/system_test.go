package submit

import (
	"errors"
	"testing"

	"mox/internal/testkit"
	"mox/internal/tracedb"
	"mox/queue/queuedb"
)

func TestMessagesOfTheSystemAreQueuedAsTheyAre(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	rec, kicks := &stepRecorder{}, 0
	opts := e.s.opts
	opts.Trace, opts.Kick = rec, func() { kicks++ }
	s := New(opts)
	sub := queuedb.Submission{
		Account:    "boss",
		Recipients: []queuedb.Recipient{{Sender: path(t, "postmaster@mx.example.org"), To: path(t, "x@remote.example")}},
		Spool:      testkit.Spool(t, t.TempDir(), "From: postmaster@mx.example.org\r\n\r\nbody\r\n"),
		Base:       queuedb.Base{MessageID: "<report@mx.example.org>"},
	}
	l, err := s.Enqueue(ctxbg, sub)
	tcheck(t, err)
	if len(l) != 1 || l[0].Account != "boss" || kicks != 1 || len(rec.steps) != 1 || rec.steps[0].Kind != tracedb.Queued || rec.steps[0].MessageID != "report@mx.example.org" {
		t.Errorf("got %+v, %d kicks, steps %+v", l, kicks, rec.steps)
	}
	e.fail = errors.New("no disk")
	if _, err := s.Enqueue(ctxbg, sub); !errors.Is(err, e.fail) || kicks != 1 || len(rec.steps) != 1 {
		t.Errorf("got %v, %d kicks", err, kicks)
	}
}
