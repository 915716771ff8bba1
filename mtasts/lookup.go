package mtasts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mox/dns"
	"mox/mlog"
)

// LookupRecord looks up the record of a domain, at "_mta-sts." and the domain.
// Aliases are followed. Whether the answer was verified with DNSSEC is returned for
// those who want to know; the protocol does without. Errors match ErrNoRecord,
// ErrMultipleRecords, ErrRecordSyntax or ErrDNS. A nil log discards.
func LookupRecord(ctx context.Context, log *slog.Logger, resolver dns.Resolver, domain dns.Domain) (Record, dns.Result, error) {
	record, res, err := lookupRecord(ctx, resolver, domain)
	logger(log).DebugContext(ctx, "mta-sts record", slog.Any("domain", domain), slog.String("id", record.ID),
		slog.Bool("authentic", res.Authentic), mlog.Err(err))
	return record, res, err
}

func lookupRecord(ctx context.Context, resolver dns.Resolver, domain dns.Domain) (Record, dns.Result, error) {
	name := "_mta-sts." + domain.ASCII
	txts, res, err := resolver.LookupTXT(ctx, name)
	if errors.Is(err, dns.ErrNotFound) {
		return Record{}, res, fmt.Errorf("%w at %s", ErrNoRecord, name)
	} else if err != nil {
		return Record{}, res, fmt.Errorf("%w: %w", ErrDNS, err)
	}
	var found []string
	for _, txt := range txts {
		if isRecord(txt) {
			found = append(found, txt)
		}
	}
	switch len(found) {
	case 0:
		return Record{}, res, fmt.Errorf("%w at %s among %d txt records", ErrNoRecord, name, len(txts))
	case 1:
	default:
		return Record{}, res, fmt.Errorf("%w at %s: %d", ErrMultipleRecords, name, len(found))
	}
	record, err := ParseRecord(found[0])
	if err != nil {
		return Record{}, res, fmt.Errorf("%s: %w", name, err)
	}
	return record, res, nil
}

// Get looks up the record of a domain and fetches its policy. If there is a record
// and no policy, the record is returned with the error, and the text of the policy
// if there is one that is malformed. Errors are those of LookupRecord and Fetch. A
// nil log discards.
func Get(ctx context.Context, log *slog.Logger, resolver dns.Resolver, domain dns.Domain, opts FetchOptions) (Record, Policy, string, error) {
	record, _, err := LookupRecord(ctx, log, resolver, domain)
	if err != nil {
		return Record{}, Policy{}, "", err
	}
	policy, text, err := Fetch(ctx, log, resolver, domain, opts)
	return record, policy, text, err
}

func logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return mlog.Discard()
	}
	return log
}
