package dane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"mox/dns"
)

// An alias is what CNAME records at a name lead to.
type alias struct {
	name      dns.Domain // The last name. The first one if that has no CNAME record.
	followed  int        // CNAME records.
	authentic bool       // All of them, and that there are no more.
	first     bool       // Whether the first of them is authentic, or that there is none.
}

// followAliases follows CNAME records, asking for each by itself: the answer to a
// question for other records does not tell which of the records on the way are
// authentic (RFC 7672 §2.1.3). Names without any records are not an error here.
func followAliases(ctx context.Context, resolver dns.Resolver, name dns.Domain, max int) (alias, error) {
	a := alias{name: name, authentic: true}
	for {
		target, res, err := resolver.LookupCNAME(ctx, a.name.ASCII)
		if err != nil && !errors.Is(err, dns.ErrNotFound) {
			return alias{}, err
		}
		a.authentic = a.authentic && res.Authentic
		if a.followed == 0 {
			a.first = res.Authentic
		}
		if err != nil || strings.EqualFold(target, a.name.ASCII) {
			return a, nil
		}
		if a.followed++; a.followed > max {
			return alias{}, fmt.Errorf("%w: more than %d at %s", ErrAliases, max, name)
		}
		next, err := dns.ParseDomainLax(target)
		if err != nil {
			return alias{}, fmt.Errorf("alias of %s: %w: %w", a.name, dns.ErrInvalid, err)
		}
		a.name = next
	}
}

// A baseLookup is what is known of a host before TLSA records are looked up.
type baseLookup struct {
	ips       []net.IP
	authentic bool         // The addresses, with aliases.
	expanded  dns.Domain   // The host after following aliases, if authentic, else the host itself.
	bases     []dns.Domain // Candidates for the TLSA base domain, RFC 7672 §2.2.2. May be empty.
}

func lookupAddresses(ctx context.Context, resolver dns.Resolver, host dns.Domain) ([]net.IP, dns.Result, error) {
	ips, res, err := resolver.LookupIP(ctx, "ip", host.ASCII)
	if err != nil {
		return nil, res, fmt.Errorf("%w: %w", ErrAddresses, err)
	}
	return ips, res, nil
}

// lookupBase looks up the addresses of a host, which must come before looking for
// TLSA records, and finds the candidates for the TLSA base domain: RFC 7672 §2.2.2,
// and RFC 7671 §7 for other protocols.
func lookupBase(ctx context.Context, resolver dns.Resolver, host dns.Domain) (baseLookup, error) {
	ips, res, err := lookupAddresses(ctx, resolver, host)
	if err != nil {
		return baseLookup{}, err
	}
	b := baseLookup{ips: ips, authentic: res.Authentic, expanded: host}
	a, err := followAliases(ctx, resolver, host, MaxAliases)
	if err != nil {
		return baseLookup{}, fmt.Errorf("%w: %w", ErrAddresses, err)
	}
	switch {
	case a.followed == 0:
		if res.Authentic {
			b.bases = []dns.Domain{host}
		}
	case res.Authentic && a.authentic:
		b.expanded = a.name
		b.bases = []dns.Domain{a.name, host}
	case a.first:
		// What the alias leads to is insecure, and the host's own zone is not.
		b.bases = []dns.Domain{host}
	}
	return b, nil
}

// lookupTLSA returns the TLSA records at the first of bases that has authentic ones.
// If none has, there are no records and no error.
func lookupTLSA(ctx context.Context, resolver dns.Resolver, port int, network string, bases []dns.Domain) (dns.Domain, []Record, error) {
	for _, base := range bases {
		records, res, err := resolver.LookupTLSA(ctx, port, network, base.ASCII)
		if err != nil && !errors.Is(err, dns.ErrNotFound) {
			return dns.Domain{}, nil, fmt.Errorf("%w: %w", ErrTLSA, err)
		}
		if err == nil && res.Authentic && len(records) > 0 {
			return base, records, nil
		}
	}
	return dns.Domain{}, nil, nil
}
