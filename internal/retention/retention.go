package retention

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
	"mox/internal/metrics"
	"mox/store"
)

const (
	// interval is how often accounts with retention are looked at.
	interval = time.Hour
	// sweepInterval is how often all accounts erase what was deleted long ago. The store
	// does so more often for those that are in use.
	sweepInterval = 24 * time.Hour
	// startDelay is how long after the start that is done first.
	startDelay = time.Minute
	// batch is how many messages one commit expunges.
	batch = 200
)

// pkg is the name of this package in the panic counter.
const pkg = "retention"

var (
	metricExpunged = metrics.NewCounter("mox_retention_expunged_total",
		"Messages that were deleted because they were in a mailbox for longer than Retention of the account says.")
	metricErrors = metrics.NewCounter("mox_retention_errors_total",
		"Accounts whose old messages could not be deleted or erased; it is tried again an hour later.")
)

// Options are for [New]. Config and Store are needed.
type Options struct {
	Config *config.Holder
	Store  *store.Store
	Log    *slog.Logger
	Now    func() time.Time // Nil is time.Now.

	// StartDelay is how long after Start the first work is done. Zero is a minute.
	StartDelay time.Duration

	// Expire ends what was begun in an account long ago, before what was deleted is erased.
	// Nil is nothing.
	Expire func(ctx context.Context, a *store.Account) error
}

// Keeper does what package retention is for.
type Keeper struct {
	opts   Options
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// New returns a Keeper, which must be closed.
func New(opts Options) *Keeper {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.StartDelay == 0 {
		opts.StartDelay = startDelay
	}
	metrics.PanicPackages(pkg)
	return &Keeper{opts: opts, cancel: func() {}}
}

// Start begins to work in the background. It is called once at most.
func (k *Keeper) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.work.Go(func() { k.run(ctx) })
}

// Close waits for the batch that is being worked on.
func (k *Keeper) Close() error {
	k.cancel()
	k.work.Wait()
	return nil
}

func (k *Keeper) run(ctx context.Context) {
	var swept time.Time
	t := time.NewTimer(k.opts.StartDelay)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		sweep := now.Sub(swept) >= sweepInterval
		if sweep {
			swept = now
		}
		k.all(ctx, sweep)
		t.Reset(interval)
	}
}

// all looks at all accounts, one after another.
func (k *Keeper) all(ctx context.Context, sweep bool) {
	s := k.opts.Config.Snapshot()
	for _, name := range slices.Sorted(maps.Keys(s.Dynamic.Accounts)) {
		a, _ := s.Account(name)
		if ctx.Err() != nil || !sweep && len(a.Retention) == 0 {
			continue
		}
		err := k.account(ctx, a, sweep)
		// An account that is being renamed, or that never had mail, is no error.
		if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, store.ErrNoAccount) {
			metricErrors.Inc()
			k.opts.Log.ErrorContext(ctx, "delete or erase old messages", "account", name, "err", err)
		}
	}
}

func (k *Keeper) account(ctx context.Context, conf config.Account, sweep bool) (err error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkg)
			err = fmt.Errorf("panic: %v\n%s", x, debug.Stack())
		}
	}()
	a, err := k.opts.Store.Account(ctx, conf.Name)
	if err != nil {
		return err
	}
	defer a.Release()
	for _, name := range slices.Sorted(maps.Keys(conf.Retention)) {
		mb, ok := a.Tree().ByName(name)
		if !ok || mb.Messages == 0 {
			continue
		}
		n, err := k.mailbox(ctx, a, mb, k.opts.Now().Add(-conf.Retention[name]))
		if n > 0 {
			k.opts.Log.InfoContext(ctx, "old messages deleted", "account", conf.Name, "mailbox", name, "messages", n, "after", conf.Retention[name])
		}
		if err != nil {
			return fmt.Errorf("mailbox %q: %w", name, err)
		}
	}
	if !sweep {
		return nil
	}
	if k.opts.Expire != nil {
		err = k.opts.Expire(ctx, a)
	}
	return errors.Join(err, a.Sweep(ctx))
}

// mailbox expunges what came into a mailbox before a time. Messages of which that is not
// known stay.
func (k *Keeper) mailbox(ctx context.Context, a *store.Account, mb store.Mailbox, before time.Time) (n int, err error) {
	ix, err := a.Index(ctx, mb.ID)
	if err != nil {
		return 0, err
	}
	var old []uint32
	for _, it := range ix.Range(0, ix.Len()) {
		if saved := it.SaveDate(); !saved.IsZero() && saved.Before(before) {
			old = append(old, it.UID)
		}
	}
	for uids := range slices.Chunk(old, batch) {
		var gone []uint32
		err := a.Update(ctx, func(tx *store.Tx) error {
			// Meanwhile it may have been renamed, or its UIDs may be those of others.
			now, err := tx.Mailbox(mb.ID)
			if err != nil || now.Name != mb.Name || now.UIDValidity != mb.UIDValidity {
				return err
			}
			gone, err = tx.Expunge(mb.ID, uids, false)
			return err
		})
		if errors.Is(err, store.ErrNoMailbox) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n += len(gone)
		metricExpunged.Add(float64(len(gone)))
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
	}
	return n, nil
}
