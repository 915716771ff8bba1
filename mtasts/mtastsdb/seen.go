package mtastsdb

import (
	"context"
	"errors"
	"time"

	"mox/dns"
	"mox/mtasts"
)

// A seenRecord is what DNS has said about a domain a short time ago.
type seenRecord struct {
	id    string // Of the record. Empty if there is none.
	until time.Time
}

// recordID returns the id of the record of a domain, which is empty if it has none
// that can be used (RFC 8461 §3.1). The error matches mtasts.ErrDNS, or is that of the
// context. Fresh does not use what is remembered.
func (d *DB) recordID(ctx context.Context, domain dns.Domain, fresh bool) (string, error) {
	now := time.Now()
	d.mu.Lock()
	seen, ok := d.records[domain.ASCII]
	d.mu.Unlock()
	if ok && now.Before(seen.until) && !fresh {
		return seen.id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	r, _, err := mtasts.LookupRecord(ctx, d.log, d.opts.Resolver, domain)
	switch {
	case errors.Is(err, mtasts.ErrNoRecord), errors.Is(err, mtasts.ErrMultipleRecords), errors.Is(err, mtasts.ErrRecordSyntax):
		d.see(domain, seenRecord{"", now.Add(missingAge)}, now)
		return "", nil
	case err != nil:
		return "", err
	}
	d.see(domain, seenRecord{r.ID, now.Add(recordAge)}, now)
	return r.ID, nil
}

// see remembers a record. Of too many, those go that are out of date, and then any.
func (d *DB) see(domain dns.Domain, r seenRecord, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.records[domain.ASCII]; !ok && len(d.records) >= maxRecords {
		for name, old := range d.records {
			if !now.Before(old.until) {
				delete(d.records, name)
			}
		}
		for name := range d.records {
			if len(d.records) < maxRecords*9/10 {
				break // So that this is not done for each one.
			}
			delete(d.records, name)
		}
	}
	d.records[domain.ASCII] = r
}
