package queuedb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"mox/internal/boltpages"
	"mox/internal/safefile"
)

// dbPath returns the database file of the queue in a data directory.
func dbPath(dataDir string) string {
	return filepath.Join(dataDir, "queue", "index.db")
}

// Compacted says what Compact has done, in octets.
type Compacted struct{ Before, After int64 }

// compactTx is how many octets one transaction of Compact writes.
const compactTx = 16 << 20

// Compact rewrites the database of the queue in a data directory that no server
// uses, without the free pages that a bbolt file otherwise keeps forever. The old
// file stays in place until the new one is complete, checked, and on stable
// storage. Without a queue the error matches fs.ErrNotExist.
func Compact(dataDir string) (res Compacted, rerr error) {
	lock, err := safefile.LockDir(dataDir)
	if err != nil {
		return res, fmt.Errorf("lock data directory: %w", err)
	}
	defer func() { rerr = errors.Join(rerr, lock.Close()) }()
	path := dbPath(dataDir)
	tmp := path + ".compact"
	// One may be left from an earlier run that was interrupted.
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return res, err
	}
	before, err := os.Stat(path)
	if err != nil {
		return res, err
	}
	if err := copyPages(tmp, path); err != nil {
		return res, errors.Join(err, os.Remove(tmp))
	}
	after, err := os.Stat(tmp)
	if err != nil {
		return res, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return res, errors.Join(err, os.Remove(tmp))
	}
	if err := safefile.SyncDir(filepath.Dir(path)); err != nil {
		return res, fmt.Errorf("sync directory: %w", err)
	}
	return Compacted{before.Size(), after.Size()}, nil
}

// copyPages writes the used pages of a database to a new file, and checks that.
func copyPages(dst, src string) error {
	from, err := bolt.Open(src, 0, &bolt.Options{ReadOnly: true, Timeout: openTimeout})
	if err != nil {
		return fmt.Errorf("open %s: %w", src, err)
	}
	to, err := bolt.Open(dst, 0600, &bolt.Options{Timeout: openTimeout})
	if err != nil {
		return errors.Join(fmt.Errorf("create %s: %w", dst, err), from.Close())
	}
	if err := errors.Join(bolt.Compact(to, from, compactTx), to.Sync(), to.Close(), from.Close()); err != nil {
		return fmt.Errorf("write %s: %w", dst, err)
	}
	return boltpages.Check(dst)
}
