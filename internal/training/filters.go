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
	fresh bool // It has the name of a new one: the journal must be written anew. Only for who has the job.

	// Guarded by Trainer.mu.
	conf  config.JunkFilter
	users int
	gone  bool // To be closed by the last user.
}

// path returns the path of the file of an account.
func (t *Trainer) path(a *account) string {
	return filepath.Join(t.opts.Dir, "accounts", a.name, FileName)
}

// Classify judges a message for an account. Ok is false if it has no filter, or one that
// is damaged all the time: mail goes on without.
func (t *Trainer) Classify(ctx context.Context, name string, tokens *junk.Tokens) (v junk.Verdict, ok bool, err error) {
	conf, found := t.opts.Config.Snapshot().Account(name)
	if !found || conf.JunkFilter == nil {
		return junk.Verdict{}, false, nil
	}
	t.mu.Lock()
	a := t.account(name)
	t.mu.Unlock()
	for again := true; ; again = false {
		f, err := t.acquire(ctx, a, *conf.JunkFilter)
		if err == nil {
			v, err = f.Classify(ctx, tokens)
			err = errors.Join(err, t.release(f))
			if again && errors.Is(err, junk.ErrDamaged) {
				if err = t.discard(ctx, a, f, err); err == nil {
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
func (t *Trainer) acquire(ctx context.Context, a *account, conf config.JunkFilter) (*filter, error) {
	f, err := t.use(a)
	if f == nil && err == nil {
		f, err = t.openAccount(ctx, a, conf)
	}
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	changed := f.conf != conf
	f.conf = conf
	t.mu.Unlock()
	if changed {
		if err := f.SetParams(params(conf), conf.Threshold); err != nil {
			return nil, errors.Join(err, t.release(f))
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

// use returns the filter of an account if it is open.
func (t *Trainer) use(a *account) (*filter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	if a.cur != nil {
		a.cur.users++
		t.open.MoveToFront(a.elem)
	}
	return a.cur, nil
}

// release gives back a filter.
func (t *Trainer) release(f *filter) error {
	t.mu.Lock()
	f.users--
	last := f.users == 0 && f.gone
	t.mu.Unlock()
	if last {
		return f.close()
	}
	return nil
}

func (f *filter) close() error {
	metricOpen.Dec()
	return f.Filter.Close()
}

// openAccount opens the filter of an account, and makes room for it.
func (t *Trainer) openAccount(ctx context.Context, a *account, conf config.JunkFilter) (*filter, error) {
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, err := t.use(a) // Someone else may have opened it meanwhile.
	if f == nil && err == nil {
		if f, err = t.openFile(ctx, a, conf); err == nil {
			f.users = 1
			err = t.attach(a, f)
		}
	}
	<-a.files
	t.evict()
	return f, err
}

// attach makes a filter that of an account. The caller holds files.
func (t *Trainer) attach(a *account, f *filter) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return errors.Join(ErrClosed, f.close())
	}
	a.cur, a.elem = f, t.open.PushFront(a)
	if f.fresh {
		t.plan(a, time.Now().Add(t.opts.Delay))
	}
	t.mu.Unlock()
	return nil
}

// detach takes the filter away from an account, if it is f or f is nil, and closes it
// if nobody uses it. The caller holds files.
func (t *Trainer) detach(a *account, f *filter) error {
	t.mu.Lock()
	if a.cur == nil || f != nil && a.cur != f {
		t.mu.Unlock()
		return nil
	}
	f = a.cur
	a.cur, f.gone = nil, true
	t.open.Remove(a.elem)
	a.elem = nil
	unused := f.users == 0
	t.mu.Unlock()
	if unused {
		return f.close()
	}
	return nil
}

// evict closes filters that were not used for longest, if there are too many. Those in
// use stay.
func (t *Trainer) evict() {
	for {
		a, f := t.victim()
		if a == nil {
			return
		}
		if err := f.close(); err != nil {
			t.log.Error("closing a junk filter", "account", a.name, mlog.Err(err))
		}
		<-a.files
	}
}

// victim takes a filter that is not in use away from its account, and returns both, with
// files held so that it is not opened before it is closed.
func (t *Trainer) victim() (*account, *filter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open.Len() <= t.opts.MaxOpen {
		return nil, nil
	}
	for e := t.open.Back(); e != nil; e = e.Prev() {
		a := e.Value.(*account)
		if a.cur.users > 0 {
			continue
		}
		select {
		case a.files <- struct{}{}:
		default: // Being replaced right now.
			continue
		}
		f := a.cur
		a.cur, a.elem = nil, nil
		t.open.Remove(e)
		return a, f
	}
	return nil, nil
}

// openFile opens the file of an account, or makes a new one if there is none that can
// be used. The caller holds files.
func (t *Trainer) openFile(ctx context.Context, a *account, conf config.JunkFilter) (*filter, error) {
	acc, err := t.opts.Store.Ensure(ctx, a.name)
	if err != nil {
		return nil, fmt.Errorf("open account: %w", err)
	}
	defer acc.Release()
	path := t.path(a)
	if ok, err := exists(path + newSuffix); err != nil {
		return nil, err
	} else if ok {
		t.log.Warn("making a junk filter was interrupted, beginning again", "account", a.name)
		return t.create(ctx, a, conf, "interrupted")
	}
	if ok, err := exists(path); err != nil {
		return nil, err
	} else if !ok {
		return t.create(ctx, a, conf, "missing")
	}
	f, err := t.openPath(ctx, path, conf)
	switch {
	case err == nil && f.Last() > acc.LastLesson():
		err = fmt.Errorf("%w: it has taken row %d, but the account has had only %d, so one of them was restored", junk.ErrDamaged, f.Last(), acc.LastLesson())
		err = errors.Join(err, f.close())
	case errors.Is(err, junk.ErrDamaged), errors.Is(err, junk.ErrVersion):
	default:
		return f, err
	}
	if err := t.setAside(a, err); err != nil {
		return nil, err
	}
	return t.create(ctx, a, conf, "damaged")
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
// The caller holds files.
func (t *Trainer) create(ctx context.Context, a *account, conf config.JunkFilter, reason string) (*filter, error) {
	path := t.path(a) + newSuffix
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := t.openPath(ctx, path, conf)
	if err != nil {
		return nil, err
	}
	if err := safefile.SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.close())
	}
	metricRebuilds.WithLabelValues(reason).Inc()
	f.fresh = true
	return f, nil
}

// setAside renames a file that cannot be used. The caller holds files.
func (t *Trainer) setAside(a *account, cause error) error {
	t.mu.Lock()
	again := time.Since(a.damaged) < rebuildInterval
	if !again {
		a.damaged = time.Now()
	}
	t.mu.Unlock()
	if again {
		return fmt.Errorf("junk filter is damaged again, not making another one yet: %w", cause)
	}
	path := t.path(a)
	t.log.Error("junk filter cannot be used, learning again from the messages", "account", a.name, "kept", path+damagedSuffix, mlog.Err(cause))
	err := os.Rename(path, path+damagedSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // A new one, which will be made again.
	}
	return err
}

// discard takes a filter out of use whose file turned out to be damaged.
func (t *Trainer) discard(ctx context.Context, a *account, f *filter, cause error) error {
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.files }()
	t.mu.Lock()
	done, next := a.cur != f, a.next
	t.mu.Unlock()
	if done {
		return nil
	}
	if next != nil {
		return cause // Its successor is nearly ready.
	}
	if err := t.setAside(a, cause); err != nil {
		return err
	}
	return t.detach(a, f)
}
