package queuedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"

	"mox/internal/safefile"
)

// filesPerDirBits is the number of low bits of an id that do not select its
// directory: 8192 files to a directory.
const filesPerDirBits = 13

// dirAlphabet has a character for each group of six bits of a directory number.
const dirAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

// dirName returns the name of the directory for the file of a content id: the id
// without its low 13 bits, in groups of six bits, the least significant first.
func dirName(id int64) string {
	var name []byte
	for v := uint64(id) >> filesPerDirBits; ; {
		name = append(name, dirAlphabet[v&63])
		v >>= 6
		if v == 0 {
			return string(name)
		}
	}
}

func (d *DB) contentDir() string { return filepath.Join(d.dir, "msg") }
func (d *DB) lostDir() string    { return filepath.Join(d.dir, "lost") }

// dirOf returns the directory of the file of a content.
func (d *DB) dirOf(id int64) string {
	return filepath.Join(d.contentDir(), dirName(id))
}

// pathOf returns the path of the file of a content.
func (d *DB) pathOf(id int64) string {
	return filepath.Join(d.dirOf(id), strconv.FormatInt(id, 10))
}

// idPool hands out content ids from the range that is reserved on disk.
type idPool struct {
	mu     sync.Mutex // Guards what follows.
	gen    int        // Of the range: counts how often the database was opened.
	next   int64
	high   int64              // Exclusive.
	flight map[int64]struct{} // Handed out, and neither committed nor certain to have no file.
	dirs   map[string]bool    // Directories known to exist, durably.
}

func (p *idPool) reset(low, high int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gen++
	p.next, p.high = low, high
	p.flight = map[int64]struct{}{}
	p.dirs = map[string]bool{}
}

// newID is a content id that was handed out. It is of use only until the database
// is reopened: that looks at all files without a record.
type newID struct {
	id  int64
	gen int
}

// take returns the next id, if there is one.
func (p *idPool) take() (newID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next >= p.high {
		return newID{}, false
	}
	id := p.next
	p.next++
	p.flight[id] = struct{}{}
	return newID{id, p.gen}, true
}

func (p *idPool) current(n newID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return n.gen == p.gen
}

// keep says that an id may have a file without a record.
func (p *idPool) keep(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flight[id] = struct{}{}
}

// release says that an id has a record, or has no file for certain.
func (p *idPool) release(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.flight, id)
}

// short reports whether less than half of a range is left, and from which id on
// files may exist without a record.
func (p *idPool) short() (low int64, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	low = p.next
	for id := range p.flight {
		low = min(low, id)
	}
	return low, p.high-p.next < idWindow/2
}

func (p *idPool) extended(high int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.high = high
}

// inFlight reports whether the file of an id may exist without a record.
func (p *idPool) inFlight(id int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.flight[id]
	return ok || id >= p.next
}

// extendIDs makes the batch reserve more ids if there are few left.
func (b *batch) extendIDs() {
	if low, short := b.d.ids.short(); short {
		b.extend, b.low = true, low
	}
}

// reserve returns an id for a new file.
func (d *DB) reserve(ctx context.Context) (newID, error) {
	for {
		if n, ok := d.ids.take(); ok {
			return n, nil
		}
		err := d.committer.do(ctx, &change{apply: func(b *batch) error {
			b.extendIDs()
			return nil
		}})
		if err != nil {
			return newID{}, err
		}
	}
}

// makeDir creates the directory for an id, durably.
func (d *DB) makeDir(id int64) (string, error) {
	dir := d.dirOf(id)
	d.ids.mu.Lock()
	defer d.ids.mu.Unlock()
	if d.ids.dirs[dir] {
		return dir, nil
	}
	if err := d.fs.Mkdir(dir, 0700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if err := d.fs.SyncDir(d.contentDir()); err != nil {
		return "", fmt.Errorf("%w: %w", errSync, err)
	}
	d.ids.dirs[dir] = true
	return dir, nil
}

// maxOccupied is how many ids in a row may turn out to have a file already.
const maxOccupied = 100

// create writes the content of a spool to a new file and syncs it. It returns the
// id and the directory to sync. The id must be released, or abandoned.
func (d *DB) create(ctx context.Context, spool *safefile.Spool) (n newID, dir string, err error) {
	for range maxOccupied {
		n, err = d.reserve(ctx)
		if err != nil {
			return newID{}, "", err
		}
		dir, err = d.makeDir(n.id)
		if err == nil {
			err = spool.WriteFileExcl(d.pathOf(n.id))
		}
		if err == nil {
			return n, dir, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
		// Someone has put a file there, perhaps by restoring only a part of a backup. It
		// is never overwritten. The id stays in flight, so it is found at the next start.
		d.log.Warn("queue file exists without record, not overwriting it", "path", d.pathOf(n.id))
	}
	err = fmt.Errorf("write queue file: %w", err)
	if d.diskFailed(err) {
		return newID{}, "", d.committer.fail(err)
	}
	if !errors.Is(err, fs.ErrExist) {
		d.abandon(n.id)
	}
	if safefile.IsNoSpace(err) {
		err = fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return newID{}, "", err
}

// diskFailed reports whether an error of creating a file may be that of a sync,
// or otherwise puts the disk in doubt, as opposed to what can be told in advance.
func (d *DB) diskFailed(err error) bool {
	for _, e := range []error{fs.ErrExist, fs.ErrPermission, fs.ErrNotExist, safefile.ErrSpoolState, safefile.ErrTooLarge} {
		if errors.Is(err, e) {
			return false
		}
	}
	return !safefile.IsNoSpace(err)
}

// abandon removes the file of an id that will have no record. While that is not
// certain the id stays in flight, so that the next start looks at it.
func (d *DB) abandon(id int64) {
	d.ids.keep(id) // The range may be a new one that knows nothing of it.
	if err := d.fs.Remove(d.pathOf(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("remove file of failed enqueue, leaving it for the next start", "path", d.pathOf(id), "err", err)
		return
	}
	if err := d.fs.SyncDir(d.dirOf(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("sync directory of failed enqueue", "path", d.pathOf(id), "err", err)
		return
	}
	d.ids.release(id)
}
