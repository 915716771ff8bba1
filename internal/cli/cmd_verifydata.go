package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"mox/config"
	"mox/dmarc/dmarcdb"
	"mox/internal/authdb"
	"mox/internal/search/textindex"
	"mox/internal/tracedb"
	"mox/internal/training"
	"mox/mtasts/mtastsdb"
	"mox/queue/queuedb"
	"mox/store"
	"mox/tlsrpt/tlsrptdb"
)

var cmdVerifyData = command{
	words: "verifydata",
	args:  "[datadir]",
	help: `Check that a data directory is in order.

All that docs/storage.md says must hold is checked: databases, message files with
their sizes, counts, UIDs, quota and threads, junk filters, the queue, logins, reports,
and policies of other domains. The data directory is that of the configuration if
none is given. No server may be running on it. What is wrong is printed, and the exit
code is 1 then, also if it was corrected.

The directory can also be one with backups, or a backup in it: that is checked as by mox
backup verify, and not changed.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		fix := fs.Bool("fix", false, "correct counts, and move message files without a record to a directory \"lost\"")
		skip := fs.Bool("skip-size-check", false, "do not look at message files, which is much faster")
		return func(ctx context.Context, e *env, args []string) error {
			dir, err := e.dataDir(args)
			if err != nil {
				return err
			}
			if location, name, ok := backupOf(dir); ok {
				if *fix {
					return errors.New("a backup is never changed: restore it, and use -fix on that")
				}
				return e.verifyBackupAt(ctx, location, name)
			}
			return verifyData(ctx, e, dir, store.VerifyOptions{Fix: *fix, SkipFiles: *skip, Log: e.log})
		}
	},
}

// dataDir returns the data directory in args, or that of the configuration.
func (e *env) dataDir(args []string) (string, error) {
	switch len(args) {
	case 0:
		return config.DataDir(e.configPath)
	case 1:
		return args[0], nil
	}
	return "", usageError("")
}

// checkDataDir returns what is wrong with the path of a data directory.
func checkDataDir(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no data directory %s", dir)
	} else if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return nil
}

// findings is what is wrong with a data directory.
type findings struct {
	texts []string
	left  int // Of them, how many were not fixed.
}

func (f *findings) add(text string, fixed bool) {
	f.texts = append(f.texts, text)
	if !fixed {
		f.left++
	}
}

func verifyData(ctx context.Context, e *env, dir string, opts store.VerifyOptions) error {
	if err := checkDataDir(dir); err != nil {
		return err
	}
	var f findings
	report, err := store.Verify(ctx, dir, opts)
	if err != nil {
		return err
	}
	for _, p := range report.Problems {
		f.add(p.String(), p.Fixed)
	}
	if err := verifyQueue(ctx, dir, opts, &f); err != nil {
		return err
	}
	if err := verifyDatabases(ctx, dir, &f); err != nil {
		return err
	}
	for _, text := range f.texts {
		if _, err := fmt.Fprintln(e.out, text); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(e.out, "%d accounts, %d messages, %d bytes checked\n", report.Accounts, report.Messages, report.Size); err != nil {
		return err
	}
	switch n := len(f.texts); {
	case n == 0:
		return nil
	case f.left == 0:
		return fmt.Errorf("%d problems found, all of them were fixed: check again", n)
	case opts.Fix:
		return fmt.Errorf("%d problems found, %d of them could not be fixed", n, f.left)
	default:
		return fmt.Errorf("%d problems found, use -fix to correct those that can be", n)
	}
}

// verifyDatabases adds what is wrong with the databases that are not of the store.
func verifyDatabases(ctx context.Context, dir string, f *findings) error {
	for _, db := range []struct {
		name   string
		verify func(ctx context.Context, dir string) ([]string, error)
	}{
		{"junk filter", training.Verify},
		{"text index", textindex.Verify},
		{"logins", authdb.Verify},
		{"message traces", tracedb.Verify},
		{"dmarc", dmarcdb.Verify},
		{"tls reports", tlsrptdb.Verify},
		{"mta-sts", mtastsdb.Verify},
	} {
		problems, err := db.verify(ctx, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", db.name, err)
		}
		for _, p := range problems {
			f.add(db.name+": "+p, false)
		}
	}
	return nil
}

// verifyQueue adds what is wrong with the queue.
func verifyQueue(ctx context.Context, dir string, opts store.VerifyOptions, f *findings) error {
	if !opts.Fix {
		problems, err := queuedb.VerifyDir(ctx, dir)
		if err != nil {
			return err
		}
		for _, p := range problems {
			f.add("queue: "+p.String(), false)
		}
		return nil
	}
	found, left, err := queuedb.RepairDir(ctx, dir, opts.Log)
	if err != nil {
		return err
	}
	for _, p := range found {
		if slices.ContainsFunc(left, func(l queuedb.Problem) bool { return l.String() == p.String() }) {
			continue
		}
		f.add("queue: "+p.String()+" (fixed)", true)
	}
	for _, p := range left {
		f.add("queue: "+p.String(), false)
	}
	return nil
}
