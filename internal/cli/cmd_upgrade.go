package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"mox/internal/dbformat"
	"mox/internal/safefile"
)

var cmdUpgradeStatus = command{
	words: "upgrade status",
	args:  "[datadir]",
	help: `List the databases of which a copy is kept from before an upgrade.

When a new version of mox changes the format of a database, it first makes a copy beside
it, which it checks; copies go away after a week. A line for each has its size in bytes, when
the upgrade was done, and how many commits there were in the database since (opening it is
one). The data directory is that of the configuration if none is given. The server must not
be running.
`,
	setup: withSnapshots(func(e *env, l []dbformat.Snapshot) error {
		for _, s := range l {
			if err := printSnapshot(e, s); err != nil {
				return err
			}
		}
		if len(l) == 0 {
			_, err := fmt.Fprintln(e.out, "there are no copies from before an upgrade")
			return err
		}
		return nil
	}),
}

var cmdUpgradeFinish = command{
	words: "upgrade finish",
	args:  "[datadir]",
	help: `Remove the copies of databases from before an upgrade.

There is no way back then. They go away by themselves after a week. The data directory is
that of the configuration if none is given. The server must not be running.
`,
	setup: withSnapshots(func(e *env, l []dbformat.Snapshot) error {
		for _, s := range l {
			if err := dbformat.Forget(s); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(e.out, "%d copies were removed\n", len(l))
		return err
	}),
}

var cmdUpgradeBack = command{
	words: "upgrade back",
	args:  "[datadir]",
	help: `Put databases back as they were before an upgrade, for the version before.

What has come into them since is not in the copies, and is printed as a number of commits
for each: new mail, flags, and messages in the queue. Messages in the queue that were
delivered since are in it again, and will be sent a second time. The databases themselves
are kept, under names that end in .after and a number. Without -yes, nothing is done but to
say what would be lost. The data directory is that of the configuration if none is given.
The server must not be running.

Then install the version before, and have it put in order what does not fit together any
more: "mox verifydata -fix" moves files of messages that came since to directories named
lost, and says which messages were erased since. To go forward again instead, start this
version.

	mox upgrade back
	mox upgrade back -yes
`,
	setup: func(fs *flag.FlagSet) runFunc {
		yes := fs.Bool("yes", false, "do it")
		return withSnapshots(func(e *env, l []dbformat.Snapshot) error {
			if len(l) == 0 {
				return errors.New("there are no copies from before an upgrade")
			}
			for _, s := range l {
				if err := printSnapshot(e, s); err != nil {
					return err
				}
			}
			if !*yes {
				return errors.New("nothing was done: give -yes to go back, what was committed since will not be there")
			}
			for _, s := range l {
				if err := dbformat.Back(s); err != nil {
					return fmt.Errorf("%s: %w; the command can be given again", s.Database, err)
				}
			}
			_, err := fmt.Fprintf(e.out, "%d databases were put back; install the version before now, and run its verifydata -fix\n", len(l))
			return err
		})(fs)
	},
}

func printSnapshot(e *env, s dbformat.Snapshot) error {
	since := "interrupted"
	if !s.Since.IsZero() {
		since = s.Since.Format(time.RFC3339)
	}
	_, err := fmt.Fprintf(e.out, "%s\t%d\t%s\t%d\n", s.Database, s.Size, since, s.Commits)
	return err
}

// withSnapshots returns what runs a command with the copies in a data directory that no
// server has.
func withSnapshots(run func(e *env, l []dbformat.Snapshot) error) func(*flag.FlagSet) runFunc {
	return func(*flag.FlagSet) runFunc {
		return func(_ context.Context, e *env, args []string) (rerr error) {
			dir, err := e.dataDir(args)
			if err != nil {
				return err
			}
			if err := checkDataDir(dir); err != nil {
				return err
			}
			lock, err := safefile.LockDir(dir)
			if err != nil {
				return fmt.Errorf("lock data directory %s (stop the server first): %w", dir, err)
			}
			defer func() { rerr = errors.Join(rerr, lock.Close()) }()
			l, err := dbformat.Snapshots(dir)
			if err != nil {
				return err
			}
			return run(e, l)
		}
	}
}
