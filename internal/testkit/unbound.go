package testkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/safefile"
)

// An Unbound is a running unbound: a recursive resolver that validates with DNSSEC.
type Unbound struct {
	*Process

	Addr string // With port, the same for UDP and TCP.
}

// UnboundOptions are for [StartUnbound].
type UnboundOptions struct {
	// Authority has all names there are.
	Authority *Authority

	// Port53 makes it listen on port 53 of a loopback address of its own, as programs
	// need that read resolv.conf. It takes the right to do so.
	Port53 bool

	// Addrs are addresses to listen on instead of a loopback address, on port 53, for
	// everyone who can reach them. They are for networks of a test.
	Addrs []string
}

// StartUnbound starts an unbound that trusts the topmost zones of an authority, and
// asks only that. The test is skipped, or fails in CI, if unbound is not installed.
func StartUnbound(t testing.TB, opts UnboundOptions) *Unbound {
	t.Helper()
	path := Tool(t, "unbound")
	host, port := "127.0.0.1", ""
	if len(opts.Addrs) > 0 {
		host, port = opts.Addrs[0], "53"
	} else if opts.Port53 {
		// Unlikely to be in use. The system may use 127.0.0.x.
		host, port = fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), 1+rand.IntN(254), 1+rand.IntN(254)), "53"
	} else {
		port = FreePort(t)
	}
	authHost, authPort, err := net.SplitHostPort(opts.Authority.Addr)
	if err != nil {
		t.Fatalf("address of authority: %v", err)
	}
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, `server:
	interface: %s@%s
	directory: "%s"
	username: ""
	chroot: ""
	pidfile: ""
	logfile: ""
	use-syslog: no
	do-daemonize: no
	verbosity: 1
	val-log-level: 2
	num-threads: 1
	module-config: "validator iterator"
	do-not-query-localhost: no
	qname-minimisation: no
	aggressive-nsec: no
	ede: yes
	root-hints: ""
`, host, port, dir)
	for i, a := range opts.Addrs {
		if i > 0 {
			fmt.Fprintf(&b, "\tinterface: %s@%s\n", a, port)
		}
	}
	if len(opts.Addrs) > 0 {
		// Names of private addresses are looked up too.
		b.WriteString("\taccess-control: 0.0.0.0/0 allow\n\taccess-control: ::/0 allow\n\tunblock-lan-zones: yes\n")
	}
	for _, a := range opts.Authority.TrustAnchors() {
		fmt.Fprintf(&b, "\ttrust-anchor: '%s'\n", strings.ReplaceAll(a, "\t", " "))
	}
	b.WriteString("remote-control:\n\tcontrol-enable: no\n")
	for _, o := range opts.Authority.Origins() {
		fmt.Fprintf(&b, "stub-zone:\n\tname: %q\n\tstub-addr: %s@%s\n", o, authHost, authPort)
	}
	// What is in none of the zones is refused there, instead of being asked on the
	// internet.
	fmt.Fprintf(&b, "forward-zone:\n\tname: \".\"\n\tforward-addr: %s@%s\n", authHost, authPort)
	conf := filepath.Join(dir, "unbound.conf")
	if err := safefile.WriteFile(conf, []byte(b.String()), 0600); err != nil {
		t.Fatalf("writing configuration of unbound: %v", err)
	}
	u := &Unbound{Start(t, exec.Command(path, "-d", "-p", "-c", conf)), net.JoinHostPort(host, port)}
	u.WaitLine(`start of service`)
	return u
}

// Command returns a command for a program that reads resolv.conf, and asks this
// unbound then, which must be on port 53. It takes root.
func (u *Unbound) Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	host, port, err := net.SplitHostPort(u.Addr)
	if err != nil || port != "53" {
		t.Fatalf("unbound is at %s instead of on port 53", u.Addr)
	}
	return Resolving(t, host, append([]string{Tool(t, name)}, args...)...)
}
