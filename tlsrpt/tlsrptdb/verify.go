package tlsrptdb

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/mjl-/bstore"

	"mox/internal/dbformat"
)

// Verify checks the databases in a data directory that no server runs on, and returns
// what is wrong. There need not be any. An error is about checking.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	problems, err = verifyReports(ctx, dir)
	more, merr := verifyResults(ctx, dir)
	return append(problems, more...), errors.Join(err, merr)
}

func verifyReports(ctx context.Context, dir string) (problems []string, err error) {
	details := func(data []byte) (int, error) { _, n, err := decode(data); return n, err }
	open := func() (*DB, error) { return Open(ctx, dir) }
	return dbformat.Verify(filepath.Join(dir, FileName), open, func(d *DB, add func(format string, args ...any)) {
		if err := d.received.DB.Read(ctx, func(tx *bstore.Tx) error { return d.received.Verify(tx, details, add) }); err != nil {
			add("reading tls reports: %v", err)
		}
	})
}
