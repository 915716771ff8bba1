//go:build !unix

package testkit

import (
	"os"
	"os/exec"
	"time"
)

// drainTimeout is how long the output of a process that has ended is waited for,
// while others have the pipe open too.
const drainTimeout = 5 * time.Second

func ownGroup(*exec.Cmd) {}

func killGroup(p *os.Process) error { return p.Kill() }

func groupRuns(*os.Process) bool { return false }

func (p *Process) readAll() {
	for {
		n, err := p.pipe.Read(p.buf[:])
		p.mu.Lock()
		p.add(p.buf[:n])
		if err != nil {
			p.end()
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

func (p *Process) readNow() {}

func (p *Process) readRest() {
	select {
	case <-p.readDone:
	case <-time.After(drainTimeout):
	}
}
