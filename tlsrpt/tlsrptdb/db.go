package tlsrptdb

import (
	"context"
	"errors"

	"github.com/mjl-/bstore"

	"mox/internal/dbformat"
)

// FileName is the name of the database in the data directory.
const FileName = "tlsrpt.db"

// Errors, to be matched with errors.Is.
var (
	// ErrDuplicate: the report has been stored before.
	ErrDuplicate = errors.New("report was received before")
	// ErrLimit: there are too many reports already.
	ErrLimit = errors.New("too many reports")
	// ErrNotFound: there is no such report.
	ErrNotFound = errors.New("no such report")
	// ErrOtherDomains: a report is not about a domain of ours.
	ErrOtherDomains = errors.New("report is not about a domain or host here")
)

// DB is the database.
type DB struct {
	bdb    *bstore.DB
	limits limits
}

// limits are variable for tests.
type limits struct {
	reporterDay, domainDay, domainReports int
	domainSize                            int64
}

// Open opens or creates the database in a data directory.
func Open(ctx context.Context, dir string) (*DB, error) {
	bdb, err := dbformat.OpenIn(ctx, dir, FileName, recordFormat, recordTypes()...)
	if err != nil {
		return nil, err
	}
	return &DB{bdb, limits{MaxReporterDay, MaxDomainDay, MaxDomainReports, MaxDomainSize}}, nil
}

// Close closes the database.
func (d *DB) Close() error {
	return d.bdb.Close()
}
