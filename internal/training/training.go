package training

import (
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
	"mox/internal/accountfile"
	"mox/internal/background"
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
	opts  Options
	log   *slog.Logger
	sched *background.Scheduler
	open  *accountfile.Cache[*filter]

	// applied is called between taking lessons and forgetting them, for tests.
	applied func() error

	mu      sync.Mutex           // Guards what follows. Never held while waiting for anything.
	next    map[string]*filter   // Being trained, to replace the one of an account that is open.
	damaged map[string]time.Time // When the file of an account was last set aside.
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
	t := &Trainer{opts: opts, log: opts.Log, next: map[string]*filter{}, damaged: map[string]time.Time{}}
	t.sched = background.New(background.Options{
		Delay: opts.Delay, Workers: workers, Closed: ErrClosed, Step: t.guarded,
		Failed: func(job *background.Job, delay time.Duration, err error) {
			metricErrors.Inc()
			t.log.Error("training the junk filter, trying again later", "account", job.Account, "failures", job.Failures, "delay", delay, mlog.Err(err))
		},
	})
	t.open = accountfile.New[*filter](accountfile.Options{
		Context: t.sched.Context(), Max: opts.MaxOpen,
		Failed: func(name string, err error) {
			t.log.Error("closing a junk filter", "account", name, mlog.Err(err))
		},
	})
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
	t.sched.Start()
}

// Close stops training, after the batches in progress, and closes the filters. One
// that someone is using is closed when that ends.
func (t *Trainer) Close() error {
	t.sched.Close()
	return t.open.Close()
}

// Wake says that there are lessons for an account. It does not wait, and calls nothing.
func (t *Trainer) Wake(name string) { t.sched.Wake(name) }

// guarded is a step in the background.
func (t *Trainer) guarded(ctx context.Context, job *background.Job) (more bool, err error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			t.log.Error("panic while training a junk filter", "account", job.Account, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			more, err = false, fmt.Errorf("panic: %v", x)
		}
	}()
	return t.step(ctx, job)
}
