//go:build linux

package netns

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// This is what all tests that make hosts rely on.
func TestHostsReachEachOtherAndNobodyElse(t *testing.T) {
	t.Parallel()
	Need(t)
	c := NewCable(t, "10.77.0.", "fd77::")
	a, b := c.Host(t, 1, 11), c.Host(t, 2)
	if a.IP4() != "10.77.0.1" || a.IP6() != "fd77::1" {
		t.Errorf("addresses %s and %s", a.IP4(), a.IP6())
	}
	l := a.Listen(t, net.JoinHostPort("fd77::11", "25"))
	nc, err := b.Dial(t, l.Addr().String())
	if err != nil {
		t.Fatalf("from host to host: %v", err)
	}
	if got := nc.RemoteAddr().String(); got != "[fd77::11]:25" {
		t.Errorf("connected to %s", got)
	}
	_ = nc.Close()
	for _, h := range []*Namespace{a.Namespace, b.Namespace, c.Namespace} {
		for _, addr := range []string{"192.0.2.1:25", "[2001:db8::1]:25", "8.8.8.8:53", "10.0.0.1:53"} {
			if nc, err := h.Dial(t, addr); err == nil {
				_ = nc.Close()
				t.Errorf("connected to %s", addr)
			} else if !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EADDRNOTAVAIL) {
				t.Errorf("%s: %v", addr, err)
			}
		}
	}
}
