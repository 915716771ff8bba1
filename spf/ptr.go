package spf

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// matchPTR evaluates "ptr", RFC 7208 §5.5. It matches if a validated name is the
// target or below it; the end of that section says the reverse by mistake.
func (e *evaluation) matchPTR(target string) (bool, error) {
	e.validate()
	if err := e.ctx.Err(); err != nil {
		return false, err
	}
	return slices.ContainsFunc(e.names, func(name string) bool {
		return strings.EqualFold(name, target) || isBelow(name, target)
	}), nil
}

// validate looks up the names of the client's address and keeps those that have
// that address. It does so once for an evaluation. DNS errors mean that there is no
// name, RFC 7208 §5.5.
func (e *evaluation) validate() {
	if e.namesKnown {
		return
	}
	e.namesKnown = true
	names, res, err := e.resolver.LookupAddr(e.ctx, net.IP(e.ip.AsSlice()))
	kind, err := e.note(len(names), res, err)
	if err != nil {
		return
	}
	e.voidNames = kind == void
	for _, name := range names[:min(len(names), MaxPTR)] {
		name = strings.TrimSuffix(name, ".")
		if !isName(name) {
			continue
		}
		ips, _, err := e.addresses(name)
		if err == nil && slices.ContainsFunc(ips, e.isClient) {
			e.names = append(e.names, name)
		}
	}
}

func (e *evaluation) isClient(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && a.Unmap() == e.ip
}

// clientName returns the value of macro "p", RFC 7208 §7.3, for a <domain>.
func (e *evaluation) clientName(domain string) string {
	e.validate()
	best := "unknown"
	rank := 0
	for _, name := range e.names {
		n := 1
		if strings.EqualFold(name, domain) {
			n = 3
		} else if isBelow(name, domain) {
			n = 2
		}
		if n > rank {
			best, rank = name, n
		}
	}
	return best
}

// isBelow reports whether name is a subdomain of domain.
func isBelow(name, domain string) bool {
	i := len(name) - len(domain)
	return i > 0 && name[i-1] == '.' && strings.EqualFold(name[i:], domain)
}
