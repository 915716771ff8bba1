package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mox/internal/testkit"
)

const (
	address  = "mox@localhost"
	password = "moxmoxmox"
)

// A server is a running mox.
type server struct {
	cmd   *exec.Cmd
	run   *process
	dir   string            // Of localserve.
	addrs map[string]string // By service, as the banner has them: "smtp".
	log   string            // Path of the log.
	out   *bufio.Reader     // The rest of the banner, and nothing.
	done  bool
}

// initDir makes a directory for localserve, with accounts besides the usual one.
func initDir(t testing.TB, dir string, accounts ...string) {
	t.Helper()
	out, err := exec.Command(binary(t), "localserve", "-dir", dir, "-ip", "127.0.0.1", "-initonly").CombinedOutput()
	if err != nil {
		t.Fatalf("localserve -initonly: %v\n%s", err, out)
	}
	b := bytes.NewBufferString("\nAccounts:\n")
	for _, name := range accounts {
		fmt.Fprintf(b, "\t%s:\n\t\tDomain: localhost\n\t\tDestinations:\n\t\t\t%s@localhost: nil\n", name, name)
	}
	path := filepath.Join(dir, "domains.conf")
	data, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(path, bytes.Replace(data, []byte("\nAccounts:\n"), b.Bytes(), 1), 0o600))
}

// start runs mox localserve, and stops it at the end of the benchmark. With words, it
// is run by the command that they are.
//
// The log is that of a server at work, a line for each message and login, and goes to
// a file. That of localserve would have each line of a conversation.
func start(t testing.TB, dir string, words ...string) *server {
	t.Helper()
	s, err := tryStart(t, dir, words...)
	check(t, err)
	return s
}

func tryStart(t testing.TB, dir string, words ...string) (*server, error) {
	t.Helper()
	wrapped := len(words) > 0
	words = append(words, binary(t), "-loglevel", "info", "localserve", "-dir", dir, "-ports", "0")
	s := &server{cmd: exec.Command(words[0], words[1:]...), dir: dir, addrs: map[string]string{}, log: filepath.Join(dir, "log")}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // The process has its own.
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = log
	if s.run, err = startProcess(s.cmd, wrapped); err != nil {
		return nil, err
	}
	t.Cleanup(func() { s.stop(t) })
	s.out = bufio.NewReader(out)
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			end, _ := os.ReadFile(s.log) // It is only for the message.
			return nil, fmt.Errorf("mox localserve in %s did not start: %w\n%s", dir, err, end)
		}
		f := strings.Fields(line)
		switch {
		case len(f) == 1 && f[0] == "ready":
			return s, nil
		case len(f) > 1 && strings.HasPrefix(f[1], "127.0.0.1:"):
			s.addrs[f[0]] = f[1]
		}
	}
}

// stop stops the server, and fails the benchmark if something has gone wrong in it.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if s.done {
		return
	}
	s.done = true
	s.run.interrupt()
	_, err := io.Copy(io.Discard, s.out)
	check(t, err)
	err = s.run.wait()
	if exit := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 2) {
		t.Errorf("mox localserve: %v", err) // 2 is the number of the signal.
	}
	log, err := os.ReadFile(s.log)
	check(t, err)
	for line := range bytes.Lines(log) {
		if bytes.HasPrefix(line, []byte("l=error")) || bytes.HasPrefix(line, []byte("l=warn")) {
			t.Errorf("in the log: %s", line)
		}
	}
}

// metrics returns the values of metrics without labels.
func (s *server) metrics(t testing.TB) map[string]float64 {
	t.Helper()
	resp, err := http.Get("http://" + s.addrs["metricshttp"] + "/metrics")
	check(t, err)
	defer resp.Body.Close()
	m := map[string]float64{}
	for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
		f := strings.Fields(sc.Text())
		if len(f) != 2 {
			continue
		}
		if v, err := strconv.ParseFloat(f[1], 64); err == nil {
			m[f[0]] = v
		}
	}
	if len(m) == 0 {
		t.Fatal("server has no metrics")
	}
	return m
}

// cpu returns the seconds that the server has computed for.
func (s *server) cpu(t testing.TB) float64 {
	t.Helper()
	return s.metrics(t)["process_cpu_seconds_total"]
}

// residentMemory is what a process has in memory, in bytes.
type residentMemory struct {
	now   int64
	files int64 // Of now: pages of files that are mapped, which the system can drop.
	most  int64 // At most so far.
}

// resident returns the memory of the server.
func (s *server) resident(t testing.TB) (m residentMemory) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		testkit.Missing(t, "memory of a process is not known here: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64) // Zero would be noticed.
		switch f[0] {
		case "VmRSS:":
			m.now = n << 10
		case "RssFile:":
			m.files = n << 10
		case "VmHWM:":
			m.most = n << 10
		}
	}
	return m
}
