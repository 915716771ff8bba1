package queue

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"mox/config"
	"mox/internal/deliver"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/mlog"
	"mox/queue/queuedb"
)

const (
	// DefaultConcurrent is how many deliveries are made at a time.
	DefaultConcurrent = 10

	// sessionLimit is how long one attempt may take.
	sessionLimit = 30 * time.Minute

	// maxSleep is the longest time without looking at the queue: the clock may be set
	// meanwhile, and a disk may have failed.
	maxSleep = time.Minute

	// retryDatabase is how long to wait after an error of the database. When it is
	// read-only, it is then opened again.
	retryDatabase = 30 * time.Second

	// housekeeping is how often history is pruned.
	housekeeping = time.Hour

	// gaugeInterval is how old the gauges of messages get while there is something to
	// do.
	gaugeInterval = 10 * time.Second
)

var (
	metricHold = metrics.NewGauge("mox_queue_hold",
		"Messages in the queue that an operator has put on hold.")
	metricMessages = metrics.NewGauge("mox_queue_messages",
		"Messages in the queue, one for each recipient.")
)

// Deliverer stores notifications. A *deliver.Deliverer is one.
type Deliverer interface {
	Deliver(ctx context.Context, d deliver.Delivery) (deliver.Result, error)
}

// Options are for New. DB, Config and Deliver are needed.
type Options struct {
	DB      *queuedb.DB
	Config  *config.Holder
	Deliver Deliverer // For notifications to senders.

	Transport  Transport // Nil fails each attempt temporarily.
	Concurrent int       // Deliveries at a time. Zero is DefaultConcurrent.

	TempDir string      // For notifications, on the file system of the accounts.
	FS      safefile.FS // Nil is the operating system.

	// Retain returns for how long messages of an account are kept as history. Nil is
	// not at all.
	Retain func(account string) time.Duration

	Cids *mlog.CidSource // For ids of attempts in the log. Nil is a source of its own.
	Log  *slog.Logger    // Nil logs nothing.
}

// Queue delivers messages.
type Queue struct {
	opts Options
	db   *queuedb.DB
	log  *slog.Logger

	kick chan struct{} // Capacity 1.
	stop chan struct{} // Closed by Shutdown.
	idle chan struct{} // Closed when Run has returned.

	mu      sync.Mutex // Guards what follows.
	started bool       // Run was called before Shutdown.
	stopped bool       // Shutdown was called.

	// ctx is that of attempts; cancel interrupts them.
	ctx    context.Context
	cancel context.CancelFunc

	// Of the goroutine of Run.
	busy   map[string]bool // Lanes with a job.
	done   chan string     // Lanes whose job has ended.
	gauged time.Time       // When the gauges were set.
}

// New returns a queue that is not running yet.
func New(opts Options) *Queue {
	if opts.Transport == nil {
		opts.Transport = noTransport{}
	}
	if opts.Concurrent <= 0 {
		opts.Concurrent = DefaultConcurrent
	}
	if opts.FS == nil {
		opts.FS = safefile.OS
	}
	if opts.Retain == nil {
		opts.Retain = func(string) time.Duration { return 0 }
	}
	if opts.Cids == nil {
		opts.Cids = mlog.NewCidSource(time.Now().UnixMilli())
	}
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	metrics.PanicPackages("queue")
	q := &Queue{
		opts: opts,
		db:   opts.DB,
		log:  opts.Log,
		kick: make(chan struct{}, 1),
		stop: make(chan struct{}),
		idle: make(chan struct{}),
		busy: map[string]bool{},
		done: make(chan string),
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	return q
}

// Kick makes the queue look for messages to deliver, after one was queued, or
// changed by an operator. It never blocks.
func (q *Queue) Kick() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// Run delivers messages until ctx ends or Shutdown is called, and then waits for the
// deliveries in progress. It is called once. The error is nil, or that the database
// was closed.
func (q *Queue) Run(ctx context.Context) error {
	if !q.begin() {
		return nil
	}
	defer close(q.idle)
	defer q.drain()
	maintenance := time.NewTicker(housekeeping)
	defer maintenance.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		wait, err := q.launch(ctx)
		if errors.Is(err, queuedb.ErrClosed) {
			return err
		}
		q.gauge(ctx)
		timer.Reset(wait)
		select {
		case <-q.kick:
		case <-timer.C:
		case lane := <-q.done:
			delete(q.busy, lane)
		case <-maintenance.C:
			q.housekeep(ctx)
		case <-q.stop:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// drain waits for the deliveries in progress.
func (q *Queue) drain() {
	for len(q.busy) > 0 {
		delete(q.busy, <-q.done)
	}
}

// Shutdown makes Run return when the deliveries in progress have ended. When ctx
// ends first, they are interrupted, to be tried again after the next start, and
// its error is returned. Shutdown returns when Run has returned. A Run that comes
// later returns at once.
func (q *Queue) Shutdown(ctx context.Context) error {
	if !q.end() {
		return nil
	}
	select {
	case <-q.idle:
		return nil
	case <-ctx.Done():
	}
	q.cancel()
	<-q.idle
	return ctx.Err()
}

// begin reports whether Run is to run.
func (q *Queue) begin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.started = !q.stopped
	return q.started
}

// end makes Run return, and reports whether it was called.
func (q *Queue) end() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.stopped {
		q.stopped = true
		close(q.stop)
	}
	return q.started
}

// launch starts deliveries as long as something is due and there is a free worker.
// It returns for how long nothing more can be started.
func (q *Queue) launch(ctx context.Context) (time.Duration, error) {
	if err := q.db.ReadOnly(); err != nil {
		return q.databaseError(ctx, err)
	}
	for len(q.busy) < q.opts.Concurrent {
		now := time.Now()
		jobs, next, err := q.db.Claim(ctx, queuedb.ClaimOptions{
			Now:  now,
			Busy: slices.Collect(maps.Keys(q.busy)),
			Jobs: q.opts.Concurrent - len(q.busy),
			Next: func(m queuedb.Message) time.Time { return nextAttempt(m, now) },
		})
		if err != nil {
			return q.databaseError(ctx, err)
		}
		if len(jobs) == 0 {
			if next.IsZero() {
				return maxSleep, nil
			}
			return min(maxSleep, max(0, time.Until(next))), nil
		}
		for _, job := range jobs {
			q.busy[job.Lane] = true
			go q.work(job)
		}
	}
	return maxSleep, nil
}

// databaseError returns for how long to wait after an error of the database.
func (q *Queue) databaseError(ctx context.Context, err error) (time.Duration, error) {
	if ctx.Err() != nil || errors.Is(err, queuedb.ErrClosed) {
		return 0, err
	}
	q.log.ErrorContext(ctx, "looking for messages to deliver", mlog.Err(err))
	if err := q.db.Reopen(ctx); err != nil {
		q.log.ErrorContext(ctx, "reopening queue after disk failure", mlog.Err(err))
	}
	return retryDatabase, err
}

// gauge sets the gauges, unless that was done a short time ago.
func (q *Queue) gauge(ctx context.Context) {
	if time.Since(q.gauged) < gaugeInterval {
		return
	}
	q.gauged = time.Now()
	st, err := q.db.Status(ctx)
	if err != nil {
		q.log.DebugContext(ctx, "reading status of queue", mlog.Err(err))
		return
	}
	metricHold.Set(float64(st.Held))
	metricMessages.Set(float64(st.Messages))
}

// housekeep removes history that was kept long enough.
func (q *Queue) housekeep(ctx context.Context) {
	n, err := q.db.PruneRetired(ctx, time.Now())
	if err != nil {
		q.log.ErrorContext(ctx, "removing history of queue", mlog.Err(err))
	} else if n > 0 {
		q.log.DebugContext(ctx, "removed history of queue", slog.Int("messages", n))
	}
}
