package mtastsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/internal/dbformat"
	"mox/internal/metrics"
	"mox/mlog"
	"mox/mtasts"
)

// FileName is the name of the database in the data directory.
const FileName = "mtasts.db"

// Options are for [Open]. Dir is needed.
type Options struct {
	Dir      string              // The data directory.
	Resolver dns.Resolver        // Nil looks nothing up: no domain has a policy.
	Fetch    mtasts.FetchOptions // How policies are fetched.
	Log      *slog.Logger        // Nil logs nothing.
}

// DB is the database.
type DB struct {
	opts Options
	log  *slog.Logger
	bdb  *bstore.DB
	max  int // Variable for tests.

	mu      sync.Mutex               // Guards what follows.
	busy    map[string]chan struct{} // Domains that are being looked up. Closed when done.
	records map[string]seenRecord    // By domain.
	stored  int                      // Records in the database.
}

// Open opens or creates the database in a data directory.
func Open(ctx context.Context, opts Options) (*DB, error) {
	metrics.PanicPackages(pkgName)
	d := &DB{opts: opts, log: opts.Log, max: MaxPolicies, busy: map[string]chan struct{}{}, records: map[string]seenRecord{}}
	if d.log == nil {
		d.log = mlog.Discard()
	}
	var err error
	if d.bdb, err = dbformat.OpenIn(ctx, opts.Dir, FileName, recordFormat, recordTypes()...); err != nil {
		return nil, err
	}
	if d.stored, err = bstore.QueryDB[PolicyRecord](ctx, d.bdb).Count(); err != nil {
		return nil, errors.Join(fmt.Errorf("count policies: %w", err), d.bdb.Close())
	}
	return d, nil
}

// Close closes the database. [DB.Run] must have ended.
func (d *DB) Close() error {
	return d.bdb.Close()
}

// lock waits until nobody else looks up a domain, or ctx is done. The caller calls
// unlock.
func (d *DB) lock(ctx context.Context, domain string) (unlock func(), err error) {
	for {
		d.mu.Lock()
		other := d.busy[domain]
		if other == nil {
			done := make(chan struct{})
			d.busy[domain] = done
			d.mu.Unlock()
			return func() {
				d.mu.Lock()
				delete(d.busy, domain)
				d.mu.Unlock()
				close(done)
			}, nil
		}
		d.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
