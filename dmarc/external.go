package dmarc

import (
	"context"
	"errors"
	"fmt"

	"mox/dns"
)

// ErrUnauthorized says that reports about a domain must not be sent to a
// destination, because that has not said that it wants them.
var ErrUnauthorized = errors.New("destination does not accept reports about the domain")

// ReportKind tells the two kinds of reports apart.
type ReportKind int

// Kinds.
const (
	Aggregate ReportKind = iota // RFC 9990, tag rua.
	Failure                     // RFC 9991, tag ruf.
)

// A Destination is where reports may go, as the owner of a domain asked for it.
type Destination struct {
	URI  URI        // As in the record of the domain.
	Host dns.Domain // That the URI is about.

	// External is set if Host has another organizational domain than the domain, so
	// that it must have a record at Name.
	External bool

	// Name is where the record is to be, and Record the least it must contain. They are
	// set for external destinations.
	Name   string
	Record string

	// Send are the addresses to use: URI, or what the operator of the host wants
	// instead. There are none if there is an error.
	Send []URI

	Authentic bool // Whether all answers were verified with DNSSEC.

	// Err says why nothing must be sent: the URI cannot be used, ErrUnauthorized, or an
	// error of DNS, after which trying later is best.
	Err error
}

// reportLabels are between the domain and the host, RFC 9990 §4.
const reportLabels = "._report._dmarc."

// CheckDestination checks whether reports about a domain, at which the record was
// found that has the URI, may be sent to it, RFC 9990 §4. The same is done for
// failure reports, with ruf for rua (RFC 9991 §5).
func (w *Walker) CheckDestination(ctx context.Context, domain dns.Domain, uri URI, kind ReportKind) Destination {
	d := Destination{URI: uri}
	d.Host, d.Err = uri.Host()
	if d.Err != nil {
		d.Err = fmt.Errorf("address for reports %q: %w", clip(string(uri)), d.Err)
		return d
	}
	d.External, d.Authentic, d.Err = w.external(ctx, domain, d.Host)
	if d.Err != nil {
		return d
	}
	if !d.External {
		d.Send = []URI{uri}
		return d
	}
	d.Name = domain.ASCII + reportLabels + d.Host.ASCII
	d.Record = "v=DMARC1"
	if len(d.Name) > dns.MaxNameLen {
		d.Err = fmt.Errorf("%w: name %s is too long for dns", ErrUnauthorized, d.Name)
		return d
	}
	texts, result, err := w.resolver.LookupTXT(ctx, d.Name)
	d.Authentic = d.Authentic && result.Authentic
	if errors.Is(err, dns.ErrNotFound) {
		d.Err = fmt.Errorf("%w: no record at %s", ErrUnauthorized, d.Name)
		return d
	} else if err != nil {
		d.Err = fmt.Errorf("authorization of reports at %s: %w", d.Name, err)
		return d
	}
	d.authorize(texts, kind)
	return d
}

// external reports whether domains have different organizational domains.
func (w *Walker) external(ctx context.Context, domain, host dns.Domain) (external, authentic bool, err error) {
	if domain == host {
		return false, true, nil
	}
	if topLevel(domain) != topLevel(host) {
		return true, true, nil
	}
	a, err := w.Walk(ctx, domain)
	if err != nil {
		return false, false, err
	}
	b, err := w.Walk(ctx, host)
	if err != nil {
		return false, false, err
	}
	return a.OrgDomain != b.OrgDomain, a.Authentic && b.Authentic, nil
}

// authorize takes the records of an external destination.
func (d *Destination) authorize(texts []string, kind ReportKind) {
	found := false
	for _, text := range texts[:min(len(texts), MaxAuthorizations)] {
		r, err := ParseRecord(text)
		if err != nil {
			continue
		}
		found = true
		uris := r.RUA
		if kind == Failure {
			uris = r.RUF
		}
		for _, u := range uris {
			// Against loops and sending to third parties.
			if host, err := u.Host(); err != nil || host != d.Host {
				d.Send = nil
				d.Err = fmt.Errorf("%w: record at %s replaces the address by one elsewhere, %q", ErrUnauthorized, d.Name, clip(string(u)))
				return
			}
			d.Send = append(d.Send, u)
		}
	}
	switch {
	case !found:
		d.Err = fmt.Errorf("%w: no record at %s begins with v=DMARC1", ErrUnauthorized, d.Name)
	case len(d.Send) == 0:
		d.Send = []URI{d.URI}
	}
}
