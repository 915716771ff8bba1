package boltpages

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"mox/internal/safefile"
)

// compactTx is how many octets one transaction of [Compact] writes.
const compactTx = 16 << 20

// Compact rewrites a database file that nobody has open without the free pages in it,
// which the library otherwise keeps forever, and returns the octets there were before
// and are after. The old file stays in place until the new one is complete, checked, and
// on stable storage.
func Compact(path string) (before, after int64, rerr error) {
	tmp := path + ".compact"
	// One may be left from an earlier run that was interrupted.
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, err
	}
	old, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	if err := copyUsed(tmp, path, old.Mode().Perm()); err != nil {
		return 0, 0, errors.Join(err, os.Remove(tmp))
	}
	info, err := os.Stat(tmp)
	if err != nil {
		return 0, 0, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return 0, 0, errors.Join(err, os.Remove(tmp))
	}
	return old.Size(), info.Size(), safefile.SyncDir(filepath.Dir(path))
}

// copyUsed writes the used pages of a database to a new file, and checks that.
func copyUsed(dst, src string, mode fs.FileMode) (rerr error) {
	defer recovered(src, &rerr)
	to, err := bolt.Open(dst, mode, &bolt.Options{Timeout: timeout})
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	from, err := bolt.Open(src, 0, &bolt.Options{ReadOnly: true, Timeout: timeout})
	if err != nil {
		return errors.Join(fmt.Errorf("database file %s: %w", src, err), to.Close())
	}
	if err := errors.Join(bolt.Compact(to, from, compactTx), to.Sync(), to.Close(), from.Close()); err != nil {
		return fmt.Errorf("write %s: %w", dst, err)
	}
	return Check(dst)
}
