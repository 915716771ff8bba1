//go:build linux

package internet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mox/internal/testkit"
)

// A namespace is a network namespace. It has no name: it is gone when the processes and
// files that are in it are, however the test ends.
type namespace struct {
	file *os.File
}

// currentNamespace opens the namespace of the current thread.
func currentNamespace(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// newNamespace returns a namespace with nothing but a loopback interface.
func newNamespace(t testing.TB) *namespace {
	t.Helper()
	ns := &namespace{}
	within(t, func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() { ns.file = currentNamespace(t) })
	t.Cleanup(func() { _ = ns.file.Close() })
	return ns
}

// within calls fn with a thread that enter has put into another namespace.
func within(t testing.TB, enter func() error, fn func()) {
	t.Helper()
	runtime.LockOSThread()
	back := currentNamespace(t)
	defer back.Close()
	if err := enter(); err != nil {
		runtime.UnlockOSThread()
		t.Fatalf("entering a network namespace: %v", err)
	}
	defer func() {
		if err := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Errorf("leaving a network namespace: %v", err)
			return // The thread ends with the goroutine.
		}
		runtime.UnlockOSThread()
	}()
	fn()
}

// do calls fn in the namespace: sockets that it opens and processes that it starts are
// there. That is not so for goroutines that it starts.
func (ns *namespace) do(t testing.TB, fn func()) {
	t.Helper()
	within(t, func() error { return unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET) }, fn)
}

// ip configures the network of the namespace with lines for ip.
func (ns *namespace) ip(t testing.TB, lines ...string) {
	t.Helper()
	ns.do(t, func() {
		cmd := exec.Command(testkit.Tool(t, "ip"), "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ip: %v\n%s", err, out)
		}
	})
}

// listen listens on an address in the namespace until the test ends.
func (ns *namespace) listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	ns.do(t, func() {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// dial connects from the namespace to an IP address with port.
func (ns *namespace) dial(t testing.TB, addr string) (nc net.Conn, err error) {
	t.Helper()
	ns.do(t, func() {
		d := net.Dialer{Timeout: patience}
		nc, err = d.Dial("tcp", addr)
	})
	return nc, err
}

// start starts a process in the namespace.
func (ns *namespace) start(t testing.TB, cmd *exec.Cmd) *testkit.Process {
	t.Helper()
	var p *testkit.Process
	ns.do(t, func() { p = testkit.Start(t, cmd) })
	return p
}

// Networks of the internet. A host has the same number in both.
const (
	network4 = "10.77.0."
	network6 = "fd77::"
)

// A host is a machine.
type host struct {
	*namespace
	number int
}

// ip4 and ip6 are the addresses of a host.
func (h *host) ip4() string { return fmt.Sprintf("%s%d", network4, h.number) }
func (h *host) ip6() string { return fmt.Sprintf("%s%d", network6, h.number) }

// A cable connects hosts. It is a bridge in a namespace of its own.
type cable struct{ *namespace }

func newCable(t testing.TB) *cable {
	t.Helper()
	c := &cable{newNamespace(t)}
	c.ip(t, "link add hub type bridge forward_delay 0", "link set hub up")
	return c
}

// host adds a host with addresses for numbers, the first of which is its own.
func (c *cable) host(t testing.TB, number int, more ...int) *host {
	t.Helper()
	h := &host{newNamespace(t), number}
	port := fmt.Sprintf("port%d", number)
	c.ip(t, fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", port, os.Getpid(), h.file.Fd()),
		"link set "+port+" master hub", "link set "+port+" up")
	lines := []string{"link set lo up", "link set eth0 up"}
	for _, n := range append([]int{number}, more...) {
		lines = append(lines, fmt.Sprintf("address add %s%d/24 dev eth0", network4, n), fmt.Sprintf("address add %s%d/64 dev eth0 nodad", network6, n))
	}
	h.ip(t, lines...)
	return h
}

// TestInternetLeadsNowhere is about what all other tests rely on.
func TestInternetLeadsNowhere(t *testing.T) {
	t.Parallel()
	needInternet(t)
	c := newCable(t)
	a, b := c.host(t, 1, 11), c.host(t, 2)
	l := a.listen(t, net.JoinHostPort(network6+"11", "25"))
	nc, err := b.dial(t, l.Addr().String())
	if err != nil {
		t.Fatalf("from host to host: %v", err)
	}
	if got := nc.RemoteAddr().String(); got != "[fd77::11]:25" {
		t.Errorf("connected to %s", got)
	}
	_ = nc.Close()
	for _, h := range []*namespace{a.namespace, b.namespace, c.namespace} {
		for _, addr := range []string{"192.0.2.1:25", "[2001:db8::1]:25", "8.8.8.8:53", "10.0.0.1:53"} {
			if nc, err := h.dial(t, addr); err == nil {
				_ = nc.Close()
				t.Errorf("connected to %s", addr)
			} else if !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EADDRNOTAVAIL) {
				t.Errorf("%s: %v", addr, err)
			}
		}
	}
}
