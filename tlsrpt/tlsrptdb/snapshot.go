package tlsrptdb

import (
	"context"

	"mox/internal/dbformat"
)

// Snapshot copies the database, as it is in one short read transaction, to a file that
// must not exist yet, and syncs that.
func (d *DB) Snapshot(ctx context.Context, path string) error {
	return dbformat.Copy(ctx, d.received.DB, path)
}

// Snapshot copies the database, as it is in one short read transaction, to a file that
// must not exist yet, and syncs that.
func (d *Results) Snapshot(ctx context.Context, path string) error {
	return dbformat.Copy(ctx, d.bdb, path)
}
