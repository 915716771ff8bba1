//go:build linux

package machine

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/internal/testkit"
	"mox/internal/testkit/netns"
	"mox/internal/testkit/powercut"
)

// patience is how long a test waits for what should come soon, on a machine that other
// tests keep busy.
const patience = 3 * time.Minute

// Names in the world.
const (
	domain    = "example.org"
	hostname  = "mail.example.org" // Of the machine.
	address   = "you@example.org"
	peerName  = "mx.example.net"
	peerMail  = "friend@example.net"
	authority = "acme-v02.api.letsencrypt.org"
)

// Networks of the world, and numbers of hosts in them. They are those for documentation,
// which are as public as any for programs that look.
const (
	network4 = "198.51.100."
	network6 = "2001:db8::"

	numberMachine   = 10
	numberAuthority = 14
	numberPeer      = 25
	numberDNS       = 53
	numberResolver  = 54 // On the host of DNS.
	numberClient    = 99
)

// soak reports whether the long forms of tests are to run.
func soak() bool { return os.Getenv("MOX_SOAK") != "" }

func TestMain(m *testing.M) {
	if flag.Parse(); testing.Short() {
		fmt.Println("the tests of a machine are left out of the short ones")
		return
	}
	os.Exit(testkit.RunMox(m))
}

// needWorld skips the test, or fails it in CI, if there cannot be a machine here.
func needWorld(t testing.TB) {
	t.Helper()
	netns.Need(t)
	for _, tool := range []string{"debootstrap", "systemd-nspawn", "knotd", "knotc", "keymgr", "unbound", "postfix", "mta-sts-daemon", "openssl"} {
		testkit.Tool(t, tool)
	}
}

// A world is what is around the machine, and the machine.
type world struct {
	cable     *netns.Cable
	dns       *nameServer
	authority *certAuthority
	peer      *peer
	client    *netns.Host // With mail programs.
	machine   *machine
	recorder  *powercut.Recorder // Of what is written on the machine below a directory.
}

// newWorld makes a world with a new machine.
func newWorld(t *testing.T) *world {
	t.Helper()
	needWorld(t)
	w := &world{cable: netns.NewCable(t, network4, network6)}
	h := w.cable.Host(t, numberMachine)
	w.client = w.cable.Host(t, numberClient, clientNumbers...)
	peerHost, authorityHost := w.cable.Host(t, numberPeer), w.cable.Host(t, numberAuthority)
	zones := map[string]string{
		".": "", "org.": "", "net.": "", "arpa.": "",
		"example.net.": "", domain + ".": "",
		// What every machine looks up.
		"com.": "gmail.com. MX 10 " + peerName + ".\n",
	}
	for zone, host := range map[string]*netns.Host{domain + ".": h, "example.net.": peerHost, "org.": authorityHost} {
		name := map[string]string{domain + ".": hostname, "example.net.": peerName, "org.": authority}[zone]
		forward, reverse := addresses(host, name+".")
		zones[zone] += forward
		zones["arpa."] += reverse
	}
	w.dns = startDNS(t, w.cable.Host(t, numberDNS, numberResolver), zones)
	w.startResolver(t)
	w.authority = w.startAuthority(t, authorityHost)
	w.peer = w.startPeer(t, peerHost)
	w.recorder = powercut.Mount(t)
	w.machine = boot(t, h, hostname, map[string]string{
		"etc/hostname":           hostname + "\n",
		"etc/resolv.conf":        "nameserver 127.0.0.1\noptions trust-ad\n",
		"etc/hosts":              "127.0.0.1 localhost\n::1 localhost\n",
		"etc/unbound/root.hints": w.dns.rootHints(),
		"etc/unbound/unbound.conf.d/root-auto-trust-anchor-file.conf": "",
		"etc/unbound/unbound.conf.d/world.conf":                       w.dns.resolverConf(),
		"usr/local/share/ca-certificates/world.crt":                   w.authority.trusted,
	}, map[string]string{w.recorder.Dir: recorded})
	w.machine.run(t, "update-ca-certificates")
	return w
}

// startResolver starts an unbound for hosts other than the machine.
func (w *world) startResolver(t *testing.T) {
	t.Helper()
	dir := testkit.PublicDir(t)
	hints, conf := filepath.Join(dir, "root.hints"), filepath.Join(dir, "unbound.conf")
	testkit.WriteFile(t, hints, w.dns.rootHints())
	testkit.WriteFile(t, conf, strings.Replace(w.dns.resolverConf(), "/etc/unbound/root.hints", hints, 1)+fmt.Sprintf(`	interface: %s%d
	access-control: 0.0.0.0/0 allow
	directory: "%s"
	username: ""
	chroot: ""
	pidfile: ""
	logfile: ""
	use-syslog: no
	do-daemonize: no
remote-control:
	control-enable: no
`, network4, numberResolver, dir))
	w.dns.Start(t, exec.Command(testkit.Tool(t, "unbound"), "-d", "-p", "-c", conf)).WaitLine("start of service")
}

// resolver is the address of it.
func (w *world) resolver() string { return fmt.Sprintf("%s%d", network4, numberResolver) }

// outside returns a command for a program on another host than the machine, which asks the
// resolver of the world.
func (w *world) outside(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	return testkit.Resolving(t, w.resolver(), args...)
}

// poll calls fn until it returns true, for what has no event to wait for.
func poll(t testing.TB, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !fn(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
