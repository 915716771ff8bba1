package mtastsdb

import (
	"context"
	"path/filepath"

	"github.com/mjl-/bstore"

	"mox/dns"
	"mox/internal/dbformat"
	"mox/mtasts"
)

// Verify checks the database in a data directory that no server runs on, and returns
// what is wrong. There need not be one. An error is about checking.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	open := func() (*DB, error) { return Open(ctx, Options{Dir: dir}) }
	return dbformat.Verify(filepath.Join(dir, FileName), open, func(d *DB, add func(format string, args ...any)) {
		err := bstore.QueryDB[PolicyRecord](ctx, d.bdb).ForEach(func(r PolicyRecord) error {
			if problem := r.verify(); problem != "" {
				add("policy of %s: %s", r.Domain, problem)
			}
			return nil
		})
		if err != nil {
			add("reading mta-sts policies: %v", err)
		}
		if d.stored > MaxPolicies {
			add("%d policies, at most %d", d.stored, MaxPolicies)
		}
	})
}

// verify returns what is wrong with a record.
func (r PolicyRecord) verify() string {
	d, err := dns.ParseDomainLax(r.Domain)
	if err != nil || d.ASCII != r.Domain {
		return "not a domain"
	}
	if r.Backoff.IsZero() != (r.Problem == "") {
		return "time for the next attempt does not go with the problem"
	}
	if r.Text == "" {
		if r.Backoff.IsZero() || !r.LastUpdate.IsZero() || r.RecordID != "" {
			return "there is none, and nothing else"
		}
		return ""
	}
	p, err := mtasts.ParsePolicy(r.Text)
	switch {
	case err != nil:
		return err.Error()
	case r.RecordID == "" || r.LastUpdate.IsZero():
		return "it is not known where it is from"
	case !r.ValidEnd.Equal(r.LastUpdate.Add(max(p.MaxAge, minValid))):
		return "its end is not that in its text"
	}
	return ""
}
