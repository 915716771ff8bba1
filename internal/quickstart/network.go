package quickstart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mox/dns"
	"mox/internal/admin"
)

const (
	// dnsTime is how long the lookups may take together that all else depends on.
	dnsTime = 20 * time.Second
	// guessedLabel is that of the machine in the domain, when it has no other name.
	guessedLabel = "mail"
)

// network is where the server is reached.
type network struct {
	hostname dns.Domain
	local    []netip.Addr // Of this machine, without loopback and link-local ones.
	host     []netip.Addr // Of the hostname, in DNS.
	signed   bool         // The addresses of the hostname are, with DNSSEC.

	listen []netip.Addr // To listen on.
	nat    []netip.Addr // At which others reach us, and which are not of this machine.
}

// public returns the addresses at which others reach us.
func (n network) public() []netip.Addr {
	l := slices.Clone(n.nat)
	for _, a := range n.listen {
		if isPublic(a) {
			l = append(l, a)
		}
	}
	sortAddrs(l)
	return l
}

func isPublic(a netip.Addr) bool { return a.IsGlobalUnicast() && !a.IsPrivate() }

func sortAddrs(l []netip.Addr) {
	slices.SortFunc(l, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(a.BitLen(), b.BitLen()), a.Compare(b)) })
}

func only(l []netip.Addr, keep func(netip.Addr) bool) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(l), func(a netip.Addr) bool { return !keep(a) })
}

// dnssec checks that lookups work, and that signatures are verified. An error is that
// they do not work.
func (q *quickstart) dnssec(ctx context.Context) error {
	// A name that is signed, and known to each resolver. If it is not there, as in a
	// network without a way out, that is signed as well.
	_, r, err := q.opts.Resolver.LookupNS(ctx, "com.")
	switch {
	case err != nil && !errors.Is(err, dns.ErrNotFound):
		return fmt.Errorf("DNS does not work on this machine: %w. Check /etc/resolv.conf, and that the network is up", err)
	case !r.Authentic:
		q.add("DNSSEC", admin.Warning, `the DNS resolver does not verify signatures (DNSSEC), or is not trusted to. Without that the server cannot see whom it delivers mail to (DANE), and others who change answers of DNS can get your mail. Install a resolver on this machine, such as with "apt-get install unbound", and let /etc/resolv.conf have only "nameserver 127.0.0.1" and "options trust-ad"; or name a resolver with the flag -dns`)
	default:
		q.add("DNSSEC", admin.OK, "the DNS resolver verifies signatures")
	}
	return nil
}

// findHostname finds the name of the machine.
func (q *quickstart) findHostname(ctx context.Context) error {
	if q.opts.Hostname != "" {
		d, err := dns.ParseDomain(strings.TrimSuffix(q.opts.Hostname, "."))
		if err != nil {
			return fmt.Errorf("hostname %q: %w", q.opts.Hostname, err)
		}
		q.net.hostname = d
		return nil
	}
	if name, err := q.opts.Machine.Hostname(); err == nil {
		if d, err := dns.ParseDomain(strings.TrimSuffix(name, ".")); err == nil && isWorldName(d) {
			q.net.hostname = d
			q.add("HOST", admin.OK, "this machine is called %s", d)
			return nil
		}
	}
	var names []dns.Domain
	for _, ip := range only(q.net.local, isPublic) {
		l, _, err := q.opts.Resolver.LookupAddr(ctx, ip.AsSlice())
		if err != nil {
			continue // Told later.
		}
		for _, name := range l {
			if d, err := dns.ParseDomain(name); err == nil && !slices.Contains(names, d) {
				names = append(names, d)
			}
		}
	}
	slices.SortFunc(names, func(a, b dns.Domain) int { return strings.Compare(a.ASCII, b.ASCII) })
	switch {
	case len(names) == 0:
		d, err := dns.ParseDomain(guessedLabel + "." + q.addr.Domain.ASCII)
		if err != nil {
			return err
		}
		q.net.hostname = d
		q.add("HOST", admin.Warning, "this machine has no complete name, and its addresses have no reverse name: %s is taken as its name. Use the flag -hostname for another", d)
	case len(names) > 1:
		q.net.hostname = names[0]
		q.add("HOST", admin.Warning, "the addresses of this machine have several reverse names, of which %s is taken. Use the flag -hostname for another", names[0])
	default:
		q.net.hostname = names[0]
		q.add("HOST", admin.OK, "this machine is called %s, by the reverse name of its address", names[0])
	}
	return nil
}

// isWorldName reports whether a name can be one that others know.
func isWorldName(d dns.Domain) bool {
	first, last, ok := strings.Cut(d.ASCII, ".")
	if !ok || first == "localhost" {
		return false
	}
	last = last[strings.LastIndexByte(last, '.')+1:]
	return !slices.Contains([]string{"local", "localdomain", "localhost", "internal", "lan", "home", "arpa"}, last)
}

// findLocal finds the addresses of this machine.
func (q *quickstart) findLocal() error {
	l, err := q.opts.Machine.Addresses()
	if err != nil {
		return fmt.Errorf("addresses of this machine: %w", err)
	}
	q.net.local = only(l, netip.Addr.IsGlobalUnicast)
	sortAddrs(q.net.local)
	q.loopback = only(l, netip.Addr.IsLoopback)
	sortAddrs(q.loopback)
	return nil
}

// findHost looks up the addresses of the hostname.
func (q *quickstart) findHost(ctx context.Context) error {
	h := q.net.hostname
	ips, r, err := q.opts.Resolver.LookupIP(ctx, "ip", h.ASCII+".")
	if err != nil && !errors.Is(err, dns.ErrNotFound) {
		return fmt.Errorf("looking up the addresses of %s: %w", h, err)
	}
	loopback := false
	for _, ip := range ips {
		a, _ := netip.AddrFromSlice(ip)
		if a = a.Unmap(); a.IsLoopback() {
			loopback = true
			continue
		}
		q.net.host = append(q.net.host, a)
	}
	sortAddrs(q.net.host)
	q.net.signed = r.Authentic && len(q.net.host) > 0 && !loopback
	if loopback {
		q.add("HOST", admin.Warning, "%s leads to a loopback address, at which nobody else reaches it, probably because of a line in /etc/hosts: remove it there", h)
	}
	switch {
	case len(q.net.host) == 0:
		q.add("HOST", admin.Warning, "%s has no address in DNS that others can reach. If that is the name you want for this machine, add A and AAAA records for it, as below; otherwise use the flag -hostname", h)
	case !q.net.signed:
		q.add("HOST", admin.Warning, "the records of %s in DNS are not signed (DNSSEC), so other servers cannot verify this one (DANE). Turn on DNSSEC for the domain at your DNS provider if you can", h)
	default:
		q.add("HOST", admin.OK, "%s is at %s, and that is signed", h, join(q.net.host))
	}
	return nil
}

// chooseAddresses decides which addresses to listen on.
func (q *quickstart) chooseAddresses() {
	n := &q.net
	isLocal := func(a netip.Addr) bool { return slices.Contains(n.local, a) }
	private := only(n.local, netip.Addr.IsPrivate)
	n.nat = only(n.host, func(a netip.Addr) bool { return !isLocal(a) })
	// Behind NAT, mail comes in at a private address of the same family, if that is known.
	behind := only(private, func(a netip.Addr) bool {
		return slices.ContainsFunc(n.nat, func(b netip.Addr) bool { return a.BitLen() == b.BitLen() })
	})
	direct := only(n.host, isLocal)
	switch {
	case len(q.opts.Proxies) > 0:
		n.listen = slices.Concat(private, direct)
		if len(n.listen) == 0 {
			n.listen = n.local
		}
		q.add("ADDRESSES", admin.OK, "proxies at %s connect to %s, and tell who the client is with the PROXY protocol", join(q.opts.Proxies), join(n.listen))
	case len(n.nat) > 0 && len(behind) > 0:
		n.listen = slices.Concat(direct, behind)
		q.add("ADDRESSES", admin.Warning, "%s is not an address of this machine, so it seems to be behind a router that translates addresses (NAT), and listens at %s. The router must forward ports 25, 465, 993, 443 and 80 to it, with the addresses of clients unchanged: spam cannot be told from other mail otherwise", join(n.nat), join(n.listen))
	case len(n.nat) > 0 && len(direct) == 0:
		n.listen = only(n.local, isPublic)
		q.add("ADDRESSES", admin.Failure, "%s is at %s, which is not an address of this machine: mail goes elsewhere until the records are changed, or use the flag -hostname", n.hostname, join(n.nat))
		n.nat = nil
	case len(n.host) > 0:
		n.listen = direct
		if len(n.nat) > 0 {
			q.add("ADDRESSES", admin.Failure, "%s is at %s too, which is not an address of this machine: remove that record", n.hostname, join(n.nat))
			n.nat = nil
		}
	default:
		n.listen = only(n.local, isPublic)
	}
	if len(n.listen) == 0 && len(private) > 0 {
		n.listen = private
		q.add("ADDRESSES", admin.Warning, "this machine has private addresses only, so it is behind a router that translates addresses (NAT). Write its public addresses to NATIPs of listener public in mox.conf, or remove the new files and run this again when %s has its address in DNS", n.hostname)
	}
	if len(n.listen) == 0 {
		n.listen = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
		q.add("ADDRESSES", admin.Warning, "no addresses of this machine were found: it listens on all it may get, which can fail because services for this machine only are on the same ports. Write its addresses to IPs of listener public in mox.conf")
	}
	slices.SortFunc(n.listen, netip.Addr.Compare)
	n.listen = slices.Compact(n.listen)
	sortAddrs(n.listen)
}

// join returns what can be printed, in a list for a sentence.
func join[T fmt.Stringer](l []T) string {
	var s []string
	for _, v := range l {
		s = append(s, v.String())
	}
	return strings.Join(s, ", ")
}
