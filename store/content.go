package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/mjl-/bstore"
)

const (
	// sweepBatch is how many contents one transaction of Sweep removes.
	sweepBatch = 200
	// pruneBatch is how many of them one commit forgets.
	pruneBatch = 1000
	// pruneStep is how many of them it looks for at a time.
	pruneStep = 100
)

// shareContent counts one more message that uses a content.
func (tx *Tx) shareContent(id int64) error {
	s := share{ContentID: id}
	err := tx.btx.Get(&s)
	if errors.Is(err, bstore.ErrAbsent) {
		s.Extra = 1
		err = tx.btx.Insert(&s)
	} else if err == nil {
		s.Extra++
		err = tx.btx.Update(&s)
	}
	if err != nil {
		return fmt.Errorf("share content: %w", err)
	}
	return nil
}

// dropContent counts one message less that uses a content. When that was the last, it
// waits to be erased, for the undelete window if it is kept.
func (tx *Tx) dropContent(id, size, threadID int64, keep bool) (last bool, err error) {
	s := share{ContentID: id}
	err = tx.btx.Get(&s)
	switch {
	case errors.Is(err, bstore.ErrAbsent):
		last = true
		tx.state.EraseSize += size
		e := erase{ContentID: id, ModSeq: tx.next(), Since: tx.now, Size: size, ThreadID: threadID}
		if !keep {
			e.ModSeq = -e.ModSeq
		}
		err = tx.btx.Insert(&e)
	case err != nil:
	case s.Extra == 1:
		err = tx.btx.Delete(&s)
	default:
		s.Extra--
		err = tx.btx.Update(&s)
	}
	if err != nil {
		return false, fmt.Errorf("drop content: %w", err)
	}
	return last, nil
}

// reviveContent counts one more message for a content that may be waiting to be
// erased, and reports whether it is still there.
func (tx *Tx) reviveContent(id int64) (bool, error) {
	e := erase{ContentID: id}
	err := tx.btx.Get(&e)
	if err == nil && e.ModSeq != 0 {
		tx.written = true
		tx.state.EraseSize -= e.Size
		return true, tx.btx.Delete(&e)
	} else if err == nil {
		return false, nil
	} else if !errors.Is(err, bstore.ErrAbsent) {
		return false, fmt.Errorf("revive content: %w", err)
	}
	if err := tx.btx.Get(&content{ID: id}); errors.Is(err, bstore.ErrAbsent) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("revive content: %w", err)
	}
	return true, tx.shareContent(id)
}

// Sweep erases content that no message uses, no session shows and the undelete
// window no longer keeps, oldest first.
//
// A file is removed in steps that a crash can interrupt anywhere: one commit
// deletes the content record and marks the erase record, then the file is
// removed, then a commit deletes the erase record.
func (a *Account) Sweep(ctx context.Context) error {
	a.spares.dropIdle()
	if err := a.Update(ctx, func(tx *Tx) error { return tx.pruneReputations() }); err != nil {
		return err
	}
	if err := a.removeGone(ctx, a.Update); err != nil { // What was held the last time.
		return err
	}
	for {
		n, err := a.sweepSome(ctx)
		if err != nil {
			return err
		} else if n == 0 {
			break
		}
		if err := a.store.fs.RemoveAll(a.ColumnsDir()); err != nil {
			return fmt.Errorf("remove what was derived from digests: %w", err)
		}
		if err := a.removeGone(ctx, a.Update); err != nil {
			return err
		}
	}
	if err := a.forgetExpunged(ctx); err != nil {
		return err
	}
	return a.measureErasable(ctx)
}

// sweepSome deletes the records of some erasable contents.
func (a *Account) sweepSome(ctx context.Context) (n int, err error) {
	st := a.Tree().state
	if st.EraseSize == 0 {
		return 0, nil
	}
	err = a.Update(ctx, func(tx *Tx) error {
		pin, pinned := a.sessions.oldestPin()
		limits := a.undeleteLimits()
		cutoff := tx.now.Add(-limits.Window)
		l, err := bstore.QueryTx[erase](tx.btx).FilterLess("ModSeq", ModSeq(0)).SortDesc("ModSeq").Limit(sweepBatch).List()
		if err != nil {
			return fmt.Errorf("read erasable contents: %w", err)
		}
		for _, e := range l {
			if pinned && -e.ModSeq > pin {
				break
			}
			if err := tx.forget(&e); err != nil {
				return err
			}
			n++
		}
		q := bstore.QueryTx[erase](tx.btx).FilterGreater("ModSeq", ModSeq(0)).SortAsc("ModSeq").Limit(sweepBatch)
		if l, err = q.List(); err != nil {
			return fmt.Errorf("read erasable contents: %w", err)
		}
		for _, e := range l {
			if pinned && e.ModSeq > pin || e.Since.After(cutoff) && tx.state.EraseSize <= limits.Bytes {
				break // They are in order: all later ones are kept too.
			}
			if err := tx.forget(&e); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// forget deletes the records of a content that is being erased, and marks its
// file for removal.
func (tx *Tx) forget(e *erase) error {
	tx.written, tx.contents, tx.erased = true, true, true
	tx.state.EraseSize -= e.Size
	e.ModSeq = 0
	if err := tx.btx.Update(e); err != nil {
		return fmt.Errorf("mark content erased: %w", err)
	}
	ct := content{ID: e.ContentID}
	if err := tx.btx.Get(&ct); err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	if err := tx.btx.Delete(&ct); err != nil {
		return fmt.Errorf("delete content: %w", err)
	}
	tx.a.store.cache.dropContent(tx.a, e.ContentID)
	return errors.Join(tx.forgetThread(e.ThreadID, ct.Digest), tx.forgetJudgement(e.ContentID))
}

// removeGone removes the files of contents whose records are deleted, and then
// what remembers them, with the given function for changes. Files that are held stay
// until a later call.
func (a *Account) removeGone(ctx context.Context, update func(context.Context, func(*Tx) error) error) error {
	for {
		var gone []erase
		_, err := a.store.removals.Do(func() (err error) {
			gone, err = a.removeSome(ctx)
			return err
		})
		if err != nil || len(gone) == 0 {
			return err
		}
		err = update(ctx, func(tx *Tx) error {
			tx.written = true
			for i := range gone {
				if err := tx.btx.Delete(&gone[i]); err != nil {
					return fmt.Errorf("delete erase record: %w", err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// removeSome removes some of the files of contents whose records are deleted, and
// returns what remembers those.
func (a *Account) removeSome(ctx context.Context) ([]erase, error) {
	var gone []erase
	err := a.read(ctx, func(tx *bstore.Tx) error {
		var err error
		gone, err = bstore.QueryTx[erase](tx).FilterEqual("ModSeq", ModSeq(0)).Limit(sweepBatch).List()
		return err
	})
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range gone {
		path := a.contentPath(e.ContentID)
		if err := a.store.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove message file: %w", err)
		}
		if dir := filepath.Dir(path); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err := a.store.fs.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("sync directory: %w", err)
		}
	}
	return gone, nil
}

// pruneTombstones forgets the oldest expunged messages beyond the limit. Clients
// that ask for changes before them are told that history is incomplete.
func (tx *Tx) pruneTombstones() error {
	limit := tx.a.store.opts.Tombstones
	if tx.state.Tombstones <= limit+limit/100 {
		return nil // A whole batch at a time.
	}
	goal := max(limit, tx.state.Tombstones-pruneBatch)
	for more := true; more && tx.state.Tombstones > goal; {
		var err error
		if more, err = tx.pruneOldest(int(min(tx.state.Tombstones-goal, pruneStep))); err != nil {
			return err
		}
	}
	return nil
}

// pruneOldest forgets up to n of the oldest expunged messages, and those in the record with
// many that are next, and reports whether there were any.
func (tx *Tx) pruneOldest(n int) (more bool, err error) {
	// Not those greater than 0, for which it would look at all that are for undelete only.
	l, err := bstore.QueryTx[tombstone](tx.btx).FilterGreaterEqual("ModSeq", ModSeq(1)).SortAsc("ModSeq").Limit(n).List()
	if err != nil {
		return false, fmt.Errorf("read tombstones: %w", err)
	}
	batches, err := bstore.QueryTx[tombstoneBatch](tx.btx).SortAsc("ID").Limit(1).List()
	if err != nil {
		return false, fmt.Errorf("read tombstones: %w", err)
	}
	more = len(l)+len(batches) > 0
	if len(batches) > 0 && (len(l) == 0 || batches[0].ModSeq <= l[len(l)-1].ModSeq) {
		// Those in it are next, after some of the others. It is forgotten as a whole.
		l = slices.DeleteFunc(l, func(t tombstone) bool { return t.ModSeq > batches[0].ModSeq })
		if err := tx.pruneTombstoneBatch(&batches[0]); err != nil {
			return false, err
		}
	}
	for i := range l {
		t := &l[i]
		tx.state.PrunedModSeq = max(tx.state.PrunedModSeq, t.ModSeq)
		if tx.keepsPruned(t) {
			t.ModSeq = 0 // It stays until forgetExpunged, for undelete.
			err = tx.btx.Update(t)
		} else {
			err = tx.btx.Delete(t)
		}
		if err != nil {
			return false, fmt.Errorf("forget tombstone: %w", err)
		}
	}
	tx.state.Tombstones -= int64(len(l))
	return more, nil
}

// keepsPruned reports whether a tombstone is still needed for undelete.
func (tx *Tx) keepsPruned(t *tombstone) bool {
	return t.ContentID != 0 && t.Since.After(tx.now.Add(-tx.a.undeleteLimits().Window))
}

// pruneTombstoneBatch forgets the expunged messages in a record, but for what can be undeleted.
func (tx *Tx) pruneTombstoneBatch(tb *tombstoneBatch) error {
	l, err := tb.tombstones()
	if err != nil {
		return err
	}
	if err := tx.btx.Delete(tb); err != nil {
		return fmt.Errorf("forget tombstones: %w", err)
	}
	tx.state.PrunedModSeq = max(tx.state.PrunedModSeq, tb.ModSeq)
	tx.state.Tombstones -= int64(len(l))
	for i := range l {
		t := &l[i]
		if !tx.keepsPruned(t) {
			continue
		}
		t.ModSeq = 0
		if err := tx.btx.Insert(t); err != nil {
			return fmt.Errorf("forget tombstone: %w", err)
		}
	}
	return nil
}

// SetCredentials replaces the password verifiers.
func (a *Account) SetCredentials(ctx context.Context, c Credentials) error {
	return a.Update(ctx, func(tx *Tx) error {
		tx.written = true
		r := credentials{ID: 1, Credentials: c}
		err := tx.btx.Update(&r)
		if errors.Is(err, bstore.ErrAbsent) {
			err = tx.btx.Insert(&r)
		}
		return err
	})
}
