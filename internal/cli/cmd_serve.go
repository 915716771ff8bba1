package cli

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"mox/internal/daemon"
)

var cmdServe = command{
	words: "serve",
	help: `Run the mail server.

The server runs in the foreground, as the user that starts it, with the configuration
that the flag -config or the environment variable MOXCONF names. It logs to standard
error. It runs until it is interrupted or stopped with "mox stop": connections are then
closed when their transactions are done.
`,
	setup: func(*flag.FlagSet) runFunc { return runServe },
}

func runServe(ctx context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	return e.runDaemon(ctx, daemon.Options{ConfigPath: e.configPath, Overrides: e.overrides}, func(*daemon.Daemon) {})
}

// runDaemon runs a server until a signal stops it, or something else does. Ready is
// called once it serves.
func (e *env) runDaemon(ctx context.Context, opts daemon.Options, ready func(*daemon.Daemon)) error {
	useProcs()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	opts.Handler, opts.Levels, opts.Version = e.handler, e.levels, version()
	d, err := daemon.Start(ctx, opts)
	if err != nil {
		return err
	}
	ready(d)
	return waitSignals(ctx, d, signals)
}

// waitSignals runs a server until a signal stops it, or something else does. A second
// signal ends the process without waiting for sessions.
func waitSignals(ctx context.Context, d *daemon.Daemon, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan signalError, 1)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for first := true; ; first = false {
			select {
			case <-ended:
				return
			case sig := <-signals:
				number := signalError(1)
				if s, ok := sig.(syscall.Signal); ok {
					number = signalError(s)
				}
				if !first {
					os.Exit(int(number))
				}
				got <- number
				cancel()
			}
		}
	}()
	if err := d.Wait(ctx); err != nil {
		return err
	}
	select {
	case number := <-got:
		return number
	default:
		return nil
	}
}
