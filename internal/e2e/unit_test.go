package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mox/internal/testkit"
	"mox/packaging"
)

// The unit is not run by systemd here. A system call that it forbids would fail there, in
// places where nothing says so.
func TestUnitAllowsTheSystemCallsOfTheServer(t *testing.T) {
	t.Parallel()
	strace, analyze := testkit.Tool(t, "strace"), testkit.Tool(t, "systemd-analyze")
	r := newRooted(t)
	trace := filepath.Join(r.dir, "strace")
	r.wrap = []string{strace, "-f", "-qq", "-o", trace}
	r.start()
	r.setPassword()
	deliver(t, r.smtpClient(), "ann@example.org", "Subject: x\r\n\r\nx\r\n")
	if r.served() == nil {
		t.Error("no certificate")
	}
	_ = r.imap("ann@example.org", password)
	parent, err := strconv.Atoi(status(t, r.child)["PPid"])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(parent, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.proc.WaitLine(`m="reloaded".* pkg=daemon`)
	if err := syscall.Kill(parent, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = r.proc.Wait() // With the exit code of the server.

	allowed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(packaging.Service, -1) {
		for _, name := range strings.Fields(m[2]) {
			setCalls(t, analyze, name, allowed, m[1] == "")
		}
	}
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z_0-9]+)\(`).FindAllStringSubmatch(string(testkit.ReadFile(t, trace)), -1) {
		used[m[1]] = true
	}
	if !used["landlock_restrict_self"] || !used["setuid"] || !used["fdatasync"] && !used["fsync"] {
		t.Errorf("system calls are missing in the trace: %v", used)
	}
	for name := range used {
		if !allowed[name] {
			t.Errorf("%s is used and not allowed", name)
		}
	}
	r.verify()
}

// setCalls sets whether a system call, or those of a group, are allowed.
func setCalls(t *testing.T, analyze, name string, allowed map[string]bool, value bool) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		allowed[name] = value
		return
	}
	out, err := exec.Command(analyze, "syscall-filter", "--no-pager", name).Output()
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter %s: %v", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.TrimSpace(line); f != "" && f != name && f[0] != '#' {
			setCalls(t, analyze, f, allowed, value)
		}
	}
}
