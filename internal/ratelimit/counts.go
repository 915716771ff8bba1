package ratelimit

import "time"

// counts are the sliding window counts for keys of one kind. It is not safe for
// concurrent use. It keeps entries in two generations: when the young one is full
// it becomes the old one, and what was in the old one and has not been used since
// is forgotten.
type counts[K comparable] struct {
	periods []time.Duration
	max     int // Entries in both generations.

	young, old map[K][]bucket
}

// A bucket has the count of the current and previous period of one window.
type bucket struct {
	n         int64 // Number of the current period since the epoch.
	cur, prev int64
}

func newCounts[K comparable](periods []time.Duration, max int) *counts[K] {
	return &counts[K]{periods: periods, max: max, young: map[K][]bucket{}}
}

// find returns the buckets of a key, which become young, or nil. A key that is
// being refused is in use too.
func (c *counts[K]) find(k K) []bucket {
	if b := c.young[k]; b != nil {
		return b
	}
	b := c.old[k]
	if b != nil {
		delete(c.old, k)
		c.insert(k, b)
	}
	return b
}

// insert adds a key that is in neither generation.
func (c *counts[K]) insert(k K, b []bucket) {
	if len(c.young) >= max(1, c.max/2) {
		c.old, c.young = c.young, map[K][]bucket{}
	}
	c.young[k] = b
}

// fits reports whether n more for key k stay within limits, one per window.
func (c *counts[K]) fits(k K, now time.Time, n int64, limits []int64) bool {
	buckets := c.find(k)
	for i, p := range c.periods {
		var b bucket
		if buckets != nil {
			b = buckets[i]
		}
		b.advance(now, p)
		if !b.fits(now, p, n, limits[i]) {
			return false
		}
	}
	return true
}

// add counts n for key k.
func (c *counts[K]) add(k K, now time.Time, n int64) {
	buckets := c.find(k)
	if buckets == nil {
		buckets = make([]bucket, len(c.periods))
		c.insert(k, buckets)
	}
	for i, p := range c.periods {
		buckets[i].advance(now, p)
		buckets[i].cur += n
	}
}

// remove forgets key k and returns its buckets, which may be nil.
func (c *counts[K]) remove(k K) []bucket {
	b := c.find(k)
	delete(c.young, k)
	delete(c.old, k)
	return b
}

// subtract takes the counts in from off those of key k.
func (c *counts[K]) subtract(k K, from []bucket) {
	buckets := c.find(k)
	if buckets == nil || from == nil {
		return
	}
	for i := range buckets {
		b, f := &buckets[i], from[i]
		b.cur = max(0, b.cur-f.in(b.n))
		b.prev = max(0, b.prev-f.in(b.n-1))
	}
}

// in returns the count of period n.
func (b bucket) in(n int64) int64 {
	switch n {
	case b.n:
		return b.cur
	case b.n - 1:
		return b.prev
	}
	return 0
}

// advance makes the period that now is in the current one. A clock that goes back
// changes nothing: what was counted stays counted.
func (b *bucket) advance(now time.Time, period time.Duration) {
	n := now.UnixMilli() / period.Milliseconds()
	if n <= b.n {
		return
	}
	b.prev = b.in(n - 1)
	b.cur = 0
	b.n = n
}

// fits reports whether the count in the window that ends at now, plus n, is at
// most limit. In milliseconds and whole counts, so that there is no rounding.
func (b *bucket) fits(now time.Time, period time.Duration, n, limit int64) bool {
	p := period.Milliseconds()
	passed := min(max(0, now.UnixMilli()-b.n*p), p)
	return b.prev*(p-passed)+(b.cur+n)*p <= limit*p
}
