package cli

import (
	"context"
	"errors"
	"flag"
	"io"
)

var cmdStatus = command{
	words: "status",
	help: `Print how the running server is doing.

Each line starts with a word for what it is about: the version, the process id, free
space for mail, the queue, where listeners listen, and so on.
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
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			if err := c.Do("status"); err != nil {
				return err
			}
			_, err = io.Copy(e.out, c.StreamReader())
			return err
		}
	},
}
