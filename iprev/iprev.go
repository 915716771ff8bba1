package iprev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"

	"mox/dns"
)

// A Status is the result of a check, in the words of RFC 8601 §2.7.3.
type Status string

// Results, RFC 8601 §2.7.3.
const (
	StatusPass      Status = "pass"      // A name has the address.
	StatusFail      Status = "fail"      // There are names, none of which has the address.
	StatusTemperror Status = "temperror" // A lookup failed in a way that may pass.
	StatusPermerror Status = "permerror" // The address has no name.
)

// A Result is what came of a check.
type Result struct {
	Status Status

	// Name is the first name that has the address. It is zero unless Status is
	// StatusPass.
	Name dns.Domain

	// Names are those that the address has, at most MaxNames of them, less any that are
	// not well-formed.
	Names []dns.Domain

	// Authentic is set if all answers that Status follows from were verified with
	// DNSSEC.
	Authentic bool

	// Err says why the status is not StatusPass. For StatusTemperror it matches the
	// error of the lookup.
	Err error
}

// Causes of results, to be matched with errors.Is.
var (
	ErrNoName  = errors.New("address has no name")
	ErrNoMatch = errors.New("no name of the address has the address")
)

// Check looks up the names of an address and the addresses of those until one is the
// same. An IPv4 address may be in its form mapped to IPv6.
func Check(ctx context.Context, log *slog.Logger, resolver dns.Resolver, ip net.IP) Result {
	ctx, cancel := context.WithTimeout(ctx, CheckTimeout)
	defer cancel()
	r := check(ctx, resolver, ip)
	if log != nil {
		log.LogAttrs(ctx, slog.LevelDebug, "iprev check",
			slog.Any("ip", ip), slog.Any("status", r.Status), slog.Any("name", r.Name), slog.Bool("authentic", r.Authentic), slog.Any("err", r.Err))
	}
	return r
}

func check(ctx context.Context, resolver dns.Resolver, ip net.IP) Result {
	network := "ip6"
	if ip4 := ip.To4(); ip4 != nil {
		ip, network = ip4, "ip4"
	}
	texts, res, err := resolver.LookupAddr(ctx, ip)
	r := Result{Authentic: res.Authentic}
	switch {
	case err == nil && len(texts) > 0:
	case err == nil, isAbsent(err):
		r.Status, r.Err = StatusPermerror, fmt.Errorf("%w: %s", ErrNoName, ip)
		return r
	default:
		r.Status, r.Err = StatusTemperror, err
		return r
	}
	for _, text := range texts[:min(len(texts), MaxNames)] {
		if name, err := dns.ParseDomainLax(text); err == nil {
			r.Names = append(r.Names, name)
		}
	}
	authentic := res.Authentic
	var failed error // The first lookup that failed. Another name may still match.
	for _, name := range r.Names {
		ips, res, err := resolver.LookupIP(ctx, network, name.ASCII)
		if slices.ContainsFunc(ips, ip.Equal) {
			// What other names have makes no difference then.
			r.Status, r.Name, r.Authentic = StatusPass, name, authentic && res.Authentic
			return r
		}
		if err != nil && !isAbsent(err) && failed == nil {
			failed = err
		}
		r.Authentic = r.Authentic && res.Authentic
	}
	if failed != nil {
		r.Status, r.Err = StatusTemperror, failed
		return r
	}
	r.Status, r.Err = StatusFail, fmt.Errorf("%w: %s", ErrNoMatch, ip)
	return r
}

// isAbsent reports whether an error of a lookup says that there are no records that
// can be used.
func isAbsent(err error) bool {
	return errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrInvalid)
}
