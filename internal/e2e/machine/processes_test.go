//go:build linux

package machine

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// processes returns the process ids of the server, on the machine: of what was started as
// root, and of its child, which serves.
func (m *machine) processes(t testing.TB) (parent, child string) {
	t.Helper()
	parent = strings.TrimSpace(m.run(t, "systemctl", "show", "--property=MainPID", "--value", "mox"))
	children := strings.Fields(m.readFile(t, "proc/"+parent+"/task/"+parent+"/children"))
	if len(children) != 1 {
		t.Fatalf("process %s of the server has %d children", parent, len(children))
	}
	return parent, children[0]
}

// testProcesses looks at who has which rights and sockets.
func (w *world) testProcesses(t *testing.T) {
	m := w.machine
	parent, child := m.processes(t)
	uid, gid := strings.TrimSpace(m.run(t, "id", "-u", "mox")), strings.TrimSpace(m.run(t, "id", "-g", "mox"))
	four := func(s string) []string { return slices.Repeat([]string{s}, 4) } // Real, effective, saved, of files.
	status := func(pid, field string) []string {
		found := regexp.MustCompile(`(?m)^` + field + `:[ \t]*(.*)$`).FindStringSubmatch(m.readFile(t, "proc/"+pid+"/status"))
		if found == nil {
			t.Fatalf("process %s has no %s", pid, field)
		}
		return strings.Fields(found[1])
	}
	const none = "0000000000000000"
	for field, want := range map[string][]string{
		"Uid": four(uid), "Gid": four(gid), "NoNewPrivs": {"1"}, "Seccomp": {"2"},
		"CapInh": {none}, "CapPrm": {none}, "CapEff": {none}, "CapAmb": {none},
	} {
		if got := status(child, field); !slices.Equal(got, want) {
			t.Errorf("the child has %s %q instead of %q", field, got, want)
		}
	}
	for _, group := range status(child, "Groups") {
		if group != gid {
			t.Errorf("the child is in group %s", group)
		}
	}
	if got := status(parent, "Uid"); !slices.Equal(got, four("0")) {
		t.Errorf("the parent has Uid %q", got)
	}
	listening := m.run(t, "ss", "-Hltnp")
	for _, port := range []string{"25", "465", "993", "443", "80"} {
		for _, addr := range []string{m.IP4(), "[" + m.IP6() + "]"} {
			line := regexp.MustCompile(`(?m)^.* ` + regexp.QuoteMeta(addr+":"+port) + ` .*$`).FindString(listening)
			if !strings.Contains(line, "pid="+child+",") {
				t.Errorf("the child does not have the socket %s:%s:\n%s", addr, port, listening)
			}
		}
	}
	if owner := strings.TrimSpace(m.run(t, "find", "/home/mox/data", "!", "-user", "mox")); owner != "" {
		t.Errorf("not of the user of the server: %s", owner)
	}
	if warnings := regexp.MustCompile(`(?m)^.* m="(owner cannot|permissions).*$`).FindAllString(m.log(t), -1); warnings != nil {
		t.Errorf("owners and permissions are not right from the start: %q", warnings)
	}
	const justAsking = 1
	if v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, justAsking); errno == 0 && v > 0 {
		if warning := regexp.MustCompile(`.*not confined.*`).FindString(m.log(t)); warning != "" {
			t.Errorf("the kernel has Landlock: %s", warning)
		}
	}
	level := regexp.MustCompile(`Overall exposure level for mox\.service: (\d+\.\d+)`).FindStringSubmatch(m.run(t, "systemd-analyze", "security", "--no-pager", "mox.service"))
	if level == nil {
		t.Fatal("systemd says nothing of its exposure")
	}
	if f, err := strconv.ParseFloat(level[1], 64); err != nil || f > 2.6 {
		t.Errorf("exposure level is %s, it must be at most 2.6", level[1])
	}
	inside := []string{"nsenter", "--target", child, "--mount", "--"}
	if seen := m.run(t, append(inside, "find", "/home", "-maxdepth", "2", "-printf", "%p ")...); seen != "/home /home/mox /home/mox/config /home/mox/data " && seen != "/home /home/mox /home/mox/data /home/mox/config " {
		t.Errorf("of home directories the server sees %s", seen)
	}
	// What is around them is empty and gone with the process.
	_, _ = m.try(t, append(inside, "touch", "/home/mox/x")...)
	if out, err := m.try(t, "ls", "/home/mox/x"); err == nil {
		t.Errorf("the server can write beside its directories: %s", out)
	}
	if checked := m.mox(t, "config", "check"); regexp.MustCompile(`(?m)^failure `).MatchString(checked) {
		t.Errorf("config check:\n%s", checked)
	}
	if open := strings.TrimSpace(m.run(t, "find", "/home/mox/data", "/home/mox/config", "-perm", "/007")); open != "" {
		t.Errorf("others can get at: %s", open)
	}
}
