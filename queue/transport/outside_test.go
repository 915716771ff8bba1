package transport

import (
	"context"
	"net"
	"sync"
	"testing"

	"mox/dns"
	"mox/internal/testkit"
)

// outside is a resolver for bubbles that asks a real one outside of them, where
// sockets and channels are not those of a bubble. Time does not pass meanwhile.
type outside struct {
	dns.Resolver
	mu   sync.Mutex // Held during a question.
	ask  chan func()
	done chan struct{}
}

func newOutside(t *testing.T, server *testkit.DNSServer) *outside {
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}})
	tcheck(t, err)
	o := &outside{Resolver: r, ask: make(chan func()), done: make(chan struct{})}
	go func() {
		for f := range o.ask {
			f()
			o.done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(o.ask) })
	return o
}

// outsideOf asks with a context that is not of a bubble.
func outsideOf[T any](o *outside, f func(ctx context.Context) (T, dns.Result, error)) (v T, r dns.Result, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ask <- func() { v, r, err = f(context.Background()) }
	<-o.done
	return v, r, err
}

func (o *outside) LookupMX(_ context.Context, name string) ([]*net.MX, dns.Result, error) {
	return outsideOf(o, func(ctx context.Context) ([]*net.MX, dns.Result, error) { return o.Resolver.LookupMX(ctx, name) })
}

func (o *outside) LookupIP(_ context.Context, network, host string) ([]net.IP, dns.Result, error) {
	return outsideOf(o, func(ctx context.Context) ([]net.IP, dns.Result, error) {
		return o.Resolver.LookupIP(ctx, network, host)
	})
}

func (o *outside) LookupCNAME(_ context.Context, host string) (string, dns.Result, error) {
	return outsideOf(o, func(ctx context.Context) (string, dns.Result, error) { return o.Resolver.LookupCNAME(ctx, host) })
}

func (o *outside) LookupTLSA(_ context.Context, port int, proto, host string) ([]dns.TLSA, dns.Result, error) {
	return outsideOf(o, func(ctx context.Context) ([]dns.TLSA, dns.Result, error) {
		return o.Resolver.LookupTLSA(ctx, port, proto, host)
	})
}
