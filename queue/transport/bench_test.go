package transport

import (
	"fmt"
	"testing"

	"mox/internal/testkit"
)

// BenchmarkDeliver delivers small messages to a server on loopback, over one
// connection and over one for each.
func BenchmarkDeliver(b *testing.B) {
	for _, reuse := range []bool{true, false} {
		for _, withTLS := range []bool{false, true} {
			b.Run(fmt.Sprintf("reuse=%v/tls=%v", reuse, withTLS), func(b *testing.B) {
				w := newWorld(b, testkit.DNSOptions{}, func(o *DirectOptions) {
					if !reuse {
						o.Pool = newPool(b, PoolOptions{MaxMessages: 1})
					}
				})
				setup := serverSetup{ext: []string{"PIPELINING"}}
				if withTLS {
					setup.tls = w.cert("one.example")
				}
				mx := serve(b, setup)
				w.dns.Set(b, testkit.DNSOptions{Zone: "one.example A " + mx.ip.String()})
				for b.Loop() {
					if l := w.direct.Deliver(b.Context(), w.delivery("a@one.example")); l[0].Err != nil {
						b.Fatal(l[0].Err)
					}
				}
			})
		}
	}
}
