package ratelimit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestKeyedCountsANameAndANetworkTogether(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0).Truncate(24 * time.Hour)
	k := NewKeyed(KeyedOptions{Windows: []Window{{time.Minute, Factors(10)}, {24 * time.Hour, Factors(15)}}})
	ip, near, far := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.1")
	can := func(name string, ip netip.Addr, now time.Time, n int, want bool) {
		t.Helper()
		if got := k.CanAdd(name, ip, now, n); got != want {
			t.Errorf("%s %s %d: %v", name, ip, n, got)
		}
	}
	can("ann", ip, now, 10, true)
	can("ann", ip, now, 11, false)
	k.Count("ann", ip, now, 10)
	can("ann", ip, now, 1, false)
	can("ann", ip, now, 0, true)
	can("ann", near, now, 1, true)
	can("ann", far, now, 10, true)
	can("bob", ip, now, 10, true)

	// Beyond limits too: what has happened has happened. The network around has three
	// times as many.
	k.Count("ann", near, now, 20)
	can("ann", netip.MustParseAddr("192.0.2.3"), now, 1, false)
	can("ann", netip.MustParseAddr("192.0.2.100"), now, 1, true)

	later := now.Add(2 * time.Minute)
	can("ann", ip, later, 5, true)
	can("ann", ip, later, 6, false) // Of the day.
	can("ann", netip.Addr{}, now, 1000, true)
	k.Count("ann", netip.Addr{}, now, 1000)
}

func TestKeyedRemembersSoMany(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	k := NewKeyed(KeyedOptions{Windows: []Window{{time.Minute, Factors(1)}}, MaxKeys: 100})
	for i := range 1000 {
		k.Count(fmt.Sprint(i), netip.MustParseAddr("192.0.2.1"), now, 1)
	}
	for i := range classes {
		if n := len(k.counts[i].young) + len(k.counts[i].old); n > 100 {
			t.Errorf("%d keys", n)
		}
	}
}
