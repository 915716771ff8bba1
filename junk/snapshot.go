package junk

import (
	"errors"
	"io"

	bolt "go.etcd.io/bbolt"

	"mox/internal/boltpages"
)

// Snapshot copies the file of the filter, as it is in one short read transaction, to a
// file that must not exist yet, and syncs that. Messages are not judged meanwhile.
func (f *Filter) Snapshot(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tab == nil {
		return errors.New("junk filter is closed")
	}
	return boltpages.Snapshot(path, func(w io.Writer) error {
		return f.tab.db.View(func(tx *bolt.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}
