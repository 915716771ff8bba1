package testkit

import (
	"bufio"
	"errors"
	"io"
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
	// maxOutput is how many lines of output are kept.
	maxOutput = 20_000
	// drainTimeout is how long the output of a process that has ended is waited for,
	// while others have the pipe open too.
	drainTimeout = 5 * time.Second
)

// A Process is an external program that a test has started.
type Process struct {
	Cmd *exec.Cmd

	t    testing.TB
	mu   sync.Mutex // Guards what follows.
	cond *sync.Cond
	out  []string // Lines of standard output and error.
	read int      // Lines that WaitLine has passed.
	eof  bool     // There will be no more lines.

	done chan struct{} // Closed when the process has ended and its output was read.
	err  error         // Of the process, once done is closed.
}

// Start starts cmd, whose standard output and error are read. The process, and
// those it starts, are killed when the test ends, and its output is logged if the
// test has failed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, t: t, done: make(chan struct{})}
	p.cond = sync.NewCond(&p.mu)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("making pipe: %v", err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	ownGroup(cmd)
	err = cmd.Start()
	_ = w.Close() // The process has its own.
	if err != nil {
		_ = r.Close()
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	readDone := make(chan struct{})
	go func() {
		defer close(readDone)
		p.readLines(r)
	}()
	go func() {
		p.err = cmd.Wait()
		select {
		case <-readDone:
		case <-time.After(drainTimeout): // Another process has the pipe too.
		}
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = killGroup(cmd.Process) // May have ended.
		<-p.done
		// A process that has left the group may still have the pipe.
		_ = r.SetReadDeadline(time.Now().Add(time.Second))
		<-readDone
		_ = r.Close()
		if t.Failed() {
			t.Logf("output of %s:\n%s", cmd.Path, p.Output())
		}
	})
	return p
}

func (p *Process) readLines(r io.Reader) {
	br := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		p.mu.Lock()
		if s := strings.TrimRight(string(line), "\r\n"); (s != "" || err == nil) && len(p.out) < maxOutput {
			p.out = append(p.out, s)
		}
		p.eof = err != nil && !errors.Is(err, bufio.ErrBufferFull)
		eof := p.eof
		p.cond.Broadcast()
		p.mu.Unlock()
		if eof {
			return
		}
	}
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
			p.t.Fatalf("%s wrote no line that matches %q (end of output: %v)", p.Cmd.Path, re, p.eof)
		}
		p.cond.Wait()
	}
}

// Output returns all lines so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.out, "\n")
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
// waits for it.
func (p *Process) Kill() {
	p.t.Helper()
	_ = killGroup(p.Cmd.Process) // May have ended.
	_ = p.Wait()
}
