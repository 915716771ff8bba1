package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mox/config"
	"mox/dsn"
	"mox/internal/deliver"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
)

const (
	// DefaultConcurrent is how many deliveries are made at a time, and
	// DefaultConcurrentLane how many of these to one domain.
	DefaultConcurrent     = config.DefaultQueueConcurrency
	DefaultConcurrentLane = config.DefaultQueueDomainConcurrency

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

	// gaugeInterval is how old the gauges of messages get.
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

// Notifier tells senders elsewhere, whose messages were forwarded here. A
// *submit.Submitter is one.
type Notifier interface {
	// BounceTo returns the sender of a message by the reverse-path that it was forwarded
	// with, and an error for another one.
	BounceTo(p smtp.Path) (smtp.Address, error)

	// Notify returns when a notification is on stable storage.
	Notify(ctx context.Context, m dsn.Message, utf8 bool) error
}

// Options are for New. DB, Config and Deliver are needed.
type Options struct {
	DB      *queuedb.DB
	Config  *config.Holder
	Deliver Deliverer // For notifications to senders.
	Notify  Notifier  // For those to senders elsewhere. Nil if nothing is forwarded.

	// Transports are the ways out, by the names that messages and routes have. The empty
	// name is for messages without any. What has no transport fails temporarily.
	Transports map[string]Transport

	// Local brings messages to recipients of this server, which do not go through
	// another transport unless an operator wants that. Nil treats them as all others.
	Local Transport

	Schedule       Schedule // Times between attempts. Nil is NewSchedule(config.DefaultQueueRetryPeriod).
	Concurrent     int      // Deliveries at a time. Zero is DefaultConcurrent.
	ConcurrentLane int      // Deliveries to one domain at a time. Zero is DefaultConcurrentLane.

	TempDir string      // For notifications, on the file system of the accounts.
	FS      safefile.FS // Nil is the operating system.

	// Retain returns for how long messages of an account are kept as history. Nil is
	// what the configuration says, and 7 days for accounts that are gone.
	Retain func(account string) time.Duration

	// Failed is called for each recipient that a message could not be delivered to. Nil is
	// for nobody who counts them.
	Failed func(queuedb.Base)

	Trace Tracer          // What becomes of messages. Nil records nothing.
	Cids  *mlog.CidSource // For ids of attempts in the log. Nil is a source of its own.
	Log   *slog.Logger    // Nil logs nothing.
}

// Queue delivers messages.
type Queue struct {
	opts Options
	db   *queuedb.DB
	log  *slog.Logger

	kick chan struct{} // Capacity 1.
	stop chan struct{} // Closed by Shutdown.
	idle chan struct{} // Closed when Run has returned.

	ready   chan struct{} // Capacity 1: the scheduler may have something.
	ended   chan error    // A worker has ended, with an error of the database or nil.
	workers int           // Of the goroutine of Run.
	sched   *scheduler

	mu      sync.Mutex // Guards what follows.
	started bool       // Run was called before Shutdown.
	stopped bool       // Shutdown was called.

	unrecorded []queuedb.Outcome // Of deliveries, that could not be recorded yet.

	// ctx is that of attempts; cancel interrupts them.
	ctx    context.Context
	cancel context.CancelFunc
}

// New returns a queue that is not running yet.
func New(opts Options) *Queue {
	if opts.Schedule == nil {
		opts.Schedule = NewSchedule(config.DefaultQueueRetryPeriod)
	}
	if opts.Concurrent <= 0 {
		opts.Concurrent = DefaultConcurrent
	}
	if opts.ConcurrentLane <= 0 {
		opts.ConcurrentLane = DefaultConcurrentLane
	}
	if opts.FS == nil {
		opts.FS = safefile.OS
	}
	if opts.Cids == nil {
		opts.Cids = mlog.NewCidSource(time.Now().UnixMilli())
	}
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	metrics.PanicPackages("queue")
	q := &Queue{
		opts:  opts,
		db:    opts.DB,
		log:   opts.Log,
		kick:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		idle:  make(chan struct{}),
		ready: make(chan struct{}, 1),
		ended: make(chan error),
	}
	if q.opts.Retain == nil {
		q.opts.Retain = q.retain
	}
	q.sched = newScheduler(opts.ConcurrentLane, func() { signal(q.ready) })
	q.ctx, q.cancel = context.WithCancel(context.Background())
	return q
}

// retainOfGone is for how long messages of accounts are kept that are not in the
// configuration any more.
const retainOfGone = 7 * 24 * time.Hour

// retain returns for how long the configuration wants messages of an account kept.
func (q *Queue) retain(account string) time.Duration {
	a, ok := q.opts.Config.Snapshot().Account(account)
	if !ok {
		return retainOfGone
	}
	return a.KeepRetiredMessagePeriod
}

// Retain returns for how long messages of an account are kept as history.
func (q *Queue) Retain(account string) time.Duration { return q.opts.Retain(account) }

// signal makes a channel of capacity 1 ready.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Kick makes the queue look for messages to deliver. It never blocks. It is not needed
// after changes of the queue, which the queue sees.
func (q *Queue) Kick() { signal(q.kick) }

// Run delivers messages until ctx ends or Shutdown is called, and then waits for the
// deliveries in progress. It is called once. The error is nil, or that the database
// was closed.
func (q *Queue) Run(ctx context.Context) error {
	if !q.begin() {
		return nil
	}
	defer close(q.idle)
	defer q.drain()
	var background sync.WaitGroup
	defer background.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	background.Go(func() { q.maintain(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	dispatch := dispatcher{q: q}
	for {
		wait, err := dispatch.run(ctx)
		if errors.Is(err, queuedb.ErrClosed) {
			return err
		}
		timer.Reset(wait)
		select {
		case <-q.kick:
		case <-q.ready:
		case <-timer.C:
		case err := <-q.ended:
			q.workers--
			dispatch.failed(err)
		case <-q.stop:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// drain waits for the deliveries in progress.
func (q *Queue) drain() {
	q.sched.stop()
	for ; q.workers > 0; q.workers-- {
		<-q.ended
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

// dispatcher starts workers. It is part of Run.
type dispatcher struct {
	q       *Queue
	watched bool      // The scheduler knows what is in the database.
	until   time.Time // When to try the database again after an error.
}

// failed takes note of the error of a worker.
func (d *dispatcher) failed(err error) {
	if err != nil {
		d.until = time.Now().Add(retryDatabase)
	}
}

// run starts workers as long as something is due and there may be one more. It
// returns for how long nothing more can be started unless something happens.
func (d *dispatcher) run(ctx context.Context) (time.Duration, error) {
	q := d.q
	if wait := time.Until(d.until); wait > 0 {
		return wait, nil
	}
	if err := d.open(ctx); err != nil {
		if ctx.Err() != nil || errors.Is(err, queuedb.ErrClosed) {
			return 0, err
		}
		q.log.ErrorContext(ctx, "looking for messages to deliver", mlog.Err(err))
		d.until = time.Now().Add(retryDatabase)
		return retryDatabase, nil
	}
	for q.workers < q.opts.Concurrent {
		p, ok := q.sched.pick(time.Now())
		if !ok {
			break
		}
		q.workers++
		go q.work(p)
	}
	if next := q.sched.next(); !next.IsZero() {
		return min(maxSleep, max(0, time.Until(next))), nil
	}
	return maxSleep, nil
}

// open makes the database usable after a disk failure, and the scheduler know what is
// in it.
func (d *dispatcher) open(ctx context.Context) error {
	if err := d.q.db.ReadOnly(); err != nil {
		d.watched = false
		if err := d.q.db.Reopen(ctx); err != nil {
			return fmt.Errorf("reopen queue after disk failure: %w", err)
		}
	}
	if err := d.q.finish(ctx, d.q.takeUnrecorded()); err != nil {
		return err
	}
	if d.watched {
		return nil
	}
	if err := d.q.db.Watch(ctx, d.q.sched.update); err != nil {
		return err
	}
	d.watched = true
	return nil
}

// takeUnrecorded returns outcomes that could not be recorded so far.
func (q *Queue) takeUnrecorded() []queuedb.Outcome {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.unrecorded
	q.unrecorded = nil
	return l
}

// maintain does what is not delivering until ctx ends.
func (q *Queue) maintain(ctx context.Context) {
	hourly := time.NewTicker(housekeeping)
	defer hourly.Stop()
	gauges := time.NewTicker(gaugeInterval)
	defer gauges.Stop()
	q.gauge(ctx)
	q.tellJumps(ctx)
	for {
		select {
		case <-gauges.C:
			q.gauge(ctx)
		case <-hourly.C:
			q.housekeep(ctx)
			q.tellJumps(ctx)
		case <-q.db.Alerts():
			q.tellJumps(ctx)
		case <-q.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// gauge sets the gauges.
func (q *Queue) gauge(ctx context.Context) {
	st, err := q.db.Totals(ctx)
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
	if _, err := q.db.PruneFailures(ctx, time.Now()); err != nil {
		q.log.ErrorContext(ctx, "removing old failures of addresses", mlog.Err(err))
	}
}
