package inbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"mox/dns"
	"mox/dnsbl"
)

const (
	// listHealthy is for how long it is taken for granted that a blocklist works, or
	// does not.
	listHealthy = 4 * time.Hour
	// listRemembered is for how long an answer of a blocklist is remembered.
	listRemembered = 5 * time.Minute
	// maxListAnswers is how many answers are remembered, and maxLists of how many lists
	// it is known whether they work.
	maxListAnswers = 20_000
	maxLists       = 1000
)

// blocklists asks DNS blocklists, and remembers answers. Errors are not remembered. No
// lock is held during lookups. It is safe for concurrent use.
type blocklists struct {
	resolver dns.Resolver
	log      *slog.Logger
	now      func() time.Time

	mu      sync.Mutex // Guards what follows.
	health  map[dns.Domain]remembered[dnsbl.Health]
	answers map[listQuery]remembered[dnsbl.Result]
}

type listQuery struct {
	zone dns.Domain
	ip   netip.Addr
}

type remembered[T any] struct {
	value T
	until time.Time
}

func newBlocklists(resolver dns.Resolver, log *slog.Logger, now func() time.Time) *blocklists {
	return &blocklists{
		resolver: resolver, log: log, now: now,
		health:  map[dns.Domain]remembered[dnsbl.Health]{},
		answers: map[listQuery]remembered[dnsbl.Result]{},
	}
}

// recall returns what is remembered.
func recall[K comparable, T any](b *blocklists, m map[K]remembered[T], k K) (T, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := m[k]
	return r.value, ok && b.now().Before(r.until)
}

// remember adds to what is remembered. When there is too much, what is too old goes,
// and if that is not enough, all: it can be asked again.
func remember[K comparable, T any](b *blocklists, m map[K]remembered[T], limit int, k K, value T, d time.Duration) {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(m) >= limit {
		for k, r := range m {
			if !now.Before(r.until) {
				delete(m, k)
			}
		}
		if len(m) >= limit {
			clear(m)
		}
	}
	m[k] = remembered[T]{value, now.Add(d)}
}

// lookup asks zones about an address, at the same time and before one deadline. Results
// are in the order of zones; that of one that does not work as a list is an error.
func (b *blocklists) lookup(ctx context.Context, zones []dns.Domain, ip netip.Addr) []dnsbl.Result {
	ctx, cancel := context.WithTimeout(ctx, dnsbl.LookupTimeout)
	defer cancel()
	results := make([]dnsbl.Result, len(zones))
	fns := make([]func(), len(zones))
	slots := make(chan struct{}, dnsbl.MaxParallel)
	for i, zone := range zones {
		results[i] = dnsbl.Result{Zone: zone, Status: dnsbl.StatusTemperror}
		fns[i] = func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = b.ask(ctx, zone, ip)
		}
	}
	if err := together(ctx, b.log, fns...); err != nil {
		b.log.ErrorContext(ctx, "asking blocklists", slog.Any("err", err))
	}
	return results
}

// ask asks one zone. Whether it works is found out while it answers.
func (b *blocklists) ask(ctx context.Context, zone dns.Domain, ip netip.Addr) dnsbl.Result {
	q := listQuery{zone, ip.Unmap()}
	if r, ok := recall(b, b.answers, q); ok {
		return r
	}
	address := net.IP(q.ip.AsSlice())
	health, healthKnown := recall(b, b.health, zone)
	var r dnsbl.Result
	start := time.Now()
	check := func() {
		if !healthKnown {
			health = dnsbl.CheckHealth(ctx, b.log, b.resolver, zone)
		}
	}
	look := func() {
		if !healthKnown || health.For(address) == nil {
			r = dnsbl.Lookup(ctx, b.log, b.resolver, zone, address)
			metricDNSBL.WithLabelValues(zone.ASCII, string(r.Status)).Observe(time.Since(start).Seconds())
		}
	}
	if err := together(ctx, b.log, check, look); err != nil {
		return dnsbl.Result{Zone: zone, Status: dnsbl.StatusTemperror, Err: err}
	}
	if d := healthDuration(health); d > 0 && !healthKnown {
		remember(b, b.health, maxLists, zone, health, d)
	}
	if err := health.For(address); errors.Is(err, dnsbl.ErrUnhealthy) || errors.Is(err, dnsbl.ErrRefused) {
		return dnsbl.Result{Zone: zone, Status: dnsbl.StatusTemperror, Err: err}
	}
	if r.Status == dnsbl.StatusPass || r.Status == dnsbl.StatusListed {
		remember(b, b.answers, maxListAnswers, q, r, listRemembered)
	}
	return r
}

// healthDuration returns for how long to remember whether a list works. If that could not
// be found out, it is taken to work, and asked again with the next message.
func healthDuration(h dnsbl.Health) time.Duration {
	d := listHealthy
	for _, err := range []error{h.IPv4, h.IPv6} {
		switch {
		case err == nil, errors.Is(err, dnsbl.ErrUnhealthy):
		case errors.Is(err, dnsbl.ErrRefused):
			d = min(d, listRemembered)
		default:
			return 0
		}
	}
	return d
}

// askBlocklists refuses mail from addresses on a list that the operator trusts. A list
// that gives no answer, or does not work, says nothing.
func askBlocklists(ctx context.Context, v *verdict) bool {
	if v.d.lists == nil || len(v.DNSBLs) == 0 || !v.RemoteIP.IsValid() || v.IsForward {
		return false
	}
	results := v.shared.listed(func() []dnsbl.Result { return v.d.lists.lookup(ctx, v.DNSBLs, v.RemoteIP) })
	var listed []string
	for _, r := range results {
		if r.Status == dnsbl.StatusListed {
			listed = append(listed, fmt.Sprintf("%s is listed by %s: %q", v.RemoteIP.Unmap(), r.Zone, r.Explanation))
		}
	}
	if len(listed) == 0 {
		return false
	}
	return v.junk(ReasonBlocklisted, strings.Join(listed, "; "))
}
