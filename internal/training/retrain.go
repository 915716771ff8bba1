package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"mox/config"
	"mox/internal/background"
	"mox/internal/safefile"
	"mox/junk"
	"mox/mlog"
	"mox/store"
)

// relearn writes the journal anew for a fresh filter, and gives its file its name. It
// returns how many lessons there are. The caller has the job.
func (t *Trainer) relearn(ctx context.Context, acc *store.Account, f *filter) (int, error) {
	n, err := acc.Relearn(ctx)
	if err != nil {
		return 0, fmt.Errorf("write journal: %w", err)
	}
	slot, err := t.open.Lock(ctx, acc.Name())
	if err != nil {
		return 0, err
	}
	defer slot.Unlock()
	path := t.path(acc.Name())
	// Only from now on may rows be taken and removed.
	if err := os.Rename(path+newSuffix, path); err != nil {
		return 0, err
	}
	if err := safefile.SyncDir(filepath.Dir(path)); err != nil {
		return 0, err
	}
	f.fresh = false
	t.log.Info("junk filter learns from all messages that are judged", "account", acc.Name(), "lessons", n)
	return n, nil
}

// Flush has the filter of an account learn all that is in its journal now.
func (t *Trainer) Flush(ctx context.Context, name string) error {
	return t.sched.Do(ctx, name, func(ctx context.Context, job *background.Job) error {
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if more, err = t.step(ctx, job); err != nil {
				return err
			}
		}
		return nil
	})
}

// Retrain makes the filter of an account anew: with one lesson for each message that is
// judged. Mail is judged by the old one until that is done. Progress, if not nil, is
// called with how many lessons of how many were learned. When Retrain is interrupted,
// the rest is learned later. The error matches ErrNoFilter if the account has none.
func (t *Trainer) Retrain(ctx context.Context, name string, progress func(done, total int)) (stats junk.Stats, err error) {
	conf, ok := t.opts.Config.Snapshot().Account(name)
	if !ok || conf.JunkFilter == nil {
		return stats, ErrNoFilter
	}
	err = t.sched.Do(ctx, name, func(ctx context.Context, job *background.Job) error {
		stats, err = t.retrain(ctx, job, *conf.JunkFilter, progress)
		return err
	})
	return stats, err
}

// retrain is Retrain for who has the job.
func (t *Trainer) retrain(ctx context.Context, job *background.Job, conf config.JunkFilter, progress func(done, total int)) (stats junk.Stats, rerr error) {
	name := job.Account
	acc, err := t.opts.Store.Ensure(ctx, name)
	if err != nil {
		return stats, err
	}
	defer acc.Release()
	old, err := t.acquire(ctx, name, conf) // In use, so it stays open.
	if err != nil {
		return stats, err
	}
	defer func() { rerr = errors.Join(rerr, t.open.Release(old)) }()
	next := old
	if !old.fresh {
		if next, err = t.startNext(ctx, name, old); err != nil {
			return stats, err
		}
		defer func() {
			if err := t.replace(name, old, next); err != nil {
				t.log.Error("replacing a junk filter", "account", name, mlog.Err(err))
			}
		}()
	}
	total, err := t.relearn(ctx, acc, next)
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
		if n, err = t.learn(ctx, job, acc, next); err != nil || n == 0 {
			return next.Stats(), err
		}
		taken += n
	}
}

// startNext makes the successor of a filter.
func (t *Trainer) startNext(ctx context.Context, name string, old *filter) (*filter, error) {
	slot, err := t.open.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer slot.Unlock()
	t.mu.Lock()
	conf := old.conf
	t.mu.Unlock()
	if slot.Current() != old {
		return nil, errors.New("junk filter was found damaged, and is being made anew already")
	}
	next, err := t.create(ctx, name, conf, "retrain")
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.next[name] = next
	t.mu.Unlock()
	return next, nil
}

// replace puts the successor of a filter in its place, with what it knows. One for
// which the journal could not be written is closed, and made again when the account is
// next looked at.
func (t *Trainer) replace(name string, old, next *filter) error {
	slot, err := t.open.Lock(context.Background(), name)
	if err != nil {
		return err
	}
	defer slot.Unlock()
	t.mu.Lock()
	delete(t.next, name)
	t.mu.Unlock()
	err = slot.Drop(old)
	if next.fresh {
		return errors.Join(err, next.Close())
	}
	return errors.Join(err, slot.Put(next))
}
