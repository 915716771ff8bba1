package textindex

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mox/internal/fts"
	"mox/mlog"
	"mox/store"
)

// FileName is the name of the file of an index, in the directory of its account.
const FileName = "fts.db"

// index is an open index.
type index struct {
	*fts.Index

	// Guarded by Indexer.mu.
	users      int
	gone       bool  // To be closed by the last user.
	size, text int64 // As counted in metrics.
}

func (t *Indexer) path(a *account) string {
	return filepath.Join(t.opts.Dir, "accounts", a.name, FileName)
}

// acquire returns the index of an account, which it opens if needed. The caller must
// release it.
func (t *Indexer) acquire(ctx context.Context, a *account, acc *store.Account) (*index, error) {
	x, err := t.use(a)
	if x != nil || err != nil {
		return x, err
	}
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	x, err = t.use(a) // Someone else may have opened it meanwhile.
	if x == nil && err == nil {
		if x, err = t.openFile(a, acc); err == nil {
			err = t.attach(a, x)
		}
	}
	<-a.files
	t.evict()
	return x, err
}

// use returns the index of an account if it is open.
func (t *Indexer) use(a *account) (*index, error) {
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

// release gives back an index.
func (t *Indexer) release(x *index) error {
	t.mu.Lock()
	x.users--
	last := x.users == 0 && x.gone
	t.mu.Unlock()
	if last {
		return t.close(x)
	}
	return nil
}

func (t *Indexer) close(x *index) error {
	metricOpen.Dec()
	t.mu.Lock()
	metricSize.Sub(float64(x.size))
	metricText.Sub(float64(x.text))
	x.size, x.text = 0, 0
	t.mu.Unlock()
	return x.Close()
}

// measure counts the size of an index.
func (t *Indexer) measure(x *index) {
	s, err := x.Stats()
	if err != nil {
		return // It is gone.
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	metricSize.Add(float64(s.Size - x.size))
	metricText.Add(float64(s.Text - x.text))
	x.size, x.text = s.Size, s.Text
}

// openFile opens the file of an account, or makes a new one if there is none that can be
// used. The caller holds files.
func (t *Indexer) openFile(a *account, acc *store.Account) (*index, error) {
	path := t.path(a)
	x, err := fts.Open(path)
	if err == nil {
		mark, merr := acc.ContentMark()
		if merr == nil && x.Mark() > mark {
			// Ids that it has may be given to other contents.
			merr = fmt.Errorf("%w: it has contents up to %d, but the account only up to %d, so one of them was restored", fts.ErrDamaged, x.Mark(), mark)
		}
		if merr != nil {
			err = errors.Join(merr, x.Close())
		}
	}
	if errors.Is(err, fts.ErrDamaged) {
		t.log.Error("text index cannot be used, making it again from the messages", "account", a.name, mlog.Err(err))
		metricRebuilds.WithLabelValues("damaged").Inc()
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		x, err = fts.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open text index: %w", err)
	}
	metricOpen.Inc()
	o := &index{Index: x, users: 1}
	t.measure(o)
	return o, nil
}

// attach makes an index that of an account. The caller holds files.
func (t *Indexer) attach(a *account, x *index) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return errors.Join(ErrClosed, t.close(x))
	}
	a.cur, a.elem = x, t.open.PushFront(a)
	t.mu.Unlock()
	return nil
}

// detach takes the index away from an account, if it is x or x is nil, and closes it if
// nobody uses it. The caller holds files.
func (t *Indexer) detach(a *account, x *index) error {
	t.mu.Lock()
	if a.cur == nil || x != nil && a.cur != x {
		t.mu.Unlock()
		return nil
	}
	x = a.cur
	a.cur, x.gone = nil, true
	t.open.Remove(a.elem)
	a.elem = nil
	unused := x.users == 0
	t.mu.Unlock()
	if unused {
		return t.close(x)
	}
	return nil
}

// reopen closes the index of an account, if it is x, so that it is opened again when it is
// needed.
func (t *Indexer) reopen(ctx context.Context, a *account, x *index) error {
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.files }()
	return t.detach(a, x)
}

// discard takes the index of an account out of use, if it is x or x is nil, and removes
// its file: it is made anew. Who is using it goes on with what it has.
func (t *Indexer) discard(ctx context.Context, a *account, x *index, reason string) error {
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.files }()
	t.mu.Lock()
	done := x != nil && a.cur != x
	a.erased = true
	t.mu.Unlock()
	if done {
		return nil
	}
	metricRebuilds.WithLabelValues(reason).Inc()
	t.log.Warn("text index is made again from the messages", "account", a.name, "reason", reason)
	err := os.Remove(t.path(a))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, t.detach(a, x))
}

// evict closes indexes that were not used for longest, if there are too many. Those in
// use stay.
func (t *Indexer) evict() {
	for {
		a, x := t.victim()
		if a == nil {
			return
		}
		if err := t.close(x); err != nil {
			t.log.Error("closing a text index", "account", a.name, mlog.Err(err))
		}
		<-a.files
	}
}

// victim takes an index that is not in use away from its account, and returns both, with
// files held so that it is not opened before it is closed.
func (t *Indexer) victim() (*account, *index) {
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
		x := a.cur
		a.cur, a.elem = nil, nil
		t.open.Remove(e)
		return a, x
	}
	return nil, nil
}

// stats passes on what the index of an account has.
func (t *Indexer) stats(ctx context.Context, a *account, fn func(fts.Stats)) (rerr error) {
	acc, err := t.opts.Store.Account(ctx, a.name)
	if errors.Is(err, store.ErrNoAccount) {
		return nil
	} else if err != nil {
		return err
	}
	defer acc.Release()
	x, err := t.acquire(ctx, a, acc)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, t.release(x)) }()
	s, err := x.Stats()
	if err == nil {
		fn(s)
	}
	return err
}

// Verify checks the indexes of all accounts in a data directory that no server runs on.
// It returns what is wrong. None is fine.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	dir = filepath.Join(dir, "accounts")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return problems, err
		}
		if !e.IsDir() {
			continue
		}
		err := fts.Check(filepath.Join(dir, e.Name(), FileName))
		switch {
		case errors.Is(err, fts.ErrDamaged):
			problems = append(problems, fmt.Sprintf("account %s: %v (the server will make a new one from the messages)", e.Name(), err))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return problems, fmt.Errorf("account %s: %w", e.Name(), err)
		}
	}
	return problems, nil
}
