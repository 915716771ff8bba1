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
	"mox/queue/queuedb"
	"mox/store"
)

var cmdCompact = command{
	words: "compact",
	args:  "[account ...]",
	help: `Rewrite the databases of accounts without the free space in them.

Database files never shrink by themselves: space of removed messages is used again
for new ones. After much was removed, this gives it back to the file system. All
accounts are compacted, and the queue, if no account is given. The server must not be running. Next to the
old file there must be room for the new one.
`,
	setup: func(*flag.FlagSet) runFunc { return runCompact },
}

func runCompact(ctx context.Context, e *env, accounts []string) error {
	dir, err := config.DataDir(e.configPath)
	if err != nil {
		return err
	}
	if err := checkDataDir(dir); err != nil {
		return err
	}
	all := len(accounts) == 0
	if all {
		entries, err := os.ReadDir(filepath.Join(dir, "accounts"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range entries {
			if entry.IsDir() {
				accounts = append(accounts, entry.Name())
			}
		}
	}
	for _, name := range accounts {
		res, err := store.Compact(ctx, dir, name)
		if errors.Is(err, store.ErrNoAccount) {
			return fmt.Errorf("there is no account %q in data directory %s", name, dir)
		} else if err != nil {
			return fmt.Errorf("account %s: %w", name, err)
		}
		if _, err := fmt.Fprintf(e.out, "account %s: %d bytes before, %d after\n", name, res.Before, res.After); err != nil {
			return err
		}
	}
	if !all {
		return nil
	}
	res, err := queuedb.Compact(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Nothing was ever queued.
	} else if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	_, err = fmt.Fprintf(e.out, "queue: %d bytes before, %d after\n", res.Before, res.After)
	return err
}
