package queuedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
	"mox/internal/dbformat"
	"mox/internal/safefile"
)

// The closed set of errors that callers map to replies. Anything else that comes
// out of this package is an internal error.
var (
	// ErrNotFound: there is no such message (any more).
	ErrNotFound = errors.New("no such message in queue")
	// ErrAccountLimit: the account has too many messages, or too many octets, in the
	// queue.
	ErrAccountLimit = errors.New("account has too much in queue")
	// ErrDayLimit: the account has sent to too many recipients, see Limits.
	ErrDayLimit = errors.New("account has sent to too many recipients in a day")
	// ErrFirstTimeLimit: the account has sent to too many new recipients, see Limits.
	ErrFirstTimeLimit = errors.New("account has sent to too many new recipients in a day")
	// ErrFromIDUsed: the fromid is that of another message, queued or retired.
	ErrFromIDUsed = errors.New("fromid is already in use")
	// ErrTooLarge: a list or a text in a request is larger than allowed.
	ErrTooLarge = errors.New("too large for queue")
	// ErrNoSpace: free disk space is below the floor, or the disk is full.
	ErrNoSpace = errors.New("no disk space for queue")
	// ErrReadOnly: the queue refuses changes after a failed write, until it has been
	// reopened and verified.
	ErrReadOnly = errors.New("queue is read-only after a disk failure")
	// ErrClosed: the queue is closed.
	ErrClosed = errors.New("queue database closed")
)

// version is that of the storage format.
const version = 2

// Options are for [Open].
type Options struct {
	Dir   string          // Data directory; the queue lives in Dir/queue.
	Log   *slog.Logger    // Nil is slog.Default.
	FS    safefile.FS     // Nil is the operating system.
	Floor *safefile.Floor // Below it Enqueue refuses. Nil is no floor.

	// CheckPages reads the whole database file before it is opened, for damage that
	// Verify may not meet. Verify on an open database cannot do that.
	CheckPages bool

	// Known reports whether an account may queue messages: those of one that was renamed
	// or removed meanwhile would be nobody's. Nil: all.
	Known func(account string) bool

	AccountMessages int64 // Messages an account can have in the queue. Zero is DefaultAccountMessages, negative no limit.
	AccountSize     int64 // Octets an account can have in the queue. Zero is DefaultAccountSize, negative no limit.

	// JumpFloor and JumpFactor say when the sending of an account has jumped, as when
	// someone else got hold of its password: when it has sent to more recipients in 24
	// hours than JumpFloor, and than JumpFactor times its busiest day of the last 30.
	// Zero is DefaultJumpFloor and DefaultJumpFactor. A negative floor is never.
	JumpFloor  int64
	JumpFactor int64
}

// DB is the queue on disk. See the package comment for what it promises.
type DB struct {
	opts Options
	log  *slog.Logger
	fs   safefile.FS
	dir  string // Dir/queue.

	// commit commits a transaction. Tests replace it to fail before or after.
	commit func(tx *bstore.Tx) error

	dbMu sync.RWMutex // Guards bdb: read-locked while it is used, locked to replace it.
	bdb  *bstore.DB   // Nil when closed, or when reopening has failed.

	alerts    chan struct{}     // Capacity 1.
	removals  safefile.Removals // Of files of messages.
	ids       idPool
	committer committer
	sweeper   sweeper
	attempts  attempts
}

// Open opens or creates the queue in a data directory, and repairs what a crash
// has left: files that were never acknowledged go to queue/lost, and files whose
// record is gone are removed.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.FS == nil {
		o.FS = safefile.OS
	}
	if o.AccountMessages == 0 {
		o.AccountMessages = DefaultAccountMessages
	}
	if o.AccountSize == 0 {
		o.AccountSize = DefaultAccountSize
	}
	if o.JumpFloor == 0 {
		o.JumpFloor = DefaultJumpFloor
	}
	if o.JumpFactor <= 0 {
		o.JumpFactor = DefaultJumpFactor
	}
	d := &DB{opts: o, log: o.Log, fs: o.FS, dir: filepath.Join(o.Dir, "queue"), commit: (*bstore.Tx).Commit, alerts: make(chan struct{}, 1)}
	d.committer.init(d)
	d.sweeper.init(d)
	if err := d.open(ctx, o.CheckPages); err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	go d.committer.run()
	go d.sweeper.run()
	return d, nil
}

// open opens the database file, after reading all of it if check is set, and
// recovers. No other use of d goes on.
func (d *DB) open(ctx context.Context, check bool) error {
	if err := d.makeDirs(); err != nil {
		return err
	}
	path := dbPath(d.opts.Dir)
	_, serr := d.fs.Stat(path)
	if serr == nil && check {
		if err := boltpages.Check(path); err != nil {
			return err
		}
	}
	bdb, err := dbformat.Open(ctx, path, recordFormat, &bstore.Options{Timeout: openTimeout, Perm: 0600}, recordTypes()...)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if errors.Is(serr, fs.ErrNotExist) {
		if err := d.fs.SyncDir(d.dir); err != nil {
			return errors.Join(fmt.Errorf("sync directory: %w", err), bdb.Close())
		}
	}
	if err := d.recover(ctx, bdb); err != nil {
		return errors.Join(err, bdb.Close())
	}
	d.bdb = bdb
	return nil
}

// recordTypes returns the types of the records in the database.
func recordTypes() []any {
	return []any{Message{}, Base{}, retired{}, flow{}, erase{}, usage{}, state{}, HoldRule{}, Suppression{}, failures{}, sending{}}
}

// makeDirs creates the directories of the queue, durably.
func (d *DB) makeDirs() error {
	for _, dir := range []string{d.dir, d.contentDir()} {
		if _, err := d.fs.Stat(dir); err == nil {
			continue
		}
		if err := d.fs.Mkdir(dir, 0700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := d.fs.SyncDir(filepath.Dir(dir)); err != nil {
			return fmt.Errorf("sync directory: %w", err)
		}
	}
	return nil
}

// Close waits for changes in progress, removes files that are due for it, and
// closes the database. It may be called more than once.
func (d *DB) Close() error {
	d.sweeper.stop()
	d.committer.stop()
	d.dbMu.Lock()
	defer d.dbMu.Unlock()
	if d.bdb == nil {
		return nil
	}
	err := d.bdb.Close()
	d.bdb = nil
	return err
}

// ReadOnly returns nil, or why the queue refuses changes, an error that matches
// ErrReadOnly.
func (d *DB) ReadOnly() error {
	return d.committer.broken()
}

// Reopen closes the database and opens it again, with all that Open does, and
// verifies it. After that, changes are possible again. It is for use after a disk
// failure; without one it does nothing.
func (d *DB) Reopen(ctx context.Context) error {
	if d.ReadOnly() == nil {
		return nil
	}
	if err := d.reopen(ctx); err != nil {
		return fmt.Errorf("reopen queue: %w", err)
	}
	problems, err := d.Verify(ctx)
	if err != nil {
		return fmt.Errorf("verify reopened queue: %w", err)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: reopened queue has %d problems, first: %s", ErrReadOnly, len(problems), problems[0])
	}
	d.committer.mend()
	return nil
}

func (d *DB) reopen(ctx context.Context) error {
	d.dbMu.Lock()
	defer d.dbMu.Unlock()
	if d.committer.isStopped() {
		return ErrClosed
	}
	if d.bdb != nil {
		err := d.bdb.Close()
		d.bdb = nil
		if err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	return d.open(ctx, true)
}

// read calls fn with a read transaction, which is closed on return.
func (d *DB) read(ctx context.Context, fn func(tx *bstore.Tx) error) error {
	d.dbMu.RLock()
	defer d.dbMu.RUnlock()
	if d.bdb == nil {
		return ErrClosed
	}
	return d.bdb.Read(ctx, fn)
}

// now is the time recorded in the database: without monotonic clock, in UTC.
func now() time.Time {
	return time.Now().UTC().Round(0)
}

// dbPath returns the database file of the queue in a data directory.
func dbPath(dataDir string) string {
	return filepath.Join(dataDir, filepath.FromSlash(DatabaseName))
}
