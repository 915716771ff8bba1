package config

import (
	"maps"
	"slices"
	"strings"

	"mox/dns"
	"mox/smtp"
)

// ReportKind is what kind of reports an address is for.
type ReportKind int

// Kinds of reports.
const (
	ReportNone    ReportKind = iota // The address is for mail.
	ReportDMARC                     // DMARC aggregate reports about domains.
	ReportTLS                       // TLS reports about domains.
	ReportTLSHost                   // TLS reports about the host.
)

// String returns what the reports are called in texts.
func (k ReportKind) String() string {
	switch k {
	case ReportDMARC:
		return "DMARC reports"
	case ReportTLS:
		return "TLS reports"
	case ReportTLSHost:
		return "TLS reports about the host"
	}
	return "no reports"
}

// ReportAddress is where reports about a domain go.
type ReportAddress struct {
	Localpart smtp.Localpart // As in the file.
	Domain    dns.Domain
	Account   string
	Mailbox   string // In the form in which mailbox names are stored.
}

// use returns what an address that leads to r is used for, for texts of errors.
func (r Recipient) use() string {
	switch {
	case r.Report != ReportNone:
		return "for " + r.Report.String()
	case r.Alias != nil:
		return "an alias"
	}
	return "a destination of account \"" + r.Account + "\""
}

// reportLocalpart checks the localpart of an address for reports. It becomes part of
// DNS records and of reports, where only ASCII is possible.
func (c *checker) reportLocalpart(field, s string) smtp.Localpart {
	addr, err := smtp.ParseAddress(s+"@example.org", smtp.Lenient)
	switch {
	case s == "" || err == nil && addr.Localpart == "":
		c.addf(field, "localpart is empty")
	case err != nil:
		c.addf(field, "%q is not a localpart", s)
	case strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }):
		c.addf(field, "localpart must be in ASCII")
	case strings.EqualFold(string(addr.Localpart), postmaster):
		c.addf(field, "%q cannot be used: mail for the postmaster is not only reports", s)
	default:
		return addr.Localpart
	}
	return ""
}

// hostTLSRPT checks the HostTLSRPT section.
func (c *checker) hostTLSRPT(s *Snapshot) {
	f := s.Static.HostTLSRPT
	if f == nil {
		return
	}
	localpart := c.reportLocalpart("HostTLSRPT.Localpart", f.Localpart)
	s.tlsrpt = &Recipient{
		Account:     f.Account,
		Destination: Destination{Mailbox: c.mailbox("HostTLSRPT.Mailbox", f.Mailbox)},
		Canonical:   smtp.Address{Localpart: Domain{}.folded(localpart), Domain: s.Hostname},
		Report:      ReportTLSHost,
	}
}

// addReports adds the addresses for reports about domains.
func (c *checker) addReports(s *Snapshot) {
	for _, d := range slices.SortedFunc(maps.Values(s.domains), byName) {
		f, field := s.Dynamic.Domains[d.Domain.Name()], join("Domains", d.Domain.Name())
		d.DMARC = c.report(s, field+".DMARC", d.Domain, f.DMARC, ReportDMARC)
		d.TLSRPT = c.report(s, field+".TLSRPT", d.Domain, f.TLSRPT, ReportTLS)
		s.domains[d.Domain] = d
	}
}

func byName(a, b Domain) int {
	return strings.Compare(a.Domain.ASCII, b.Domain.ASCII)
}

// report adds an address for reports about a domain. Several domains can have their
// reports sent to the same address.
func (c *checker) report(s *Snapshot, field string, about dns.Domain, f *ReportFields, kind ReportKind) *ReportAddress {
	if f == nil {
		return nil
	}
	a := &ReportAddress{Domain: about, Account: f.Account, Mailbox: c.mailbox(field+".Mailbox", f.Mailbox)}
	a.Localpart = c.reportLocalpart(field+".Localpart", f.Localpart)
	if f.Domain != "" {
		a.Domain = c.domain(field+".Domain", f.Domain)
	}
	if _, ok := s.accounts[f.Account]; !ok {
		c.addf(field+".Account", "account %q is not in Accounts", f.Account)
	}
	d, ok := s.domains[a.Domain]
	if !ok && !a.Domain.IsZero() {
		c.addf(field+".Domain", "domain %q is not in Domains", f.Domain)
	}
	if !ok || a.Localpart == "" {
		return a
	}
	r := Recipient{Account: a.Account, Destination: Destination{Mailbox: a.Mailbox}, Report: kind}
	k := address{d.folded(a.Localpart), a.Domain}
	other, ok := s.addresses[k]
	switch {
	case !ok:
		s.addresses[k] = r
	case other.Report != kind:
		c.addf(field+".Localpart", "address is already %s", other.use())
	case other.Account != r.Account || other.Destination.Mailbox != r.Destination.Mailbox:
		c.addf(field+".Localpart", "address is already for %s of another domain, to another account or mailbox", kind)
	}
	return a
}

// reportsOnly finds the domains that are there for nothing but reports: those that
// have no addresses, and either get the reports about other domains or have their
// own sent to other domains.
func (s *Snapshot) reportsOnly() {
	addresses := map[dns.Domain]bool{}
	for k, r := range s.addresses {
		if r.Report == ReportNone {
			addresses[k.domain] = true
		}
	}
	only := map[dns.Domain]bool{}
	for _, d := range s.domains {
		for _, a := range []*ReportAddress{d.DMARC, d.TLSRPT} {
			if a != nil && a.Domain != d.Domain {
				only[d.Domain], only[a.Domain] = true, true
			}
		}
	}
	for domain, d := range s.domains {
		d.ReportsOnly = only[domain] && !addresses[domain]
		s.domains[domain] = d
	}
}
