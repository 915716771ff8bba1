package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"mox/config"
	"mox/internal/ctl"
	"mox/internal/fts"
	"mox/internal/search/textindex"
)

// makeTexts makes what keeps the text indexes of accounts.
func (d *Daemon) makeTexts(dir string) {
	d.texts = textindex.New(textindex.Options{Store: d.store, Dir: dir, Log: d.logger("textindex"), Floor: d.floor})
}

// accountNames returns the accounts of a configuration.
func accountNames(s *config.Snapshot) []string {
	return slices.Sorted(maps.Keys(s.Dynamic.Accounts))
}

// ctlSearchRebuild makes text indexes anew.
//
//	account, empty for all
//	"ok"
//	stream of text about progress
func (d *Daemon) ctlSearchRebuild(ctx context.Context, c *ctl.Conn) error {
	names, err := readArgs(c, 1)
	if err != nil {
		return err
	}
	if s := d.conf.Snapshot(); names[0] == "" {
		names = accountNames(s)
	} else if _, ok := s.Account(names[0]); !ok {
		return noAccount(names[0])
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	w := c.StreamWriter()
	var errs []error
	for _, name := range names {
		if err := d.rebuildTexts(ctx, w, name); err != nil {
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

// rebuildTexts makes the text index of an account anew, and writes how far that is.
func (d *Daemon) rebuildTexts(ctx context.Context, w io.Writer, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var stats atomic.Pointer[fts.Stats]
	stats.Store(&fts.Stats{})
	ended := make(chan error, 1)
	go func() {
		ended <- d.texts.Rebuild(ctx, name, func(s fts.Stats) { stats.Store(&s) })
	}()
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	var werr error
	for {
		select {
		case <-tick.C:
			if werr == nil {
				if _, werr = fmt.Fprintf(w, "%s: %d messages so far\n", name, stats.Load().Messages); werr != nil {
					cancel() // Nobody waits for it any more. The rest is done in the background.
				}
			}
		case err := <-ended:
			if err = errors.Join(werr, err); err != nil {
				return err
			}
			s := stats.Load()
			_, err = fmt.Fprintf(w, "%s: %d messages with %d bytes of text, in a file of %d bytes\n", name, s.Messages, s.Text, s.Size)
			return err
		}
	}
}
