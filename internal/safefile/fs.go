package safefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// A File is an open file of an [FS]; *os.File is one.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Seeker
	io.Closer
	Name() string
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error

	// Sync commits the content and metadata of the file to stable storage. It does
	// not commit the name in its directory, for which see FS.SyncDir.
	Sync() error
}

// An FS makes all changes to the file system, and opens files for reading.
// Implementations are safe for concurrent use. Errors are as those of package os.
type FS interface {
	// OpenFile is os.OpenFile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)

	// ReadStart reads the beginning of a file, as much as there is and fits. The error is
	// io.EOF when that is less.
	ReadStart(name string, b []byte) (n int, err error)

	// CreateExcl creates a file for reading and writing that must not exist yet,
	// otherwise the error matches fs.ErrExist.
	CreateExcl(name string, perm fs.FileMode) (File, error)

	// CreateTemp is os.CreateTemp: a new file with a random name, permissions 0600.
	CreateTemp(dir, pattern string) (File, error)

	// Link, Rename, Remove, RemoveAll, Mkdir and MkdirAll are as in package os.
	Link(oldname, newname string) error
	Rename(oldname, newname string) error
	Remove(name string) error
	RemoveAll(name string) error
	Mkdir(name string, perm fs.FileMode) error
	MkdirAll(name string, perm fs.FileMode) error

	// Stat and ReadDir are as in package os.
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)

	// SyncDir commits the names in a directory, such as those of files created,
	// linked, renamed or removed in it, to stable storage.
	SyncDir(name string) error
}

// OS is the file system of the operating system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	return file(os.OpenFile(name, flag, perm))
}

func (osFS) ReadStart(name string, b []byte) (n int, err error) { return readStart(name, b) }

func (osFS) CreateExcl(name string, perm fs.FileMode) (File, error) {
	return file(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm))
}

func (osFS) CreateTemp(dir, pattern string) (File, error) {
	return file(os.CreateTemp(dir, pattern))
}

// file keeps a nil *os.File from becoming a File that is not nil.
func file(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFS) Link(oldname, newname string) error           { return os.Link(oldname, newname) }
func (osFS) Rename(oldname, newname string) error         { return os.Rename(oldname, newname) }
func (osFS) Remove(name string) error                     { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                  { return os.RemoveAll(name) }
func (osFS) Mkdir(name string, perm fs.FileMode) error    { return os.Mkdir(name, perm) }
func (osFS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }
func (osFS) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }
func (osFS) ReadDir(name string) ([]fs.DirEntry, error)   { return os.ReadDir(name) }

func (osFS) SyncDir(name string) (rerr error) {
	if runtime.GOOS == "windows" {
		return nil // A directory cannot be opened for syncing there.
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // File systems that have no notion of syncing a directory.
	}
	return errors.Join(err, d.Close())
}
