package queuedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/mjl-/bstore"
)

// recover brings files and records in agreement after a crash, and reserves the
// first range of ids. It touches only files with an erase row, and files with an
// id in the reserved range.
func (d *DB) recover(ctx context.Context, bdb *bstore.DB) error {
	var low int64
	err := bdb.Write(ctx, func(tx *bstore.Tx) error {
		st := state{ID: 1}
		err := tx.Get(&st)
		if err == bstore.ErrAbsent {
			st = state{ID: 1, Version: version, ContentLow: 1, ContentHigh: 1}
			err = tx.Insert(&st)
		}
		if err != nil {
			return fmt.Errorf("read state: %w", err)
		}
		if st.Version == 1 {
			if err := addFlows(tx); err != nil {
				return fmt.Errorf("upgrade queue: %w", err)
			}
			st.Version = version
		}
		if st.Version != version {
			return fmt.Errorf("queue has storage format %d, this program knows %d", st.Version, version)
		}
		if _, err := d.removals.Do(func() error { return d.finishErase(tx) }); err != nil {
			return err
		}
		if err := d.saveLost(tx, st.ContentLow, st.ContentHigh); err != nil {
			return err
		}
		low = st.ContentHigh
		st.ContentLow = low
		st.ContentHigh = low + idWindow
		return tx.Update(&st)
	})
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	d.ids.reset(low, low+idWindow)
	return nil
}

// finishErase removes the files that have an erase row, and the rows. It may do
// so before the commit, since the rows were committed earlier.
func (d *DB) finishErase(tx *bstore.Tx) error {
	var ids []int64
	if err := bstore.QueryTx[erase](tx).IDs(&ids); err != nil {
		return fmt.Errorf("read erase rows: %w", err)
	}
	for len(ids) > 0 {
		n := min(len(ids), sweepBatch)
		if err := d.unlink(ids[:n]); err != nil {
			return fmt.Errorf("remove files with erase row: %w", err)
		}
		if err := deleteErase(tx, ids[:n]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// saveLost moves files with an id from low up to high that have no record to the
// directory for lost files: their submission was never acknowledged, but what was
// written may still be of use.
func (d *DB) saveLost(tx *bstore.Tx, low, high int64) error {
	var dirs []string
	for first := low; first < high; first = (first>>filesPerDirBits + 1) << filesPerDirBits {
		entries, err := d.fs.ReadDir(d.dirOf(first))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		for _, e := range entries {
			id, ok := parseName(e.Name())
			if !ok || id < low || id >= high {
				continue
			}
			if err := tx.Get(&Base{ID: id}); err == nil {
				continue
			} else if err != bstore.ErrAbsent {
				return fmt.Errorf("read content: %w", err)
			}
			if err := d.moveLost(id); err != nil {
				return fmt.Errorf("move file without record: %w", err)
			}
		}
		dirs = append(dirs, d.dirOf(first))
	}
	// Also without a move: an earlier start may have moved files and got no further,
	// and from now on nobody looks for them.
	return d.syncMoved(dirs)
}

// parseName returns the id of a file name.
func parseName(name string) (int64, bool) {
	id, err := strconv.ParseInt(name, 10, 64)
	return id, err == nil && id > 0 && strconv.FormatInt(id, 10) == name
}

func (d *DB) moveLost(id int64) error {
	if err := d.fs.Mkdir(d.lostDir(), 0700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dst := filepath.Join(d.lostDir(), strconv.FormatInt(id, 10))
	for n := 1; ; n++ {
		if _, err := d.fs.Stat(dst); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		dst = filepath.Join(d.lostDir(), fmt.Sprintf("%d.%d", id, n))
	}
	if err := d.fs.Rename(d.pathOf(id), dst); err != nil {
		return err
	}
	d.log.Warn("file in queue without record, from a submission that was not acknowledged, moved", "path", d.pathOf(id), "lost", dst)
	return nil
}

// syncMoved makes moves from directories to that for lost files durable: the new
// names before the removal of the old ones.
func (d *DB) syncMoved(from []string) error {
	dirs := []string{d.dir}
	if _, err := d.fs.Stat(d.lostDir()); err == nil {
		dirs = append(dirs, d.lostDir())
	}
	for _, dir := range append(dirs, from...) {
		if err := d.fs.SyncDir(dir); err != nil {
			return fmt.Errorf("%w: %w", errSync, err)
		}
	}
	return nil
}

// addFlows makes flows for the messages of storage format 1, which had none.
func addFlows(tx *bstore.Tx) error {
	l, err := bstore.QueryTx[Message](tx).List()
	if err != nil {
		return err
	}
	b := &batch{tx: tx, flows: map[string]Head{}}
	for _, m := range l {
		m.Flow = m.flow()
		if err := tx.Update(&m); err != nil {
			return err
		}
		b.flows[m.Flow] = Head{Flow: m.Flow, Lane: m.Lane, Account: m.Account}
	}
	for _, h := range b.flows {
		if err := b.flushFlow(h); err != nil {
			return err
		}
	}
	return nil
}
