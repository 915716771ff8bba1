package imapclient

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mox/imap"
)

func TestIdle(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 IDLE
		S: * 1 EXISTS
		S: + idling
		S: * 2 EXISTS
		S: * 3 EXISTS
		C: DONE
		S: * 4 EXISTS
		S: c1 OK done
		C: c2 IDLE
		S: c2 NO no
		C: c3 NOOP
		S: c3 OK done
		`)
	var got []Untagged
	err := c.Idle(ctxbg, func(u Untagged) error {
		got = append(got, u)
		if u == Exists(3) {
			return ErrStopIdle
		}
		return nil
	})
	if err != nil || !slices.Equal(got, []Untagged{Exists(1), Exists(2), Exists(3), Exists(4)}) {
		t.Errorf("got %v, %v", got, err)
	}
	checkRefused(t, c.Idle(ctxbg, func(Untagged) error { return nil }), imap.TypeNO, "")
	if _, err := c.Noop(ctxbg); err != nil {
		t.Error(err)
	}
}

func TestIdleEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, done := runServer(t, "S: * OK hi\nC: c1 IDLE\nS: + idling\nS: * 1 EXISTS\nC: DONE\nS: c1 OK done\nC: c2 NOOP\nS: c2 OK done\n")
		c, err := New(ctxbg, conn, Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(ctxbg, 20*time.Minute) // Longer than the time-out.
		defer cancel()
		start := time.Now()
		n := 0
		if err := c.Idle(ctx, func(Untagged) error { n++; return nil }); err != nil || n != 1 || time.Since(start) != 20*time.Minute {
			t.Errorf("got %v after %v and %d responses", err, time.Since(start), n)
		}
		if _, err := c.Noop(ctxbg); err != nil {
			t.Error(err)
		}
		<-done
	})
}

func TestIdleErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	c := dial(t, Options{}, "C: c1 IDLE\nS: + idling\nS: * 1 EXISTS\n")
	if err := c.Idle(ctxbg, func(Untagged) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	c = dial(t, Options{}, "C: c1 IDLE\nS: + idling\nS!")
	if err := c.Idle(ctxbg, func(Untagged) error { return nil }); !errors.Is(err, io.EOF) || c.broken == nil {
		t.Errorf("got %v", err)
	}
	c = dial(t, Options{}, "C: c1 IDLE\nS: + idling\nS: + again\n")
	if err := c.Idle(ctxbg, func(Untagged) error { return nil }); err == nil {
		t.Error("a second continuation request is taken")
	}
}
