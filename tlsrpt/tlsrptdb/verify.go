package tlsrptdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
)

// Verify checks the databases in a data directory that no server runs on, and returns
// what is wrong. There need not be any. An error is about checking.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	problems, err = verifyReports(ctx, dir)
	more, merr := verifyResults(ctx, dir)
	return append(problems, more...), errors.Join(err, merr)
}

func verifyReports(ctx context.Context, dir string) (problems []string, err error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := boltpages.Check(path); err != nil {
		return []string{err.Error()}, nil
	}
	d, err := Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	err = d.bdb.Read(ctx, func(tx *bstore.Tx) error {
		problems, err = verifyTx(tx)
		return err
	})
	if err != nil {
		problems = append(problems, fmt.Sprintf("reading tls reports: %v", err))
	}
	return problems, d.Close()
}

func verifyTx(tx *bstore.Tx) (problems []string, err error) {
	want := map[string]usage{}
	reports := map[int64]bool{}
	err = bstore.QueryTx[Report](tx).ForEach(func(r Report) error {
		reports[r.ID] = true
		u := want[r.PolicyDomain]
		want[r.PolicyDomain] = usage{r.PolicyDomain, u.Reports + 1, u.Size + r.Size}
		c := content{ReportID: r.ID}
		if err := tx.Get(&c); errors.Is(err, bstore.ErrAbsent) {
			problems = append(problems, fmt.Sprintf("report %d has no content", r.ID))
			return nil
		} else if err != nil {
			return err
		}
		if _, n, err := decode(c.Data); err != nil {
			problems = append(problems, fmt.Sprintf("report %d: %v", r.ID, err))
		} else if n != int(r.Kept) || int64(len(c.Data)) != r.Size {
			problems = append(problems, fmt.Sprintf("report %d has %d details in %d bytes, not %d in %d", r.ID, n, len(c.Data), r.Kept, r.Size))
		}
		return nil
	})
	if err != nil {
		return problems, err
	}
	err = bstore.QueryTx[content](tx).ForEach(func(c content) error {
		if !reports[c.ReportID] {
			problems = append(problems, fmt.Sprintf("content of report %d, which does not exist", c.ReportID))
		}
		return nil
	})
	if err != nil {
		return problems, err
	}
	err = bstore.QueryTx[usage](tx).ForEach(func(u usage) error {
		if w := want[u.PolicyDomain]; w != u {
			problems = append(problems, fmt.Sprintf("domain %s has %d reports with %d bytes, not %d with %d", u.PolicyDomain, w.Reports, w.Size, u.Reports, u.Size))
		}
		delete(want, u.PolicyDomain)
		return nil
	})
	for _, domain := range slices.Sorted(maps.Keys(want)) {
		problems = append(problems, fmt.Sprintf("reports about domain %s are not counted", domain))
	}
	return problems, err
}
