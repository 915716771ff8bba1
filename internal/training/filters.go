package training

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mox/config"
	"mox/internal/accountfile"
	"mox/internal/safefile"
	"mox/junk"
	"mox/mlog"
)

// FileName is the name of the file of a filter, in the directory of its account.
const FileName = "junkfilter.db"

const (
	newSuffix     = ".new"     // Of a filter for which the journal is being written anew.
	damagedSuffix = ".damaged" // Of one that was set aside. The last one is kept.
	// rebuildInterval is how long after a file was set aside as damaged that may
	// happen again: a disk that loses what was just written is not helped by more of it.
	rebuildInterval = time.Hour
)

// filter is an open filter.
type filter struct {
	*junk.Filter
	accountfile.Uses
	fresh bool              // It has the name of a new one: the journal must be written anew. Only for who has the job.
	conf  config.JunkFilter // Guarded by Trainer.mu.
}

// path returns the path of the file of an account.
func (t *Trainer) path(name string) string {
	return filepath.Join(t.opts.Dir, "accounts", name, FileName)
}

// Classify judges a message for an account. Ok is false if it has no filter, or one that
// is damaged all the time: mail goes on without.
func (t *Trainer) Classify(ctx context.Context, name string, tokens *junk.Tokens) (v junk.Verdict, ok bool, err error) {
	conf, found := t.opts.Config.Snapshot().Account(name)
	if !found || conf.JunkFilter == nil {
		return junk.Verdict{}, false, nil
	}
	for again := true; ; again = false {
		f, err := t.acquire(ctx, name, *conf.JunkFilter)
		if err == nil {
			v, err = f.Classify(ctx, tokens)
			err = errors.Join(err, t.open.Release(f))
			if again && errors.Is(err, junk.ErrDamaged) {
				if err = t.discard(ctx, name, f, err); err == nil {
					continue
				}
			}
		}
		if errors.Is(err, junk.ErrDamaged) {
			t.log.Error("mail is not judged by content", "account", name, mlog.Err(err))
			return junk.Verdict{}, false, nil
		}
		return v, err == nil, err
	}
}

// acquire returns the filter of an account, which it opens if needed. The caller must
// release it.
func (t *Trainer) acquire(ctx context.Context, name string, conf config.JunkFilter) (*filter, error) {
	f, err := t.open.Acquire(ctx, name, func() (*filter, error) {
		f, err := t.openFile(ctx, name, conf)
		if err == nil && f.fresh {
			t.Wake(name)
		}
		return f, err
	})
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	changed := f.conf != conf
	f.conf = conf
	t.mu.Unlock()
	if changed {
		if err := f.SetParams(params(conf), conf.Threshold); err != nil {
			return nil, errors.Join(err, t.open.Release(f))
		}
	}
	return f, nil
}

func params(c config.JunkFilter) junk.Params {
	return junk.Params{
		Onegrams: c.Onegrams, Twograms: c.Twograms, Threegrams: c.Threegrams,
		MaxPower: c.MaxPower, TopWords: c.TopWords, IgnoreWords: c.IgnoreWords, RareWords: c.RareWords,
	}
}

// Close closes a filter that nobody uses.
func (f *filter) Close() error {
	metricOpen.Dec()
	return f.Filter.Close()
}

// openFile opens the file of an account, or makes a new one if there is none that can
// be used. The account's slot is locked.
func (t *Trainer) openFile(ctx context.Context, name string, conf config.JunkFilter) (*filter, error) {
	acc, err := t.opts.Store.Ensure(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open account: %w", err)
	}
	defer acc.Release()
	path := t.path(name)
	if ok, err := exists(path + newSuffix); err != nil {
		return nil, err
	} else if ok {
		t.log.Warn("making a junk filter was interrupted, beginning again", "account", name)
		return t.create(ctx, name, conf, "interrupted")
	}
	if ok, err := exists(path); err != nil {
		return nil, err
	} else if !ok {
		return t.create(ctx, name, conf, "missing")
	}
	f, err := t.openPath(ctx, path, conf)
	switch {
	case err == nil && f.Last() > acc.LastLesson():
		err = fmt.Errorf("%w: it has taken row %d, but the account has had only %d, so one of them was restored", junk.ErrDamaged, f.Last(), acc.LastLesson())
		err = errors.Join(err, f.Close())
	case errors.Is(err, junk.ErrDamaged), errors.Is(err, junk.ErrVersion):
	default:
		return f, err
	}
	if err := t.setAside(name, err); err != nil {
		return nil, err
	}
	return t.create(ctx, name, conf, "damaged")
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (t *Trainer) openPath(ctx context.Context, path string, conf config.JunkFilter) (*filter, error) {
	f, err := junk.Open(ctx, path, junk.Options{Params: params(conf), Threshold: conf.Threshold, Prior: t.opts.Prior})
	if err != nil {
		return nil, err
	}
	metricOpen.Inc()
	return &filter{Filter: f, conf: conf}, nil
}

// create makes a file for a new filter, with the name that says that the journal must
// be written anew. It is durable: an older file must not take rows of the new journal.
// The account's slot is locked.
func (t *Trainer) create(ctx context.Context, name string, conf config.JunkFilter, reason string) (*filter, error) {
	path := t.path(name) + newSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := t.openPath(ctx, path, conf)
	if err != nil {
		return nil, err
	}
	if err := safefile.SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	metricRebuilds.WithLabelValues(reason).Inc()
	f.fresh = true
	return f, nil
}

// setAside renames a file that cannot be used. The account's slot is locked.
func (t *Trainer) setAside(name string, cause error) error {
	t.mu.Lock()
	again := time.Since(t.damaged[name]) < rebuildInterval
	if !again {
		t.damaged[name] = time.Now()
	}
	t.mu.Unlock()
	if again {
		return fmt.Errorf("junk filter is damaged again, not making another one yet: %w", cause)
	}
	path := t.path(name)
	t.log.Error("junk filter cannot be used, learning again from the messages", "account", name, "kept", path+damagedSuffix, mlog.Err(cause))
	err := os.Rename(path, path+damagedSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // A new one, which will be made again.
	}
	return err
}

// discard takes a filter out of use whose file turned out to be damaged.
func (t *Trainer) discard(ctx context.Context, name string, f *filter, cause error) error {
	slot, err := t.open.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer slot.Unlock()
	if slot.Current() != f {
		return nil
	}
	t.mu.Lock()
	next := t.next[name]
	t.mu.Unlock()
	if next != nil {
		return cause // Its successor is nearly ready.
	}
	if err := t.setAside(name, cause); err != nil {
		return err
	}
	return slot.Drop(f)
}
