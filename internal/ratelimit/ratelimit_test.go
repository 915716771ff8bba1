package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// t0 is at the start of a minute and of a day.
var t0 = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestLimitsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		got  []Window
		want string
	}{
		{ConnectionWindows(), "[{1m0s [300 900 2700]}]"},
		{AuthFailureWindows(), "[{1m0s [10 30 90]} {24h0m0s [50 150 450]}]"},
		{RequestWindows(), "[{1m0s [1000 3000 9000]} {1h0m0s [5000 15000 45000]}]"},
	} {
		if got := fmt.Sprint(tc.got); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
	if Factors(OpenConnections) != (Limits{30, 90, 270}) {
		t.Error("open connections")
	}
}

func TestNetworksOfAnAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ ip, want string }{
		{"10.1.255.77", "[10.1.255.77/32 10.1.255.64/26 10.1.248.0/21]"},
		{"::ffff:10.1.255.77", "[10.1.255.77/32 10.1.255.64/26 10.1.248.0/21]"},
		{"2001:db8:1:2:3:4:5:6", "[2001:db8:1:2::/64 2001:db8:1::/48 2001:db8::/32]"},
		{"fe80::1%eth0", "[fe80::/64 fe80::/48 fe80::/32]"},
	} {
		l, ok := networks(ip(tc.ip))
		if got := fmt.Sprint(l); !ok || got != tc.want {
			t.Errorf("%s: %s, want %s", tc.ip, got, tc.want)
		}
	}
}

func TestAddIsRefusedByEachSizeOfNetwork(t *testing.T) {
	t.Parallel()
	l := New(Options{Windows: []Window{{time.Minute, Factors(2)}}}) // 2, 6, 18.
	add := func(s string, want bool) {
		t.Helper()
		if can := l.CanAdd(ip(s), t0, 1); can != want {
			t.Errorf("%s: CanAdd is %v, want %v", s, can, want)
		}
		if ok := l.Add(ip(s), t0, 1); ok != want {
			t.Errorf("%s: Add is %v, want %v", s, ok, want)
		}
	}
	add("10.0.0.1", true)
	add("10.0.0.1", true)
	add("10.0.0.1", false) // /32 is full.
	add("10.0.0.2", true)
	add("10.0.0.2", true)
	add("10.0.0.3", true)
	add("10.0.0.3", true)
	add("10.0.0.4", false) // /26 is full; refused ones do not count.
	add("10.0.0.64", true) // Another /26.
	for i := range 11 {
		add(fmt.Sprintf("10.0.1.%d", i*20), true)
	}
	add("10.0.2.1", false) // /21 is full.
	add("10.0.8.1", true)  // Another /21.

	add("2001:db8::1", true)
	add("2001:db8::2", true)
	add("2001:db8::3", false) // Addresses of one /64 count as one.
	add("2001:db8:0:1::1", true)
}

func TestAddOfSeveralCountsAllOrNothing(t *testing.T) {
	t.Parallel()
	l := New(Options{Windows: []Window{{time.Minute, Factors(10)}}})
	for _, tc := range []struct {
		n    int
		want bool
	}{{8, true}, {3, false}, {2, true}, {1, false}, {0, true}} {
		if got := l.Add(ip("10.0.0.1"), t0, tc.n); got != tc.want {
			t.Errorf("%d more: %v", tc.n, got)
		}
	}
}

func TestEachWindowLimits(t *testing.T) {
	t.Parallel()
	l := New(Options{Windows: []Window{{time.Minute, Factors(10)}, {time.Hour, Factors(15)}}})
	a := ip("10.0.0.1")
	if !l.Add(a, t0, 10) || l.Add(a, t0, 1) {
		t.Error("minute")
	}
	later := t0.Add(5 * time.Minute)
	if !l.Add(a, later, 5) || l.Add(a, later, 1) {
		t.Error("hour")
	}
	if !l.Add(a, t0.Add(3*time.Hour), 10) {
		t.Error("after the hour")
	}
}

func TestWindowsSlide(t *testing.T) {
	t.Parallel()
	l := New(Options{Windows: []Window{{time.Minute, Factors(100)}}})
	a := ip("10.0.0.1")
	if !l.Add(a, t0.Add(59*time.Second), 100) {
		t.Fatal("first burst")
	}
	// A second later is a new period; with fixed windows there would be another 100.
	if l.Add(a, t0.Add(60*time.Second), 1) {
		t.Error("a second burst at the edge")
	}
	// A quarter into it, a quarter of the previous count has left the window.
	if !l.Add(a, t0.Add(75*time.Second), 25) || l.Add(a, t0.Add(75*time.Second), 1) {
		t.Error("a quarter into the period")
	}
	if !l.CanAdd(a, t0.Add(119*time.Second), 73) || l.CanAdd(a, t0.Add(119*time.Second), 74) {
		t.Error("at the end of the period")
	}
	// Two periods on, nothing is left of the first.
	if !l.CanAdd(a, t0.Add(180*time.Second), 100) {
		t.Error("two periods on")
	}
}

// In any stretch of one period there are less than twice the limit, and in ten
// periods about ten times the limit.
func TestGreedyPeerGetsItsRate(t *testing.T) {
	t.Parallel()
	const limit = 60
	l := New(Options{Windows: []Window{{time.Minute, Factors(limit)}}})
	rnd := rand.New(rand.NewPCG(1, 2))
	var times []time.Time
	for now := t0; now.Before(t0.Add(10 * time.Minute)); now = now.Add(time.Duration(rnd.IntN(400)) * time.Millisecond) {
		if l.Add(ip("10.0.0.1"), now, 1) {
			times = append(times, now)
		}
	}
	if n := len(times); n < 9*limit || n > 11*limit {
		t.Errorf("%d in ten periods of %d", n, limit)
	}
	for i := range times {
		if j := i + 2*limit; j < len(times) && times[j].Sub(times[i]) < time.Minute {
			t.Fatalf("%d within a period from %v on", 2*limit, times[i])
		}
	}
}

func TestClockThatGoesBackForgetsNothing(t *testing.T) {
	t.Parallel()
	l := New(Options{Windows: []Window{{time.Minute, Factors(5)}}})
	a := ip("10.0.0.1")
	if !l.Add(a, t0, 5) || l.Add(a, t0.Add(-time.Hour), 1) {
		t.Error("more is allowed an hour earlier")
	}
}

func TestResetSubtractsFromWiderNetworks(t *testing.T) {
	t.Parallel()
	l := New(Options{Windows: []Window{{time.Minute, Factors(10)}, {time.Hour, Factors(1000)}}})
	a, b, c, d := ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3"), ip("10.0.0.4")
	for _, x := range []netip.Addr{a, b, c} {
		if !l.Add(x, t0, 10) {
			t.Fatal("adding")
		}
	}
	if l.CanAdd(d, t0, 1) {
		t.Fatal("/26 is not full")
	}
	l.Reset(a)
	if !l.CanAdd(d, t0, 10) || l.CanAdd(d, t0, 11) {
		t.Error("/26 does not have room for what was taken off")
	}
	if !l.Add(a, t0, 10) || l.CanAdd(d, t0, 1) {
		t.Error("the address itself")
	}
	// Also when part of it was in the previous period, and when there is nothing.
	later := t0.Add(time.Minute)
	if l.Add(a, later, 1) {
		t.Error("window slid too fast")
	}
	l.Reset(b)
	l.Reset(ip("192.0.2.1"))
	if !l.CanAdd(d, later, 10) || l.CanAdd(d, later, 11) {
		t.Error("previous period")
	}
}

func TestExemptNetworksAndConnectionsWithoutAddressAreNotLimited(t *testing.T) {
	t.Parallel()
	nets := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("::1/128")}
	l := New(Options{Windows: []Window{{time.Minute, Factors(1)}}, Exempt: nets})
	c := NewConcurrent(ConcurrentOptions{Limits: Factors(1), Exempt: nets})
	for _, s := range []netip.Addr{ip("10.1.2.3"), ip("::ffff:10.1.2.3"), ip("::1"), {}} {
		for range 20 {
			if !l.Add(s, t0, 1) || !l.CanAdd(s, t0, 100) || !c.Acquire(s) {
				t.Fatalf("%v is limited", s)
			}
		}
		l.Reset(s)
		c.Release(s)
	}
	if !l.Add(ip("10.2.0.0"), t0, 1) || l.Add(ip("10.2.0.0"), t0, 1) {
		t.Error("others are not limited")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const keys = 100
	l := New(Options{Windows: []Window{{time.Minute, Factors(3)}}, MaxKeys: keys})
	busy := ip("192.0.2.1")
	for i := range 3 {
		if !l.Add(busy, t0, 1) {
			t.Fatal(i)
		}
	}
	for i := range 5000 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		l.Add(a, t0, 1)
		if l.Add(busy, t0, 1) {
			t.Fatalf("a key in use was forgotten after %d others", i)
		}
	}
	for i, c := range l.counts {
		if n := len(c.young) + len(c.old); n > keys+1 {
			t.Errorf("class %d has %d keys", i, n)
		}
	}
	// Asking does not take memory.
	l = New(Options{Windows: []Window{{time.Minute, Factors(3)}}, MaxKeys: keys})
	l.CanAdd(busy, t0, 1)
	l.Add(busy, t0, 4) // Refused.
	if n := len(l.counts[0].young); n != 0 {
		t.Errorf("%d keys", n)
	}
	// One key is enough for it to work.
	l = New(Options{Windows: []Window{{time.Minute, Factors(3)}}, MaxKeys: 1})
	if !l.Add(busy, t0, 3) || l.Add(busy, t0, 1) {
		t.Error("limiter for one key")
	}
}

func TestConcurrentCountsWhatIsOpen(t *testing.T) {
	t.Parallel()
	c := NewConcurrent(ConcurrentOptions{Limits: Factors(2)})
	a, b, d, e := ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3"), ip("10.0.0.4")
	for _, x := range []netip.Addr{a, a, b, b, d, d} {
		if !c.Acquire(x) {
			t.Fatal(x)
		}
	}
	if c.Acquire(a) || c.Acquire(e) {
		t.Error("more than the limits")
	}
	c.Release(d)
	if c.Acquire(a) {
		t.Error("the place of another address")
	}
	if !c.Acquire(e) || c.Acquire(e) {
		t.Error("after a release")
	}
	for _, x := range []netip.Addr{a, a, b, b, d, e} {
		c.Release(x)
	}
	for i := range c.open {
		if len(c.open[i]) != 0 {
			t.Errorf("left: %v", c.open[i])
		}
	}
}

func TestAccountsAreCountedByName(t *testing.T) {
	t.Parallel()
	a := NewAccounts(AccountOptions{Windows: []AccountWindow{{time.Minute, 2}, {time.Hour, 3}}, MaxKeys: 50})
	if !a.Add("mjl", t0, 2) || a.Add("mjl", t0, 1) || a.CanAdd("mjl", t0, 1) {
		t.Error("minute")
	}
	if !a.Add("other", t0, 1) {
		t.Error("names share a count")
	}
	later := t0.Add(10 * time.Minute)
	if !a.Add("mjl", later, 1) || a.Add("mjl", later, 1) {
		t.Error("hour")
	}
	a.Reset("mjl")
	if !a.Add("mjl", later, 2) {
		t.Error("reset")
	}
	// A peer chooses the names: neither their number nor their length takes memory.
	long := strings.Repeat("x", 1<<20)
	if !a.Add(long+"1", t0, 2) || a.Add(long+"1", t0, 1) || !a.Add(long+"2", t0, 1) {
		t.Error("long names")
	}
	for k := range a.counts.young {
		if len(k) > 100 {
			t.Errorf("key of %d bytes", len(k))
		}
	}
	a.Reset(long + "1")
	if !a.CanAdd(long+"1", t0, 2) {
		t.Error("reset of a long name")
	}
	for i := range 1000 {
		a.Add(fmt.Sprint(i), t0, 1)
	}
	if n := len(a.counts.young) + len(a.counts.old); n > 50 {
		t.Errorf("%d names", n)
	}
}

func TestRemoteIPOfConnections(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		addr net.Addr
		want netip.Addr
	}{
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 25}, ip("10.0.0.1")},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 25}, ip("2001:db8::1")},
		{&net.UDPAddr{IP: net.IPv4(10, 0, 0, 1)}, ip("10.0.0.1")},
		{&net.IPAddr{IP: net.IPv4(10, 0, 0, 1)}, ip("10.0.0.1")},
		{&net.UnixAddr{Name: "/ctl", Net: "unix"}, netip.Addr{}},
		{nil, netip.Addr{}},
	} {
		if got := RemoteIP(tc.addr); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.addr, got, tc.want)
		}
	}
}

func TestLimitersAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	l := New(Options{Windows: ConnectionWindows()})
	c := NewConcurrent(ConcurrentOptions{Limits: Factors(5)})
	a := NewAccounts(AccountOptions{Windows: []AccountWindow{{time.Minute, 100}}})
	var mu sync.Mutex
	added := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if l.Add(ip("10.0.0.1"), t0, 1) {
					mu.Lock()
					added++
					mu.Unlock()
				}
				if c.Acquire(ip("10.0.0.1")) {
					c.Release(ip("10.0.0.1"))
				}
				a.Add("mjl", t0, 1)
			}
		})
	}
	wg.Wait()
	if added != ConnectionsPerMinute {
		t.Errorf("%d were let in", added)
	}
}

func BenchmarkAdd(b *testing.B) {
	l := New(Options{Windows: AuthFailureWindows()})
	b.ReportAllocs()
	i := uint32(0)
	for b.Loop() {
		i++
		l.Add(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1}), t0, 1)
	}
}
