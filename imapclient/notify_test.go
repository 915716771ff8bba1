package imapclient

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestListen(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 NOTIFY SET (PERSONAL (MailboxName))
		S: c1 OK done
		S: * 1 EXISTS
		S: * VANISHED 3
		C: c2 NOOP
		S: c2 OK done
		S: * 2 EXISTS
		S: c9 OK what
		`)
	if _, err := c.Notify(ctxbg, []NotifyGroup{{Filter: NotifyPersonal, Events: []NotifyEvent{EventMailboxName}}}, NotifyOptions{}); err != nil {
		t.Fatal(err)
	}
	n := 0
	listen := func(until int) error {
		return c.Listen(ctxbg, func(Untagged) error {
			if n++; n == until {
				return ErrStopIdle
			}
			return nil
		})
	}
	if err := listen(2); err != nil || n != 2 {
		t.Errorf("%d responses, %v", n, err)
	}
	if _, err := c.Noop(ctxbg); err != nil {
		t.Error(err)
	}
	if err := listen(4); err == nil || n != 3 {
		t.Errorf("tagged response between commands: %d responses, %v", n, err)
	}
}

func TestListenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `S: * 1 EXISTS
		C: c1 NOOP
		S: c1 OK done
		`)
	ctx, cancel := context.WithTimeout(ctxbg, time.Minute)
	defer cancel()
	var got []Untagged
	err := c.Listen(ctx, func(u Untagged) error {
		got = append(got, u)
		cancel()
		return nil
	})
	if err != nil || !slices.Equal(got, []Untagged{Exists(1)}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := c.Noop(ctxbg); err != nil {
		t.Error(err)
	}
	if err := c.Listen(ctxbg, func(Untagged) error { return nil }); err == nil || errors.Is(err, ErrStopIdle) {
		t.Errorf("closed connection: %v", err)
	}
}
