package dmarcdb

import (
	"context"
	"maps"
	"path/filepath"
	"slices"

	"github.com/mjl-/bstore"

	"mox/internal/dbformat"
)

// Verify checks the databases in a data directory that no server runs on, and
// returns what is wrong. There need not be any. An error is about checking.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	for _, f := range []struct {
		name   string
		format int
		types  []any
		check  func(ctx context.Context, db *bstore.DB, add func(format string, args ...any)) error
	}{
		{ReportsName, reportFormat, reportTypes(), verifyReports},
		{EvaluationsName, evaluationFormat, evaluationTypes(), verifyEvaluations},
	} {
		open := func() (*bstore.DB, error) { return dbformat.OpenIn(ctx, dir, f.name, f.format, f.types...) }
		l, err := dbformat.Verify(filepath.Join(dir, f.name), open, func(db *bstore.DB, add func(format string, args ...any)) {
			if err := f.check(ctx, db, add); err != nil {
				add("reading %s: %v", f.name, err)
			}
		})
		if err != nil {
			return nil, err
		}
		problems = append(problems, l...)
	}
	return problems, nil
}

func verifyReports(ctx context.Context, db *bstore.DB, add func(format string, args ...any)) error {
	records := func(data []byte) (int, error) {
		f, err := decode(data)
		if err != nil {
			return 0, err
		}
		return len(f.Records), nil
	}
	return db.Read(ctx, func(tx *bstore.Tx) error { return newReceived(db).Verify(tx, records, add) })
}

func verifyEvaluations(ctx context.Context, db *bstore.DB, add func(format string, args ...any)) error {
	want := map[string]int64{}
	err := db.Read(ctx, func(tx *bstore.Tx) error {
		err := bstore.QueryTx[Evaluation](tx).ForEach(func(e Evaluation) error {
			want[e.PolicyDomain]++
			want[allDomains]++
			if e.Record.Count <= 0 || e.Hour != hour(e.First) || e.Hour != hour(e.Last) {
				add("evaluation %d has %d messages from %s to %s", e.ID, e.Record.Count, e.First, e.Last)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return bstore.QueryTx[evaluationUsage](tx).ForEach(func(u evaluationUsage) error {
			if w := want[u.PolicyDomain]; w != u.Records {
				add("domain %s has %d evaluations, not %d", u.PolicyDomain, w, u.Records)
			}
			delete(want, u.PolicyDomain)
			return nil
		})
	})
	for _, domain := range slices.Sorted(maps.Keys(want)) {
		add("evaluations of domain %s are not counted", domain)
	}
	return err
}
