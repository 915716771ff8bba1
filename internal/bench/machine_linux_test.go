package bench

import (
	"io"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// datasync syncs what is needed to read a file again, as the database does.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

// dropCaches writes what is not on the disk yet and empties the page cache, for which
// one must be root.
func dropCaches() error {
	syscall.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// keepAwake keeps processors from sleeping until what it returns is called, for which one must
// be root: Documentation/power/pm_qos_interface.rst of Linux.
func keepAwake() (func(), error) {
	f, err := os.OpenFile("/dev/cpu_dma_latency", os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(make([]byte, 4)); err != nil { // Microseconds that waking may take.
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// A blockingConn is a TCP connection whose system calls block, unknown to the scheduler of Go:
// there must be another processor for other goroutines.
type blockingConn struct {
	f     *os.File // Of the descriptor, not known to the network poller.
	fd    uintptr
	limit time.Duration // Of each call.
}

// dialBlocking connects to an IPv4 address. Each call ends within the time.
func dialBlocking(addr string, limit time.Duration) (transport, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	c := blockingConn{os.NewFile(uintptr(fd), addr), uintptr(fd), limit}
	timeout := syscall.NsecToTimeval(limit.Nanoseconds())
	for _, option := range []int{syscall.SO_RCVTIMEO, syscall.SO_SNDTIMEO} {
		if err == nil {
			err = os.NewSyscallError("setsockopt", syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, option, &timeout))
		}
	}
	if err == nil {
		err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1))
	}
	if err == nil {
		err = os.NewSyscallError("connect", syscall.Connect(fd, &syscall.SockaddrInet4{Addr: ap.Addr().As4(), Port: int(ap.Port())}))
	}
	if err != nil {
		_ = c.f.Close()
		return nil, err
	}
	return c, nil
}

func (c blockingConn) call(name string, trap uintptr, p []byte) (int, error) {
	begin := time.Now()
	for {
		n, _, errno := syscall.RawSyscall(trap, c.fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR: // The scheduler wants the processor, each 10 ms.
			if time.Since(begin) > c.limit {
				return 0, os.ErrDeadlineExceeded
			}
		case syscall.EAGAIN:
			return 0, os.ErrDeadlineExceeded
		default:
			return 0, os.NewSyscallError(name, errno)
		}
	}
}

func (c blockingConn) Read(p []byte) (int, error) {
	n, err := c.call("read", syscall.SYS_READ, p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

func (c blockingConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = c.call("write", syscall.SYS_WRITE, p[n:])
		n += m
	}
	return n, err
}

// SetDeadline does nothing: each call has the same time.
func (c blockingConn) SetDeadline(time.Time) error { return nil }

func (c blockingConn) Close() error { return c.f.Close() }
