//go:build linux

package powercut

import (
	"bytes"
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or directory that logs what is done to it.
type node struct {
	fs.LoopbackNode
	r *recorder
}

var (
	_ = fs.NodeWrapChilder((*node)(nil))
	_ = fs.NodeCreater((*node)(nil))
	_ = fs.NodeMkdirer((*node)(nil))
	_ = fs.NodeRenamer((*node)(nil))
	_ = fs.NodeLinker((*node)(nil))
	_ = fs.NodeUnlinker((*node)(nil))
	_ = fs.NodeRmdirer((*node)(nil))
	_ = fs.NodeSetattrer((*node)(nil))
	_ = fs.NodeOpener((*node)(nil))
	_ = fs.NodeOpendirHandler((*node)(nil))
	_ = fs.NodeCopyFileRanger((*node)(nil))
)

func (n *node) ino() uint64 { return n.StableAttr().Ino }

// WrapChild makes the nodes below log too.
func (n *node) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &node{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, r: n.r}
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (inode *fs.Inode, fh fs.FileHandle, fuseFlags uint32, errno syscall.Errno) {
	errno = n.r.do(OpCreate, func() (Event, syscall.Errno) {
		inode, fh, fuseFlags, errno = n.LoopbackNode.Create(ctx, name, flags, mode, out)
		if errno != 0 {
			return Event{}, errno
		}
		fh = &file{fh.(*fs.LoopbackFile), n.r, inode.StableAttr().Ino}
		return Event{Inode: inode.StableAttr().Ino, Parent: n.ino(), Name: name}, 0
	})
	return inode, fh, 0, errno
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	errno = n.r.do(OpMkdir, func() (Event, syscall.Errno) {
		inode, errno = n.LoopbackNode.Mkdir(ctx, name, mode, out)
		if errno != 0 {
			return Event{}, errno
		}
		return Event{Inode: inode.StableAttr().Ino, Parent: n.ino(), Name: name}, 0
	})
	return inode, errno
}

func (n *node) Rename(ctx context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	return n.r.do(OpRename, func() (Event, syscall.Errno) {
		errno := n.LoopbackNode.Rename(ctx, name, newParent, newName, flags)
		return Event{Parent: n.ino(), Name: name, To: newParent.EmbeddedInode().StableAttr().Ino, ToName: newName}, errno
	})
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	errno = n.r.do(OpLink, func() (Event, syscall.Errno) {
		inode, errno = n.LoopbackNode.Link(ctx, target, name, out)
		return Event{Inode: target.EmbeddedInode().StableAttr().Ino, Parent: n.ino(), Name: name}, errno
	})
	return inode, errno
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	return n.r.do(OpUnlink, func() (Event, syscall.Errno) {
		return Event{Parent: n.ino(), Name: name}, n.LoopbackNode.Unlink(ctx, name)
	})
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	return n.r.do(OpUnlink, func() (Event, syscall.Errno) {
		return Event{Parent: n.ino(), Name: name}, n.LoopbackNode.Rmdir(ctx, name)
	})
}

func (n *node) Setattr(ctx context.Context, fh fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if f, ok := fh.(*file); ok {
		fh = f.LoopbackFile
	}
	size, ok := in.GetSize()
	if !ok {
		return n.LoopbackNode.Setattr(ctx, fh, in, out)
	}
	return n.r.do(OpTruncate, func() (Event, syscall.Errno) {
		return Event{Inode: n.ino(), Off: int64(size)}, n.LoopbackNode.Setattr(ctx, fh, in, out)
	})
}

func (n *node) Getattr(ctx context.Context, fh fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if f, ok := fh.(*file); ok {
		fh = f.LoopbackFile
	}
	return n.LoopbackNode.Getattr(ctx, fh, out)
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	fh, _, errno := n.LoopbackNode.Open(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	if flags&syscall.O_TRUNC != 0 {
		n.r.do(OpTruncate, func() (Event, syscall.Errno) { return Event{Inode: n.ino()}, 0 })
	}
	return &file{fh.(*fs.LoopbackFile), n.r, n.ino()}, 0, 0
}

func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	fh, fuseFlags, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &dir{fh.(dirHandle), n.r, n.ino()}, fuseFlags, 0
}

// CopyFileRange is refused, so that copies are writes.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// file is an open file that logs writes and syncs.
type file struct {
	*fs.LoopbackFile
	r     *recorder
	inode uint64
}

// PassthroughFd keeps the kernel from writing past us.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

func (f *file) Write(ctx context.Context, data []byte, off int64) (n uint32, errno syscall.Errno) {
	errno = f.r.do(OpWrite, func() (Event, syscall.Errno) {
		n, errno = f.LoopbackFile.Write(ctx, data, off)
		return Event{Inode: f.inode, Off: off, Data: bytes.Clone(data[:n])}, errno
	})
	return n, errno
}

// Fsync only logs: that the backing file is synced too would take time and prove
// nothing.
func (f *file) Fsync(context.Context, uint32) syscall.Errno {
	return f.r.do(OpSync, func() (Event, syscall.Errno) { return Event{Inode: f.inode}, 0 })
}

func (f *file) Allocate(context.Context, uint64, uint64, uint32) syscall.Errno {
	return syscall.ENOTSUP
}

// dirHandle is what an open directory of the backing file system can do.
type dirHandle interface {
	fs.FileHandle
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
}

type dir struct {
	dirHandle
	r     *recorder
	inode uint64
}

func (d *dir) Fsyncdir(context.Context, uint32) syscall.Errno {
	return d.r.do(OpSyncDir, func() (Event, syscall.Errno) { return Event{Inode: d.inode}, 0 })
}
