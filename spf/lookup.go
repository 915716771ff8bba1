package spf

import (
	"context"
	"log/slog"
	"strings"

	"mox/dns"
)

// A Found is the record of a domain, see [Lookup].
type Found struct {
	Text      string // As published. Also set if it is malformed.
	Record    Record
	Authentic bool // The answer was verified with DNSSEC. Also for no record.
}

// Lookup looks up the record of a domain, RFC 7208 §4.4 and §4.5. An error is an
// [*Error] with the status that a check of the domain would have.
func Lookup(ctx context.Context, log *slog.Logger, resolver dns.Resolver, domain dns.Domain) (Found, error) {
	f, err := lookup(ctx, resolver, domain.ASCII)
	logger(log).LogAttrs(ctx, slog.LevelDebug, "spf lookup",
		slog.Any("domain", domain), slog.String("record", f.Text), slog.Bool("authentic", f.Authentic), slog.Any("err", err))
	return f, err
}

func lookup(ctx context.Context, resolver dns.Resolver, name string) (Found, error) {
	if !isDomain(name) {
		return Found{}, &Error{StatusNone, name, "", ErrNoDomain}
	}
	txts, res, err := resolver.LookupTXT(ctx, name)
	f := Found{Authentic: res.Authentic}
	if _, err := sortLookup(len(txts), err); err != nil {
		return f, &Error{StatusTemperror, name, "", err}
	}
	n := 0
	for _, txt := range txts {
		if isRecord(txt) {
			n++
			f.Text = txt
		}
	}
	switch {
	case n == 0:
		return f, &Error{StatusNone, name, "", ErrNoRecord}
	case n > 1:
		f.Text = ""
		return f, &Error{StatusPermerror, name, "", ErrMultipleRecords}
	}
	f.Record, err = Parse(f.Text)
	if err != nil {
		return f, &Error{StatusPermerror, name, "", err}
	}
	return f, nil
}

// isDomain reports whether a name is one that check_host takes, RFC 7208 §4.3.
func isDomain(name string) bool {
	return strings.Contains(name, ".") && isName(name)
}

// isName reports whether a name, without trailing dot, can be in DNS. Any printable
// character of ASCII can, and the space, which comes from macros; others would come
// from a local-part or EHLO and never be meant.
func isName(name string) bool {
	if len(name) > dns.MaxNameLen {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > dns.MaxLabelLen {
			return false
		}
	}
	return printable.All(name)
}

func logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
