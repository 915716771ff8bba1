package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"mox/config"
)

var cmdConfigTest = command{
	words: "config test",
	help: `Check mox.conf and domains.conf, and print all errors.

Each error has the file, the line and the field it is about. Keys and certificates
are opened too.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			s, err := config.Load(e.configPath, e.overrides...)
			if err != nil {
				return err
			}
			if err := s.CheckFiles(); err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.out, "config OK")
			return err
		}
	},
}

var cmdConfigDescribeStatic = command{
	words: "config describe-static",
	help: `Print a mox.conf with all fields and what they are for.

It has no values: copy what you need.
`,
	setup: describe(config.DescribeStatic),
}

var cmdConfigDescribeDomains = command{
	words: "config describe-domains",
	help: `Print a domains.conf with all fields and what they are for.

It has no values: copy what you need.
`,
	setup: describe(config.DescribeDomains),
}

func describe(write func(io.Writer) error) func(*flag.FlagSet) runFunc {
	return func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			return errors.Join(noArgs(args), write(e.out))
		}
	}
}
