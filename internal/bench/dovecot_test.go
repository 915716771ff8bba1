package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/internal/testkit"
)

// A dovecot is a running Dovecot.
type dovecot struct {
	addr string // Of IMAP.
	lmtp string // Port of LMTP, if there is any.
	pid  int
	note string // For the report.

	dir  string
	path string   // Of the program.
	drop []string // Words before it, to run it as another user.
}

// connectTime is how long a server may take until it can be connected to.
const connectTime = 20 * time.Second

// startDovecot starts a Dovecot with the configuration in testdata and an empty
// mailbox, run by the command that words are, if any. It returns nil if Dovecot is not
// installed.
//
// It does not run as root, so its data is in the directory for temporary files, where
// another user can be.
func startDovecot(t testing.TB, words ...string) *dovecot {
	t.Helper()
	return startDovecotWith(t, []string{"dovecot.conf"}, words...)
}

// startDovecotWith is startDovecot with some of the files in testdata.
func startDovecotWith(t testing.TB, files []string, words ...string) *dovecot {
	t.Helper()
	d, config := newDovecot(t, files)
	if d != nil {
		d.start(t, config, words...)
	}
	return d
}

// startDovecotFilled is startDovecot with n messages of the mix in Inbox, which were
// appended without waiting for the disk: that is not what is measured.
func startDovecotFilled(t testing.TB, n int) *dovecot {
	t.Helper()
	d, config := newDovecot(t, []string{"dovecot.conf"})
	if d == nil {
		return nil
	}
	stop := d.start(t, strings.Replace(config, "mail_fsync = always", "mail_fsync = never", 1))
	fillMailbox(t, dialIMAP(t, d.addr), n)
	stop()
	d.start(t, config)
	return d
}

// newDovecot prepares a directory and returns the configuration.
func newDovecot(t testing.TB, files []string) (*dovecot, string) {
	t.Helper()
	path, err := exec.LookPath("dovecot")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/dovecot")
	}
	if err != nil {
		t.Log("Dovecot is not installed, so there are no figures of it (Debian packages: dovecot-core dovecot-imapd)")
		return nil, ""
	}
	u, group, drop := dovecotUser(t)
	dir := dovecotDir(t, u)
	port, lmtp := freePort(t), freePort(t)
	var text []byte
	for _, name := range files {
		text = append(text, testkit.ReadFile(t, filepath.Join("testdata", name))...)
	}
	config := strings.NewReplacer("$DIR", dir, "$USER", u.Username, "$GROUP", group, "$PASSWORD", password, "$PORT", port, "$LMTP", lmtp).Replace(string(text))
	version, err := exec.Command(path, "--version").Output()
	check(t, err)
	return &dovecot{
		addr: net.JoinHostPort("127.0.0.1", port), lmtp: lmtp, dir: dir, path: path, drop: drop,
		note: fmt.Sprintf("Dovecot %s here: internal/bench/testdata/%s, with data on %s", strings.TrimSpace(string(version)), strings.Join(files, " and "), fileSystem(dir)),
	}, config
}

// start starts Dovecot, and stops it at the end of the benchmark, or when the function
// it returns is called.
func (d *dovecot) start(t testing.TB, config string, words ...string) (stop func()) {
	t.Helper()
	file := filepath.Join(d.dir, "dovecot.conf")
	check(t, os.WriteFile(file, []byte(config), 0o644))
	args := slices.Concat(words, d.drop, []string{d.path, "-F", "-c", file})
	p, err := startProcess(exec.Command(args[0], args[1:]...), len(words) > 0)
	check(t, err)
	stop = sync.OnceFunc(func() {
		p.interrupt()
		if err := p.wait(); err != nil {
			t.Errorf("dovecot: %v", err)
		}
	})
	t.Cleanup(stop)
	d.pid = p.cmd.Process.Pid
	for end := time.Now().Add(connectTime); ; time.Sleep(20 * time.Millisecond) {
		nc, err := net.Dial("tcp", d.addr)
		if err == nil {
			check(t, nc.Close())
			break
		} else if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(d.dir, "log")) // It is only for the message.
			t.Fatalf("dovecot: %v\n%s", err, log)
		}
	}
	if strings.Contains(config, "mail_fsync = always") {
		printDovecotConfig(t, file)
	}
	return stop
}

// dovecotUser returns who Dovecot runs as, the name of the group, and the words before
// the command that make it so.
func dovecotUser(t testing.TB) (u *user.User, group string, drop []string) {
	t.Helper()
	u, err := user.Current()
	check(t, err)
	if u.Uid == "0" {
		u, err = user.Lookup("nobody")
		check(t, err)
		drop = []string{testkit.Tool(t, "setpriv"), "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups"}
	}
	g, err := user.LookupGroupId(u.Gid)
	check(t, err)
	return u, g.Name, drop
}

// dovecotDir makes a directory that belongs to a user.
func dovecotDir(t testing.TB, u *user.User) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mox-bench-dovecot-")
	check(t, err)
	discard(dir)
	dir, err = filepath.EvalSymlinks(dir)
	check(t, err)
	check(t, os.Chmod(dir, 0o755))
	if os.Getuid() == 0 {
		out, err := exec.Command("chown", u.Uid+":"+u.Gid, dir).CombinedOutput()
		if err != nil {
			t.Fatalf("chown: %v\n%s", err, out)
		}
	}
	return dir
}

// freePort returns a port that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	_, port, err := net.SplitHostPort(ln.Addr().String())
	check(t, errors.Join(err, ln.Close()))
	return port
}

// printDovecotConfig prints all settings that are not the default.
func printDovecotConfig(t testing.TB, file string) {
	t.Helper()
	path, err := exec.LookPath("doveconf")
	if err != nil {
		return
	}
	out, err := exec.Command(path, "-n", "-c", file).CombinedOutput()
	if err != nil {
		t.Fatalf("doveconf: %v\n%s", err, out)
	}
	theReport.settings.Do(func() { fmt.Printf("doveconf -n\n%s\n", out) })
}
