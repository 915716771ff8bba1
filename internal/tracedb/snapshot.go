package tracedb

import (
	"context"
	"io"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
)

// Snapshot copies the database, as it is in one short read transaction, to a file that
// must not exist yet, and syncs that.
func (d *DB) Snapshot(ctx context.Context, path string) error {
	return boltpages.Snapshot(path, func(w io.Writer) error {
		return d.bdb.Read(ctx, func(tx *bstore.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}
