package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"mox/internal/testkit"
)

func TestServeRunsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{
		"config/mox.conf": `DataDir: ../data
LogLevel: info
User: root
Hostname: mail.example.org
Listeners:
	local:
		IPs:
			- 127.0.0.1
Postmaster:
	Account: ann
	Mailbox: Postmaster
`,
		"config/domains.conf": `Domains:
	example.org: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
`,
	})
	conf := filepath.Join(dir, "config", "mox.conf")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	serve := func() *testkit.Process {
		cmd := exec.Command(exe, "-config", conf, "serve") // It confines its process.
		cmd.Env = append(os.Environ(), mainEnv+"=1")
		return testkit.Start(t, cmd)
	}
	p := serve()
	p.WaitLine(`ready to serve`)
	mox(t, "", "-config", conf, "status").want(t, 0, "accounts  1", "")
	mox(t, "", "-config", conf, "healthcheck").want(t, 0, "", "")
	other := serve()
	other.WaitLine("another mox is running.* lock")
	if err := other.Wait(); err == nil {
		t.Error("another server has run")
	}
	mox(t, "", "-config", conf, "stop").want(t, 0, "stopped", "")
	if err := p.Wait(); err != nil {
		t.Errorf("server: %v", err)
	}
	mox(t, "", "-config", conf, "healthcheck").want(t, 1, "", "not running")
	mox(t, "", "-config", conf, "serve", "x").want(t, 2, "", "unexpected argument")
}

func TestFirstSignalStopsAndSecondEndsAtOnce(t *testing.T) {
	t.Parallel()
	signals, reloads := make(chan os.Signal, 10), make(chan struct{}, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	var exits []int
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGHUP, os.Interrupt} {
		signals <- sig
	}
	close(signals)
	handleSignals(signals, reloads, cancel, func(code int) { exits = append(exits, code) })
	if cause := context.Cause(ctx); !errors.Is(cause, signalError(syscall.SIGTERM)) {
		t.Errorf("stopped because of %v", cause)
	}
	if want := []int{int(syscall.SIGINT)}; !slices.Equal(exits, want) {
		t.Errorf("exit codes %v, expected %v", exits, want)
	}
	// What is asked for while it has not begun is one reload.
	if len(reloads) != 1 {
		t.Errorf("%d reloads", len(reloads))
	}
}
