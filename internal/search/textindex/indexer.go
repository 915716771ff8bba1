package textindex

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"mox/internal/fts"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/mlog"
	"mox/store"
)

const (
	// DefaultMaxOpen is how many indexes stay open. Each takes some 2 MB while it is used.
	DefaultMaxOpen = 64
	// defaultDelay is how long after a message its batch begins, for more to come.
	defaultDelay = 2 * time.Second
	// workers is how many accounts are indexed at the same time.
	workers = 1
	// Time until a batch that failed is tried again, doubled each time.
	minBackoff, maxBackoff = 2 * time.Second, 10 * time.Minute
)

// ErrClosed: the indexer is closed.
var ErrClosed = errors.New("text indexes are closed")

// Options are for [New]. Store and Dir are needed.
type Options struct {
	Store *store.Store
	Dir   string          // Data directory, as that of Store.
	Log   *slog.Logger    // Nil is none.
	Delay time.Duration   // From a message to its batch. Zero is two seconds.
	Floor *safefile.Floor // Free space that must be left for mail; nil is none.

	MaxOpen int // Indexes that stay open. Zero is DefaultMaxOpen.
}

// Indexer has the text indexes of all accounts.
type Indexer struct {
	opts Options
	log  *slog.Logger

	ctx    context.Context // Ends when the indexer is to stop.
	cancel context.CancelFunc
	work   sync.WaitGroup
	wake   chan struct{} // Something is due, or a worker is free. Of size 1.

	applied func() error // Called after a batch was committed, for tests.

	mu       sync.Mutex // Guards what follows. Never held while waiting for anything.
	closed   bool
	accounts map[string]*account
	pending  map[*account]time.Time // When to index an account.
	open     *list.List             // Accounts with an open index, last used first.
}

// account is what the indexer has of an account.
type account struct {
	name  string
	job   chan struct{} // Holds an element while the account is indexed.
	files chan struct{} // Holds an element while the file of the account is opened, closed or removed.

	failures int // Batches in a row. Only for who has the job.

	// Guarded by Indexer.mu.
	running bool      // In the background.
	retry   time.Time // After a failure, when to try again.
	cur     *index    // Open, or nil.
	elem    *list.Element
	erased  bool // Ids must be compared.
}

// New returns an indexer, which works when Start is called.
func New(opts Options) *Indexer {
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	if opts.MaxOpen == 0 {
		opts.MaxOpen = DefaultMaxOpen
	}
	if opts.Delay == 0 {
		opts.Delay = defaultDelay
	}
	metrics.PanicPackages(pkgName)
	t := &Indexer{
		opts: opts, log: opts.Log, wake: make(chan struct{}, 1),
		accounts: map[string]*account{}, pending: map[*account]time.Time{}, open: list.New(),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Start indexes in the background, also what was left to do before in these accounts.
func (t *Indexer) Start(accounts []string) {
	for _, name := range accounts {
		t.Wake(name, false)
	}
	t.work.Go(t.schedule)
}

// Close stops indexing, after the commit in progress, and closes the indexes. One that
// someone is using is closed when that ends.
func (t *Indexer) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	accounts := slices.Collect(maps.Values(t.accounts))
	t.mu.Unlock()
	t.cancel()
	t.work.Wait()
	var errs []error
	for _, a := range accounts {
		a.files <- struct{}{}
		errs = append(errs, t.detach(a, nil))
		<-a.files
	}
	return errors.Join(errs...)
}

// account returns what there is of an account. The caller holds mu.
func (t *Indexer) account(name string) *account {
	a, ok := t.accounts[name]
	if !ok {
		a = &account{name: name, job: make(chan struct{}, 1), files: make(chan struct{}, 1), erased: true}
		t.accounts[name] = a
	}
	return a
}

// Wake says that messages came to an account, or were erased. It does not wait, and calls
// nothing.
func (t *Indexer) Wake(name string, erased bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.account(name)
	a.erased = a.erased || erased
	t.plan(a, time.Now().Add(t.opts.Delay))
}

// plan has an account indexed at a time, or earlier if that was planned before, but not
// too soon after a failure. The caller holds mu.
func (t *Indexer) plan(a *account, at time.Time) {
	if at.Before(a.retry) {
		at = a.retry
	}
	if due, ok := t.pending[a]; !ok || at.Before(due) {
		t.pending[a] = at
	}
	t.signal()
}

func (t *Indexer) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// schedule starts what is due, until the indexer is closed.
func (t *Indexer) schedule() {
	free := make(chan struct{}, workers)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case free <- struct{}{}:
		case <-t.ctx.Done():
			return
		}
		a, wait := t.pick()
		if a != nil {
			t.work.Go(func() {
				defer func() { <-free }()
				t.background(a)
			})
			continue
		}
		<-free
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-t.wake:
		case <-t.ctx.Done():
			return
		}
	}
}

// pick returns the account that is due and has waited longest. If there is none, wait
// is how long until one is.
func (t *Indexer) pick() (first *account, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wait = time.Hour
	now := time.Now()
	for a, at := range t.pending {
		switch {
		case a.running: // It signals when it ends.
		case at.After(now):
			wait = min(wait, at.Sub(now))
		case first == nil || at.Before(t.pending[first]):
			first = a
		}
	}
	if first != nil {
		delete(t.pending, first)
		first.running = true
	}
	return first, wait
}

// background indexes a batch of an account, and plans what comes next.
func (t *Indexer) background(a *account) {
	more, delay := false, time.Duration(0)
	select {
	case a.job <- struct{}{}:
		var err error
		more, err = t.guarded(a)
		a.failures++
		switch {
		case err == nil:
			a.failures = 0
		case t.ctx.Err() == nil:
			metricErrors.Inc()
			more, delay = true, min(maxBackoff, minBackoff<<min(a.failures-1, 20))
			t.log.Error("indexing messages, trying again later", "account", a.name, "failures", a.failures, "delay", delay, mlog.Err(err))
		}
		<-a.job
	default: // Who has the job does all there is.
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	a.running, a.retry = false, time.Now().Add(delay)
	if more {
		if delay > 0 {
			delete(t.pending, a) // What came in meanwhile waits too.
		}
		t.plan(a, time.Now())
	}
	t.signal()
}

// guarded is a step for an account whose job the caller has.
func (t *Indexer) guarded(a *account) (more bool, err error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			t.log.Error("panic while indexing messages", "account", a.name, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			more, err = false, fmt.Errorf("panic: %v", x)
		}
	}()
	return t.step(t.ctx, a)
}

// hold waits for the job of an account. The caller must call done.
func (t *Indexer) hold(ctx context.Context, name string) (a *account, done func(), err error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, nil, ErrClosed
	}
	t.work.Add(1)
	a = t.account(name)
	t.mu.Unlock()
	select {
	case a.job <- struct{}{}:
		return a, func() {
			<-a.job
			t.Wake(name, false) // What came in meanwhile.
			t.work.Done()
		}, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-t.ctx.Done():
		err = ErrClosed
	}
	t.work.Done()
	return nil, nil, err
}

// Flush indexes all that an account has now.
func (t *Indexer) Flush(ctx context.Context, name string) error {
	ctx, cancel := t.join(ctx)
	defer cancel()
	a, done, err := t.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	return t.all(ctx, a, nil)
}

// all indexes all that an account has now. The caller has the job.
func (t *Indexer) all(ctx context.Context, a *account, progress func(fts.Stats)) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if more, err = t.step(ctx, a); err != nil {
			return err
		}
		if progress != nil {
			if err := t.stats(ctx, a, progress); err != nil {
				return err
			}
		}
	}
	return nil
}

// join returns a context that ends with ctx and with the indexer.
func (t *Indexer) join(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(t.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// Rebuild makes the index of an account anew. Searches read the messages until that is
// done. Progress, if not nil, is called with what there is so far. When Rebuild is
// interrupted, the rest is indexed later.
func (t *Indexer) Rebuild(ctx context.Context, name string, progress func(fts.Stats)) error {
	ctx, cancel := t.join(ctx)
	defer cancel()
	a, done, err := t.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	if err := t.discard(ctx, a, nil, "command"); err != nil {
		return err
	}
	if progress == nil {
		progress = func(fts.Stats) {}
	}
	return t.all(ctx, a, progress)
}

// Forget closes the index of an account that is renamed or removed. The account must be
// closed in the store already, so that the index is not opened again before that is done.
func (t *Indexer) Forget(ctx context.Context, name string) error {
	a, done, err := t.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.files }()
	return t.detach(a, nil)
}
