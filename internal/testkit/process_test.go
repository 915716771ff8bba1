package testkit

import (
	"errors"
	"os/exec"
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
