package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mox/internal/testkit"
)

// A postfix is a running Postfix, which gives what it takes to a Dovecot.
type postfix struct {
	addr   string // Of SMTP.
	dir    string
	master int // Process id.
	note   string
}

// startPostfix starts a Postfix with the configuration in testdata. It returns nil if
// it is not installed, or if we are not root, who alone can start it.
func startPostfix(t testing.TB, d *dovecot) *postfix {
	t.Helper()
	path := findProgram("postfix")
	if path == "" || os.Geteuid() != 0 {
		t.Log("Postfix is not installed, or this is not root, so there are no figures of it (Debian package: postfix)")
		return nil
	}
	dir := publicDir(t, "conf", "queue", "data", "log")
	out, err := exec.Command("chown", "postfix", filepath.Join(dir, "data")).CombinedOutput()
	if err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
	port := freePort(t)
	words := strings.NewReplacer("${DIR}", dir, "${PORT}", port, "${LMTP}", d.lmtp)
	for _, name := range []string{"main.cf", "master.cf"} {
		text := words.Replace(string(testkit.ReadFile(t, filepath.Join("testdata", "postfix", name))))
		check(t, os.WriteFile(filepath.Join(dir, "conf", name), []byte(text), 0o644))
	}
	proc, err := startProcess(exec.Command(path, "-c", filepath.Join(dir, "conf"), "start-fg"), false)
	check(t, err)
	p := &postfix{addr: "127.0.0.1:" + port, dir: dir}
	t.Cleanup(func() { p.stop(t, proc) })
	for end := time.Now().Add(connectTime); p.master == 0; time.Sleep(20 * time.Millisecond) {
		data, err := os.ReadFile(filepath.Join(dir, "queue", "pid", "master.pid"))
		if err == nil {
			p.master, err = strconv.Atoi(strings.TrimSpace(string(data)))
		}
		if err != nil && time.Now().After(end) {
			t.Fatalf("postfix did not start: %v", err)
		}
	}
	version, err := exec.Command(findProgram("postconf"), "-d", "-h", "mail_version").Output()
	check(t, err)
	p.note = fmt.Sprintf("Postfix %s here: internal/bench/testdata/postfix, with its queue on %s", strings.TrimSpace(string(version)), fileSystem(dir))
	return p
}

// stop ends the master process, which is in a group of its own and ends the others.
func (p *postfix) stop(t testing.TB, proc *process) {
	master, err := os.FindProcess(p.master)
	if err == nil && p.master != 0 {
		err = master.Signal(syscall.SIGTERM)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stopping postfix: %v", err)
	}
	proc.interrupt()
	_ = proc.wait() // It says that it was terminated.
}

// findProgram returns the path of a program, also where only root looks. Empty if it is
// not installed.
func findProgram(name string) string {
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(path); err == nil {
			return path
		}
	}
	return ""
}

// publicDir returns a directory that programs reach which give up the rights of root.
func publicDir(t testing.TB, sub ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mox-bench-postfix-")
	check(t, err)
	discard(dir)
	for _, name := range append([]string{""}, sub...) {
		path := filepath.Join(dir, name)
		check(t, os.MkdirAll(path, 0o755))
		check(t, os.Chmod(path, 0o755))
	}
	return dir
}

// queued returns how many messages wait, and fails if one was deferred.
func (p *postfix) queued(t testing.TB) int {
	t.Helper()
	n := 0
	for _, queue := range []string{"maildrop", "incoming", "active", "deferred", "corrupt"} {
		err := filepath.WalkDir(filepath.Join(p.dir, "queue", queue), func(path string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // Delivered since the directory was read.
			case err != nil || d.IsDir():
				return err
			case queue == "deferred" || queue == "corrupt":
				log, _ := os.ReadFile(filepath.Join(p.dir, "log", "mail.log"))
				return fmt.Errorf("postfix has a message that is %s:\n%s", queue, log[max(0, len(log)-2000):])
			}
			n++
			return nil
		})
		check(t, err)
	}
	return n
}

// drained waits until all was delivered.
func (p *postfix) drained(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(commandTimeout); p.queued(t) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("postfix does not deliver all")
		}
	}
}

var statFields = regexp.MustCompile(`^(\d+) \(.*\) \S (\d+) (?:\S+ ){9}(\d+) (\d+) (\d+) (\d+) `)

// treeCPU returns the seconds that processes and all that they have started have
// computed for, also those that have ended: who has started them has waited for them.
func treeCPU(t testing.TB, roots ...int) float64 {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	check(t, err)
	type stat struct{ parent, ticks int }
	all := map[int]stat{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		m := statFields.FindSubmatch(data)
		if err != nil || m == nil {
			continue // It has ended.
		}
		var n [6]int
		for i := range n {
			n[i], err = strconv.Atoi(string(m[i+1]))
			check(t, err)
		}
		all[n[0]] = stat{n[1], n[2] + n[3] + n[4] + n[5]}
	}
	ticks := 0
	for pid, s := range all {
		for p := pid; p > 1; p = all[p].parent {
			if p == roots[0] || len(roots) > 1 && p == roots[1] {
				ticks += s.ticks
				break
			}
		}
	}
	return float64(ticks) / 100 // On all architectures that there are. proc(5)
}
