package imapserver

import (
	"net"
	"syscall"
)

// quickAck makes the system acknowledge what comes next at once. A client that writes a
// literal and the end of its line one after the other, as Python's imaplib does, otherwise
// waits 40 ms with the second: its system does not send a small segment until the one
// before has been acknowledged (Nagle's algorithm), and ours delays that because it has
// nothing to send with it. It is only a hint, so errors do not matter.
func quickAck(nc net.Conn) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
}
