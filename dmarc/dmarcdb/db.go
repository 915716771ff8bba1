package dmarcdb

import (
	"context"
	"errors"
	"log/slog"

	"github.com/mjl-/bstore"

	"mox/internal/batch"
	"mox/internal/dbformat"
	"mox/internal/metrics"
	"mox/internal/reportdb"
	"mox/mlog"
)

// Names of the databases in the data directory.
const (
	ReportsName     = "dmarcrpt.db"  // Received reports.
	EvaluationsName = "dmarceval.db" // Evaluations, for reports to be sent.
)

// pkgName is the name of this package in metrics.
const pkgName = "dmarcdb"

// kind is that of the reports, in errors.
const kind = "dmarc"

// Errors, to be matched with errors.Is.
var (
	// ErrDuplicate: the report has been stored before.
	ErrDuplicate = reportdb.ErrDuplicate
	// ErrLimit: there are too many reports already.
	ErrLimit = reportdb.ErrLimit
	// ErrNotFound: there is no such report.
	ErrNotFound = reportdb.ErrNotFound
	// ErrClosed: the database is closed.
	ErrClosed = batch.ErrClosed
)

// Options are for [Open]. Dir is needed.
type Options struct {
	Dir string       // The data directory.
	Log *slog.Logger // Nil logs nothing.
}

// DB has the databases.
type DB struct {
	reportdb.SuppressList // Addresses that get no aggregate reports.

	log      *slog.Logger
	reports  *bstore.DB
	received *received // In reports.
	evals    *bstore.DB
	limits   limits
	writer   *batch.Writer[pending]
}

// limits are variable for tests.
type limits struct {
	domainEvaluations, evaluations int64
}

// Open opens or creates the databases in a data directory.
func Open(ctx context.Context, opts Options) (*DB, error) {
	metrics.PanicPackages(pkgName)
	d := &DB{log: opts.Log, limits: limits{MaxDomainEvaluations, MaxEvaluations}}
	if d.log == nil {
		d.log = mlog.Discard()
	}
	d.writer = d.newWriter()
	var err error
	if d.reports, err = dbformat.OpenIn(ctx, opts.Dir, ReportsName, reportFormat, reportTypes()...); err != nil {
		return nil, err
	}
	if d.evals, err = dbformat.OpenIn(ctx, opts.Dir, EvaluationsName, evaluationFormat, evaluationTypes()...); err != nil {
		return nil, errors.Join(err, d.reports.Close())
	}
	d.received, d.SuppressList = newReceived(d.reports), reportdb.NewSuppressList(d.evals, kind)
	return d, nil
}

// Close writes what waits to be written and closes the databases.
func (d *DB) Close() error {
	return errors.Join(d.writer.Close(), d.reports.Close(), d.evals.Close())
}
