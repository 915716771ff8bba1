package imapserver

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mox/imap"
)

// IDLE. RFC 9051 §6.3.13, RFC 2177

// runIdle tells changes as they happen, until the client says DONE. Meanwhile no buffers
// are held.
func runIdle(ctx context.Context, s *session, _ struct{}) (reply, error) {
	c := s.c
	if err := c.endCommand(); err != nil {
		return reply{}, err
	}
	c.enc.Continue("idling")
	if err := c.sync(ctx, true); err != nil {
		return reply{}, err
	}
	c.flush()
	c.setReadTimeout(idleTimeout)
	err := c.listen(ctx, func() error {
		if err := c.sync(ctx, true); err != nil {
			return err
		}
		return c.enc.Flush()
	})
	if err != nil {
		return reply{}, err
	}
	return reply{}, c.readDone()
}

// listen waits for input, and calls tell when something has happened in the account.
func (c *conn) listen(ctx context.Context, tell func() error) error {
	input := make(chan error, 1)
	go func() { input <- c.r.Wait() }()
	for {
		var err error
		select {
		case err = <-input:
			if err != nil {
				return fmt.Errorf("%w: %w", errConnection, err)
			}
			return nil
		case <-c.sess.watch.Wait():
			err = tell()
		case <-ctx.Done():
			err = imap.Bye(imap.CodeUnavailable, "server is shutting down")
		}
		if err != nil {
			// The reader belongs to us again only once Wait has returned.
			_ = c.nc.SetReadDeadline(time.Unix(1, 0))
			<-input
			return err
		}
	}
}

// readDone reads the line that ends IDLE.
//
//	idle = "IDLE" CRLF "DONE"
func (c *conn) readDone() error {
	c.setReadTimeout(commandTimeout)
	if err := c.readLine(); err != nil {
		return err
	}
	c.trace(c.dec.Line(), 0)
	if !strings.EqualFold(c.dec.NeedRest(), "DONE") {
		return imap.Bye("", "expected done")
	}
	return nil
}
