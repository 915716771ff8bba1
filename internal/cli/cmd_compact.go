package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mox/config"
	"mox/internal/boltpages"
	"mox/internal/safefile"
)

var cmdCompact = command{
	words: "compact",
	args:  "[account ...]",
	help: `Rewrite databases without the free space in them.

Database files never shrink by themselves: space of removed messages is used again
for new ones. After much was removed, this gives it back to the file system. All
databases are compacted: those of accounts, the queue, logins, message traces, reports
and policies; or those of the accounts that are given. The server must not be running. Next to
each old file there must be room for the new one.
`,
	setup: func(*flag.FlagSet) runFunc { return runCompact },
}

func runCompact(_ context.Context, e *env, accounts []string) (rerr error) {
	dir, err := config.DataDir(e.configPath)
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
	patterns := []string{"accounts/*/*.db", "queue/*.db", "*.db"}
	if len(accounts) > 0 {
		patterns = nil
	}
	for _, name := range accounts {
		patterns = append(patterns, "accounts/"+name+"/*.db")
	}
	for i, pattern := range patterns {
		names, err := fs.Glob(os.DirFS(dir), pattern)
		if err != nil || len(names) == 0 && len(accounts) > 0 {
			return fmt.Errorf("there is no account %q in data directory %s", accounts[i], dir)
		}
		for _, name := range names {
			before, after, err := boltpages.Compact(filepath.Join(dir, filepath.FromSlash(name)))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if _, err := fmt.Fprintf(e.out, "%s: %d bytes before, %d after\n", name, before, after); err != nil {
				return err
			}
		}
	}
	return nil
}
