package textindex

import (
	"context"
	"errors"

	"mox/internal/fts"
	"mox/mlog"
	"mox/store"
)

// Reader is the index of an account, for one search or several.
type Reader struct {
	t       *Indexer
	name    string // Of the account.
	x       *index
	damaged bool
}

// Reader returns the index of an account, or nil if there is none that can be used: then
// all messages are read. The caller must Close it.
func (t *Indexer) Reader(ctx context.Context, acc *store.Account) *Reader {
	x, err := t.acquire(ctx, acc)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			t.log.Error("text index cannot be opened, searching in messages", "account", acc.Name(), mlog.Err(err))
		}
		return nil
	}
	return &Reader{t: t, name: acc.Name(), x: x}
}

// Search begins a search. It returns nil if the index cannot be used.
func (r *Reader) Search(ctx context.Context, patterns []fts.Pattern) *fts.Search {
	if r == nil || r.damaged {
		return nil
	}
	s, err := r.x.Search(ctx, patterns)
	if err != nil {
		r.Failed(ctx, err)
		return nil
	}
	return s
}

// Values calls fn for each of the ids that the index has, in ascending order, with the
// decoded and folded values of a header field.
func (r *Reader) Values(ctx context.Context, ids []int64, name []byte, fn func(i int, values [][]byte)) error {
	return r.x.Values(ctx, ids, name, fn)
}

// Failed takes note that the index gave an error: the caller goes on without.
func (r *Reader) Failed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		r.t.log.Error("searching in text index, searching in messages instead", "account", r.name, mlog.Err(err))
	}
	r.damaged = r.damaged || errors.Is(err, fts.ErrDamaged)
}

// Close gives the index back. It may be called on nil.
func (r *Reader) Close() {
	if r == nil {
		return
	}
	var err error
	if r.damaged {
		err = r.t.discard(r.t.sched.Context(), r.name, r.x, "damaged")
		r.t.Wake(r.name, false)
	}
	if err = errors.Join(err, r.t.open.Release(r.x)); err != nil {
		r.t.log.Error("closing a text index", "account", r.name, mlog.Err(err))
	}
}
