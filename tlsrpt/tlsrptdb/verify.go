package tlsrptdb

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"

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
	open := func() (*DB, error) { return Open(ctx, dir) }
	return dbformat.Verify(filepath.Join(dir, FileName), open, func(d *DB, add func(format string, args ...any)) {
		if err := d.bdb.Read(ctx, func(tx *bstore.Tx) error { return verifyTx(tx, add) }); err != nil {
			add("reading tls reports: %v", err)
		}
	})
}

func verifyTx(tx *bstore.Tx, add func(format string, args ...any)) error {
	want := map[string]usage{}
	reports := map[int64]bool{}
	err := bstore.QueryTx[Report](tx).ForEach(func(r Report) error {
		reports[r.ID] = true
		u := want[r.PolicyDomain]
		want[r.PolicyDomain] = usage{r.PolicyDomain, u.Reports + 1, u.Size + r.Size}
		c := content{ReportID: r.ID}
		if err := tx.Get(&c); errors.Is(err, bstore.ErrAbsent) {
			add("report %d has no content", r.ID)
			return nil
		} else if err != nil {
			return err
		}
		if _, n, err := decode(c.Data); err != nil {
			add("report %d: %v", r.ID, err)
		} else if n != int(r.Kept) || int64(len(c.Data)) != r.Size {
			add("report %d has %d details in %d bytes, not %d in %d", r.ID, n, len(c.Data), r.Kept, r.Size)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = bstore.QueryTx[content](tx).ForEach(func(c content) error {
		if !reports[c.ReportID] {
			add("content of report %d, which does not exist", c.ReportID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = bstore.QueryTx[usage](tx).ForEach(func(u usage) error {
		if w := want[u.PolicyDomain]; w != u {
			add("domain %s has %d reports with %d bytes, not %d with %d", u.PolicyDomain, w.Reports, w.Size, u.Reports, u.Size)
		}
		delete(want, u.PolicyDomain)
		return nil
	})
	for _, domain := range slices.Sorted(maps.Keys(want)) {
		add("reports about domain %s are not counted", domain)
	}
	return err
}
