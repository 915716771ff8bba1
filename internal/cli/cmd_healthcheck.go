package cli

import (
	"context"
	"flag"
	"time"

	"mox/config"
	"mox/internal/daemon"
)

var cmdHealthcheck = command{
	words: "healthcheck",
	help: `Check whether the running server is well, for containers and monitoring.

It asks the server through its control socket to read from the queue and from the account
of the postmaster. The exit code is 0 if that works, and 1 if it does not, or if there is
no answer in time. Nothing is printed but what is wrong.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		timeout := fs.Duration("timeout", 10*time.Second, "how long the answer may take")
		return func(ctx context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			dir, err := config.DataDir(e.configPath)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, *timeout)
			defer cancel()
			return daemon.CheckRunning(ctx, dir)
		}
	},
}
