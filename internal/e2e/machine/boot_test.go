//go:build linux

package machine

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mox/internal/testkit"
	"mox/internal/testkit/netns"
)

// A machine is a host with a system of its own.
type machine struct {
	*netns.Host
	password string // Of the user, once it is set up.

	proc   *testkit.Process
	leader string // Process id of its init, as seen from outside.
}

// bootScript mounts the files of a machine, which are those of a Debian with changes on top,
// and boots it: all in namespaces and control groups that end with it. Its arguments are
// the Debian, a directory for the machine, and what goes to systemd-nspawn.
const bootScript = `set -e
debian=$1 dir=$2; shift 2
for h in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
	if [ -e $h/cgroup.procs ]; then
		mkdir -p $h/mox-test-$$
		echo $$ >$h/mox-test-$$/cgroup.procs
	fi
done
mount -t overlay overlay -o "lowerdir=$debian,upperdir=$dir/changes,workdir=$dir/work" "$dir/root"
exec systemd-nspawn --directory="$dir/root" "$@"
`

// boot boots a machine, with files of its own in place of those of a new Debian. Binds are
// directories outside, with the path that they have on the machine.
func boot(t *testing.T, h *netns.Host, name string, files, binds map[string]string) *machine {
	t.Helper()
	system := debian(t)
	dir := testkit.PublicDir(t, "root", "changes", "work")
	for path, text := range files {
		path = filepath.Join(dir, "changes", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		testkit.WriteFile(t, path, text)
	}
	args := []string{"--mount", "--propagation", "slave", "sh", "-c", bootScript, "boot", system, dir, "--boot", "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off",
		"--timezone=off", "--console=pipe", "--machine=" + filepath.Base(dir), "--hostname=" + name, "--network-namespace-path=" + h.Path(), // It does not know them by itself.
		"--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self"}
	for outside, inside := range binds {
		args = append(args, "--bind="+outside+":"+inside)
	}
	m := &machine{Host: h, proc: testkit.Start(t, exec.Command(testkit.Tool(t, "unshare"), args...))}
	t.Cleanup(func() {
		if t.Failed() {
			keep(t, "journal.txt", []byte(m.run(t, "journalctl", "--no-pager", "--output=short-precise")))
		}
		m.end()
	})
	poll(t, "the machine has an init", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.proc.PID()))
		if err != nil {
			t.Fatalf("the machine has ended: %v\n%s", err, m.proc.Output())
		}
		m.leader = strings.TrimSpace(string(children))
		comm, _ := os.ReadFile("/proc/" + m.leader + "/comm") // May be gone again.
		return strings.TrimSpace(string(comm)) == "systemd"
	})
	poll(t, "the machine is up", func() bool {
		out, err := m.command(t, "systemctl", "is-system-running").Output()
		// Some services that are no business of a container fail.
		return err == nil || strings.TrimSpace(string(out)) == "degraded"
	})
	return m
}

// end turns the machine off, and removes its control groups.
func (m *machine) end() {
	if pid, err := strconv.Atoi(m.leader); err == nil {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill() // With it all that runs there.
		}
	}
	_ = m.proc.Wait() // It says that it was killed.
	for _, hierarchy := range []string{"systemd", "unified", ""} {
		top := filepath.Join("/sys/fs/cgroup", hierarchy, fmt.Sprintf("mox-test-%d", m.proc.PID()))
		_ = exec.Command("find", top, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run() // If it is there.
	}
}

// path returns that of a file on the machine, from outside.
func (m *machine) path(file string) string { return filepath.Join("/proc", m.leader, "root", file) }

// command returns a command that runs on the machine, as root.
func (m *machine) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(testkit.Tool(t, "nsenter"), append([]string{"--target", m.leader, "--all", "--root", "--wd", "--"}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	return cmd
}

// run runs a command that must succeed, and returns what it says.
func (m *machine) run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := m.try(t, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// try runs a command and returns what it says, and the error if it fails.
func (m *machine) try(t testing.TB, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := m.command(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
