package daemon

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"

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
	return forAccounts(ctx, c, names, d.rebuildTexts)
}

// rebuildTexts makes the text index of an account anew, and writes how far that is.
func (d *Daemon) rebuildTexts(ctx context.Context, w io.Writer, name string) error {
	var stats atomic.Pointer[fts.Stats]
	stats.Store(&fts.Stats{})
	err := withProgress(ctx, w, func(ctx context.Context) error {
		return d.texts.Rebuild(ctx, name, func(s fts.Stats) { stats.Store(&s) })
	}, func() string { return fmt.Sprintf("%s: %d messages so far", name, stats.Load().Messages) })
	if err != nil {
		return err
	}
	s := stats.Load()
	_, err = fmt.Fprintf(w, "%s: %d messages with %d bytes of text, in a file of %d bytes\n", name, s.Messages, s.Text, s.Size)
	return err
}
