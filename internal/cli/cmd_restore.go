package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"mox/internal/backup"
)

var cmdRestore = command{
	words: "restore",
	args:  "location datadir [configdir]",
	help: `Restore everything from a backup.

All data is written to a directory that must be empty or not exist, and the configuration
to another one, if that is given. All files are verified. The directories get their
contents only when all was written. Messages in the queue are on hold: look at them with
"mox queue list", release those that were not delivered, and drop the others. Clients will
fetch all mail anew: each mailbox gets a new UIDVALIDITY, because they may have seen
messages that came after the backup. If root restores, files belong to the owner of the
data directory. A single account or single messages are restored with mox restore account
and mox restore messages.

The steps for a new machine are in docs/backup.md.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var b backupPlace
		b.defineRead(fs)
		name := fs.String("backup", "latest", "`name` of the backup, as listed by mox backup list")
		asIs := fs.Bool("asis", false, "leave UIDs as they are, for moving to another machine, when nothing has changed since the backup was made")
		parallel := fs.Int("parallel", backup.DefaultParallel, "copy so many `files` at a time")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) < 2 || len(args) > 3 {
				return usageError("")
			}
			ctx, cancel := interruptible(ctx)
			defer cancel()
			p, err := b.open(ctx, args[0], backup.PlaceOptions{})
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, p.Close()) }()
			s, err := p.Snapshot(ctx, *name)
			if err != nil {
				return err
			}
			opts := backup.RestoreOptions{DataDir: args[1], Parallel: *parallel, AsIs: *asIs, Progress: e.tell}
			if len(args) == 3 {
				opts.ConfigDir = args[2]
			}
			res, err := s.Restore(ctx, opts)
			if err != nil {
				return err
			}
			return e.tellRestored(s, res)
		}
	},
}

// tellRestored prints what was restored, and what is left to do.
func (e *env) tellRestored(s *backup.Snapshot, res backup.Restored) error {
	fmt.Fprintf(e.out, "restored %s: %d files, %d bytes\n", s.Name, res.Files, res.Size)
	if res.Skipped > 0 {
		fmt.Fprintf(e.out, "%d files of the configuration were not restored: give a directory for them\n", res.Skipped)
	}
	for _, file := range res.External {
		fmt.Fprintf(e.out, "to be moved to where the configuration has it: %s\n", file)
	}
	for _, text := range s.Footer.Failures {
		fmt.Fprintf(e.out, "not in the backup: %s\n", text)
	}
	return nil
}
