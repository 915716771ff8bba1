package imapserver

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp reports whether the client will send nothing any more, and whether it is known that
// it will not read anything either.
func hungUp(nc net.Conn) (sent, gone bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false, false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false, false
	}
	_ = rc.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(p, 0); n == 1 && err == nil {
			gone = p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
			sent = gone || p[0].Revents&unix.POLLRDHUP != 0
		}
	})
	return sent, gone
}
