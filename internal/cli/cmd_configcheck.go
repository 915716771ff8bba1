package cli

import (
	"context"
	"flag"
	"time"

	"mox/config"
	"mox/internal/ctl"
	"mox/internal/selfcheck"
)

var cmdConfigCheck = command{
	words: "config check",
	help: `Look at this machine: clock, disk, DNS resolver, ports, permissions, certificates, keys.

Looked at are, each with its name in the output:

	CONFIG  the configuration, and the files it names
	USER    the user that the server runs as
	FILES   whether other users can read the files
	DISK    free space, the kind of the file system, and whether files can be synced
	DATA    copies of databases from before an upgrade
	CLOCK   whether the clock is set, and the same as that of the authority
	ACME    whether the authority can be reached
	DNS     whether the resolver works and verifies signatures (DNSSEC)
	PORTS   whether the server listens, or can if it is not running
	CERT    the certificates, and whether they are renewed in time
	DKIM    the keys that mail is signed with

Each line is a result: ok, warning or error, with what to do. The exit code is 1 if there
are errors. Run it as root, who may look at all of this. It changes nothing. What others
see of the server is looked at by "config dnscheck".
`,
	setup: func(fs *flag.FlagSet) runFunc {
		skipDial := fs.Bool("skipdial", false, "do not connect to authorities")
		quiet := fs.Bool("quiet", false, "print warnings and errors only")
		return func(ctx context.Context, e *env, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			s, err := config.Load(e.configPath, e.overrides...)
			if err != nil {
				return err
			}
			resolver, err := e.resolver()
			if err != nil {
				return err
			}
			roots, err := s.Authorities.Pool()
			if err != nil {
				return err
			}
			c := selfcheck.Check{Config: s, Resolver: resolver, Log: e.log, NoDial: *skipDial, Roots: roots, Now: time.Now}
			if client, err := ctl.Dial(ctx, s.DataDir); err == nil {
				c.Running = true
				if err := client.Close(); err != nil {
					return err
				}
			}
			return e.printFindings(c.Run(ctx), *quiet)
		}
	},
}
