package transport

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"mox/dns"
	"mox/mlog"
)

// countingResolver knows one host for all domains, and counts what it is asked.
type countingResolver struct {
	dns.Resolver
	asked int
	err   error
}

func (r *countingResolver) LookupMX(context.Context, string) ([]*net.MX, dns.Result, error) {
	r.asked++
	return []*net.MX{{Host: "mx.example", Pref: 10}}, dns.Result{}, r.err
}

func (r *countingResolver) LookupCNAME(_ context.Context, host string) (string, dns.Result, error) {
	return host, dns.Result{}, nil
}

func (r *countingResolver) LookupIP(context.Context, string, string) ([]net.IP, dns.Result, error) {
	r.asked++
	return []net.IP{net.IPv4(127, 0, 0, 1)}, dns.Result{}, r.err
}

func TestWhereMailGoesIsLookedUpOnceForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &countingResolver{}
		l := newLookups(r, 25)
		domain, host := dns.Domain{ASCII: "one.example"}, dns.Domain{ASCII: "mx.example"}
		look := func(want int) {
			t.Helper()
			before := r.asked
			dest, err := l.destination(t.Context(), mlog.Discard(), domain)
			if err != nil || len(dest.Hosts) != 1 || dest.Hosts[0] != host {
				t.Fatalf("destination %v, %v", dest, err)
			}
			h, err := l.host(t.Context(), mlog.Discard(), dest, host)
			if err != nil || len(h.IPs) != 1 {
				t.Fatalf("host %v, %v", h, err)
			}
			if got := r.asked - before; got != want {
				t.Errorf("asked %d times, want %d", got, want)
			}
		}
		look(2)
		look(0)
		time.Sleep(lookupAge - time.Second)
		look(0)
		time.Sleep(time.Second)
		look(2)
		look(0)
		l.forget(domain)
		look(2)

		// What fails is asked for again.
		l.forget(domain)
		r.err = errors.New("no answer")
		for range 2 {
			before := r.asked
			if _, err := l.destination(t.Context(), mlog.Discard(), domain); err == nil || r.asked == before {
				t.Errorf("got %v after %d questions", err, r.asked-before)
			}
		}
	})
}
