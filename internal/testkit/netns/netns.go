//go:build linux

package netns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mox/internal/testkit"
)

// dialTimeout is how long a connection between hosts may take to be made.
const dialTimeout = 60 * time.Second

// Need says that the test makes namespaces.
func Need(t testing.TB) {
	t.Helper()
	testkit.NeedRoot(t, "network namespaces")
	testkit.Tool(t, "ip")
	// In a container, root may not be allowed what this takes.
	if out, err := exec.Command(testkit.Tool(t, "unshare"), "--net", "--mount", "true").CombinedOutput(); err != nil {
		testkit.Missing(t, "namespaces cannot be made here: %v: %s", err, out)
	}
}

// A Namespace is a network namespace. It has no name: it is gone when the processes and
// files that are in it are, however the test ends.
type Namespace struct {
	file *os.File
}

// current opens the namespace of the current thread.
func current(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// New returns a namespace with nothing but a loopback interface.
func New(t testing.TB) *Namespace {
	t.Helper()
	ns := &Namespace{}
	within(t, func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() { ns.file = current(t) })
	t.Cleanup(func() { _ = ns.file.Close() })
	return ns
}

// within calls fn with a thread that enter has put into another namespace.
func within(t testing.TB, enter func() error, fn func()) {
	t.Helper()
	runtime.LockOSThread()
	back := current(t)
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

// Path is that of the namespace, for programs, while the test runs.
func (ns *Namespace) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd()) }

// Do calls fn in the namespace: sockets that it opens and processes that it starts are
// there. That is not so for goroutines that it starts.
func (ns *Namespace) Do(t testing.TB, fn func()) {
	t.Helper()
	within(t, func() error { return unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET) }, fn)
}

// IP configures the network of the namespace with lines for the program ip.
func (ns *Namespace) IP(t testing.TB, lines ...string) {
	t.Helper()
	ns.Do(t, func() {
		cmd := exec.Command(testkit.Tool(t, "ip"), "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ip: %v\n%s", err, out)
		}
	})
}

// Listen listens on an address in the namespace until the test ends.
func (ns *Namespace) Listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	ns.Do(t, func() {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Dial connects from the namespace to an IP address with port.
func (ns *Namespace) Dial(t testing.TB, addr string) (nc net.Conn, err error) {
	t.Helper()
	ns.Do(t, func() {
		d := net.Dialer{Timeout: dialTimeout}
		nc, err = d.Dial("tcp", addr)
	})
	return nc, err
}

// Start starts a process in the namespace.
func (ns *Namespace) Start(t testing.TB, cmd *exec.Cmd) *testkit.Process {
	t.Helper()
	var p *testkit.Process
	ns.Do(t, func() { p = testkit.Start(t, cmd) })
	return p
}

// A Host is a machine on a cable. It has the same number in both networks.
type Host struct {
	*Namespace
	Number int

	cable *Cable
}

// IP4 is the address of a host in the network of IPv4.
func (h *Host) IP4() string { return fmt.Sprintf("%s%d", h.cable.network4, h.Number) }

// IP6 is the address of a host in the network of IPv6.
func (h *Host) IP6() string { return fmt.Sprintf("%s%d", h.cable.network6, h.Number) }

// A Cable connects hosts. It is a bridge in a namespace of its own.
type Cable struct {
	*Namespace

	network4, network6 string
}

// NewCable returns a cable without hosts. Networks are what numbers of hosts are appended to,
// such as "10.77.0." (/24) and "fd77::" (/64).
func NewCable(t testing.TB, network4, network6 string) *Cable {
	t.Helper()
	c := &Cable{New(t), network4, network6}
	c.IP(t, "link add hub type bridge forward_delay 0", "link set hub up")
	return c
}

// Host adds a host with addresses for numbers, the first of which is its own.
func (c *Cable) Host(t testing.TB, number int, more ...int) *Host {
	t.Helper()
	h := &Host{New(t), number, c}
	port := fmt.Sprintf("port%d", number)
	c.IP(t, fmt.Sprintf("link add %s type veth peer name eth0 netns %s", port, h.Path()),
		"link set "+port+" master hub", "link set "+port+" up")
	lines := []string{"link set lo up", "link set eth0 up"}
	for _, n := range append([]int{number}, more...) {
		lines = append(lines, fmt.Sprintf("address add %s%d/24 dev eth0", c.network4, n), fmt.Sprintf("address add %s%d/64 dev eth0 nodad", c.network6, n))
	}
	h.IP(t, lines...)
	return h
}
