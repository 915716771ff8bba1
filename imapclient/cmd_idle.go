package imapclient

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// ErrStopIdle is returned by the function given to [Client.Idle] to end it.
var ErrStopIdle = errors.New("stop idle")

// Idle waits for changes and calls each with the untagged responses that tell them. It ends
// without error when ctx is done, or when each returns [ErrStopIdle], and the server then
// answers well. Servers may end the connection after 30 minutes. RFC 9051 §6.3.13
func (c *Client) Idle(ctx context.Context, each func(Untagged) error) error {
	i := idle{c: c, bg: context.WithoutCancel(ctx)}
	i.cmd = &command{c: c, tag: c.newTag(), each: func(u Untagged) error {
		err := each(u)
		if err == ErrStopIdle {
			i.stop = true
			err = nil
		}
		return err
	}}
	if err := c.run(i.bg, i.begin); err != nil {
		return err
	}
	for !i.stop && !i.cmd.done {
		if err := i.wait(ctx); err != nil {
			return err
		}
		if i.stop {
			break
		}
		if err := c.run(i.bg, i.next); err != nil {
			return err
		}
	}
	return c.run(i.bg, i.end)
}

// idle is a running IDLE command.
type idle struct {
	c    *Client
	bg   context.Context // Its end does not interrupt the protocol.
	cmd  *command
	stop bool
}

func (i *idle) begin() error {
	if err := i.cmd.send("IDLE", nil); err != nil {
		return err
	}
	if _, err := i.cmd.challenge(); err != nil && err != errEnded {
		return err
	}
	return nil
}

// wait waits for input, or the end of ctx.
func (i *idle) wait(ctx context.Context) error {
	ended, err := i.c.waitInput(ctx)
	i.stop = i.stop || ended
	return err
}

// waitInput waits for input, without time-out, and reports whether ctx has ended instead.
func (c *Client) waitInput(ctx context.Context) (ended bool, err error) {
	stop := c.clock.start(ctx, false)
	defer stop()
	err = c.r.Wait()
	if err == nil {
		return false, nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) { // There is no other time-out than the end of ctx.
		return true, nil
	}
	c.broken = err
	return false, fmt.Errorf("waiting for input: %w", err)
}

// next reads a response.
func (i *idle) next() error {
	rep, err := i.cmd.next()
	if err == nil && rep.cont {
		err = errors.New("unexpected continuation request")
	}
	return err
}

// end ends the command.
func (i *idle) end() error {
	if !i.cmd.done {
		if err := i.cmd.writeLine("DONE"); err != nil {
			return err
		}
	}
	return i.cmd.wait()
}
