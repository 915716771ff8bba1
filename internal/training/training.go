package training

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

	"mox/config"
	"mox/internal/metrics"
	"mox/junk"
	"mox/mlog"
	"mox/store"
)

const (
	// DefaultMaxOpen is how many filters stay open. Each takes up to some 2 MB.
	DefaultMaxOpen = 64
	// defaultDelay is how long after a lesson its batch begins, for more to come.
	defaultDelay = time.Second
	// workers is how many accounts are trained at the same time.
	workers = 2
	// Time until a batch that failed is tried again, doubled each time.
	minBackoff, maxBackoff = 2 * time.Second, 10 * time.Minute
)

var (
	// ErrClosed: the trainer is closed.
	ErrClosed = errors.New("trainer is closed")
	// ErrNoFilter: the account has no junk filter configured.
	ErrNoFilter = errors.New("account has no junk filter configured")
)

// Options are for [New]. Config, Store and Dir are needed.
type Options struct {
	Config *config.Holder
	Store  *store.Store
	Dir    string        // Data directory, as that of Store.
	Prior  *junk.Prior   // What filters know before the first lessons. Nil is nothing.
	Log    *slog.Logger  // Nil is none.
	Delay  time.Duration // From a lesson to its batch. Zero is one second.

	MaxOpen int // Filters that stay open. Zero is DefaultMaxOpen.
}

// Trainer has the junk filters of all accounts.
type Trainer struct {
	opts Options
	log  *slog.Logger

	ctx    context.Context // Ends when the trainer is to stop.
	cancel context.CancelFunc
	work   sync.WaitGroup
	wake   chan struct{} // Something is due, or a worker is free. Of size 1.

	// applied is called between taking lessons and forgetting them, for tests.
	applied func() error

	mu       sync.Mutex // Guards what follows. Never held while waiting for anything.
	closed   bool
	accounts map[string]*account
	pending  map[*account]time.Time // When to train an account.
	open     *list.List             // Accounts with an open filter, last used first.
}

// account is what the trainer has of an account.
type account struct {
	name  string
	job   chan struct{} // Holds an element while the account is trained.
	files chan struct{} // Holds an element while files of the account are opened, closed or renamed.

	failures int // Batches in a row. Only for who has the job.

	// Guarded by Trainer.mu.
	running bool          // In the background.
	retry   time.Time     // After a failure, when to try again.
	cur     *filter       // Open, or nil.
	next    *filter       // Being trained, to replace cur. Else nil.
	elem    *list.Element // In Trainer.open. Nil if cur is.
	damaged time.Time     // When the file was last set aside.
}

// New returns a trainer, which trains when Start is called.
func New(opts Options) *Trainer {
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
	t := &Trainer{
		opts: opts, log: opts.Log, wake: make(chan struct{}, 1),
		accounts: map[string]*account{}, pending: map[*account]time.Time{}, open: list.New(),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Start trains in the background, also with what was left to learn before.
func (t *Trainer) Start() {
	s := t.opts.Config.Snapshot()
	for _, name := range slices.Sorted(maps.Keys(s.Dynamic.Accounts)) {
		if a, _ := s.Account(name); a.JunkFilter != nil {
			t.Wake(name)
		}
	}
	t.work.Go(t.schedule)
}

// Close stops training, after the batches in progress, and closes the filters. One
// that someone is using is closed when that ends.
func (t *Trainer) Close() error {
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

// begin counts a call that Close must wait for. The caller calls t.work.Done.
func (t *Trainer) begin() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	t.work.Add(1)
	return nil
}

// account returns what there is of an account. The caller holds mu.
func (t *Trainer) account(name string) *account {
	a, ok := t.accounts[name]
	if !ok {
		a = &account{name: name, job: make(chan struct{}, 1), files: make(chan struct{}, 1)}
		t.accounts[name] = a
	}
	return a
}

// Wake says that there are lessons for an account. It does not wait, and calls nothing.
func (t *Trainer) Wake(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plan(t.account(name), time.Now().Add(t.opts.Delay))
}

// plan has an account trained at a time, or earlier if that was planned before, but not
// too soon after a failure. The caller holds mu.
func (t *Trainer) plan(a *account, at time.Time) {
	if at.Before(a.retry) {
		at = a.retry
	}
	if due, ok := t.pending[a]; !ok || at.Before(due) {
		t.pending[a] = at
	}
	t.signal()
}

func (t *Trainer) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// schedule starts what is due, until the trainer is closed.
func (t *Trainer) schedule() {
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
func (t *Trainer) pick() (first *account, wait time.Duration) {
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

// background trains an account with a batch, and plans what comes next.
func (t *Trainer) background(a *account) {
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
			t.log.Error("training the junk filter, trying again later", "account", a.name, "failures", a.failures, "delay", delay, mlog.Err(err))
		}
		<-a.job
	default: // Who has the job takes all rows.
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
func (t *Trainer) guarded(a *account) (more bool, err error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			t.log.Error("panic while training a junk filter", "account", a.name, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			more, err = false, fmt.Errorf("panic: %v", x)
		}
	}()
	return t.step(t.ctx, a)
}
