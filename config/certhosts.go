package config

import (
	"maps"
	"slices"
	"strings"

	"mox/dns"
)

// CertificateHosts returns the names that certificates are requested for from an
// authority, by its name in the configuration. The caller must not change them.
func (s *Snapshot) CertificateHosts(acme string) []dns.Domain {
	return s.certHosts[acme]
}

// IsCertificateHost reports whether a name, in ASCII and lower case, is one that
// certificates are requested for. Besides [Snapshot.CertificateHosts] that are names that
// nobody needs to have in DNS: for those, one is requested when a client asks for it.
func (s *Snapshot) IsCertificateHost(acme, name string) (ok, onDemand bool) {
	needed, ok := s.certNames[acme][name]
	return ok, ok && !needed
}

// certificateHosts finds the names that certificates are requested for: those of
// listeners first, which mail needs.
func (s *Snapshot) certificateHosts() {
	s.certHosts, s.certNames = map[string][]dns.Domain{}, map[string]map[string]bool{}
	add := func(l Listener, d dns.Domain) {
		acme := l.TLS.ACME
		if s.certNames[acme] == nil {
			s.certNames[acme] = map[string]bool{}
		}
		if !d.IsZero() && !s.certNames[acme][d.ASCII] {
			s.certNames[acme][d.ASCII] = true
			s.certHosts[acme] = append(s.certHosts[acme], d)
		}
	}
	var listeners []Listener
	for _, l := range s.Listeners {
		if acmeName(l.TLS) != "" {
			listeners = append(listeners, l)
			add(l, l.Hostname)
		}
	}
	for _, l := range listeners {
		for _, d := range slices.SortedFunc(maps.Values(s.domains), byName) {
			if d.Disabled || d.ReportsOnly {
				continue
			}
			if l.forUsers() {
				add(l, d.ClientSettingsDomain)
			}
			if l.AutoconfigHTTPS.Enabled && !l.AutoconfigHTTPS.NonTLS {
				add(l, Subdomain("autoconfig", d.Domain))
				// Outlook finds the server with a SRV record, other programs do not know of that.
				names, name := s.certNames[l.TLS.ACME], Subdomain("autodiscover", d.Domain).ASCII
				if !names[name] {
					names[name] = false
				}
			}
			if l.MTASTSHTTPS.Enabled && !l.MTASTSHTTPS.NonTLS && d.MTASTS != nil {
				add(l, Subdomain("mta-sts", d.Domain))
			}
		}
		if !l.WebserverHTTPS.Enabled {
			continue
		}
		for _, h := range s.WebHandlers {
			add(l, h.Domain)
		}
		for _, d := range slices.SortedFunc(maps.Keys(s.WebDomainRedirects), byASCII) {
			add(l, d)
		}
	}
}

// forUsers reports whether mail programs of users connect to a listener with TLS.
func (l Listener) forUsers() bool {
	return l.Submission.Enabled || l.Submissions.Enabled || l.Submissions.EnabledOnHTTPS || l.IMAP.Enabled || l.IMAPS.Enabled || l.IMAPS.EnabledOnHTTPS
}

// Subdomain returns the domain with a label in ASCII put in front.
func Subdomain(label string, d dns.Domain) dns.Domain {
	d.ASCII = label + "." + d.ASCII
	if d.Unicode != "" {
		d.Unicode = label + "." + d.Unicode
	}
	return d
}

func byASCII(a, b dns.Domain) int {
	return strings.Compare(a.ASCII, b.ASCII)
}

// IsClientSettingsDomain reports whether a domain is ClientSettingsDomain of one of the
// domains.
func (s *Snapshot) IsClientSettingsDomain(d dns.Domain) bool {
	return s.clientDomains[d]
}
