package privsep

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSocketThatNobodyListensOnIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	// One who has it and does not answer: there is no room for another connection.
	for {
		nc, err := net.DialTimeout("unix", path, 10*time.Second)
		if err != nil {
			break
		}
		defer nc.Close()
	}
	if l, err := Listen(t.Context(), "unix", path); err == nil || !strings.Contains(err.Error(), "another program may have the socket") {
		t.Errorf("got %v, %v", l, err)
	}
	if err := syscall.Close(fd); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket is left: %v", err)
	}
}
