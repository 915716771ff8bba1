package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"mox/config"
	"mox/internal/daemon"
	"mox/internal/privsep"
	"mox/mlog"
)

var cmdServe = command{
	words: "serve",
	help: `Run the mail server.

The server runs in the foreground, with the configuration that the flag -config or the
environment variable MOXCONF names. It logs to standard error. It runs until it is
interrupted or stopped with "mox stop": connections are then closed when their
transactions are done, within seconds. A second signal ends it at once.

As root it binds the sockets, opens files with keys, puts the permissions of the
directories of the configuration and of data right, and then runs itself again as the
user that the field User of mox.conf names, without any privileges. The process that
stays root waits for that one, and passes signals on. As another user it runs as that
user, with sockets and files that it may use.

SIGHUP makes it read domains.conf, keys and certificates again, without any effect on
connections. Changes of domains.conf, and of files that the user may read, are seen
without it, within seconds. What has errors is logged and not used.
`,
	setup: func(*flag.FlagSet) runFunc { return runServe },
}

// statusError is the exit code of the process that has served, which has said why.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("server has ended with exit code %d", int(e)) }

func runServe(ctx context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	child, err := privsep.Start()
	if err != nil {
		return err
	}
	log := mlog.New("privsep", e.handler)
	if child == nil && os.Geteuid() == 0 {
		code, err := privsep.Run(ctx, privsep.Options{ConfigPath: e.configPath, Overrides: e.overrides, Args: os.Args, Log: log})
		if err == nil && code != 0 {
			err = statusError(code)
		}
		if !errors.Is(err, privsep.ErrRoot) {
			return err
		}
		log.Warn("running as root, as User in mox.conf says")
	}
	opts := daemon.Options{
		ConfigPath: e.configPath,
		Overrides:  e.overrides,
		Confine:    func(s *config.Snapshot) error { return privsep.Confine(s, log) },
	}
	r := &running{notify: privsep.NewNotifier(log)}
	if child != nil {
		opts.Listen, opts.ReadFile = child.Listen, child.ReadFile
		opts.Confine = func(s *config.Snapshot) error {
			child.UseOwn(s)
			return privsep.Confine(s, log)
		}
		r.parent = child
	}
	return e.runDaemon(ctx, opts, r)
}

// running is how a server runs.
type running struct {
	ready  func(*daemon.Daemon) // Called once it serves. Nil: nothing.
	notify *privsep.Notifier
	parent *privsep.Child // Passes signals on. Nil for none.
}

// runDaemon runs a server until a signal stops it, or something else does. A second signal
// ends the process without waiting for sessions.
func (e *env) runDaemon(ctx context.Context, opts daemon.Options, r *running) error {
	tuneProcs()
	defer runtime.KeepAlive(heapFloor())
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if r.parent != nil {
		go func() {
			err := r.parent.Serve(signals)
			mlog.New("privsep", e.handler).Error("process that runs as root has ended, ending at once", mlog.Err(err))
			os.Exit(exitError)
		}()
	}
	// A server that is starting stops, too.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	reloads := make(chan struct{}, 1)
	go handleSignals(signals, reloads, cancel, os.Exit)
	opts.Handler, opts.Levels, opts.Version = e.handler, e.levels, version()
	d, err := daemon.Start(ctx, opts)
	if err == nil {
		err = r.wait(ctx, d, reloads)
	} else if errors.Is(err, context.Canceled) {
		err = nil
	}
	var number signalError
	if err == nil && errors.As(context.Cause(ctx), &number) {
		return number
	}
	return err
}

// handleSignals passes signals on: to reload, the first one to stop, and the second, to
// exit.
func handleSignals(signals <-chan os.Signal, reloads chan<- struct{}, stop context.CancelCauseFunc, exit func(int)) {
	stopping := false
	for sig := range signals {
		if sig == syscall.SIGHUP {
			select {
			case reloads <- struct{}{}:
			default: // What is to follow does it.
			}
			continue
		}
		number := signalError(1)
		if s, ok := sig.(syscall.Signal); ok {
			number = signalError(s)
		}
		if stopping {
			exit(int(number))
		}
		stopping = true
		stop(number)
	}
}

// wait runs a server until ctx ends, or something else stops it.
func (r *running) wait(ctx context.Context, d *daemon.Daemon, reloads <-chan struct{}) error {
	r.notify.Ready("serving")
	if r.ready != nil {
		r.ready(d)
	}
	ended := make(chan struct{})
	defer close(ended)
	go r.notify.Watch(ctx, d.Check)
	go func() {
		stopping := d.Stopping()
		for {
			select {
			case <-ended:
				return
			case <-stopping:
				r.notify.Stopping()
				stopping = nil
			case <-reloads:
				r.reload(d)
			}
		}
	}()
	return d.Wait(ctx)
}

// reload makes a server read its files again.
func (r *running) reload(d *daemon.Daemon) {
	r.notify.Reloading()
	status := "serving"
	var errs config.Errors
	if err := d.Reload(); errors.As(err, &errs) {
		status = "serving with the previous configuration: " + errs.Error()
	} else if err != nil {
		status = "serving with previous files: " + err.Error()
	}
	r.notify.Ready(status)
}
