package tlsrptdb

import (
	"context"
	"errors"

	"mox/internal/dbformat"
	"mox/internal/reportdb"
)

// FileName is the name of the database in the data directory.
const FileName = "tlsrpt.db"

// kind is that of the reports, in errors.
const kind = "tls"

// Errors, to be matched with errors.Is.
var (
	// ErrDuplicate: the report has been stored before.
	ErrDuplicate = reportdb.ErrDuplicate
	// ErrLimit: there are too many reports already.
	ErrLimit = reportdb.ErrLimit
	// ErrNotFound: there is no such report.
	ErrNotFound = reportdb.ErrNotFound
	// ErrOtherDomains: a report is not about a domain of ours.
	ErrOtherDomains = errors.New("report is not about a domain or host here")
)

// DB is the database.
type DB struct {
	received *received
}

// Open opens or creates the database in a data directory.
func Open(ctx context.Context, dir string) (*DB, error) {
	bdb, err := dbformat.OpenIn(ctx, dir, FileName, recordFormat, recordTypes()...)
	if err != nil {
		return nil, err
	}
	return &DB{newReceived(bdb)}, nil
}

// Close closes the database.
func (d *DB) Close() error {
	return d.received.DB.Close()
}
