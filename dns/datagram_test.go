package dns_test

import (
	"net"
	"sync"
	"testing"

	miekg "github.com/miekg/dns"

	"mox/dns"
)

// A datagram that is lost is sent again, long before a lookup fails.
func TestLostDatagramsAreSentAgain(t *testing.T) {
	t.Parallel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[uint16]int{}
	srv := &miekg.Server{PacketConn: pc, Handler: miekg.HandlerFunc(func(w miekg.ResponseWriter, req *miekg.Msg) {
		mu.Lock()
		seen[req.Id]++
		n := seen[req.Id]
		mu.Unlock()
		if n == 1 {
			return
		}
		resp := new(miekg.Msg)
		resp.SetReply(req)
		rr, err := miekg.NewRR(req.Question[0].Name + " 60 TXT found")
		if err != nil {
			t.Error(err)
		}
		resp.Answer = append(resp.Answer, rr)
		_ = w.WriteMsg(resp) // The lookup fails then.
	})}
	done := make(chan error, 1)
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { done <- srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := srv.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{pc.LocalAddr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := r.LookupTXT(t.Context(), "one.example")
	if err != nil || len(got) != 1 || got[0] != "found" {
		t.Errorf("got %q, %v", got, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 1 {
		t.Errorf("%d questions, want the same one twice", len(seen))
	}
}
