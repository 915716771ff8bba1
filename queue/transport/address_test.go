package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/testkit"
)

func addrs(s string) (l []netip.Addr) {
	for f := range strings.FieldsSeq(s) {
		l = append(l, netip.MustParseAddr(f))
	}
	return l
}

func TestOrderOfAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, ips, dialed, want string }{
		{"first attempt", "10.0.0.1 10.0.0.2 ::1 ::2", "", "10.0.0.1 10.0.0.2 ::1 ::2"},
		{"first attempt, other order of families", "::1 ::2 10.0.0.1", "", "::1 ::2 10.0.0.1"},
		{"the other family", "10.0.0.1 10.0.0.2 ::1 ::2", "10.0.0.1", "::1 ::2 10.0.0.1 10.0.0.2"},
		{"second time in a family prefers the same", "10.0.0.1 10.0.0.2 ::1 ::2", "10.0.0.2 ::1", "10.0.0.2 10.0.0.1 ::1 ::2"},
		{"third time prefers others", "10.0.0.1 10.0.0.2 ::1 ::2", "10.0.0.1 ::1 10.0.0.1 ::1", "10.0.0.2 10.0.0.1 ::2 ::1"},
		{"one family", "10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.2", "10.0.0.2 10.0.0.1 10.0.0.3"},
		{"one family, third time", "10.0.0.1 10.0.0.2 10.0.0.3", "10.0.0.2 10.0.0.2", "10.0.0.1 10.0.0.3 10.0.0.2"},
		{"what was used is gone", "10.0.0.1 10.0.0.2", "10.0.0.9", "10.0.0.1 10.0.0.2"},
		{"its family is gone", "10.0.0.1 10.0.0.2", "::1", "10.0.0.1 10.0.0.2"},
		{"each once", "10.0.0.1 10.0.0.1 ::1 ::1", "", "10.0.0.1 ::1"},
		{"both families have a part", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 ::1 ::2", "", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 ::1 ::2"},
		{"many of both", "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 ::1 ::2 ::3 ::4 ::5", "", "10.0.0.1 10.0.0.2 10.0.0.3 ::1 ::2 ::3"},
		{"few of one and many of the other", "10.0.0.1 ::1 ::2 ::3 ::4 ::5 ::6", "", "10.0.0.1 ::1 ::2 ::3 ::4 ::5"},
		{"none", "", "::1", ""},
	}
	for _, tc := range tests {
		got := fmt.Sprint(orderAddresses(addrs(tc.ips), addrs(tc.dialed), MaxAddresses))
		if want := fmt.Sprint(addrs(tc.want)); got != want {
			t.Errorf("%s: got %s, want %s", tc.name, got, want)
		}
	}
}

func TestUsableAddresses(t *testing.T) {
	t.Parallel()
	ips := []net.IP{net.ParseIP("10.0.0.1"), net.ParseIP("::1"), net.IPv4(10, 0, 0, 2).To4(), {1, 2, 3}}
	for _, tc := range []struct {
		n    Network
		want string
	}{
		{Network{}, "[10.0.0.1 ::1 10.0.0.2]"},
		{Network{DisableIPv4: true}, "[::1]"},
		{Network{DisableIPv6: true}, "[10.0.0.1 10.0.0.2]"},
		{Network{DisableIPv4: true, DisableIPv6: true}, "[]"},
	} {
		if got := fmt.Sprint(tc.n.usable(ips)); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
}

func TestLocalAddressIsUsedIfThereIsOneOfTheFamily(t *testing.T) {
	t.Parallel()
	tests := []struct{ local, remote, want string }{
		{"10.0.0.1", "10.9.9.9", "10.0.0.1:0"},
		{"10.0.0.1 10.0.0.1", "10.9.9.9", "10.0.0.1:0"},
		{"10.0.0.1 10.0.0.2", "10.9.9.9", "<nil>"},
		{"10.0.0.1 ::1", "10.9.9.9", "10.0.0.1:0"},
		{"10.0.0.1 ::1", "::9", "[::1]:0"},
		{"10.0.0.1", "::9", "<nil>"},
		{"0.0.0.0", "10.9.9.9", "<nil>"},
		{"", "10.9.9.9", "<nil>"},
	}
	for _, tc := range tests {
		n := Network{LocalIPs: addrs(tc.local)}
		if got := fmt.Sprint(n.localAddress(netip.MustParseAddr(tc.remote))); got != tc.want {
			t.Errorf("local %q, remote %s: got %s, want %s", tc.local, tc.remote, got, tc.want)
		}
	}
	mx := serve(t, serverSetup{})
	w := newWorld(t, testkit.DNSOptions{Zone: "one.example A " + mx.ip.String()}, func(o *DirectOptions) { o.LocalIPs = addrs("127.66.0.7 ::1") })
	w.want("250", w.delivery("a@one.example"))
	if got := mx.got()[0].remote.String(); got != "127.66.0.7" {
		t.Errorf("connected from %s", got)
	}
}

// hangingDialer never connects.
type hangingDialer struct {
	mu     sync.Mutex
	dialed []string
}

func (d *hangingDialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	d.mu.Lock()
	d.dialed = append(d.dialed, address)
	d.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTimeForConnectingIsSharedByAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &hangingDialer{}
		pool := NewPool(PoolOptions{})
		tr := NewDirect(DirectOptions{Network: Network{Pool: pool, Dialer: d, Hostname: newHostname(t)}})
		w := &world{t: t, direct: tr}
		start := time.Now()
		w.want("error", w.delivery("a@[127.0.0.1]"))
		if took := time.Since(start); took != DialTimeout || len(d.dialed) != 1 {
			t.Errorf("took %v for %s", took, d.dialed)
		}
		// With several addresses.
		a := &directAttempt{attempt: newAttempt(&tr.opts.Network, w.delivery("a@one.example")), t: tr}
		start = time.Now()
		if err := a.host(t.Context(), target{host: newHostname(t), ips: addrs("10.0.0.1 10.0.0.2 ::1 ::2"), budget: budget(DialTimeout)}); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != DialTimeout || len(d.dialed) != 5 || !errors.Is(a.finish()[0].Err, context.DeadlineExceeded) {
			t.Errorf("took %v for %s: %v", took, d.dialed, a.results[0].Err)
		}
		// And after slow lookups each still has a moment.
		start = time.Now()
		if err := a.host(t.Context(), target{host: newHostname(t), ips: addrs("10.0.0.1 10.0.0.2"), budget: -1}); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 2*minDial {
			t.Errorf("took %v", took)
		}
	})
}

// dualPort returns a port that is free on an address of each family.
func dualPort(t *testing.T) int {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		testkit.Missing(t, "no IPv6 on loopback: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestIPv6Only(t *testing.T) {
	t.Parallel()
	port := dualPort(t)
	mx := serve(t, serverSetup{ip: "::1", port: port})
	w := newWorld(t, testkit.DNSOptions{Zone: "one.example MX 10 mx.one.example\nmx.one.example AAAA ::1\n"}, func(o *DirectOptions) { o.Port = port })
	if r := w.want("250", w.delivery("a@one.example")); r.IP != mx.ip {
		t.Errorf("delivered to %s", r.IP)
	}
	w.want("250", w.delivery("a@[IPv6:::1]"))
}

func TestPolicyOfOneFamily(t *testing.T) {
	t.Parallel()
	port := dualPort(t)
	refuse := func(reply string) func(*session, string) string {
		return func(_ *session, c string) string {
			if strings.HasPrefix(c, "RCPT") {
				return reply
			}
			return ""
		}
	}
	six := serve(t, serverSetup{ip: "::1", port: port, hook: refuse("550 5.7.25 no reverse name")})
	four := serve(t, serverSetup{port: port})
	w := newWorld(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example AAAA ::1\nmx.one.example A %s\n", four.ip)},
		func(o *DirectOptions) { o.Port = port })
	d := w.delivery("a@one.example")
	w.direct.opts.Addresses.SetDialed(t.Context(), d.Base.ID, "mx.one.example", four.ip)
	// The first attempt is over IPv6, and what is refused there for good is tried again.
	r := w.want("450 4.7.25", d)
	if r.IP != six.ip || r.Code != 550 || r.Enhanced != "5.7.25" {
		t.Errorf("result %+v", r)
	}
	d.Messages[0].Attempts = 2
	if r := w.want("250", d); r.IP != four.ip {
		t.Errorf("delivered to %s", r.IP)
	}
	// The next time it counts.
	d = w.delivery("a@one.example")
	w.direct.opts.Addresses.SetDialed(t.Context(), d.Base.ID, "mx.one.example", four.ip)
	d.Messages[0].Attempts = 2
	w.want("550 5.7.25!", d)
	// As it does for hosts with one family only.
	w.dns.Set(t, testkit.DNSOptions{Zone: "one.example MX 10 mx6.one.example\nmx6.one.example AAAA ::1\n"})
	w.want("550 5.7.25!", w.delivery("a@one.example"))
}

func TestOneAddressOfTwoIsDead(t *testing.T) {
	t.Parallel()
	mx := serve(t, serverSetup{})
	w := newWorld(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example A %s\none.example A %s\n", newIP(), mx.ip)}, nil)
	for range 4 { // The order of answers may vary.
		w.want("250", w.delivery("a@one.example"))
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory[int, string](3)
	for i := range 5 {
		m.update(i, func(string) string { return fmt.Sprint(i) })
		if i >= 2 {
			m.update(2, func(s string) string { return s + "+" })
		}
	}
	for i, want := range []string{"", "", "2+++", "3", "4"} {
		if got := m.get(i); got != want {
			t.Errorf("%d: got %q, want %q", i, got, want)
		}
	}
	if m.order.Len() != 3 || len(m.byKey) != 3 {
		t.Errorf("%d and %d values", m.order.Len(), len(m.byKey))
	}
	a := NewAddressMemory()
	for i := range 20 {
		a.SetDialed(t.Context(), 1, "mx.example", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	if l := a.Dialed(t.Context(), 1, "mx.example"); len(l) != maxDialed || l[maxDialed-1].String() != "10.0.0.19" {
		t.Errorf("got %v", l)
	}
	if l := a.Dialed(t.Context(), 2, "mx.example"); len(l) != 0 {
		t.Errorf("got %v for another message", l)
	}
}

func TestTLSIsRememberedForSomeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, d := NewTLSMemory(), domain(t, "mx.example")
		if m.DidTLS(t.Context(), d) {
			t.Error("known before it was used")
		}
		m.SetTLS(t.Context(), d)
		time.Sleep(rememberTLS - time.Second)
		if !m.DidTLS(t.Context(), d) {
			t.Error("forgotten")
		}
		m.SetTLS(t.Context(), d)
		time.Sleep(rememberTLS - time.Second)
		if !m.DidTLS(t.Context(), d) {
			t.Error("forgotten though it was used")
		}
		time.Sleep(time.Second)
		if m.DidTLS(t.Context(), d) {
			t.Error("remembered for too long")
		}
	})
}
