package inbound

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/dns"
	"mox/dnsbl"
	"mox/internal/testkit"
	"mox/mlog"
)

const listZone = `
2.0.0.127.good.example A 127.0.0.2
2.2.0.192.good.example A 127.0.0.3
2.2.0.192.good.example TXT "known (spammer)"
2.0.0.127.other.example A 127.0.0.2
*.all.example A 127.0.0.2
2.0.0.127.refuses.example A 127.255.255.254
2.2.0.192.refuses.example A 127.255.255.254
2.0.0.127.down.example A 127.0.0.2
`

// listed is a world with a resolver for blocklists.
func listed(t *testing.T) (*world, *testkit.DNSServer) {
	t.Helper()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: listZone, Faults: map[string]testkit.DNSFault{"2.2.0.192.down.example": testkit.DNSServFail}})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, wish{account: withFilter, options: func(o *Options) { o.Resolver = r }}), srv
}

func TestBlocklistsThatWorkCount(t *testing.T) {
	t.Parallel()
	w, _ := listed(t)
	for _, tc := range []struct {
		zones, ip, want string
	}{
		{"good.example", "192.0.2.2", "451 4.3.0 dns-blocklisted"},
		{"good.example", "::ffff:192.0.2.2", "451 4.3.0 dns-blocklisted"},
		{"good.example", "192.0.2.3", "250 no-bad-signals Inbox"},
		{"other.example down.example good.example", "192.0.2.2", "451 4.3.0 dns-blocklisted"},
		{"all.example", "192.0.2.2", "250 no-bad-signals Inbox"}, // Lists the whole world.
		{"nosuch.example", "192.0.2.2", "250 no-bad-signals Inbox"},
		{"refuses.example", "192.0.2.2", "250 no-bad-signals Inbox"},
		{"down.example", "192.0.2.2", "250 no-bad-signals Inbox"},
		{"", "192.0.2.2", "250 no-bad-signals Inbox"},
	} {
		f := w.facts(plainText)
		f.RemoteIP = netip.MustParseAddr(tc.ip)
		for _, z := range strings.Fields(tc.zones) {
			f.DNSBLs = append(f.DNSBLs, domainOf(z))
		}
		v := w.decide(f)
		if say(v) != tc.want {
			t.Errorf("%s in %s: %s, %q", tc.ip, tc.zones, say(v), v.Reasons)
		}
		if !v.Accept && !strings.Contains(strings.Join(v.Reasons, ""), `192.0.2.2 is listed by good.example: "known (spammer)"`) {
			t.Errorf("reasons %q", v.Reasons)
		}
	}
}

func TestBlocklistsAreAskedWhenNothingElseDecides(t *testing.T) {
	t.Parallel()
	w, srv := listed(t)
	likely(1)(w)
	f := w.facts(plainText)
	f.DNSBLs = []dns.Domain{domainOf("good.example")}
	if v := w.decide(f); v.Reason != ReasonJunkContent || len(srv.Queries()) != 0 {
		t.Errorf("%s, asked %v", say(v), srv.Queries())
	}
}

func TestAnswersOfBlocklistsAreRemembered(t *testing.T) {
	t.Parallel()
	w, srv := listed(t)
	zones := []dns.Domain{domainOf("good.example"), domainOf("down.example"), domainOf("refuses.example")}
	ip := netip.MustParseAddr("192.0.2.2")
	asked := func(when, suffix string, want int) {
		t.Helper()
		before := len(srv.Queries())
		w.d.lists.lookup(t.Context(), zones, ip)
		n := 0
		for _, q := range srv.Queries()[before:] {
			if strings.Contains(q, suffix) {
				n++
			}
		}
		if (n > 0) != (want > 0) || want > 0 && n < want {
			t.Errorf("%s: asked %s %d times, want %d: %v", when, suffix, n, want, srv.Queries()[before:])
		}
	}
	asked("first", "good.example", 6) // Four test entries, address and text.
	asked("again", "good.example", 0)
	asked("errors are not remembered", "2.2.0.192.down.example", 1)
	asked("who refuses is left alone", "refuses.example", 0)
	w.now = w.now.Add(listRemembered)
	asked("after minutes", "2.2.0.192.good.example", 2)
	asked("whether it works is known for longer", "0.0.127.good.example", 0)
	w.now = w.now.Add(listHealthy)
	asked("after hours", "0.0.127.good.example", 2)
}

func TestWhatIsRememberedOfBlocklistsIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	b := newBlocklists(nil, mlog.Discard(), func() time.Time { return now })
	for i := range 3 * maxListAnswers {
		ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		remember(b, b.answers, maxListAnswers, listQuery{domainOf("z"), ip}, dnsbl.Result{}, time.Minute)
		now = now.Add(time.Millisecond)
	}
	if n := len(b.answers); n > maxListAnswers || n == 0 {
		t.Errorf("%d answers", n)
	}
	if _, ok := recall(b, b.answers, listQuery{domainOf("z"), netip.MustParseAddr("10.0.0.0")}); ok {
		t.Error("the first one is still there")
	}
}

// slowResolver answers after a time, or never.
type slowResolver struct {
	dns.Resolver
	mu  sync.Mutex
	now int
	max int
}

func (r *slowResolver) LookupIP(ctx context.Context, _, name string) (_ []net.IP, _ dns.Result, err error) {
	r.mu.Lock()
	r.now++
	r.max = max(r.max, r.now)
	r.mu.Unlock()
	defer func() { r.mu.Lock(); r.now--; r.mu.Unlock() }()
	if strings.HasSuffix(name, ".never.example") {
		<-ctx.Done()
		return nil, dns.Result{}, fmt.Errorf("%w: %w", dns.ErrTemporary, ctx.Err())
	}
	time.Sleep(time.Second)
	return nil, dns.Result{}, dns.ErrNotFound
}

func TestBlocklistsAreAskedAtTheSameTimeBeforeOneDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &slowResolver{}
		b := newBlocklists(r, mlog.Discard(), time.Now)
		ip := netip.MustParseAddr("192.0.2.2")
		start := time.Now()
		b.lookup(t.Context(), []dns.Domain{domainOf("a.example"), domainOf("b.example"), domainOf("c.example")}, ip)
		if d := time.Since(start); d != time.Second {
			t.Errorf("took %v", d)
		}
		var zones []dns.Domain
		for i := range 3 * dnsbl.MaxParallel {
			zones = append(zones, domainOf(fmt.Sprintf("z%d.never.example", i)))
		}
		start = time.Now()
		for _, res := range b.lookup(t.Context(), zones, ip) {
			if res.Status != dnsbl.StatusTemperror {
				t.Errorf("result %+v", res)
			}
		}
		if d := time.Since(start); d != dnsbl.LookupTimeout {
			t.Errorf("took %v", d)
		}
	})
}

func TestOneMessageIsLookedUpOnceForAllRecipients(t *testing.T) {
	t.Parallel()
	w, srv := listed(t)
	f := w.facts(plainText)
	f.DNSBLs = []dns.Domain{domainOf("down.example")}
	f.Share()
	for range 5 {
		w.decide(f)
	}
	n := 0
	for _, q := range srv.Queries() {
		if strings.Contains(q, "2.2.0.192.down.example") {
			n++
		}
	}
	if n == 0 || n > 3 { // A resolver may try again.
		t.Errorf("asked %d times: %v", n, srv.Queries())
	}
}
