package boltpages

import (
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Snapshot makes a file, which must not exist yet, of what read writes: a database, in
// one read transaction. The transaction is over before the file is synced. On failure
// there is no file. The directory is not synced.
func Snapshot(path string, read func(w io.Writer) error) (rerr error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0600)
	if err != nil {
		return fmt.Errorf("create snapshot: %w", err)
	}
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, os.Remove(path))
		}
	}()
	// The file itself is passed on: file systems that can share what is copied do.
	if err := read(f); err != nil {
		return errors.Join(fmt.Errorf("copy database: %w", err), f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync snapshot: %w", err), f.Close())
	}
	return f.Close()
}

// Copy is [Snapshot] of a database file that nobody has open for writing.
func Copy(dst, src string) (rerr error) {
	defer recovered(src, &rerr)
	if _, err := os.Stat(src); err != nil {
		return fmt.Errorf("database file: %w", err)
	}
	db, err := bolt.Open(src, 0, &bolt.Options{ReadOnly: true, Timeout: timeout})
	if err != nil {
		return fmt.Errorf("database file %s: %w", src, err)
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return Snapshot(dst, func(w io.Writer) error {
		return db.View(func(tx *bolt.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}
