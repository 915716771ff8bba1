package spf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strings"
	"sync"

	"mox/dns"
)

// zone is a resolver with records in memory, by lower-case name and type ("MX
// example.org"), that follows aliases and notes what it was asked. The value
// "TIMEOUT" is a failing lookup.
type zone struct {
	records  map[string][]string
	insecure map[string]bool // Keys whose answers are not authentic.

	mu      sync.Mutex
	queries []string
	voids   []string // Queries that found nothing.
}

var _ dns.Resolver = (*zone)(nil)

// newZone returns a zone with records in lines "name TYPE value".
func newZone(lines string) *zone {
	z := &zone{records: map[string][]string{}}
	for line := range strings.Lines(lines) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		typ, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
		z.add(name, typ, strings.TrimSpace(value))
	}
	return z
}

func (z *zone) add(name, typ, value string) {
	key := zoneKey(typ, name)
	z.records[key] = append(z.records[key], value)
}

func zoneKey(typ, name string) string {
	return typ + " " + strings.ToLower(strings.TrimSuffix(name, "."))
}

// lookup returns the values of records.
func (z *zone) lookup(ctx context.Context, typ, name string) ([]string, dns.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, dns.Result{}, fmt.Errorf("%w: %w", dns.ErrTemporary, err)
	}
	z.mu.Lock()
	z.queries = append(z.queries, typ+" "+name)
	z.mu.Unlock()
	// What the real resolver refuses.
	if _, err := netip.ParseAddr(name); err == nil || name == "" || strings.Contains(name, "..") || len(name) > 253 {
		return nil, dns.Result{}, dns.ErrInvalid
	}
	authentic := true
	asked := name
	for range 10 {
		key := zoneKey(typ, name)
		authentic = authentic && !z.insecure[key]
		l := z.records[key]
		if len(l) > 0 && l[0] == "TIMEOUT" || len(l) == 0 && z.records[zoneKey("TIMEOUT", name)] != nil {
			return nil, dns.Result{}, dns.ErrTemporary
		}
		if len(l) > 0 {
			return l, dns.Result{Authentic: authentic}, nil
		}
		alias := z.records[zoneKey("CNAME", name)]
		if alias == nil {
			z.mu.Lock()
			z.voids = append(z.voids, typ+" "+asked)
			z.mu.Unlock()
			return nil, dns.Result{Authentic: authentic}, dns.ErrNotFound
		}
		name = alias[0]
	}
	return nil, dns.Result{}, dns.ErrTemporary
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, dns.Result, error) {
	return z.lookup(ctx, "TXT", name)
}

func (z *zone) LookupMX(ctx context.Context, name string) (mxs []*net.MX, res dns.Result, err error) {
	l, res, err := z.lookup(ctx, "MX", name)
	for _, s := range l {
		var mx net.MX
		pref, host, _ := strings.Cut(s, " ")
		if _, err := fmt.Sscan(pref, &mx.Pref); err != nil {
			panic(fmt.Sprintf("mx record %q in test: %v", s, err))
		}
		mx.Host = strings.TrimSuffix(host, ".")
		if mx.Host == "" {
			mx.Host = "."
		}
		mxs = append(mxs, &mx)
	}
	sort.SliceStable(mxs, func(i, j int) bool { return mxs[i].Pref < mxs[j].Pref })
	return mxs, res, err
}

func (z *zone) LookupIP(ctx context.Context, network, host string) (ips []net.IP, res dns.Result, err error) {
	typ := map[string]string{"ip4": "A", "ip6": "AAAA"}[network]
	l, res, err := z.lookup(ctx, typ, host)
	for _, s := range l {
		ips = append(ips, net.ParseIP(s))
	}
	return ips, res, err
}

func (z *zone) LookupAddr(ctx context.Context, ip net.IP) ([]string, dns.Result, error) {
	a, _ := netip.AddrFromSlice(ip)
	return z.lookup(ctx, "PTR", reverseName(a.Unmap()))
}

// reverseName returns the name for PTR records of an address.
func reverseName(ip netip.Addr) string {
	labels := strings.Split(dotted(ip), ".")
	for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
		labels[i], labels[j] = labels[j], labels[i]
	}
	if ip.Is4() {
		return strings.Join(labels, ".") + ".in-addr.arpa"
	}
	return strings.Join(labels, ".") + ".ip6.arpa"
}

func (z *zone) LookupCNAME(context.Context, string) (string, dns.Result, error) {
	panic("not used")
}

func (z *zone) LookupNS(context.Context, string) ([]*net.NS, dns.Result, error) {
	panic("not used")
}

func (z *zone) LookupSRV(context.Context, string, string, string) ([]*net.SRV, dns.Result, error) {
	panic("not used")
}

func (z *zone) LookupTLSA(context.Context, int, string, string) ([]dns.TLSA, dns.Result, error) {
	panic("not used")
}
