package queuedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
	"mox/internal/dbformat"
	"mox/internal/safefile"
)

// VerifyDir checks the queue in a data directory that no server uses, as Verify
// does, and changes nothing. What a crash has left and Open clears up is no
// problem, and neither is that there is no queue. The error is about not being
// able to check.
func VerifyDir(ctx context.Context, dataDir string) (problems []Problem, rerr error) {
	lock, err := safefile.LockDir(dataDir)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	defer func() { rerr = errors.Join(rerr, lock.Close()) }()
	path := dbPath(dataDir)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := boltpages.Check(path); err != nil {
		return []Problem{problemf(problemRecord, 0, "%v", err)}, nil
	}
	bdb, err := dbformat.Open(ctx, path, recordFormat, &bstore.Options{Timeout: openTimeout, MustExist: true}, recordTypes()...)
	if err != nil {
		return []Problem{problemf(problemRecord, 0, "opening database: %v", err)}, nil
	}
	defer func() { rerr = errors.Join(rerr, bdb.Close()) }()
	d := &DB{fs: safefile.OS, dir: filepath.Join(dataDir, "queue"), bdb: bdb}
	return d.verify(ctx, true)
}

// RepairDir opens the queue in a data directory that no server uses, with all that
// Open does, and repairs it. It returns the problems there were after opening, and
// those that are left. Without a queue there are none.
func RepairDir(ctx context.Context, dataDir string, log *slog.Logger) (found, left []Problem, rerr error) {
	if _, err := os.Stat(dbPath(dataDir)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	lock, err := safefile.LockDir(dataDir)
	if err != nil {
		return nil, nil, fmt.Errorf("lock data directory: %w", err)
	}
	defer func() { rerr = errors.Join(rerr, lock.Close()) }()
	d, err := Open(ctx, Options{Dir: dataDir, Log: log})
	if err != nil {
		return nil, nil, err
	}
	defer func() { rerr = errors.Join(rerr, d.Close()) }()
	if found, err = d.Verify(ctx); err != nil || len(found) == 0 {
		return found, nil, err
	}
	left, err = d.Repair(ctx)
	return found, left, err
}
