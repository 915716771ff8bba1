package transport

import (
	"context"
	"log/slog"
	"maps"
	"time"

	"mox/dane"
	"mox/dns"
)

// lookups remembers for a moment where mail for a domain goes, so that the messages of a
// run do not ask for it one by one. Only what was found is remembered, and not for longer
// than lookupAge, nor than until a delivery fails.
type lookups struct {
	resolver dns.Resolver
	port     int
	domains  *memory[dns.Domain, lookedUp]
}

// lookedUp is what was found for a domain. It is not changed once it is remembered.
type lookedUp struct {
	at    time.Time // Zero for nothing.
	dest  dane.Destination
	hosts map[dns.Domain]dane.Host
}

func (l lookedUp) isFresh() bool { return !l.at.IsZero() && time.Since(l.at) < lookupAge }

func newLookups(resolver dns.Resolver, port int) *lookups {
	return &lookups{resolver, port, newMemory[dns.Domain, lookedUp](maxRemembered)}
}

// destination is dane.LookupDestination.
func (l *lookups) destination(ctx context.Context, log *slog.Logger, domain dns.Domain) (dane.Destination, error) {
	if known := l.domains.get(domain); known.isFresh() {
		return known.dest, nil
	}
	at := time.Now()
	dest, err := dane.LookupDestination(ctx, log, l.resolver, domain)
	if err == nil {
		l.domains.update(domain, func(lookedUp) lookedUp { return lookedUp{at: at, dest: dest} })
	}
	return dest, err
}

// host is dane.LookupHost, for a host of a destination.
func (l *lookups) host(ctx context.Context, log *slog.Logger, dest dane.Destination, name dns.Domain) (dane.Host, error) {
	if known := l.domains.get(dest.Domain); known.isFresh() {
		if h, ok := known.hosts[name]; ok {
			return h, nil
		}
	}
	h, err := dane.LookupHost(ctx, log, l.resolver, dest, name, l.port)
	if err == nil {
		l.domains.update(dest.Domain, func(known lookedUp) lookedUp {
			hosts := maps.Clone(known.hosts)
			if hosts == nil {
				hosts = map[dns.Domain]dane.Host{}
			}
			hosts[name] = h
			known.hosts = hosts
			return known
		})
	}
	return h, err
}

// forget makes the next delivery to a domain look it up again.
func (l *lookups) forget(domain dns.Domain) {
	l.domains.update(domain, func(lookedUp) lookedUp { return lookedUp{} })
}
