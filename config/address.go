package config

import (
	"errors"
	"strings"

	"golang.org/x/text/unicode/norm"

	"mox/dns"
	"mox/smtp"
)

// Recipient is what an address leads to.
type Recipient struct {
	Account     string
	Destination Destination
	Canonical   smtp.Address // The address without what follows a separator, in lower case unless case matters in its domain.
	CatchAll    bool         // Only the catchall of the domain matched.
	Postmaster  bool         // Only the postmaster of the server matched.

	Report ReportKind // What reports the address is for.
	Alias  *Alias     // Not nil if the address is an alias. Account is empty and Destination zero then.
}

// postmaster is the localpart that must be accepted, in any case of letters (RFC
// 5321 §4.5.1).
const postmaster = "postmaster"

// LookupAddress returns where mail for a recipient goes. The first that exists is
// taken of: the postmaster of the server, for postmaster without domain or at one
// of our hostnames; the address for TLS reports about the host; an address for
// reports about a domain; the address itself, of an account or an alias, in canonical
// form; the catchall of the domain; the postmaster of the server for postmaster at a
// domain of ours. Otherwise the error is [ErrDomainUnknown], also for what is not for
// reports at a domain that is for nothing else, [ErrDomainDisabled] or
// [ErrAddressUnknown].
func (s *Snapshot) LookupAddress(p smtp.Path) (Recipient, error) {
	isPostmaster := strings.EqualFold(string(p.Localpart), postmaster)
	d := p.IPDomain.Domain
	if isPostmaster && !p.IPDomain.IsIP() && (d.IsZero() || s.hostnames[d]) {
		return s.postmasterAt(d), nil
	}
	if p.IPDomain.IsIP() {
		return Recipient{}, ErrDomainUnknown
	}
	if t := s.tlsrpt; t != nil && d == t.Canonical.Domain && (Domain{}).folded(p.Localpart) == t.Canonical.Localpart {
		return *t, nil
	}
	r, err := s.lookup(p.Localpart, d)
	if isPostmaster && errors.Is(err, ErrAddressUnknown) {
		return s.postmasterAt(d), nil
	}
	return r, err
}

// postmasterAt returns the postmaster of the server for postmaster at a domain.
func (s *Snapshot) postmasterAt(d dns.Domain) Recipient {
	r := s.postmaster
	if d.IsZero() {
		d = s.Hostname
	}
	r.Canonical = smtp.Address{Localpart: postmaster, Domain: d}
	return r
}

// lookup is LookupAddress without postmasters.
func (s *Snapshot) lookup(localpart smtp.Localpart, d dns.Domain) (Recipient, error) {
	dom, ok := s.domains[d]
	if !ok {
		return Recipient{}, ErrDomainUnknown
	}
	if dom.Disabled {
		return Recipient{}, ErrDomainDisabled
	}
	return s.find(localpart, dom)
}

// find looks an address up in a domain that is configured.
func (s *Snapshot) find(localpart smtp.Localpart, dom Domain) (Recipient, error) {
	canonical := dom.folded(localpart)
	// An address for reports can have a separator in it.
	r, ok := s.addresses[address{canonical, dom.Domain}]
	if !ok || r.Report == ReportNone {
		canonical = dom.Canonical(localpart)
		r, ok = s.addresses[address{canonical, dom.Domain}]
	}
	if !ok || canonical == "" {
		r, ok = s.addresses[address{"", dom.Domain}]
	}
	if dom.ReportsOnly && r.Report == ReportNone {
		return Recipient{}, ErrDomainUnknown
	}
	if !ok {
		return Recipient{}, ErrAddressUnknown
	}
	r.Canonical = smtp.Address{Localpart: canonical, Domain: dom.Domain}
	return r, nil
}

// LoginAccount returns the account that an address is a login name of: as
// [Snapshot.LookupAddress], but without postmasters, aliases and addresses for
// reports, and domains may be disabled.
func (s *Snapshot) LoginAccount(addr smtp.Address) (Account, bool) {
	dom, ok := s.domains[addr.Domain]
	if !ok {
		return Account{}, false
	}
	r, err := s.find(addr.Localpart, dom)
	if err != nil || r.Report != ReportNone {
		return Account{}, false
	}
	return s.Account(r.Account)
}

// AccountOwns reports whether an account may send as an address: one of its own,
// also with something after a separator, or of its catchall, or an alias that it is a
// member of and that allows it. Addresses for reports are nobody's. The error is nil
// or [ErrDomainDisabled], which is only for those who own the address.
func (s *Snapshot) AccountOwns(account string, addr smtp.Address) (bool, error) {
	dom, ok := s.domains[addr.Domain]
	if !ok {
		return false, nil
	}
	r, err := s.find(addr.Localpart, dom)
	if err != nil || r.Report != ReportNone {
		return false, nil
	}
	if r.Alias != nil && !r.Alias.sendsAs(account) || r.Alias == nil && r.Account != account {
		return false, nil
	}
	if dom.Disabled {
		return true, ErrDomainDisabled
	}
	return true, nil
}

// Canonical returns a localpart as it is looked up: in Unicode normal form C, in
// lower case unless case matters in the domain, and without the first separator
// and what follows it, for each separator in order.
func (d Domain) Canonical(localpart smtp.Localpart) smtp.Localpart {
	s := string(d.folded(localpart))
	for _, sep := range d.Separators {
		s, _, _ = strings.Cut(s, sep)
	}
	return smtp.Localpart(s)
}

// folded is Canonical without regard to separators.
func (d Domain) folded(localpart smtp.Localpart) smtp.Localpart {
	s := norm.NFC.String(string(localpart))
	if !d.CaseSensitive {
		s = norm.NFC.String(strings.ToLower(s))
	}
	return smtp.Localpart(s)
}
