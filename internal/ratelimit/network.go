package ratelimit

import (
	"net"
	"net/netip"
)

// classes is the number of sizes of networks that are counted.
const classes = 3

// Bits of the networks, from narrow to wide.
var (
	bits4 = [classes]int{32, 26, 21}
	bits6 = [classes]int{64, 48, 32}
)

// Limits are for networks from narrow to wide.
type Limits [classes]int

// Factors returns limits that are n for the narrowest network, and three and nine
// times that for the wider ones.
func Factors(n int) Limits {
	return Limits{n, 3 * n, 9 * n}
}

// networks returns the networks that ip is in, from narrow to wide. It returns
// false for an address that is not valid, which is that of a connection without
// IP.
func networks(ip netip.Addr) ([classes]netip.Prefix, bool) {
	var l [classes]netip.Prefix
	if !ip.IsValid() {
		return l, false
	}
	ip = ip.Unmap().WithZone("")
	bits := bits6
	if ip.Is4() {
		bits = bits4
	}
	for i, n := range bits {
		l[i] = netip.PrefixFrom(ip, n).Masked()
	}
	return l, true
}

// exempt reports whether ip is in one of the networks.
func exempt(ip netip.Addr, nets []netip.Prefix) bool {
	ip = ip.Unmap().WithZone("")
	for _, n := range nets {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// RemoteIP returns the IP address of the remote side of a connection, from
// net.Conn.RemoteAddr. It returns the zero Addr, which no limiter limits, if it
// has none, such as a unix socket.
func RemoteIP(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.IPAddr:
		ip, _ := netip.AddrFromSlice(a.IP)
		return ip.Unmap()
	}
	return netip.Addr{}
}
