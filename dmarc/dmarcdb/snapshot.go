package dmarcdb

import (
	"context"
	"io"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
)

// SnapshotReports copies the database of received reports, as it is in one
// short read transaction, to a file that must not exist yet, and syncs that.
func (d *DB) SnapshotReports(ctx context.Context, path string) error {
	return boltpages.Snapshot(path, func(w io.Writer) error {
		return d.reports.Read(ctx, func(tx *bstore.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}

// SnapshotEvaluations is SnapshotReports for the database of evaluations.
func (d *DB) SnapshotEvaluations(ctx context.Context, path string) error {
	return boltpages.Snapshot(path, func(w io.Writer) error {
		return d.evals.Read(ctx, func(tx *bstore.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}
