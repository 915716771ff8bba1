package tracedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/dbformat"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/mlog"
)

// FileName is the name of the database in the data directory.
const FileName = "trace.db"

// pkgName is the name of this package in the panic counter.
const pkgName = "tracedb"

// ErrClosed: the database is closed.
var ErrClosed = errors.New("database of message traces is closed")

var (
	metricSteps = metrics.NewCounter("mox_trace_steps_total",
		"Steps of messages that were recorded.")
	metricDropped = metrics.NewCounter("mox_trace_dropped_total",
		"Steps of messages that were not recorded, because more came than could be written, or because of an error.")
	metricEvicted = metrics.NewCounter("mox_trace_evicted_total",
		"Messages whose steps were removed before their time, because there were too many.")
)

// Options are for Open. Dir is needed.
type Options struct {
	Dir string       // Data directory.
	Log *slog.Logger // Nil logs nothing.

	// Retention is for how long messages are kept. Zero is DefaultRetention.
	Retention time.Duration

	maxSteps, maxSize int64 // Zero is MaxSteps and MaxSize.
}

// DB is the database. A nil *DB records nothing.
type DB struct {
	opts Options
	bdb  *bstore.DB
	log  *slog.Logger

	steps    chan *Step
	flush    chan chan error
	stop     chan struct{} // Closed by Close.
	stopped  chan struct{} // Closed when all is written.
	stopOnce sync.Once
}

// message is a message. Its key is the time of its first step, in nanoseconds since
// 1970, or a little later if there is one of that time: so keys are in the order in
// which messages came, and say when.
type message struct {
	ID      int64    `bstore:"noauto,typename Message"`
	Steps   int32    // How many there are.
	Size    int64    // Of them.
	Skipped int32    // Steps beyond MaxMessageSteps.
	Chunks  []int64  // Ids of its chunks.
	Names   []string // By which it is found. There is a key for each.
}

// chunk has the steps of a message that were written together.
type chunk struct {
	ID      int64 `bstore:"typename Chunk"`
	Message int64 `bstore:"nonzero"`
	Steps   []Step
}

// key makes a message be found by a name. All is in the key, see keyOf: that is one
// thing to write.
type key struct {
	Key string `bstore:"typename Key"`
}

// state is the singleton with sums.
type state struct {
	ID       int8 `bstore:"noauto,typename State"` // Always 1.
	Messages int64
	Steps    int64
	Size     int64
}

// Open opens or creates the database in a data directory.
func Open(ctx context.Context, opts Options) (*DB, error) {
	metrics.PanicPackages(pkgName)
	bdb, err := dbformat.OpenIn(ctx, opts.Dir, FileName, recordFormat, recordTypes()...)
	if err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	if opts.Retention == 0 {
		opts.Retention = DefaultRetention
	}
	if opts.maxSteps == 0 {
		opts.maxSteps = MaxSteps
	}
	if opts.maxSize == 0 {
		opts.maxSize = MaxSize
	}
	d := &DB{
		opts:    opts,
		bdb:     bdb,
		log:     opts.Log,
		steps:   make(chan *Step, stepQueue),
		flush:   make(chan chan error),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	go d.run()
	return d, nil
}

// Remove removes the database from a data directory, if there is one.
func Remove(dir string) error {
	err := os.Remove(filepath.Join(dir, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("remove message traces: %w", err)
	}
	return safefile.OS.SyncDir(dir)
}

// run collects steps and writes them, until Close.
func (d *DB) run() {
	defer close(d.stopped)
	w := &writer{d: d, recent: recent{ids: map[Ref]int64{}}}
	clean := time.NewTimer(firstClean)
	defer clean.Stop()
	var due <-chan time.Time // When the batch is to be written, nil if it is empty.
	var batch []*Step
	write := func() error {
		err := d.guard(func() error { return w.write(batch) })
		clear(batch)
		batch, due = batch[:0], nil
		return err
	}
	drain := func() error {
		for range len(d.steps) {
			batch = append(batch, <-d.steps)
		}
		return write()
	}
	for {
		select {
		case s := <-d.steps:
			batch = append(batch, s)
			if due == nil {
				due = time.After(batchTime)
			}
			if len(batch) >= maxBatch {
				_ = write() // It is logged.
			}
		case <-due:
			_ = write()
		case now := <-clean.C:
			_ = d.guard(func() error { return d.clean(now) })
			clean.Reset(cleanTime)
		case reply := <-d.flush:
			reply <- drain()
		case <-d.stop:
			_ = drain()
			return
		}
	}
}

// guard makes an error of a panic, and logs errors: mail does not depend on traces.
func (d *DB) guard(fn func() error) (rerr error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			d.log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
			rerr = fmt.Errorf("panic: %v", x)
		}
	}()
	err := fn()
	if err != nil {
		d.log.Error("writing message traces", mlog.Err(err))
	}
	return err
}

// Flush writes what was recorded before.
func (d *DB) Flush(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case d.flush <- reply:
		return <-reply
	case <-d.stopped:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes what was recorded and closes the database. What is recorded later is
// lost. A nil DB is closed already.
func (d *DB) Close() error {
	if d == nil {
		return nil
	}
	d.stopOnce.Do(func() { close(d.stop) })
	<-d.stopped
	return d.bdb.Close()
}
