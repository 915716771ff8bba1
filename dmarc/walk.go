package dmarc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"mox/dns"
)

// Errors about records in DNS. Others are those of package dns.
var (
	// ErrTooManyQueries says that a limit on lookups was reached, as by a message with
	// many signatures with long domains.
	ErrTooManyQueries = fmt.Errorf("more than %d lookups of dmarc records for one message", MaxQueries)

	// ErrUnusable says that the record that applies has no policy, see
	// [Record.Usable]. DMARC is not applied then.
	ErrUnusable = errors.New("dmarc record has no valid policy and no valid address for reports")
)

// recordLabel is put in front of a domain to get the name of its record.
const recordLabel = "_dmarc."

// An Entry is what there is at one domain in a tree walk.
type Entry struct {
	Domain dns.Domain

	// Record is nil if there is none, and if there are several: they do not count then
	// (RFC 9989 §4.10).
	Record *Record
	Texts  []string // The records with a good version, at most one if Record is set.

	Authentic bool  // Whether the answer, also a negative one, was verified with DNSSEC.
	Err       error // A failure of DNS, other than that there are no records.
}

// A Walk is a tree walk, RFC 9989 §4.10.
type Walk struct {
	// Entries are what was asked for, from the start up.
	Entries []Entry

	// OrgDomain is the organizational domain of the start, RFC 9989 §4.10.2.
	OrgDomain dns.Domain

	// Suffix is the entry of the public suffix above OrgDomain, if its operator has
	// published a record. Nil otherwise.
	Suffix *Entry

	Authentic bool // Whether all answers were verified with DNSSEC.
}

// A Walker looks up records for one message, and remembers them: its domains often
// have their parents in common. It is not safe for concurrent use.
type Walker struct {
	log      *slog.Logger
	resolver dns.Resolver
	entries  map[string]Entry // By domain in ASCII.
}

// NewWalker returns a Walker. A nil log discards.
func NewWalker(log *slog.Logger, resolver dns.Resolver) *Walker {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Walker{log: log, resolver: resolver, entries: map[string]Entry{}}
}

// Entry returns what there is at a domain itself.
func (w *Walker) Entry(ctx context.Context, domain dns.Domain) Entry {
	if e, ok := w.entries[domain.ASCII]; ok {
		return e
	}
	if len(w.entries) >= MaxQueries {
		return Entry{Domain: domain, Err: ErrTooManyQueries}
	}
	e := w.lookup(ctx, domain)
	w.entries[domain.ASCII] = e
	w.log.LogAttrs(ctx, slog.LevelDebug, "dmarc record lookup",
		slog.Any("domain", domain), slog.Bool("found", e.Record != nil), slog.Bool("authentic", e.Authentic), slog.Any("err", e.Err))
	return e
}

func (w *Walker) lookup(ctx context.Context, domain dns.Domain) Entry {
	e := Entry{Domain: domain}
	if len(recordLabel)+len(domain.ASCII) > dns.MaxNameLen {
		return e // There can be no such name.
	}
	texts, result, err := w.resolver.LookupTXT(ctx, recordLabel+domain.ASCII)
	e.Authentic = result.Authentic
	if errors.Is(err, dns.ErrNotFound) {
		return e
	} else if err != nil {
		e.Err = fmt.Errorf("dmarc record of %s: %w", domain, err)
		return e
	}
	for _, text := range texts {
		r, err := ParseRecord(text)
		if err != nil {
			continue
		}
		e.Texts = append(e.Texts, text)
		e.Record = &r
	}
	if len(e.Texts) > 1 {
		e.Record = nil
	}
	return e
}

// Walk walks from a domain to the top-level domain, with at most MaxWalkQueries
// queries, and finds the organizational domain. The error is one of DNS at any
// step: without that step, the rest is not known.
//
// RFC 9989 has two walks, one for the policy that starts at the parent of the From
// domain, and one for alignment that starts at the domain itself. The first asks
// for nothing that the second does not ask for, and with a start at the parent the
// parent's psd=y would not count. So there is one, from the domain itself.
func (w *Walker) Walk(ctx context.Context, start dns.Domain) (Walk, error) {
	walk := Walk{Authentic: true}
	for d := start; !d.IsZero(); d = next(d, d == start) {
		e := w.Entry(ctx, d)
		walk.Entries = append(walk.Entries, e)
		walk.Authentic = walk.Authentic && e.Authentic
		if e.Err != nil {
			return walk, e.Err
		}
		if e.Record != nil && e.Record.PSD != PSDUnknown {
			break
		}
	}
	walk.organize(start)
	return walk, nil
}

// next returns the domain that is asked about after d, or the zero value. After
// the first one, names are cut to so many labels that the walk takes no more than
// its queries.
func next(d dns.Domain, first bool) dns.Domain {
	d = parent(d)
	if first {
		for strings.Count(d.ASCII, ".")+1 > MaxWalkQueries-1 {
			d = parent(d)
		}
	}
	return d
}

// organize finds the organizational domain, RFC 9989 §4.10.2.
func (walk *Walk) organize(start dns.Domain) {
	walk.OrgDomain = start
	for i, e := range walk.Entries {
		switch {
		case e.Record == nil:
			continue
		case e.Record.PSD == PSDYes && e.Domain != start:
			walk.OrgDomain = below(start, e.Domain)
			walk.Suffix = &walk.Entries[i]
			return
		}
		// The one with psd=n, which is the last, or with the fewest labels.
		walk.OrgDomain = e.Domain
	}
}

// parent returns the domain without its first label, or the zero value if it has
// just one.
func parent(d dns.Domain) dns.Domain {
	_, ascii, _ := strings.Cut(d.ASCII, ".")
	_, unicode, _ := strings.Cut(d.Unicode, ".")
	if unicode == ascii {
		unicode = ""
	}
	return dns.Domain{ASCII: ascii, Unicode: unicode}
}

// isBelow reports whether d is a subdomain of above.
func isBelow(d, above dns.Domain) bool {
	return strings.HasSuffix(d.ASCII, "."+above.ASCII)
}

// below returns the domain with one label more than suffix that is d or above d.
func below(d, suffix dns.Domain) dns.Domain {
	for parent(d) != suffix && isBelow(d, suffix) {
		d = parent(d)
	}
	return d
}

// exists reports whether there is a domain: a name does not exist if the answer
// about it is NXDOMAIN (RFC 9989 §3.2.13). The type that is asked for does not matter.
func (w *Walker) exists(ctx context.Context, d dns.Domain) (exists, authentic bool, err error) {
	_, result, err := w.resolver.LookupMX(ctx, d.ASCII)
	switch {
	case errors.Is(err, dns.ErrNoDomain):
		return false, result.Authentic, nil
	case err == nil, errors.Is(err, dns.ErrNotFound), errors.Is(err, dns.ErrInvalid):
		// What is malformed are records, so there is a domain.
		return true, result.Authentic, nil
	}
	return false, false, fmt.Errorf("whether domain %s exists: %w", d, err)
}
