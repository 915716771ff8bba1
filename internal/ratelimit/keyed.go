package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// KeyedOptions are for [NewKeyed].
type KeyedOptions struct {
	Windows []Window
	MaxKeys int // Pairs of a name and a network to remember, for each size of network. Zero is MaxKeys.
}

// A Keyed limiter counts per name and IP network together, in windows of time: what one
// network does to one account says nothing about others.
type Keyed struct {
	limits [classes][]int64 // Per class, per window.

	mu     sync.Mutex // Guards counts.
	counts [classes]*counts[nameNetwork]
}

// nameNetwork is a network that has to do with a name.
type nameNetwork struct {
	name string
	net  netip.Prefix
}

// NewKeyed returns a limiter.
func NewKeyed(opts KeyedOptions) *Keyed {
	if opts.MaxKeys == 0 {
		opts.MaxKeys = MaxKeys
	}
	k := &Keyed{}
	var periods []time.Duration
	for _, w := range opts.Windows {
		periods = append(periods, w.Period)
	}
	for i := range classes {
		k.counts[i] = newCounts[nameNetwork](slices.Clone(periods), opts.MaxKeys)
		for _, w := range opts.Windows {
			k.limits[i] = append(k.limits[i], int64(w.Limits[i]))
		}
	}
	return k
}

// CanAdd reports whether n more for a name from the networks of ip stay within all
// limits, and counts nothing.
func (k *Keyed) CanAdd(name string, ip netip.Addr, now time.Time, n int) bool {
	nets, ok := networks(ip)
	if !ok {
		return true
	}
	name = nameKey(name)
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, net := range nets {
		if !k.counts[i].fits(nameNetwork{name, net}, now, int64(n), k.limits[i]) {
			return false
		}
	}
	return true
}

// Count counts n for a name from the networks of ip, also beyond limits.
func (k *Keyed) Count(name string, ip netip.Addr, now time.Time, n int) {
	nets, ok := networks(ip)
	if !ok {
		return
	}
	name = nameKey(name)
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, net := range nets {
		k.counts[i].add(nameNetwork{name, net}, now, int64(n))
	}
}
