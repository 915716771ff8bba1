package transport

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// orderAddresses returns the addresses of a host in the order in which to try them,
// at most max. Dialed are those of earlier attempts, the latest last.
//
// The family other than that of the last attempt comes first: reputation, routes
// and policies differ by family. Within a family, the address of the last attempt
// comes first the second time, for servers with greylisting want to see the same one
// again, and last the time after.
func orderAddresses(ips, dialed []netip.Addr, max int) []netip.Addr {
	family := func(l []netip.Addr, is4 bool) (r []netip.Addr) {
		for _, ip := range l {
			if ip.Is4() == is4 && !slices.Contains(r, ip) {
				r = append(r, ip)
			}
		}
		return r
	}
	if len(ips) == 0 {
		return nil
	}
	first4 := ips[0].Is4()
	if len(dialed) > 0 {
		first4 = !dialed[len(dialed)-1].Is4()
	}
	var lists [2][]netip.Addr
	for i, is4 := range []bool{first4, !first4} {
		lists[i] = orderFamily(family(ips, is4), dialed, is4)
	}
	// If not all can be tried, each family gets its part.
	room := max - min(len(lists[1]), max/2)
	first := lists[0][:min(len(lists[0]), room)]
	return append(slices.Clone(first), lists[1][:min(len(lists[1]), max-len(first))]...)
}

// orderFamily is orderAddresses for the addresses of one family.
func orderFamily(ips, dialed []netip.Addr, is4 bool) []netip.Addr {
	var last netip.Addr
	times := 0 // In a row.
	for _, ip := range slices.Backward(dialed) {
		if ip.Is4() != is4 {
			continue
		}
		if times == 0 {
			last = ip
		}
		if ip != last {
			break
		}
		times++
	}
	i := slices.Index(ips, last)
	if times == 0 || i < 0 {
		return ips
	}
	others := slices.Delete(slices.Clone(ips), i, i+1)
	if times%2 == 1 {
		return slices.Insert(others, 0, last)
	}
	return append(others, last)
}

// isDualStack reports whether there are addresses of both families.
func isDualStack(ips []netip.Addr) bool {
	return slices.ContainsFunc(ips, netip.Addr.Is4) && slices.ContainsFunc(ips, netip.Addr.Is6)
}

// A Dialer connects to an address with port. A *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// usable returns the addresses of the families that may be used.
func (n *Network) usable(ips []net.IP) []netip.Addr {
	var l []netip.Addr
	for _, ip := range ips {
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			continue
		}
		a = a.Unmap()
		if a.Is4() && !n.DisableIPv4 || a.Is6() && !n.DisableIPv6 {
			l = append(l, a)
		}
	}
	return l
}

// localAddress returns the address to connect from, if there is one configured, and
// just one, of the family of ip. Otherwise the system chooses.
func (n *Network) localAddress(ip netip.Addr) net.Addr {
	var local netip.Addr
	for _, a := range n.LocalIPs {
		a = a.Unmap()
		if a.Is4() != ip.Is4() || a.IsUnspecified() {
			continue
		}
		if local.IsValid() && local != a {
			return nil
		}
		local = a
	}
	if !local.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
}

// dial connects to an address.
func (n *Network) dial(ctx context.Context, addr netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if n.Dialer != nil {
		return n.Dialer.DialContext(ctx, "tcp", addr.String())
	}
	d := net.Dialer{LocalAddr: n.localAddress(addr.Addr())}
	return d.DialContext(ctx, "tcp", addr.String())
}

// A budget is the time for looking up a host and connecting to it. Only time spent
// on these counts.
type budget time.Duration

// share returns the part for the next of n addresses.
func (b *budget) share(n int) time.Duration {
	return max(minDial, time.Duration(*b)/time.Duration(max(n, 1)))
}

// spend takes time away.
func (b *budget) spend(d time.Duration) {
	*b -= budget(d)
}
