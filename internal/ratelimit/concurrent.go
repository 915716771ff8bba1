package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
)

// ConcurrentOptions are for [NewConcurrent].
type ConcurrentOptions struct {
	Limits Limits
	Exempt []netip.Prefix // Networks without limits.
}

// A Concurrent limiter counts what is in use now, such as open connections, per
// IP network. Its memory is bounded by what it lets in.
type Concurrent struct {
	limits Limits
	exempt []netip.Prefix

	mu   sync.Mutex // Guards open.
	open [classes]map[netip.Prefix]int
}

// NewConcurrent returns a limiter.
func NewConcurrent(opts ConcurrentOptions) *Concurrent {
	c := &Concurrent{limits: opts.Limits, exempt: slices.Clone(opts.Exempt)}
	for i := range c.open {
		c.open[i] = map[netip.Prefix]int{}
	}
	return c
}

// Acquire counts one more for the networks of ip and returns true, if that stays
// within all limits; then Release must be called once. Otherwise it counts
// nothing and returns false.
func (c *Concurrent) Acquire(ip netip.Addr) bool {
	nets, ok := networks(ip)
	if !ok || exempt(ip, c.exempt) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, net := range nets {
		if c.open[i][net] >= c.limits[i] {
			return false
		}
	}
	for i, net := range nets {
		c.open[i][net]++
	}
	return true
}

// Release takes back one successful Acquire for ip.
func (c *Concurrent) Release(ip netip.Addr) {
	nets, ok := networks(ip)
	if !ok || exempt(ip, c.exempt) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, net := range nets {
		if c.open[i][net]--; c.open[i][net] <= 0 {
			delete(c.open[i], net)
		}
	}
}
