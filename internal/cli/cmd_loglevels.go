package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
)

var cmdLogLevels = command{
	words: "loglevels",
	args:  "[level [package]]",
	help: `Print the log levels of the running server, or set one.

With a level, the default is set; with a package too, that of the package. An empty
level makes a package use the default again. A change is lost when the server stops:
set LogLevel and PackageLogLevels in mox.conf to keep it.

	mox loglevels trace imapserver
	mox loglevels "" imapserver
`,
	setup: func(*flag.FlagSet) runFunc { return runLogLevels },
}

func runLogLevels(ctx context.Context, e *env, args []string) (rerr error) {
	if len(args) > 2 {
		return usageError("")
	}
	c, err := e.server(ctx)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	if len(args) > 0 {
		level, pkg := args[0], ""
		if len(args) == 2 {
			pkg = args[1]
		}
		return c.Do("setloglevels", pkg, level)
	}
	if err := c.Do("loglevels"); err != nil {
		return err
	}
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(line)
	if err != nil {
		return fmt.Errorf("answer of server: %w", err)
	}
	for range n {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		if line != "" && line[0] == ':' {
			line = "(default)" + line
		}
		if _, err := fmt.Fprintln(e.out, line); err != nil {
			return err
		}
	}
	return nil
}
