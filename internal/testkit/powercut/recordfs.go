//go:build linux

package powercut

import (
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// recorder logs what is done to the mounted file system, in its own process: the
// process that uses the files may be stopped in the kernel on a page fault, and
// could then not answer.
type recorder struct {
	root uint64

	mu     sync.Mutex // Guards what follows; held during an operation, so that the log has their order.
	log    []Event
	marks  int
	faults []*fault
}

type fault struct {
	ops   []Op
	after int
	err   syscall.Errno
}

// mount mounts a recording file system over backing.
func mount(backing, dir string) (*recorder, *fuse.Server, error) {
	r := &recorder{}
	data := &fs.LoopbackRoot{Path: backing}
	root := &node{LoopbackNode: fs.LoopbackNode{RootData: data}, r: r}
	data.RootNode = root
	srv, err := fs.Mount(dir, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, AllowOther: true, FsName: "powercut", Name: "powercut"}})
	r.root = root.StableAttr().Ino
	return r, srv, err
}

func (r *recorder) mark() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, Event{Op: OpMark, Mark: r.marks})
	r.marks++
}

func (r *recorder) failAt(f *fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, f)
}

func (r *recorder) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

func (r *recorder) events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// do runs an operation, unless it is to fail, and logs it if it succeeds.
func (r *recorder) do(op Op, run func() (Event, syscall.Errno)) syscall.Errno {
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
