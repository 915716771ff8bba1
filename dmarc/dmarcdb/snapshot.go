package dmarcdb

import (
	"context"

	"mox/internal/dbformat"
)

// SnapshotReports copies the database of received reports, as it is in one
// short read transaction, to a file that must not exist yet, and syncs that.
func (d *DB) SnapshotReports(ctx context.Context, path string) error {
	return dbformat.Copy(ctx, d.reports, path)
}

// SnapshotEvaluations is SnapshotReports for the database of evaluations.
func (d *DB) SnapshotEvaluations(ctx context.Context, path string) error {
	return dbformat.Copy(ctx, d.evals, path)
}
