package safefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// LockName is the name of the file that [LockDir] locks.
const LockName = "lock"

// ErrLocked means that another process has a directory locked.
var ErrLocked = errors.New("safefile: directory is in use by another process")

// A DirLock keeps other processes out of a directory until it is closed or the
// process ends.
type DirLock struct {
	f *os.File
}

// LockDir takes the lock of a directory without waiting. If another process has
// it, the error matches [ErrLocked] and names that process. The lock is on a file
// "lock" in dir, which stays: removing it would let two processes lock different
// files of the same name.
func LockDir(dir string) (*DirLock, error) {
	path := filepath.Join(dir, LockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		if errors.Is(err, ErrLocked) {
			err = fmt.Errorf("%w: %s is locked by process %s", ErrLocked, path, holder(f))
		}
		return nil, errors.Join(err, f.Close())
	}
	if err := writeHolder(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &DirLock{f}, nil
}

// Close gives the lock back. Closing the file would not do: a process that is being
// started by another goroutine has it open too until it runs its program.
func (l *DirLock) Close() error {
	return errors.Join(unlockFile(l.f), l.f.Close())
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("empty lock file: %w", err)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

// maxHolder is how much of a lock file is read: a process id.
const maxHolder = 20

// holder returns the process id in a lock file, or "unknown" while the holder has
// not written it yet.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxHolder))
	pid := strings.TrimSpace(string(b))
	if _, perr := strconv.Atoi(pid); err != nil || perr != nil {
		return "unknown"
	}
	return pid
}
