package testkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"

	"mox/internal/safefile"
)

// An Op is a kind of file system operation.
type Op string

// Operations that [Faults] count, and can make fail.
const (
	OpOpen     Op = "open" // Of an existing file, also for reading.
	OpCreate   Op = "create"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpSync     Op = "sync"
	OpClose    Op = "close"
	OpLink     Op = "link"
	OpRename   Op = "rename"
	OpRemove   Op = "remove"
	OpMkdir    Op = "mkdir"
	OpSyncDir  Op = "syncdir"
)

// Mutations returns the operations that change something or make it durable: all
// but open and close.
func Mutations() []Op {
	return []Op{OpCreate, OpWrite, OpTruncate, OpSync, OpLink, OpRename, OpRemove, OpMkdir, OpSyncDir}
}

// Errors to inject.
var (
	ErrIO      error = syscall.EIO
	ErrNoSpace error = syscall.ENOSPC
)

// Faults is a safefile.FS that counts operations and can make them fail. An
// operation that fails is not done, except that half of a failing write is. It is
// safe for concurrent use.
type Faults struct {
	base safefile.FS

	mu     sync.Mutex // Guards what follows.
	log    []Event
	faults []*fault
}

// An Event is one operation.
type Event struct {
	Op   Op
	Path string
	Err  error // What was injected, or nil. Not what the operation itself returned.
}

func (e Event) String() string {
	s := string(e.Op) + " " + e.Path
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

type fault struct {
	ops   []Op // Empty is all.
	after int  // Operations of ops to let pass.
	times int  // How many fail then. Negative is all.
	err   error
}

var _ safefile.FS = (*Faults)(nil)

// NewFaults returns a file system that does what base does until told otherwise.
// A nil base is that of the operating system.
func NewFaults(base safefile.FS) *Faults {
	if base == nil {
		base = safefile.OS
	}
	return &Faults{base: base}
}

// FailAt makes the k-th operation from now on, counted from 1, of some kinds fail
// with err. No kinds are all kinds.
func (f *Faults) FailAt(k int, err error, ops ...Op) {
	f.addFault(&fault{ops, k - 1, 1, err})
}

// FailFrom makes the k-th operation from now on, and all after it, fail, as when a
// disk is gone, or the process: see [Faults.Clear].
func (f *Faults) FailFrom(k int, err error, ops ...Op) {
	f.addFault(&fault{ops, k - 1, -1, err})
}

func (f *Faults) addFault(n *fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, n)
}

// Clear removes all faults.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Count returns the number of operations of some kinds so far. No kinds are all
// kinds.
func (f *Faults) Count(ops ...Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, e := range f.log {
		if len(ops) == 0 || slices.Contains(ops, e.Op) {
			n++
		}
	}
	return n
}

// Events returns the operations so far, and forgets them and their count.
func (f *Faults) Events() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.log
	f.log = nil
	return l
}

// at counts an operation and returns the error to fail with, or nil.
func (f *Faults) at(op Op, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	for _, n := range f.faults {
		if len(n.ops) > 0 && !slices.Contains(n.ops, op) || n.times == 0 {
			continue
		}
		if n.after > 0 {
			n.after--
			continue
		}
		if n.times > 0 {
			n.times--
		}
		if err == nil {
			err = n.err
		}
	}
	f.log = append(f.log, Event{op, path, err})
	if err != nil {
		return &fs.PathError{Op: string(op), Path: path, Err: err}
	}
	return nil
}

// OpenFile implements safefile.FS.
func (f *Faults) OpenFile(name string, flag int, perm fs.FileMode) (safefile.File, error) {
	op := OpOpen
	if flag&os.O_CREATE != 0 {
		op = OpCreate
	}
	if err := f.at(op, name); err != nil {
		return nil, err
	}
	return f.wrap(f.base.OpenFile(name, flag, perm))
}

// ReadStart implements safefile.FS.
func (f *Faults) ReadStart(name string, b []byte) (n int, err error) {
	if err := f.at(OpOpen, name); err != nil {
		return 0, err
	}
	return f.base.ReadStart(name, b)
}

// CreateExcl implements safefile.FS.
func (f *Faults) CreateExcl(name string, perm fs.FileMode) (safefile.File, error) {
	if err := f.at(OpCreate, name); err != nil {
		return nil, err
	}
	return f.wrap(f.base.CreateExcl(name, perm))
}

// CreateTemp implements safefile.FS.
func (f *Faults) CreateTemp(dir, pattern string) (safefile.File, error) {
	if err := f.at(OpCreate, dir+"/"+pattern); err != nil {
		return nil, err
	}
	return f.wrap(f.base.CreateTemp(dir, pattern))
}

func (f *Faults) wrap(file safefile.File, err error) (safefile.File, error) {
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f}, nil
}

// Link implements safefile.FS.
func (f *Faults) Link(oldname, newname string) error {
	if err := f.at(OpLink, newname); err != nil {
		return err
	}
	return f.base.Link(oldname, newname)
}

// Rename implements safefile.FS.
func (f *Faults) Rename(oldname, newname string) error {
	if err := f.at(OpRename, newname); err != nil {
		return err
	}
	return f.base.Rename(oldname, newname)
}

// Remove implements safefile.FS.
func (f *Faults) Remove(name string) error {
	if err := f.at(OpRemove, name); err != nil {
		return err
	}
	return f.base.Remove(name)
}

// RemoveAll implements safefile.FS.
func (f *Faults) RemoveAll(name string) error {
	if err := f.at(OpRemove, name); err != nil {
		return err
	}
	return f.base.RemoveAll(name)
}

// Mkdir implements safefile.FS.
func (f *Faults) Mkdir(name string, perm fs.FileMode) error {
	if err := f.at(OpMkdir, name); err != nil {
		return err
	}
	return f.base.Mkdir(name, perm)
}

// MkdirAll implements safefile.FS.
func (f *Faults) MkdirAll(name string, perm fs.FileMode) error {
	if err := f.at(OpMkdir, name); err != nil {
		return err
	}
	return f.base.MkdirAll(name, perm)
}

// Stat implements safefile.FS.
func (f *Faults) Stat(name string) (fs.FileInfo, error) { return f.base.Stat(name) }

// ReadDir implements safefile.FS.
func (f *Faults) ReadDir(name string) ([]fs.DirEntry, error) { return f.base.ReadDir(name) }

// SyncDir implements safefile.FS.
func (f *Faults) SyncDir(name string) error {
	if err := f.at(OpSyncDir, name); err != nil {
		return err
	}
	return f.base.SyncDir(name)
}

// faultFile is an open file of a Faults.
type faultFile struct {
	safefile.File
	f *Faults
}

func (w *faultFile) Write(p []byte) (int, error) {
	if err := w.f.at(OpWrite, w.Name()); err != nil {
		n, werr := w.File.Write(p[:len(p)/2])
		return n, errors.Join(err, werr)
	}
	return w.File.Write(p)
}

func (w *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := w.f.at(OpWrite, w.Name()); err != nil {
		n, werr := w.File.WriteAt(p[:len(p)/2], off)
		return n, errors.Join(err, werr)
	}
	return w.File.WriteAt(p, off)
}

func (w *faultFile) Truncate(size int64) error {
	if err := w.f.at(OpTruncate, w.Name()); err != nil {
		return err
	}
	return w.File.Truncate(size)
}

func (w *faultFile) Sync() error {
	if err := w.f.at(OpSync, w.Name()); err != nil {
		return err
	}
	return w.File.Sync()
}

// Close closes the file also when it is to fail: a close that returns an error has
// released the descriptor.
func (w *faultFile) Close() error {
	err := w.f.at(OpClose, w.Name())
	if cerr := w.File.Close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", cerr))
	}
	return err
}
