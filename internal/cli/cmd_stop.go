package cli

import (
	"context"
	"flag"
	"fmt"
)

var cmdStop = command{
	words: "stop",
	help: `Stop the running server.

Sessions and deliveries in progress get a few seconds to end. The command returns
when the server has closed its files, so that another one can start.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if err := noArgs(args); err != nil {
				return err
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer c.Close() // The server has closed it.
			if err := c.Send("stop"); err != nil {
				return err
			}
			if err := c.WaitClosed(); err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.out, "stopped")
			return err
		}
	},
}
