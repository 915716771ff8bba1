//go:build linux

package powercut

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Op is a kind of event.
type Op string

// Events. Mark is what the test says with Recorder.Mark.
const (
	OpCreate   Op = "create"
	OpMkdir    Op = "mkdir"
	OpWrite    Op = "write"
	OpTruncate Op = "truncate"
	OpLink     Op = "link"
	OpRename   Op = "rename"
	OpUnlink   Op = "unlink" // Of a file or directory.
	OpSync     Op = "sync"
	OpSyncDir  Op = "syncdir"
	OpMark     Op = "mark"
)

// Event is one change, sync or mark. Inodes are numbers without other meaning.
type Event struct {
	Op     Op
	Inode  uint64 // File or directory that is made, written, linked or synced.
	Parent uint64 // Directory of Name.
	Name   string
	To     uint64 // For rename: the directory of ToName.
	ToName string
	Off    int64  // For write: offset. For truncate: size.
	Data   []byte // For write.
	Mark   any
}

// Recorder is a mounted recording file system.
type Recorder struct {
	Dir  string // Where it is mounted.
	root uint64

	mu     sync.Mutex // Guards what follows; held during an operation, so that the log has their order.
	log    []Event
	faults []*fault
}

type fault struct {
	ops   []Op
	after int
	err   syscall.Errno
}

// Mount mounts an empty recording file system until the test ends. The test is
// skipped where that is not possible.
func Mount(t testing.TB) *Recorder {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Getuid() != 0 {
		t.Skip("needs root and /dev/fuse")
	}
	dir := t.TempDir()
	backing := filepath.Join(dir, "backing")
	r := &Recorder{Dir: filepath.Join(dir, "mnt")}
	for _, d := range []string{backing, r.Dir} {
		if err := os.Mkdir(d, 0755); err != nil {
			t.Fatal(err)
		}
	}
	data := &fs.LoopbackRoot{Path: backing}
	root := &node{LoopbackNode: fs.LoopbackNode{RootData: data}, r: r}
	data.RootNode = root
	srv, err := fs.Mount(r.Dir, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "powercut", Name: "powercut"}})
	if err != nil {
		t.Skipf("mount recording file system: %v", err)
	}
	r.root = root.StableAttr().Ino
	t.Cleanup(func() {
		if err := srv.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return r
}

// Mark notes in the log that something has been acknowledged.
func (r *Recorder) Mark(m any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, Event{Op: OpMark, Mark: m})
}

// Log returns what happened so far.
func (r *Recorder) Log() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// FailAt makes the k-th operation from now on, counted from 1, of some kinds fail.
// No kinds are all that change or sync.
func (r *Recorder) FailAt(k int, err syscall.Errno, ops ...Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &fault{ops, k - 1, err})
}

// Clear removes the faults that have not happened, and reports how many.
func (r *Recorder) Clear() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.faults)
	r.faults = nil
	return n
}

// do runs an operation, unless it is to fail, and logs it if it succeeds.
func (r *Recorder) do(op Op, run func() (Event, syscall.Errno)) syscall.Errno {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, f := range r.faults {
		if len(f.ops) > 0 && !slices.Contains(f.ops, op) {
			continue
		}
		if f.after == 0 {
			r.faults = slices.Delete(r.faults, i, i+1)
			return f.err
		}
		f.after--
	}
	e, errno := run()
	if errno == 0 {
		e.Op = op
		r.log = append(r.log, e)
	}
	return errno
}

func (e Event) String() string {
	switch e.Op {
	case OpMark:
		return fmt.Sprintf("mark %v", e.Mark)
	case OpWrite:
		return fmt.Sprintf("write %d at %d, %d bytes", e.Inode, e.Off, len(e.Data))
	}
	return fmt.Sprintf("%s inode %d, %d/%s to %d/%s, %d", e.Op, e.Inode, e.Parent, e.Name, e.To, e.ToName, e.Off)
}
