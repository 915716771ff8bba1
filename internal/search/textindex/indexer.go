package textindex

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"mox/internal/accountfile"
	"mox/internal/background"
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
	opts  Options
	log   *slog.Logger
	sched *background.Scheduler
	open  *accountfile.Cache[*index]

	applied func() error // Called after a batch was committed, for tests.

	compared sync.Map // Accounts whose ids were compared, and nothing was erased since.
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
	t := &Indexer{opts: opts, log: opts.Log}
	t.sched = background.New(background.Options{
		Delay: opts.Delay, Workers: workers, Closed: ErrClosed, Step: t.guarded,
		Failed: func(job *background.Job, delay time.Duration, err error) {
			metricErrors.Inc()
			t.log.Error("indexing messages, trying again later", "account", job.Account, "failures", job.Failures, "delay", delay, mlog.Err(err))
		},
	})
	t.open = accountfile.New[*index](accountfile.Options{
		Context: t.sched.Context(), Max: opts.MaxOpen,
		Failed: func(name string, err error) {
			t.log.Error("closing a text index", "account", name, mlog.Err(err))
		},
	})
	return t
}

// Start indexes in the background, also what was left to do before in these accounts.
func (t *Indexer) Start(accounts []string) {
	for _, name := range accounts {
		t.Wake(name, false)
	}
	t.sched.Start()
}

// Close stops indexing, after the commit in progress, and closes the indexes. One that
// someone is using is closed when that ends.
func (t *Indexer) Close() error {
	t.sched.Close()
	return t.open.Close()
}

// Wake says that messages came to an account, or were erased. It does not wait, and calls
// nothing.
func (t *Indexer) Wake(name string, erased bool) {
	if erased {
		t.compared.Delete(name)
	}
	t.sched.Wake(name)
}

// guarded is a step in the background.
func (t *Indexer) guarded(ctx context.Context, job *background.Job) (more bool, err error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			t.log.Error("panic while indexing messages", "account", job.Account, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			more, err = false, fmt.Errorf("panic: %v", x)
		}
	}()
	return t.step(ctx, job)
}

// Flush indexes all that an account has now.
func (t *Indexer) Flush(ctx context.Context, name string) error {
	return t.sched.Do(ctx, name, func(ctx context.Context, job *background.Job) error { return t.all(ctx, job, nil) })
}

// all indexes all that an account has now.
func (t *Indexer) all(ctx context.Context, job *background.Job, progress func(fts.Stats)) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if more, err = t.step(ctx, job); err != nil {
			return err
		}
		if progress != nil {
			if err := t.stats(ctx, job.Account, progress); err != nil {
				return err
			}
		}
	}
	return nil
}

// Rebuild makes the index of an account anew. Searches read the messages until that is
// done. Progress, if not nil, is called with what there is so far. When Rebuild is
// interrupted, the rest is indexed later.
func (t *Indexer) Rebuild(ctx context.Context, name string, progress func(fts.Stats)) error {
	if progress == nil {
		progress = func(fts.Stats) {}
	}
	return t.sched.Do(ctx, name, func(ctx context.Context, job *background.Job) error {
		if err := t.discard(ctx, name, nil, "command"); err != nil {
			return err
		}
		return t.all(ctx, job, progress)
	})
}

// Forget closes the index of an account that is renamed or removed. The account must be
// closed in the store already, so that the index is not opened again before that is done.
func (t *Indexer) Forget(ctx context.Context, name string) error {
	return t.sched.Do(ctx, name, func(context.Context, *background.Job) error { return t.open.Drop(ctx, name, nil) })
}
