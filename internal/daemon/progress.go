package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mox/internal/ctl"
)

// progressInterval is how often a client that waits is told how far its command is. It
// is well below the time that it waits for a next line.
const progressInterval = 5 * time.Second

// forAccounts answers a command with "ok" and a stream of what do writes for each of some
// accounts, and then returns all errors.
func forAccounts(ctx context.Context, c *ctl.Conn, names []string, do func(ctx context.Context, w io.Writer, name string) error) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	w := c.StreamWriter()
	var errs []error
	for _, name := range names {
		if err := do(ctx, w, name); err != nil {
			errs = append(errs, fmt.Errorf("account %s: %w", name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return w.Close()
}

// withProgress does work and meanwhile writes lines about how far it is. When that fails,
// nobody waits for it any more: its context ends, and the rest is done in the background.
func withProgress(ctx context.Context, w io.Writer, work func(ctx context.Context) error, line func() string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- work(ctx) }()
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	var werr error
	for {
		select {
		case <-tick.C:
			if werr == nil {
				if _, werr = fmt.Fprintln(w, line()); werr != nil {
					cancel()
				}
			}
		case err := <-ended:
			return errors.Join(werr, err)
		}
	}
}
