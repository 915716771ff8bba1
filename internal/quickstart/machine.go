package quickstart

import (
	"context"
	"net"
	"net/netip"
	"os"

	"mox/internal/privsep"
)

// Machine is what the configuration is for.
type Machine interface {
	// Hostname returns what the system calls the machine.
	Hostname() (string, error)
	// Addresses returns the addresses of network interfaces that are up.
	Addresses() ([]netip.Addr, error)
	// Dial connects with TCP.
	Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// Listen listens for TCP connections.
	Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error)
	// Root reports whether we are root, who can give files to others.
	Root() bool
	// UserID returns the numbers of a user and its group, by name or number.
	UserID(name string) (uid, gid int, err error)
}

// System is the machine that runs this program.
type System struct{}

var _ Machine = System{}

// Hostname implements [Machine].
func (System) Hostname() (string, error) { return os.Hostname() }

// Addresses implements [Machine].
func (System) Addresses() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var l []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l = append(l, p.Addr().Unmap())
			}
		}
	}
	return l, nil
}

// Dial implements [Machine].
func (System) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr.String())
}

// Listen implements [Machine].
func (System) Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
}

// Root implements [Machine].
func (System) Root() bool { return os.Geteuid() == 0 }

// UserID implements [Machine].
func (System) UserID(name string) (uid, gid int, err error) {
	a, err := privsep.LookupAccount(name)
	return a.UID, a.GID, err
}
