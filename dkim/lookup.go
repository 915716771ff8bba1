package dkim

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"mox/dns"
	"mox/internal/parallel"
)

// A KeyName says where a key record is.
type KeyName struct {
	Selector dns.Domain
	Domain   dns.Domain
}

// String returns the name in DNS, RFC 6376 §3.6.2.1, without trailing dot.
func (k KeyName) String() string {
	return k.Selector.ASCII + "._domainkey." + k.Domain.ASCII
}

// A KeyResult is the answer to the lookup of a key record.
type KeyResult struct {
	// Status is empty if there is a record, or else temperror or permerror.
	Status Status
	Record *Record
	TXT    string // As found.

	// Authentic says that the answer, also a negative one, was verified with DNSSEC.
	Authentic bool
	Err       error
}

// LookupKey looks up a key record. TXT records that are no key records are
// ignored; several that are give a temporary error.
func LookupKey(ctx context.Context, resolver dns.Resolver, name KeyName) KeyResult {
	qname := name.String()
	if len(qname) > dns.MaxNameLen {
		return KeyResult{Status: StatusPermerror, Err: fmt.Errorf("%w: name too long: %s", ErrNoRecord, qname)}
	}
	txts, res, err := resolver.LookupTXT(ctx, qname+".")
	r := KeyResult{Authentic: res.Authentic}
	switch {
	case err == nil:
		r.choose(qname, txts)
	case errors.Is(err, dns.ErrNotFound):
		r.Status, r.Err = StatusPermerror, fmt.Errorf("%w: %s", ErrNoRecord, qname)
	case errors.Is(err, dns.ErrInvalid):
		r.Status, r.Err = StatusPermerror, fmt.Errorf("%w: %s: %w", ErrNoRecord, qname, err)
	default:
		// Also if the answer does not verify with DNSSEC, which can be repaired.
		r.Status, r.Err = StatusTemperror, fmt.Errorf("%w: %s: %w", ErrLookup, qname, err)
	}
	return r
}

// choose sets the one key record of some TXT records.
func (r *KeyResult) choose(qname string, txts []string) {
	if len(txts) > MaxRecords {
		r.Status, r.Err = StatusPermerror, fmt.Errorf("%w: %s: %d TXT records", ErrMultipleRecords, qname, len(txts))
		return
	}
	var malformed, foreign error
	for _, txt := range txts {
		rec, isDKIM, err := ParseRecord(txt)
		switch {
		case err == nil && r.Record != nil:
			r.Status, r.Record, r.TXT = StatusTemperror, nil, ""
			r.Err = fmt.Errorf("%w: %s", ErrMultipleRecords, qname)
			return
		case err == nil:
			r.Record, r.TXT = rec, txt
		case isDKIM:
			malformed = err
		default:
			foreign = err
		}
	}
	switch {
	case r.Record != nil:
	case malformed != nil:
		r.Status, r.Err = StatusPermerror, fmt.Errorf("%s: %w", qname, malformed)
	default:
		r.Status, r.Err = StatusPermerror, fmt.Errorf("%w: %s: only other TXT records (%w)", ErrNoRecord, qname, foreign)
	}
}

// LookupKeys looks up key records, each name once, at most [MaxLookups] at the same
// time and in [LookupTimeout] together. Names that are equal have the same result.
func LookupKeys(ctx context.Context, resolver dns.Resolver, names []KeyName) map[KeyName]KeyResult {
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	results := make(map[KeyName]KeyResult, len(names))
	for _, n := range names {
		results[n] = KeyResult{}
	}
	unique := slices.Collect(maps.Keys(results))
	found := make([]KeyResult, len(unique))
	parallel.Do(len(unique), MaxLookups, func(i int) { found[i] = LookupKey(ctx, resolver, unique[i]) })
	for i, n := range unique {
		results[n] = found[i]
	}
	return results
}
