package config

import (
	"maps"
	"path/filepath"
	"slices"
)

// dnsProviders checks the section DNSProviders of mox.conf.
func (c *checker) dnsProviders(s *Snapshot) {
	s.DNSProviders = map[string]DNS01{}
	for _, name := range slices.Sorted(maps.Keys(s.Static.DNSProviders)) {
		f := s.Static.DNSProviders[name]
		s.DNSProviders[name] = *c.dns01(join("DNSProviders", name), filepath.Dir(s.Path), &f)
	}
}

// dnsProvider checks the field DNSProvider of a domain.
func (c *checker) dnsProvider(s *Snapshot, field, name string) {
	if _, ok := s.DNSProviders[name]; name != "" && !ok {
		c.addf(field, "%q is not in DNSProviders in mox.conf", name)
	}
}

// DNSProvider returns who has the records of a domain, by its name as in domains.conf. Ok
// is false if they are not written by the server.
func (s *Snapshot) DNSProvider(domain string) (p DNS01, ok bool) {
	p, ok = s.DNSProviders[s.Dynamic.Domains[domain].DNSProvider]
	return p, ok
}
