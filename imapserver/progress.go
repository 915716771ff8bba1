package imapserver

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"mox/imap"
	"mox/store"
)

// INPROGRESS. RFC 9585
//
// A command that takes long says that it is being worked on, and, for what looks at one
// message after another, how many it has looked at.

// tellProgress writes an INPROGRESS response. With goal 0 nothing is known. RFC 9585 §4
func (c *conn) tellProgress(done, goal int) {
	code := imap.CodeInProgress
	switch {
	case strings.Contains(c.tag, "]"): // It would end the code for simple readers.
	case goal > 0:
		code += imap.Code(fmt.Sprintf(` ("%s" %d %d)`, c.tag, done, goal))
	default:
		code += imap.Code(fmt.Sprintf(` ("%s" NIL NIL)`, c.tag))
	}
	c.enc.Status("", "OK", code, "still working on it")
	c.flush()
}

// progress returns a function to be called as work goes on, which tells the client at
// times, and once when it has closed its side.
func (c *conn) progress(goal int) func(done int) {
	next := c.srv.opts.Now().Add(c.srv.progressInterval)
	asked := false
	return func(done int) {
		closing := !asked && c.closing.Load()
		if now := c.srv.opts.Now(); done < goal && (closing || !now.Before(next)) {
			next = now.Add(c.srv.progressInterval)
			asked = asked || closing
			c.tellProgress(done, goal)
		}
	}
}

// whileConnected returns a context that ends when the client is known to be gone, for what
// may take long, and a function that ends looking.
//
// A client that has closed its side may still wait for the answer. If it does not, its
// system says so when it is told something, which progress does.
func (c *conn) whileConnected(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	nc, done := c.nc, make(chan struct{})
	var look func()
	look = func() {
		select {
		case <-done:
			return
		default:
		}
		sent, gone := hungUp(nc)
		if gone {
			cancel()
			return
		}
		c.closing.Store(sent)
		time.AfterFunc(c.srv.hangupInterval, look)
	}
	timer := time.AfterFunc(c.srv.hangupInterval, look)
	return ctx, func() {
		close(done)
		timer.Stop()
		cancel()
	}
}

// update changes the account, in one transaction.
func (s *session) update(ctx context.Context, fn func(tx *store.Tx) error) error {
	var before *store.Tree
	err := s.c.working(func() error {
		return s.account.Update(ctx, func(tx *store.Tx) error {
			before = s.account.Tree()
			return fn(tx)
		})
	})
	if err == nil {
		s.noteOwn(before)
	}
	return err
}

// working runs fn, which works on the account and writes nothing to the client, in a
// goroutine of its own, so that the client can be told meanwhile that its command takes
// long, or waits for that of another session.
func (c *conn) working(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if x := recover(); x != nil {
				done <- &panicError{x, debug.Stack()}
			}
		}()
		done <- fn()
	}()
	t := time.NewTicker(c.srv.progressInterval)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			if p, ok := err.(*panicError); ok {
				panic(p)
			}
			return err
		case <-t.C:
			c.tellProgress(0, 0)
		}
	}
}

// panicError carries a panic to the goroutine of the connection.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("%v\n%s", p.value, p.stack) }
