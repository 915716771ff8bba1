package queuedb

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
)

var errInjected = errors.New("injected fault")

// faultFS fails the operation that brings countdown to zero. It also remembers
// what is not synced yet, so that powerCut can undo it.
type faultFS struct {
	safefile.FS
	shadow string // Directory with what was removed.

	mu        sync.Mutex // Guards what follows.
	countdown int        // Zero is no fault.
	err       error
	dead      bool // After the fault, all fails: the machine is down.
	down      bool
	ops       int
	pending   []dirOp
	unsynced  map[string]bool   // Files whose content was not synced.
	linked    map[string]string // Name of a link to the name that is synced.
	n         int
}

// dirOp is a change of a name that its directory has not been synced for.
type dirOp struct {
	path    string
	removed string // Copy of a removed file; empty for one that was created.
}

func newFaultFS(t testing.TB) *faultFS {
	return &faultFS{FS: safefile.OS, shadow: t.TempDir(), err: errInjected, unsynced: map[string]bool{}, linked: map[string]string{}}
}

// step counts an operation, and fails it if it is its turn.
func (f *faultFS) step() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return f.err
	}
	f.ops++
	if f.countdown == 0 {
		return nil
	}
	f.countdown--
	if f.countdown > 0 {
		return nil
	}
	f.down = f.dead
	return f.err
}

func (f *faultFS) failAt(k int, dead bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.countdown, f.dead, f.down = k, dead, false
}

func (f *faultFS) isDown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

func (f *faultFS) created(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, dirOp{path: path})
	f.unsynced[path] = true
}

func (f *faultFS) CreateExcl(name string, perm fs.FileMode) (safefile.File, error) {
	if err := f.step(); err != nil {
		return nil, err
	}
	file, err := f.FS.CreateExcl(name, perm)
	if err != nil {
		return nil, err
	}
	f.created(name)
	return &faultFile{file, f}, nil
}

func (f *faultFS) CreateTemp(dir, pattern string) (safefile.File, error) {
	if err := f.step(); err != nil {
		return nil, err
	}
	file, err := f.FS.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f}, nil
}

func (f *faultFS) Link(oldname, newname string) error {
	if err := f.step(); err != nil {
		return err
	}
	if err := f.FS.Link(oldname, newname); err != nil {
		return err
	}
	f.created(newname)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.linked[newname] = oldname
	return nil
}

func (f *faultFS) Rename(oldname, newname string) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.FS.Rename(oldname, newname)
}

func (f *faultFS) Mkdir(name string, perm fs.FileMode) error {
	if err := f.step(); err != nil {
		return err
	}
	return f.FS.Mkdir(name, perm)
}

func (f *faultFS) Remove(name string) error {
	if err := f.step(); err != nil {
		return err
	}
	f.mu.Lock()
	f.n++
	copied := filepath.Join(f.shadow, filepath.Base(name)+"-"+string(rune('a'+f.n%26))+"-"+filepath.Base(filepath.Dir(name)))
	f.mu.Unlock()
	os.Remove(copied)
	lerr := os.Link(name, copied)
	if err := f.FS.Remove(name); err != nil {
		return err
	}
	if lerr == nil {
		f.mu.Lock()
		f.pending = append(f.pending, dirOp{name, copied})
		f.mu.Unlock()
	}
	return nil
}

func (f *faultFS) SyncDir(name string) error {
	if err := f.step(); err != nil {
		return err
	}
	if err := f.FS.SyncDir(name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var rest []dirOp
	for _, op := range f.pending {
		if filepath.Dir(op.path) != name {
			rest = append(rest, op)
		}
	}
	f.pending = rest
	return nil
}

// faultFile counts writes and syncs.
type faultFile struct {
	safefile.File
	fs *faultFS
}

func (f *faultFile) Write(p []byte) (int, error) {
	if err := f.fs.step(); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultFile) Sync() error {
	if err := f.fs.step(); err != nil {
		return err
	}
	if err := f.File.Sync(); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	for path := range f.fs.unsynced {
		if path == f.File.Name() || f.fs.linked[path] == f.File.Name() {
			delete(f.fs.unsynced, path)
		}
	}
	return nil
}

// powerCut undoes some of what was not synced, as a power failure does: names
// that were created or removed, and content that was written.
func (f *faultFS) powerCut(t testing.TB, rng *rand.Rand) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for path := range f.unsynced {
		if fi, err := os.Stat(path); err == nil && fi.Size() > 0 {
			if err := os.Truncate(path, rng.Int64N(fi.Size())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := len(f.pending) - 1; i >= 0; i-- {
		op := f.pending[i]
		if rng.IntN(2) == 0 {
			continue
		}
		if op.removed == "" {
			os.Remove(op.path)
		} else if err := os.Link(op.removed, op.path); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	f.pending = nil
	f.unsynced = map[string]bool{}
}

// commit fails before or after the real commit if it is its turn.
func (f *faultFS) commit(tx *bstore.Tx) error {
	if err := f.step(); err != nil {
		tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return f.step()
}
