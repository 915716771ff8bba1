//go:build unix

package safefile

import (
	"io"
	"io/fs"
	"syscall"
)

// readStart opens, reads and closes with a system call each: package os makes five more for
// a file, to find out whether it can be waited for.
func readStart(name string, b []byte) (n int, err error) {
	fd, err := retry(func() (int, error) { return syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	for n < len(b) {
		m, err := retry(func() (int, error) { return syscall.Read(fd, b[n:]) })
		if err == nil && m == 0 {
			err = io.EOF
		} else if err != nil {
			err = &fs.PathError{Op: "read", Path: name, Err: err}
		}
		if err != nil {
			_ = syscall.Close(fd) // It was only read.
			return n, err
		}
		n += m
	}
	_ = syscall.Close(fd) // The same.
	return n, nil
}

// retry calls fn until it is not interrupted by a signal.
func retry(fn func() (int, error)) (int, error) {
	for {
		n, err := fn()
		if err != syscall.EINTR {
			return n, err
		}
	}
}
