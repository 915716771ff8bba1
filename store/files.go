package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/mjl-/bstore"
)

const (
	// filesPerDirBits is the base-2 logarithm of how many message files go in one
	// directory.
	filesPerDirBits = 13
	// idBlock is how many content ids are reserved at a time. A crash leaves at most
	// so many files without a record, and at open only those are looked for.
	idBlock = 1024
)

const dirAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

// contentDir returns the directory, below msg, for a content id.
func contentDir(id int64) string {
	n := uint64(id) >> filesPerDirBits
	var b []byte
	for {
		b = append(b, dirAlphabet[n&63])
		n >>= 6
		if n == 0 {
			return string(b)
		}
	}
}

// contentPath returns the path of the file of a content.
func (a *Account) contentPath(id int64) string {
	return filepath.Join(a.dir, "msg", contentDir(id), strconv.FormatInt(id, 10))
}

// ids hands out content ids from the range that the state record reserves.
type ids struct {
	mu     sync.Mutex
	next   int64
	high   int64           // Reserved up to here, exclusive.
	active map[int64]bool  // Handed out, neither committed nor given up. True if it may still become a record.
	dirs   map[string]bool // Directories known to exist, and be synced in their parent.
}

// low returns the lowest id that may still become a file or a record.
func (x *ids) low() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	low := x.next
	for id := range x.active {
		low = min(low, id)
	}
	return low
}

func (x *ids) done(id int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.active, id)
}

// held reports whether an id that was handed out may still become a record. It may not
// when the account has been reopened since: that looks at all files without a record.
func (x *ids) held(id int64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.active[id]
}

// restart begins again behind a range. Ids that were handed out before may still
// become files, until they are given up, and never records.
func (x *ids) restart(high int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.next, x.high, x.dirs = high, high, map[string]bool{}
	if x.active == nil {
		x.active = map[int64]bool{}
	}
	for id := range x.active {
		x.active[id] = false
	}
}

func (x *ids) take() (int64, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.next >= x.high {
		return 0, false
	}
	id := x.next
	x.next++
	x.active[id] = true
	return id, true
}

// runningOut reports whether a commit should reserve more.
func (x *ids) runningOut() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.next+idBlock/2 >= x.high
}

func (x *ids) reserved(high int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.high = max(x.high, high)
}

// reserveID returns a content id for a new file. Mostly it only counts; the range
// is extended by commits that happen anyway.
func (a *Account) reserveID(ctx context.Context) (int64, error) {
	for range 10 {
		if id, ok := a.ids.take(); ok {
			return id, nil
		}
		// Any update extends the range.
		if err := a.Update(ctx, func(*Tx) error { return nil }); err != nil {
			return 0, fmt.Errorf("reserve message id: %w", err)
		}
	}
	return 0, errors.New("reserve message id: ids are used up faster than they can be reserved")
}

// ensureDir creates the directory for a content and makes its name durable.
func (a *Account) ensureDir(dir string) error {
	a.ids.mu.Lock()
	known := a.ids.dirs[dir]
	a.ids.mu.Unlock()
	if known {
		return nil
	}
	if err := a.store.fs.MkdirAll(dir, 0770); err != nil {
		return err
	}
	if err := a.store.fs.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	a.ids.mu.Lock()
	a.ids.dirs[dir] = true
	a.ids.mu.Unlock()
	return nil
}

// recoverFiles looks at the ids that were reserved when the account was last
// open. Files that have a record are mail. Files without one belong to messages
// that were never acknowledged: they go to lost/, and nothing is deleted but empty
// files, see spares.
func (a *Account) recoverFiles(ctx context.Context) error {
	st := a.tree.Load().state
	have := map[int64]bool{} // Ids with a record.
	err := a.read(ctx, func(tx *bstore.Tx) error {
		var l []int64
		if err := bstore.QueryTx[content](tx).FilterGreaterEqual("ID", st.ContentLow).FilterLess("ID", st.ContentHigh).IDs(&l); err != nil {
			return err
		}
		for _, id := range l {
			have[id] = true
		}
		return bstore.QueryTx[erase](tx).FilterGreaterEqual("ContentID", st.ContentLow).ForEach(func(e erase) error {
			have[e.ContentID] = true
			return nil
		})
	})
	if err != nil {
		return err
	}
	if err := a.moveLost(st.ContentLow, st.ContentHigh, have); err != nil {
		return err
	}
	a.ids.restart(st.ContentHigh)
	return nil
}

// moveLost moves the files with an id from low (inclusive) to high (exclusive)
// that are not in have to lost/.
func (a *Account) moveLost(low, high int64, have map[int64]bool) error {
	var dirs []string
	for id := low; id < high; id++ {
		if dir := filepath.Dir(a.contentPath(id)); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		entries, err := a.store.fs.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		moved, removed := false, false
		for _, e := range entries {
			id, err := strconv.ParseInt(e.Name(), 10, 64)
			if err != nil || id < low || id >= high || have[id] {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if info, err := e.Info(); err == nil && info.Size() == 0 {
				if err := a.store.fs.Remove(path); err != nil { // It was made for a message to come.
					return err
				}
				removed = true
				continue
			}
			if err := a.toLost(path); err != nil {
				return err
			}
			moved = true
		}
		if moved {
			if err := a.store.fs.SyncDir(a.lostDir()); err != nil {
				return err
			}
		}
		if moved || removed {
			if err := a.store.fs.SyncDir(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Account) lostDir() string { return filepath.Join(a.dir, "lost") }

// toLost moves a file to lost/ under a name that is free.
func (a *Account) toLost(path string) error {
	if err := a.store.fs.MkdirAll(a.lostDir(), 0770); err != nil {
		return err
	}
	dst := filepath.Join(a.lostDir(), filepath.Base(path))
	for i := 1; ; i++ {
		if _, err := a.store.fs.Stat(dst); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		dst = filepath.Join(a.lostDir(), fmt.Sprintf("%s.%d", filepath.Base(path), i))
	}
	a.log.Warn("moving file of a message that was never acknowledged out of the way", "path", path, "to", dst)
	return a.store.fs.Rename(path, dst)
}
