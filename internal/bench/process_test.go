package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// stopTime is how long a server may take to stop.
const stopTime = time.Minute

// A process is a server, possibly run by another program.
type process struct {
	cmd     *exec.Cmd
	wrapped bool // The process that cmd has started is the server.
	kill    *time.Timer
}

// startProcess starts a process that is killed if we are interrupted.
func startProcess(cmd *exec.Cmd, wrapped bool) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	theRun.started(cmd.Process)
	return &process{cmd: cmd, wrapped: wrapped}, nil
}

// interrupt asks the server to stop. If it does not, it is killed.
func (p *process) interrupt() {
	server := p.cmd.Process
	if pid := childOf(server.Pid); p.wrapped && pid != 0 {
		// strace does not pass a signal on.
		if child, err := os.FindProcess(pid); err == nil {
			server = child
		}
	}
	_ = server.Signal(os.Interrupt) // It may have ended.
	p.kill = time.AfterFunc(stopTime, func() {
		_ = server.Kill() // The same.
		_ = p.cmd.Process.Kill()
	})
}

// wait waits for the end after interrupt.
func (p *process) wait() error {
	defer p.kill.Stop()
	defer theRun.ended(p.cmd.Process)
	return p.cmd.Wait()
}

// childOf returns the first process that a process has started, zero if there is none.
func childOf(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	n, _ := strconv.Atoi(first) // Zero for nothing.
	return n
}
