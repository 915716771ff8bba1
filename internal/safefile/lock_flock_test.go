//go:build linux || darwin || freebsd || dragonfly || openbsd || netbsd

package safefile

import (
	"os"
	"syscall"
	"testing"
)

func TestLockEndsWithCloseAlsoIfAnotherHasTheFileOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	// As a process has it that was forked and does not run its program yet.
	fd, err := syscall.Dup(int(lock.f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	other := os.NewFile(uintptr(fd), "other")
	defer other.Close()
	if err := lock.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	again, err := LockDir(dir)
	if err != nil {
		t.Fatalf("locking again: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err == nil {
		t.Error("closing twice is no error")
	}
}
