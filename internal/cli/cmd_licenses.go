package cli

import (
	"context"
	_ "embed"
	"flag"
	"io"
)

// licenses are those of all that is in the program. "make generate" makes the file.
//
//go:embed licenses.txt
var licenses string

var cmdLicenses = command{
	words: "licenses",
	help: `Print the licenses of this program and of the modules in it.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			_, err := io.WriteString(e.out, licenses)
			return err
		}
	},
}
