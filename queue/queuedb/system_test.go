package queuedb

import (
	"fmt"
	"testing"
)

func TestWhatTheSystemSendsForAnAccountIsNoJumpOfItsSending(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{JumpFloor: 10})
	for range 3 {
		s := submission(t, "m")
		s.Account, s.JumpFloor = "ann", -1
		for i := range 10 {
			s.Recipients = append(s.Recipients, Recipient{Sender: path(t, "postmaster@sender.example"), To: path(t, fmt.Sprintf("r%d@one.example", i))})
		}
		l, err := d.Enqueue(ctxbg, s)
		tcheck(t, err)
		if l[0].Hold {
			t.Fatalf("held: %+v", l[0])
		}
	}
	if m := send(t, d, "ann", 10)[0]; m.Hold {
		t.Errorf("counted for what the account sends: %+v", m)
	}
}
