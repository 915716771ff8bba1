package tlsrpt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mox/dns"
	"mox/mlog"
)

// Errors of Lookup, for errors.Is, besides ErrRecordSyntax. With all of them the
// domain is to be taken as one that wants no reports, with ErrDNS for now.
var (
	// ErrNoRecord means that there is no record, or none that says it is about TLS
	// reports.
	ErrNoRecord = errors.New("tlsrpt: no record")

	// ErrMultipleRecords means that there are several, which count as none.
	ErrMultipleRecords = errors.New("tlsrpt: multiple records")

	// ErrDNS means that the lookup failed. It comes with one of the errors of package
	// dns.
	ErrDNS = errors.New("tlsrpt: lookup of record failed")
)

// Lookup looks up the record of a domain, at "_smtp._tls." and the domain. It also
// returns its text, if there is exactly one. Aliases are followed. A nil log
// discards.
func Lookup(ctx context.Context, log *slog.Logger, resolver dns.Resolver, domain dns.Domain) (Record, string, dns.Result, error) {
	record, txt, res, err := lookup(ctx, resolver, domain)
	if log == nil {
		log = mlog.Discard()
	}
	log.DebugContext(ctx, "tlsrpt record", slog.Any("domain", domain), slog.String("record", txt),
		slog.Bool("authentic", res.Authentic), mlog.Err(err))
	return record, txt, res, err
}

func lookup(ctx context.Context, resolver dns.Resolver, domain dns.Domain) (Record, string, dns.Result, error) {
	name := "_smtp._tls." + domain.ASCII
	txts, res, err := resolver.LookupTXT(ctx, name)
	if errors.Is(err, dns.ErrNotFound) {
		return Record{}, "", res, fmt.Errorf("%w at %s", ErrNoRecord, name)
	} else if err != nil {
		return Record{}, "", res, fmt.Errorf("%w: %w", ErrDNS, err)
	}
	var found []string
	for _, txt := range txts {
		if isRecord(txt) {
			found = append(found, txt)
		}
	}
	switch len(found) {
	case 0:
		return Record{}, "", res, fmt.Errorf("%w at %s among %d txt records", ErrNoRecord, name, len(txts))
	case 1:
	default:
		return Record{}, "", res, fmt.Errorf("%w at %s: %d", ErrMultipleRecords, name, len(found))
	}
	record, err := ParseRecord(found[0])
	if err != nil {
		return Record{}, found[0], res, fmt.Errorf("%s: %w", name, err)
	}
	return record, found[0], res, nil
}
