package testkit

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func shell(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	return exec.Command(Tool(t, "sh"), "-c", script)
}

func TestWaitLineSeesEachLineOnce(t *testing.T) {
	t.Parallel()
	p := Start(t, shell(t, `echo one; echo "listening on port 25" >&2; echo two; printf end; exec cat`))
	_ = p.WaitLine("^one$")
	if m := p.WaitLine(`port (\d+)`); len(m) != 2 || m[1] != "25" {
		t.Errorf("got %q", m)
	}
	_ = p.WaitLine("two")
	if p.PID() == 0 {
		t.Error("no process id")
	}
	// Its standard input is empty, so it ends.
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	_ = p.WaitLine("^end$") // Without a line ending.
	if want := "one\nlistening on port 25\ntwo\nend"; p.Output() != want {
		t.Errorf("output %q, want %q", p.Output(), want)
	}
	f := run(t, func(tb testing.TB) {
		p.t = tb
		p.WaitLine("one")
	})
	if f.ended != "fatal" || !strings.Contains(f.text, `"one"`) {
		t.Errorf("line that does not come: %+v", f)
	}
}

func TestOutputIsCompleteWhenAProcessHasEnded(t *testing.T) {
	t.Parallel()
	p := Start(t, shell(t, `head -c 100000 /dev/zero | tr '\0' x; echo; echo last`))
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	if out := p.Output(); len(out) != 100000+len("\nlast") || !strings.HasSuffix(out, "\nlast") {
		t.Errorf("%d octets", len(out))
	}
}

// What the process has written is known at once, without waiting for a line.
func TestOutputHasAllThatWasWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := Start(t, shell(t, `trap '' INT; for i in $(seq 200); do echo $i; echo $i >>`+dir+`/n; done; printf part; echo >`+dir+`/end; exec sleep 1000`))
	for last := ""; last != "200\n"; {
		data, err := os.ReadFile(filepath.Join(dir, "n"))
		if err != nil || len(data) == 0 || data[len(data)-1] != '\n' {
			continue // Before the first, or between.
		}
		lines := strings.SplitAfter(string(data), "\n")
		if last = lines[len(lines)-2]; !strings.Contains("\n"+p.Output()+"\n", "\n"+last) {
			t.Fatalf("no %q in output", last)
		}
	}
	for _, err := os.Stat(filepath.Join(dir, "end")); err != nil; _, err = os.Stat(filepath.Join(dir, "end")) {
		runtime.Gosched()
	}
	if out := p.Output(); !strings.HasSuffix(out, "\n200\npart") {
		t.Errorf("output %q", out)
	}
	p.Kill()
}

// A process that others of its group outlive, which have its output too.
func TestWaitDoesNotWaitForOthers(t *testing.T) {
	t.Parallel()
	p := Start(t, shell(t, `sleep 1000 & printf 'one\nand a half'`))
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	if out := p.Output(); out != "one\nand a half" {
		t.Errorf("output %q", out)
	}
	p.Kill()
	if groupRuns(p.Cmd.Process) {
		t.Error("there are processes of the group")
	}
}

func TestProcessesEndWithTheirChildren(t *testing.T) {
	t.Parallel()
	p := Start(t, shell(t, `sleep 1000 & echo child $!; wait`))
	_ = p.WaitLine(`^child \d+$`)
	p.Kill() // The pipe is read to its end only if the child is gone too.
	p.mu.Lock()
	for !p.eof {
		p.cond.Wait()
	}
	p.mu.Unlock()
}

func TestStopInterruptsAndReturnsTheStatus(t *testing.T) {
	t.Parallel()
	p := Start(t, shell(t, `trap 'echo bye; exit 3' INT; echo ready; while :; do sleep 0.05; done`))
	_ = p.WaitLine("ready")
	err := p.Stop()
	var ee *exec.ExitError
	if !errors.As(err, &ee) || ee.ExitCode() != 3 {
		t.Errorf("got %v", err)
	}
	_ = p.WaitLine("bye")
}
