package ratelimit

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// MaxKeys is how many networks of each size, or names, a limiter remembers,
// unless its options say otherwise.
const MaxKeys = 1 << 16

// The limits of a server for the narrowest network, see [Factors].
const (
	ConnectionsPerMinute  = 300  // New connections.
	OpenConnections       = 30   // Connections at the same time.
	AuthFailuresPerMinute = 10   // Failed authentications, over all protocols.
	AuthFailuresPerDay    = 50   // As above.
	RequestsPerMinute     = 1000 // HTTP requests.
	RequestsPerHour       = 5000 // As above.
)

// A Window limits the count in any period of a length.
type Window struct {
	Period time.Duration // At least a millisecond.
	Limits Limits
}

// ConnectionWindows returns the windows for new connections.
func ConnectionWindows() []Window {
	return []Window{{time.Minute, Factors(ConnectionsPerMinute)}}
}

// AuthFailureWindows returns the windows for failed authentications.
func AuthFailureWindows() []Window {
	return []Window{
		{time.Minute, Factors(AuthFailuresPerMinute)},
		{24 * time.Hour, Factors(AuthFailuresPerDay)},
	}
}

// RequestWindows returns the windows for HTTP requests.
func RequestWindows() []Window {
	return []Window{
		{time.Minute, Factors(RequestsPerMinute)},
		{time.Hour, Factors(RequestsPerHour)},
	}
}

// Options are for [New].
type Options struct {
	Windows []Window
	Exempt  []netip.Prefix // Networks without limits.
	MaxKeys int            // Networks of each size to remember. Zero is MaxKeys.
}

// A Limiter counts per IP network in windows of time.
type Limiter struct {
	limits [classes][]int64 // Per class, per window.
	exempt []netip.Prefix

	mu     sync.Mutex // Guards counts.
	counts [classes]*counts[netip.Prefix]
}

// New returns a limiter.
func New(opts Options) *Limiter {
	if opts.MaxKeys == 0 {
		opts.MaxKeys = MaxKeys
	}
	l := &Limiter{exempt: slices.Clone(opts.Exempt)}
	var periods []time.Duration
	for _, w := range opts.Windows {
		periods = append(periods, w.Period)
	}
	for i := range classes {
		l.counts[i] = newCounts[netip.Prefix](periods, opts.MaxKeys)
		for _, w := range opts.Windows {
			l.limits[i] = append(l.limits[i], int64(w.Limits[i]))
		}
	}
	return l
}

// Add counts n for the networks of ip and returns true, if that stays within all
// limits. Otherwise it counts nothing and returns false.
func (l *Limiter) Add(ip netip.Addr, now time.Time, n int) bool {
	nets, ok := networks(ip)
	if !ok || exempt(ip, l.exempt) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fits(nets, now, n) {
		return false
	}
	for i, net := range nets {
		l.counts[i].add(net, now, int64(n))
	}
	return true
}

// CanAdd reports what Add would return, and counts nothing.
func (l *Limiter) CanAdd(ip netip.Addr, now time.Time, n int) bool {
	nets, ok := networks(ip)
	if !ok || exempt(ip, l.exempt) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fits(nets, now, n)
}

func (l *Limiter) fits(nets [classes]netip.Prefix, now time.Time, n int) bool {
	for i, net := range nets {
		if !l.counts[i].fits(net, now, int64(n), l.limits[i]) {
			return false
		}
	}
	return true
}

// Reset forgets what was counted for the narrowest network of ip, also in the
// wider networks.
func (l *Limiter) Reset(ip netip.Addr) {
	nets, ok := networks(ip)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := l.counts[0].remove(nets[0])
	for i := 1; i < classes; i++ {
		l.counts[i].subtract(nets[i], gone)
	}
}
