//go:build !race

package imapserver

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

const (
	// maxDirect is how many octets a directConn moves in one system call, which takes some ten
	// microseconds.
	maxDirect = 64 << 10

	// announceEach is after how many reads that begin commands one is announced.
	announceEach = 16
)

// A directConn is a TCP connection of which two system calls are not announced to the Go
// scheduler: the read that a command begins with, and writes. The scheduler wants to know of
// calls that may block; these do not, for the socket does not. To announce the first call after
// a while without work wakes the scheduler's monitor: a thread on another processor, for each
// command on a machine that is not busy, which takes longer than a short command does.
//
// The monitor sees to it that other connections get their turn, and sleeps on only when
// nothing runs. So it must be awake for what takes longer, see announce, and for a client that
// sends command after command: one such read in some is announced, as are all others.
//
// A directConn has at most one reader and one writer at a time.
type directConn struct {
	*net.TCPConn
	raw     syscall.RawConn
	in, out directCall
	waits   bool // What is read next begins a command.
	waited  int  // How many commands were waited for.
}

// wait says whether what is read from now on begins a command.
func (c *directConn) wait(waits bool) {
	if c.waits = waits; waits {
		c.waited++
	}
}

// announce makes a system call that is announced, so that the scheduler's monitor is awake for
// what follows.
func announce() { _, _, _ = syscall.Syscall(syscall.SYS_GETPID, 0, 0, 0) }

// A directCall is the Read or Write that runs.
type directCall struct {
	p     []byte
	n     int // Octets of p that were moved.
	errno syscall.Errno
	step  func(fd uintptr) bool // Returns false if the socket is not ready.
}

// direct returns nc as a directConn, if it is a TCP connection, and its wait.
func direct(nc net.Conn) (_ net.Conn, wait func(bool)) {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nc, func(bool) {}
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return nc, func(bool) {}
	}
	c := &directConn{TCPConn: tc, raw: raw}
	c.in.step = func(fd uintptr) bool { return c.in.call(syscall.SYS_READ, fd) }
	c.out.step = func(fd uintptr) bool {
		for c.out.call(syscall.SYS_WRITE, fd) {
			if c.out.errno != 0 || c.out.n == len(c.out.p) {
				return true
			}
		}
		return false
	}
	return c, c.wait
}

// call reads into or writes what is left of p.
func (d *directCall) call(trap, fd uintptr) (ready bool) {
	left := d.p[d.n:]
	for {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(left))), uintptr(len(left)))
		switch errno {
		case 0:
			d.n += int(n)
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			d.errno = errno
			return true
		}
	}
}

func (c *directConn) Read(p []byte) (int, error) {
	if !c.waits || len(p) == 0 || c.waited%announceEach == 0 {
		return c.TCPConn.Read(p)
	}
	n, err := c.do("read", c.raw.Read, &c.in, p[:min(len(p), maxDirect)])
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (c *directConn) Write(p []byte) (int, error) {
	if len(p) == 0 || len(p) > maxDirect {
		return c.TCPConn.Write(p)
	}
	return c.do("write", c.raw.Write, &c.out, p)
}

// do runs d with p, when the socket is ready and until the deadline.
func (c *directConn) do(op string, whenReady func(func(fd uintptr) bool) error, d *directCall, p []byte) (int, error) {
	d.p, d.n, d.errno = p, 0, 0
	err := whenReady(d.step)
	d.p = nil
	if err == nil && d.errno != 0 {
		err = &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, d.errno)}
	}
	return d.n, err
}
