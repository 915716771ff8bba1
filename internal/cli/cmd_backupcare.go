package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"mox/internal/backup"
	"mox/queue/queuedb"
	"mox/store"
)

var cmdBackupVerify = command{
	words: "backup verify",
	args:  "location",
	help: `Check that a backup is what was written, and in order.

All of it is read: each file must have the size and hash that it was written with, each
database must be in order, and the files of messages must be those that the databases
name. A copy of the databases of one account at a time is made for that. What is wrong is
printed, and the exit code is 1 then.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var b backupPlace
		b.defineRead(fs)
		name := fs.String("backup", "latest", "`name` of the backup, as listed by mox backup list")
		tmp := fs.String("tmp", "", "`directory` for copies of databases, if not that of the system")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 1 {
				return usageError("")
			}
			ctx, cancel := interruptible(ctx)
			defer cancel()
			p, err := b.open(ctx, args[0], backup.PlaceOptions{})
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, p.Close()) }()
			return e.verifyBackup(ctx, p, *name, *tmp)
		}
	},
}

func (e *env) verifyBackup(ctx context.Context, p *backup.Place, name, tmp string) error {
	s, err := p.Snapshot(ctx, name)
	if err != nil {
		return err
	}
	res, err := s.Verify(ctx, backup.VerifyOptions{Databases: verifyCopies, TempDir: tmp, Progress: e.tell})
	if err != nil {
		return err
	}
	for _, text := range res.Problems {
		if _, err := fmt.Fprintln(e.out, text); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(e.out, "backup %s: %d accounts, %d files, %d bytes checked\n", s.Name, res.Accounts, res.Files, res.Size); err != nil {
		return err
	}
	if res.Found > 0 {
		return fmt.Errorf("%d problems found in the backup", res.Found)
	}
	return nil
}

// backupOf returns the place that a directory is, and the name of the backup, if it is one
// with backups, a backup, or the data directory in one.
func backupOf(dir string) (location, name string, ok bool) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", "", false
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", false
	}
	switch parent := filepath.Dir(dir); {
	case backup.IsPlace(dir):
		return dir, "latest", true
	case backup.IsPlace(parent):
		return parent, filepath.Base(dir), true
	case backup.IsPlace(filepath.Dir(parent)):
		return filepath.Dir(parent), filepath.Base(parent), true
	}
	return "", "", false
}

func (e *env) verifyBackupAt(ctx context.Context, location, name string) (rerr error) {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	p, err := backup.OpenPlace(ctx, backup.PlaceOptions{Location: location})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, p.Close()) }()
	return e.verifyBackup(ctx, p, name, "")
}

// verifyCopies returns what is wrong with databases that were copied from a backup, without
// files of messages.
func verifyCopies(ctx context.Context, dir string) ([]string, error) {
	var f findings
	report, err := store.Verify(ctx, dir, store.VerifyOptions{SkipFiles: true})
	if err != nil {
		return nil, err
	}
	for _, p := range report.Problems {
		f.add(p.String(), false)
	}
	queue := filepath.Join(dir, filepath.FromSlash(queuedb.DatabaseName))
	if _, err := os.Stat(queue); err == nil {
		problems, err := queuedb.VerifySnapshot(ctx, queue)
		if err != nil {
			return nil, err
		}
		for _, p := range problems {
			f.add("queue: "+p.String(), false)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	err = verifyDatabases(ctx, dir, &f)
	return f.texts, err
}

var cmdBackupPrune = command{
	words: "backup prune",
	args:  "location",
	help: `Remove old backups, and what only they need.

Flags say how many stay; at least one is needed. Of each day, week and month the last
backup counts, in UTC. The last backup always stays, and the last one in which no file is
missing. In storage, or if they are encrypted, objects that no backup needs are removed a
day after they were written, and no key is needed for that. Backups are never removed by
other commands.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var b backupPlace
		var o backup.PruneOptions
		b.define(fs)
		fs.IntVar(&o.Keep.Last, "last", 0, "keep so `many` of the last backups")
		fs.IntVar(&o.Keep.Daily, "daily", 0, "keep one of each day, for so `many` days that have one")
		fs.IntVar(&o.Keep.Weekly, "weekly", 0, "keep one of each week, for so `many` weeks that have one")
		fs.IntVar(&o.Keep.Monthly, "monthly", 0, "keep one of each month, for so `many` months that have one")
		fs.BoolVar(&o.DryRun, "dryrun", false, "only print what would be removed")
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 1 {
				return usageError("")
			}
			ctx, cancel := interruptible(ctx)
			defer cancel()
			p, err := b.open(ctx, args[0], backup.PlaceOptions{Write: true})
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, p.Close()) }()
			o.Progress = e.tell
			names, err := backup.Prune(ctx, p, o)
			if errors.Is(err, backup.ErrKeep) {
				return usageError("flags must say which backups stay")
			}
			if o.DryRun {
				for _, name := range names {
					fmt.Fprintf(e.out, "would remove %s\n", name)
				}
			}
			return err
		}
	},
}
