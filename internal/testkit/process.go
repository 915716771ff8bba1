package testkit

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// ProcessTimeout is how long a process may take to write an expected line, or to
	// end after it was asked to.
	ProcessTimeout = 60 * time.Second

	// maxLine is the length of a line of output from which on it is cut.
	maxLine = 1 << 20
	// maxOutput is how many octets of output are kept.
	maxOutput = 64 << 20
	// groupTimeout is how long processes that were killed may take to be gone.
	groupTimeout = 10 * time.Second
)

// A Process is an external program that a test has started.
type Process struct {
	Cmd *exec.Cmd

	t    testing.TB
	pipe *os.File // What the process writes is read from here.

	mu   sync.Mutex // Guards what follows.
	cond *sync.Cond
	buf  [32 << 10]byte
	out  []string // Lines of standard output and error.
	part []byte   // A line that has no end yet.
	size int      // Octets of out.
	read int      // Lines that WaitLine has passed.
	eof  bool     // There will be no more lines.

	readDone chan struct{} // Closed when there is no more output.
	done     chan struct{} // Closed when the process has ended and its output was read.
	err      error         // Of the process, once done is closed.
	gone     bool          // So were all of its group then, whose number others may get.
}

// Start starts cmd, whose standard output and error are read. The process, and
// those it starts, are killed when the test ends, and its output is logged if the
// test has failed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, t: t, readDone: make(chan struct{}), done: make(chan struct{})}
	p.cond = sync.NewCond(&p.mu)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("making pipe: %v", err)
	}
	p.pipe = r
	cmd.Stdout, cmd.Stderr = w, w
	ownGroup(cmd)
	err = cmd.Start()
	_ = w.Close() // The process has its own.
	if err != nil {
		_ = r.Close()
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	go func() {
		defer close(p.readDone)
		p.readAll()
	}()
	go func() {
		p.err = cmd.Wait()
		p.gone = !groupRuns(cmd.Process)
		p.readRest()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		<-p.done
		// A process that has left the group may still have the pipe.
		_ = r.SetReadDeadline(time.Now().Add(time.Second))
		<-p.readDone
		_ = r.Close()
		if t.Failed() {
			t.Logf("output of %s:\n%s", cmd.Path, p.Output())
		}
	})
	return p
}

// add takes output. It must be called with mu held.
func (p *Process) add(data []byte) {
	p.part = append(p.part, data...)
	for {
		i := bytes.IndexByte(p.part, '\n')
		if i < 0 {
			break
		}
		p.addLine(p.part[:i])
		p.part = p.part[i+1:]
	}
	if len(p.part) >= maxLine {
		p.addLine(p.part)
		p.part = nil
	}
}

// addLine adds a line. It must be called with mu held.
func (p *Process) addLine(line []byte) {
	if p.size += len(line); p.size <= maxOutput {
		p.out = append(p.out, strings.TrimRight(string(line), "\r"))
		p.cond.Broadcast()
	}
}

// end says that there is no more output. It must be called with mu held.
func (p *Process) end() {
	if len(p.part) > 0 {
		p.addLine(p.part)
		p.part = nil
	}
	p.eof = true
	p.cond.Broadcast()
}

// WaitLine waits until the process writes a line that matches a regular
// expression, and returns the match and its groups. Each line is looked at by one
// WaitLine only, so that consecutive calls are for consecutive lines. The test
// fails if the process ends or time runs out first.
func (p *Process) WaitLine(re string) []string {
	p.t.Helper()
	x := regexp.MustCompile(re)
	timeout := false
	timer := time.AfterFunc(ProcessTimeout, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		timeout = true
		p.cond.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for p.read < len(p.out) {
			line := p.out[p.read]
			p.read++
			if m := x.FindStringSubmatch(line); m != nil {
				return m
			}
		}
		if p.eof || timeout {
			p.t.Fatalf("%s wrote no line that matches %q (end of output: %v; more than is kept: %v)", p.Cmd.Path, re, p.eof, p.size > maxOutput)
		}
		p.cond.Wait()
	}
}

// WaitPort waits until something listens on an address, for programs that do not say it.
func (p *Process) WaitPort(addr string) {
	p.t.Helper()
	for end := time.Now().Add(ProcessTimeout); ; time.Sleep(10 * time.Millisecond) {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			_ = nc.Close()
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s does not listen: %v", p.Cmd.Path, err)
		}
	}
}

// Output returns all that the process has written up to now.
func (p *Process) Output() string {
	p.readNow()
	p.mu.Lock()
	defer p.mu.Unlock()
	out := strings.Join(p.out, "\n")
	if len(p.part) > 0 && len(p.out) > 0 {
		out += "\n"
	}
	return out + string(p.part)
}

// PID returns the process id.
func (p *Process) PID() int {
	return p.Cmd.Process.Pid
}

// Wait waits until the process has ended, with all that it wrote in Output, and
// returns its error, an *exec.ExitError if it has failed or was killed.
func (p *Process) Wait() error {
	p.t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(ProcessTimeout):
		p.t.Fatalf("%s did not end", p.Cmd.Path)
		return nil
	}
}

// Stop asks the process to end, with an interrupt, and waits for it.
func (p *Process) Stop() error {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("interrupting %s: %v", p.Cmd.Path, err)
	}
	return p.Wait()
}

// Kill ends the process at once, as a crash would, with those it has started, and
// waits for them.
func (p *Process) Kill() {
	p.t.Helper()
	p.kill()
	_ = p.Wait()
}

func (p *Process) kill() {
	select {
	case <-p.done:
		if p.gone {
			return
		}
	default:
	}
	KillGroup(p.Cmd.Process)
}

// KillGroup kills the processes of a group by its leader, which may have ended, and waits
// until they are gone, so that none of them writes files any more.
func KillGroup(leader *os.Process) {
	_ = killGroup(leader) // May have ended.
	for end := time.Now().Add(groupTimeout); groupRuns(leader) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}
