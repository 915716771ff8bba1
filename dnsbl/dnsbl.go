package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"

	"mox/dns"
	"mox/internal/parallel"
)

// A Status says what a zone knows about an address.
type Status string

// Statuses of an address.
const (
	StatusPass      Status = "pass"      // Not listed.
	StatusListed    Status = "listed"    // Listed.
	StatusTemperror Status = "temperror" // The zone gives no answer that can be used.
)

// Causes of StatusTemperror besides those of package dns, to be matched with
// errors.Is.
var (
	// ErrRefused means that the operator of the list refuses to answer us.
	ErrRefused = errors.New("list refuses the query")

	// ErrAnswer means that the answer is no address in 127.0.0.0/8: the zone is no
	// list, or a resolver on the way makes up answers for names that do not exist.
	ErrAnswer = errors.New("answer is no listing code")

	// ErrName means that the zone name is too long for the addresses.
	ErrName = errors.New("name of zone is too long")
)

// A Result is what a zone says about an address.
type Result struct {
	Zone   dns.Domain
	Status Status

	// Codes are the listing codes, in 127.0.0.0/8, sorted. What they mean differs by
	// zone: each is a list, or its bits are (RFC 5782 §2.3).
	Codes []netip.Addr

	// Explanation is the text of the list's operator for a listing, printable ASCII, or
	// empty if there is none.
	Explanation string

	// Authentic is set if the answer was verified with DNSSEC.
	Authentic bool

	// Err is set for StatusTemperror.
	Err error
}

// Lookup asks one zone about an address. An IPv4 address may be in its form mapped to
// IPv6.
func Lookup(ctx context.Context, log *slog.Logger, resolver dns.Resolver, zone dns.Domain, ip net.IP) Result {
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	return lookupLog(ctx, log, resolver, zone, ip)
}

// LookupAll asks several zones about an address, at most MaxParallel at the same
// time and all before one deadline. Results are in the order of zones.
func LookupAll(ctx context.Context, log *slog.Logger, resolver dns.Resolver, zones []dns.Domain, ip net.IP) []Result {
	ctx, cancel := context.WithTimeout(ctx, LookupTimeout)
	defer cancel()
	results := make([]Result, len(zones))
	parallel.Do(len(zones), MaxParallel, func(i int) { results[i] = lookupLog(ctx, log, resolver, zones[i], ip) })
	return results
}

func lookupLog(ctx context.Context, log *slog.Logger, resolver dns.Resolver, zone dns.Domain, ip net.IP) Result {
	r := lookup(ctx, resolver, zone, ip)
	if log != nil {
		log.LogAttrs(ctx, slog.LevelDebug, "dnsbl lookup",
			slog.Any("zone", zone), slog.Any("ip", ip), slog.Any("status", r.Status), slog.Any("codes", r.Codes), slog.Any("err", r.Err))
	}
	return r
}

func lookup(ctx context.Context, resolver dns.Resolver, zone dns.Domain, ip net.IP) Result {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return Result{Zone: zone, Status: StatusTemperror, Err: errors.New("address is missing")}
	}
	r, name := ask(ctx, resolver, zone, a.Unmap())
	if r.Status == StatusListed {
		r.Explanation = explanation(ctx, resolver, name)
	}
	return r
}

// ask looks up the entry of an address, which is not unmapped here: the test entries
// for IPv6 are for mapped ones.
func ask(ctx context.Context, resolver dns.Resolver, zone dns.Domain, ip netip.Addr) (Result, string) {
	r := Result{Zone: zone}
	name := reversed(ip) + "." + zone.ASCII
	if zone.IsZero() || len(name) > dns.MaxNameLen {
		r.Status, r.Err = StatusTemperror, fmt.Errorf("%w: %s", ErrName, zone)
		return r, name
	}
	ips, res, err := resolver.LookupIP(ctx, "ip4", name)
	r.Authentic = res.Authentic
	switch {
	case errors.Is(err, dns.ErrNotFound):
		r.Status = StatusPass
	case err != nil:
		r.Status, r.Err = StatusTemperror, err
	default:
		r.Codes, r.Err = codes(ips)
		r.Status = StatusListed
		if r.Err != nil {
			r.Status, r.Err = StatusTemperror, fmt.Errorf("zone %s: %w", zone, r.Err)
		}
	}
	return r, name
}

var (
	listingCodes = netip.MustParsePrefix("127.0.0.0/8")
	refusalCodes = netip.MustParsePrefix("127.255.255.0/24")
)

// refusals are what large lists mean with the last byte of a refusal.
var refusals = map[byte]string{
	252: "the name of the zone is misspelled",
	254: "it was asked through a public resolver",
	255: "too many queries",
}

// codes returns the listing codes in an answer. If there is none, the error says why.
func codes(ips []net.IP) (l []netip.Addr, err error) {
	err = ErrAnswer
	for _, ip := range ips {
		a, _ := netip.AddrFromSlice(ip)
		a = a.Unmap()
		switch {
		case refusalCodes.Contains(a):
			why := refusals[a.As4()[3]]
			if why == "" {
				why = "the operator gives no reason that is known"
			}
			err = fmt.Errorf("%w with %s: %s", ErrRefused, a, why)
		case listingCodes.Contains(a):
			l = append(l, a)
		case err == ErrAnswer:
			err = fmt.Errorf("%w: %s", ErrAnswer, ip)
		}
	}
	if len(l) == 0 {
		return nil, err
	}
	slices.SortFunc(l, netip.Addr.Compare)
	l = slices.Compact(l)
	return l[:min(len(l), MaxCodes)], nil
}

// explanation returns the texts for an entry. That there is none, or that the lookup
// fails, makes no difference for the listing.
func explanation(ctx context.Context, resolver dns.Resolver, name string) string {
	txts, _, err := resolver.LookupTXT(ctx, name)
	if err != nil {
		return ""
	}
	slices.Sort(txts)
	var b strings.Builder
	for i, txt := range slices.Compact(txts) {
		if i > 0 {
			b.WriteString("; ")
		}
		for _, c := range []byte(txt[:min(len(txt), MaxExplanation)]) {
			if c < ' ' || c >= 0x7f {
				c = '?'
			}
			b.WriteByte(c)
		}
		if b.Len() > MaxExplanation {
			return b.String()[:MaxExplanation]
		}
	}
	return b.String()
}

// reversed returns the labels of an entry: the bytes of an IPv4 address in reverse,
// or the nibbles of an IPv6 address, RFC 5782 §2.1 and §2.4.
func reversed(ip netip.Addr) string {
	b := ip.AsSlice()
	l := make([]string, 0, 2*len(b))
	for _, c := range slices.Backward(b) {
		if ip.Is4() {
			l = append(l, fmt.Sprintf("%d", c))
		} else {
			l = append(l, fmt.Sprintf("%x.%x", c&0xf, c>>4))
		}
	}
	return strings.Join(l, ".")
}
