//go:build unix

package testkit

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes the process the leader of a group, so that what it starts can be
// ended with it.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

func killGroup(p *os.Process) error {
	return syscall.Kill(-p.Pid, syscall.SIGKILL)
}

// groupRuns reports whether there are processes in the group.
func groupRuns(p *os.Process) bool {
	return syscall.Kill(-p.Pid, 0) == nil
}

// readAll reads output to its end.
func (p *Process) readAll() {
	// It waits when there is nothing. The error is about the deadline that the end of the
	// test sets.
	if pipe, err := p.pipe.SyscallConn(); err == nil {
		_ = pipe.Read(p.take)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// readNow reads what there is, so that all that the process has written is known although
// readAll may not have come to it yet.
func (p *Process) readNow() {
	// An error is that the pipe is closed, after its end.
	if pipe, err := p.pipe.SyscallConn(); err == nil {
		_ = pipe.Control(func(fd uintptr) { p.take(fd) })
	}
}

// readRest reads what a process that has ended has written. Others may have the pipe too.
func (p *Process) readRest() { p.readNow() }

// take reads what there is, and reports whether that is the end.
func (p *Process) take(fd uintptr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.eof {
		n, err := syscall.Read(int(fd), p.buf[:])
		switch {
		case n > 0:
			p.add(p.buf[:n])
		case errors.Is(err, syscall.EAGAIN):
			return false
		case !errors.Is(err, syscall.EINTR):
			p.end()
		}
	}
	return true
}
