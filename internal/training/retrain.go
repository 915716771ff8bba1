package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mox/internal/safefile"
	"mox/junk"
	"mox/mlog"
	"mox/store"
)

// relearn writes the journal anew for a fresh filter, and gives its file its name. It
// returns how many lessons there are. The caller has the job.
func (t *Trainer) relearn(ctx context.Context, a *account, acc *store.Account, f *filter) (int, error) {
	n, err := acc.Relearn(ctx)
	if err != nil {
		return 0, fmt.Errorf("write journal: %w", err)
	}
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-a.files }()
	path := t.path(a)
	// Only from now on may rows be taken and removed.
	if err := os.Rename(path+newSuffix, path); err != nil {
		return 0, err
	}
	if err := safefile.SyncDir(filepath.Dir(path)); err != nil {
		return 0, err
	}
	f.fresh = false
	t.log.Info("junk filter learns from all messages that are judged", "account", a.name, "lessons", n)
	return n, nil
}

// hold waits for the job of an account. The caller must call done.
func (t *Trainer) hold(ctx context.Context, name string) (a *account, done func(), err error) {
	if err := t.begin(); err != nil {
		return nil, nil, err
	}
	t.mu.Lock()
	a = t.account(name)
	t.mu.Unlock()
	select {
	case a.job <- struct{}{}:
		return a, func() {
			<-a.job
			t.Wake(name) // What came in meanwhile.
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

// Flush has the filter of an account learn all that is in its journal now.
func (t *Trainer) Flush(ctx context.Context, name string) error {
	ctx, cancel := t.join(ctx)
	defer cancel()
	a, done, err := t.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if more, err = t.step(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// join returns a context that ends with ctx and with the trainer.
func (t *Trainer) join(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(t.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// Retrain makes the filter of an account anew: with one lesson for each message that is
// judged. Mail is judged by the old one until that is done. Progress, if not nil, is
// called with how many lessons of how many were learned. When Retrain is interrupted,
// the rest is learned later. The error matches ErrNoFilter if the account has none.
func (t *Trainer) Retrain(ctx context.Context, name string, progress func(done, total int)) (stats junk.Stats, rerr error) {
	conf, ok := t.opts.Config.Snapshot().Account(name)
	if !ok || conf.JunkFilter == nil {
		return stats, ErrNoFilter
	}
	ctx, cancel := t.join(ctx)
	defer cancel()
	a, done, err := t.hold(ctx, name)
	if err != nil {
		return stats, err
	}
	defer done()
	acc, err := t.opts.Store.Ensure(ctx, name)
	if err != nil {
		return stats, err
	}
	defer acc.Release()
	old, err := t.acquire(ctx, a, *conf.JunkFilter) // In use, so it stays open.
	if err != nil {
		return stats, err
	}
	defer func() { rerr = errors.Join(rerr, t.release(old)) }()
	next := old
	if !old.fresh {
		if next, err = t.startNext(ctx, a, old); err != nil {
			return stats, err
		}
		defer func() {
			if err := t.replace(a, old, next); err != nil {
				t.log.Error("replacing a junk filter", "account", name, mlog.Err(err))
			}
		}()
	}
	total, err := t.relearn(ctx, a, acc, next)
	if err != nil {
		return stats, err
	}
	for n, taken := 0, 0; ; {
		if progress != nil {
			progress(min(taken, total), total)
		}
		if err := ctx.Err(); err != nil {
			return stats, err
		}
		if n, err = t.learn(ctx, a, acc, next); err != nil || n == 0 {
			return next.Stats(), err
		}
		taken += n
	}
}

// startNext makes the successor of a filter.
func (t *Trainer) startNext(ctx context.Context, a *account, old *filter) (*filter, error) {
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-a.files }()
	t.mu.Lock()
	conf, same := old.conf, a.cur == old
	t.mu.Unlock()
	if !same {
		return nil, errors.New("junk filter was found damaged, and is being made anew already")
	}
	next, err := t.create(ctx, a, conf, "retrain")
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	a.next = next
	t.mu.Unlock()
	return next, nil
}

// replace puts the successor of a filter in its place, with what it knows. One for
// which the journal could not be written is closed, and made again when the account is
// next looked at.
func (t *Trainer) replace(a *account, old, next *filter) error {
	a.files <- struct{}{}
	defer func() { <-a.files }()
	t.mu.Lock()
	a.next = nil
	t.mu.Unlock()
	err := t.detach(a, old)
	if next.fresh {
		return errors.Join(err, next.close())
	}
	return errors.Join(err, t.attach(a, next))
}
