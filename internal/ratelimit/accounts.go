package ratelimit

import (
	"crypto/sha256"
	"sync"
	"time"
)

// An AccountWindow limits the count in any period of a length.
type AccountWindow struct {
	Period time.Duration // At least a millisecond.
	Limit  int
}

// AccountOptions are for [NewAccounts].
type AccountOptions struct {
	Windows []AccountWindow
	MaxKeys int // Names to remember. Zero is MaxKeys.
}

// An Accounts limiter counts per name, such as of an account or a login address,
// in windows of time.
type Accounts struct {
	limits []int64 // Per window.

	mu     sync.Mutex // Guards counts.
	counts *counts[string]
}

// NewAccounts returns a limiter.
func NewAccounts(opts AccountOptions) *Accounts {
	if opts.MaxKeys == 0 {
		opts.MaxKeys = MaxKeys
	}
	a := &Accounts{}
	var periods []time.Duration
	for _, w := range opts.Windows {
		periods = append(periods, w.Period)
		a.limits = append(a.limits, int64(w.Limit))
	}
	a.counts = newCounts[string](periods, opts.MaxKeys)
	return a
}

// maxNameLen is the length up to which names are kept as they are. Names come
// from peers, so longer ones are kept as a hash.
const maxNameLen = 64

func nameKey(name string) string {
	if len(name) <= maxNameLen {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "sha256:" + string(sum[:])
}

// Add counts n for a name and returns true, if that stays within all limits.
// Otherwise it counts nothing and returns false.
func (a *Accounts) Add(name string, now time.Time, n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	name = nameKey(name)
	if !a.counts.fits(name, now, int64(n), a.limits) {
		return false
	}
	a.counts.add(name, now, int64(n))
	return true
}

// CanAdd reports what Add would return, and counts nothing.
func (a *Accounts) CanAdd(name string, now time.Time, n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts.fits(nameKey(name), now, int64(n), a.limits)
}

// Reset forgets what was counted for a name.
func (a *Accounts) Reset(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.remove(nameKey(name))
}
