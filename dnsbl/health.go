package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"mox/dns"
	"mox/internal/parallel"
)

// ErrUnhealthy is matched by errors in [Health] for zones that do not have the test
// entries of a list. They may have been shut down, and list the whole world, or
// nobody.
var ErrUnhealthy = errors.New("zone does not work as a list")

// Health says whether a zone works as a list for addresses of each IP version, RFC
// 5782 §5. Nil is healthy. Errors that do not match [ErrUnhealthy] mean that it could
// not be found out: those of package dns, and [ErrRefused].
//
// Many lists have IPv4 addresses only, and are unhealthy for IPv6.
type Health struct {
	IPv4, IPv6 error
}

// For returns the error for addresses of the same IP version as ip.
func (h Health) For(ip net.IP) error {
	if ip.To4() != nil {
		return h.IPv4
	}
	return h.IPv6
}

// testEntries are addresses that a list must have, or must not, RFC 5782 §5.
var testEntries = [4]struct {
	ip     netip.Addr
	listed bool
}{
	{netip.MustParseAddr("127.0.0.1"), false},
	{netip.MustParseAddr("127.0.0.2"), true},
	{netip.MustParseAddr("::ffff:127.0.0.1"), false},
	{netip.MustParseAddr("::ffff:127.0.0.2"), true},
}

// CheckHealth looks up the test entries of a zone.
func CheckHealth(ctx context.Context, log *slog.Logger, resolver dns.Resolver, zone dns.Domain) Health {
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	var errs [len(testEntries)]error
	parallel.Do(len(testEntries), len(testEntries), func(i int) {
		entry := testEntries[i]
		r, _ := ask(ctx, resolver, zone, entry.ip)
		switch {
		case errors.Is(r.Err, ErrAnswer):
			errs[i] = fmt.Errorf("%w: test entry %s: %w", ErrUnhealthy, entry.ip, r.Err)
		case r.Err != nil:
			errs[i] = r.Err
		case entry.listed && r.Status != StatusListed:
			errs[i] = fmt.Errorf("%w: test entry %s is not listed", ErrUnhealthy, entry.ip)
		case !entry.listed && r.Status == StatusListed:
			errs[i] = fmt.Errorf("%w: test entry %s is listed", ErrUnhealthy, entry.ip)
		}
	})
	h := Health{IPv4: worse(errs[0], errs[1]), IPv6: worse(errs[2], errs[3])}
	if log != nil {
		log.LogAttrs(ctx, slog.LevelDebug, "dnsbl health", slog.Any("zone", zone), slog.Any("ipv4", h.IPv4), slog.Any("ipv6", h.IPv6))
	}
	return h
}

// worse returns the error that says more: that an entry is wrong is known for sure.
func worse(a, b error) error {
	if a == nil || errors.Is(b, ErrUnhealthy) && !errors.Is(a, ErrUnhealthy) {
		return b
	}
	return a
}
