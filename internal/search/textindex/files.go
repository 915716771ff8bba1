package textindex

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mox/internal/accountfile"
	"mox/internal/fts"
	"mox/mlog"
	"mox/store"
)

// FileName is the name of the file of an index, in the directory of its account.
const FileName = "fts.db"

// index is an open index.
type index struct {
	*fts.Index
	accountfile.Uses
	size, text int64 // As counted in metrics. Only for who opens or closes it, or uses it and has the job.
}

func (t *Indexer) path(name string) string {
	return filepath.Join(t.opts.Dir, "accounts", name, FileName)
}

// acquire returns the index of an account, which it opens if needed. The caller must
// release it.
func (t *Indexer) acquire(ctx context.Context, acc *store.Account) (*index, error) {
	return t.open.Acquire(ctx, acc.Name(), func() (*index, error) { return t.openFile(acc) })
}

// Close closes an index that nobody uses.
func (x *index) Close() error {
	metricOpen.Dec()
	metricSize.Sub(float64(x.size))
	metricText.Sub(float64(x.text))
	return x.Index.Close()
}

// measure counts the size of an index.
func (x *index) measure() {
	s, err := x.Stats()
	if err != nil {
		return // It is gone.
	}
	metricSize.Add(float64(s.Size - x.size))
	metricText.Add(float64(s.Text - x.text))
	x.size, x.text = s.Size, s.Text
}

// openFile opens the file of an account, or makes a new one if there is none that can be
// used. The account's slot is locked.
func (t *Indexer) openFile(acc *store.Account) (*index, error) {
	path := t.path(acc.Name())
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
		t.log.Error("text index cannot be used, making it again from the messages", "account", acc.Name(), mlog.Err(err))
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
	o := &index{Index: x}
	o.measure()
	return o, nil
}

// discard takes the index of an account out of use, if it is x or x is nil, and removes
// its file: it is made anew. Who is using it goes on with what it has.
func (t *Indexer) discard(ctx context.Context, name string, x *index, reason string) error {
	slot, err := t.open.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer slot.Unlock()
	t.compared.Delete(name)
	if x != nil && slot.Current() != x {
		return nil
	}
	metricRebuilds.WithLabelValues(reason).Inc()
	t.log.Warn("text index is made again from the messages", "account", name, "reason", reason)
	err = os.Remove(t.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, slot.Drop(x))
}

// stats passes on what the index of an account has.
func (t *Indexer) stats(ctx context.Context, name string, fn func(fts.Stats)) (rerr error) {
	acc, err := t.opts.Store.Account(ctx, name)
	if errors.Is(err, store.ErrNoAccount) {
		return nil
	} else if err != nil {
		return err
	}
	defer acc.Release()
	x, err := t.acquire(ctx, acc)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, t.open.Release(x)) }()
	s, err := x.Stats()
	if err == nil {
		fn(s)
	}
	return err
}

// Verify checks the indexes of all accounts in a data directory that no server runs on.
// It returns what is wrong. None is fine.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	return accountfile.Verify(ctx, dir, FileName, fts.Check, fts.ErrDamaged)
}
