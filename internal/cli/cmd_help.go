package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

// cmdHelp is a function because it refers to the table that it is in.
func cmdHelp() command {
	return command{
		words: "help",
		args:  "[command ...]",
		help: `Print help about all commands, or about one.

With the first words of commands only, their usage is printed.
`,
		setup: func(*flag.FlagSet) runFunc { return runHelp },
	}
}

func runHelp(_ context.Context, e *env, args []string) error {
	if len(args) == 0 {
		writeUsage(e.out)
		return nil
	}
	c, rest, ok, candidates := findCommand(args)
	switch {
	case ok && len(rest) == 0:
		c.writeHelp(e.out)
	case len(candidates) > 0:
		for _, c := range candidates {
			fmt.Fprintln(e.out, c.usage())
		}
	default:
		return fmt.Errorf("there is no command %q", strings.Join(args, " "))
	}
	return nil
}
