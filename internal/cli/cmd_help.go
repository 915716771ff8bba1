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

// cmdHelpAll is a function for the same reason.
func cmdHelpAll() command {
	return command{
		words:    "helpall",
		unlisted: true,
		help: `Print the full help of all commands, also of those for developers.
`,
		setup: func(*flag.FlagSet) runFunc {
			return func(_ context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				for i, c := range commands() {
					if i > 0 {
						fmt.Fprintf(e.out, "\n\n")
					}
					c.writeHelp(e.out)
				}
				return nil
			}
		},
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
