package dns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	// DefaultCacheAge is for how long a [Cache] uses an answer.
	DefaultCacheAge = 30 * time.Second

	// maxCached is how many answers a Cache has.
	maxCached = 10_000
)

// A Cache is a [Resolver] that remembers answers for a moment, so that those who ask the
// same many times in a row, as for the messages of a run, do not ask a server each time.
// That no record exists is remembered too, other errors are not. An answer is not used
// for longer than its TTL. What is returned must not be changed.
type Cache struct {
	Resolver
	age time.Duration

	mu      sync.Mutex // Guards answers.
	answers map[string]cached
}

// cached is an answer. Value has the type that the lookup returns.
type cached struct {
	until time.Time
	value any
	res   Result
	err   error
}

// NewCache returns a cache. Age is the longest time for which an answer is used, zero for
// DefaultCacheAge.
func NewCache(r Resolver, age time.Duration) *Cache {
	if age == 0 {
		age = DefaultCacheAge
	}
	return &Cache{Resolver: r, age: age, answers: map[string]cached{}}
}

// LookupTXT implements [Resolver].
func (c *Cache) LookupTXT(ctx context.Context, name string) ([]string, Result, error) {
	return cache(c, "txt "+name, func() ([]string, Result, error) { return c.Resolver.LookupTXT(ctx, name) })
}

// LookupMX implements [Resolver].
func (c *Cache) LookupMX(ctx context.Context, name string) ([]*net.MX, Result, error) {
	return cache(c, "mx "+name, func() ([]*net.MX, Result, error) { return c.Resolver.LookupMX(ctx, name) })
}

// LookupIP implements [Resolver].
func (c *Cache) LookupIP(ctx context.Context, network, host string) ([]net.IP, Result, error) {
	return cache(c, network+" "+host, func() ([]net.IP, Result, error) { return c.Resolver.LookupIP(ctx, network, host) })
}

// LookupCNAME implements [Resolver].
func (c *Cache) LookupCNAME(ctx context.Context, host string) (string, Result, error) {
	return cache(c, "cname "+host, func() (string, Result, error) { return c.Resolver.LookupCNAME(ctx, host) })
}

// LookupTLSA implements [Resolver].
func (c *Cache) LookupTLSA(ctx context.Context, port int, proto, host string) ([]TLSA, Result, error) {
	return cache(c, fmt.Sprintf("tlsa %d %s %s", port, proto, host), func() ([]TLSA, Result, error) {
		return c.Resolver.LookupTLSA(ctx, port, proto, host)
	})
}

// cache returns the answer to a question from the cache, or that of lookup.
func cache[T any](c *Cache, question string, lookup func() (T, Result, error)) (T, Result, error) {
	question = strings.ToLower(question)
	start := time.Now()
	c.mu.Lock()
	a, ok := c.answers[question]
	c.mu.Unlock()
	if ok && start.Before(a.until) {
		return a.value.(T), a.res, a.err
	}
	value, res, err := lookup()
	if res.TTL > 0 && (err == nil || errors.Is(err, ErrNotFound)) {
		c.add(question, cached{start.Add(min(c.age, res.TTL)), value, res, err}, start)
	}
	return value, res, err
}

// add adds an answer, and forgets others if there are too many.
func (c *Cache) add(question string, a cached, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.answers) >= maxCached {
		maps.DeleteFunc(c.answers, func(_ string, old cached) bool { return now.After(old.until) })
	}
	if len(c.answers) >= maxCached {
		clear(c.answers)
	}
	c.answers[question] = a
}
