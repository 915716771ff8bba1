package authdb

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/dbformat"
	"mox/internal/metrics"
	"mox/mlog"
)

// FileName is the name of the database in the data directory.
const FileName = "auth.db"

// Errors, to be matched with errors.Is.
var (
	// ErrNotFound: there is no such key.
	ErrNotFound = errors.New("no such public key")
	// ErrExists: the key is there already, perhaps for another account.
	ErrExists = errors.New("public key is registered already")
	// ErrTooMany: the account has MaxAccountKeys.
	ErrTooMany = errors.New("account has too many public keys")
)

// MaxAccountKeys is how many keys an account can have.
const MaxAccountKeys = 100

var metricDropped = metrics.NewCounter("mox_loginattempts_dropped_total",
	"Login attempts that were not recorded, because more came than could be written, or because of an error.")

// Options are for Open. Dir is needed.
type Options struct {
	Dir string       // Data directory.
	Log *slog.Logger // Nil logs nothing.

	maxFailed int // Zero is MaxFailedAttempts.
}

// DB is the database.
type DB struct {
	bdb *bstore.DB
	log *slog.Logger

	attempts chan LoginAttempt
	flush    chan chan error
	stop     chan struct{} // Closed by Close.
	stopped  chan struct{} // Closed when all is written.
	stopOnce sync.Once
}

// Open opens or creates the database in a data directory.
func Open(ctx context.Context, opts Options) (*DB, error) {
	bdb, err := dbformat.OpenIn(ctx, opts.Dir, FileName, recordFormat, recordTypes()...)
	if err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	if opts.maxFailed == 0 {
		opts.maxFailed = MaxFailedAttempts
	}
	d := &DB{
		bdb:      bdb,
		log:      opts.Log,
		attempts: make(chan LoginAttempt, attemptQueue),
		flush:    make(chan chan error),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	go d.run(&writer{d: d, maxFailed: opts.maxFailed, failed: map[string]int{}})
	return d, nil
}

const (
	// attemptQueue is how many attempts can wait for being taken into a batch, which is
	// while another one is being written.
	attemptQueue = 100

	// batchTime is how long a batch waits for more attempts. What comes meanwhile and is
	// alike is one write, and all of it is one sync of the disk.
	batchTime = 5 * time.Second

	// maxBatch is how many different attempts are written without waiting.
	maxBatch = 1000

	// cleanTime is how often old records are removed, and firstClean when for the first
	// time: not by a command that only looks at them.
	cleanTime  = 24 * time.Hour
	firstClean = 10 * time.Minute
)

// run collects attempts and writes them, until Close.
func (d *DB) run(w *writer) {
	defer close(d.stopped)
	clean := time.NewTimer(firstClean)
	defer clean.Stop()
	var due <-chan time.Time // When the batch is to be written, nil if it is empty.
	b := newBatch()
	write := func() error {
		err := w.write(b)
		b, due = newBatch(), nil
		return err
	}
	drain := func() error {
		for {
			select {
			case a := <-d.attempts:
				b.add(a)
			default:
				return write()
			}
		}
	}
	for {
		select {
		case a := <-d.attempts:
			b.add(a)
			if due == nil {
				due = time.After(batchTime)
			}
			if len(b.attempts) >= maxBatch {
				_ = write() // It is logged.
			}
		case <-due:
			_ = write()
		case now := <-clean.C:
			w.clean(now)
			clean.Reset(cleanTime)
		case reply := <-d.flush:
			reply <- drain()
		case <-d.stop:
			_ = drain()
			return
		}
	}
}

// Flush writes what was recorded before.
func (d *DB) Flush(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case d.flush <- reply:
		return <-reply
	case <-d.stopped:
		return errors.New("database of logins is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes what was recorded and closes the database. What is recorded later is
// lost.
func (d *DB) Close() error {
	d.stopOnce.Do(func() { close(d.stop) })
	<-d.stopped
	return d.bdb.Close()
}
