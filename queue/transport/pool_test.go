package transport

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/dns"
	"mox/internal/testkit"
	"mox/queue"
)

// state returns how many connections a pool has, and how many are idle.
func (p *Pool) state() (total, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, l := range p.idle {
		n += len(l)
	}
	if n != p.waiting {
		panic(fmt.Sprintf("%d connections are idle, %d counted", n, p.waiting))
	}
	return p.total, n
}

// settled waits until a pool has some number of connections.
func settled(t testing.TB, p *Pool, total, idle int) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if a, b := p.state(); a == total && b == idle {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			a, b := p.state()
			t.Fatalf("pool has %d connections, %d idle, want %d and %d", a, b, total, idle)
		}
	}
}

// pooled makes a world with a server, with options for the pool.
func pooled(t testing.TB, setup serverSetup, opts PoolOptions) (*world, *server) {
	mx := serve(t, setup)
	w := newWorld(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example A %[1]s\ntwo.example MX 10 one.example\n", mx.ip)}, func(o *DirectOptions) {
		o.Pool = newPool(t, opts)
	})
	w.pool = w.direct.opts.Pool
	return w, mx
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	w, mx := pooled(t, serverSetup{}, PoolOptions{MaxMessages: 3})
	for range 7 {
		w.want("250", w.delivery("a@one.example"))
	}
	w.want("250", w.delivery("a@two.example")) // The same host.
	if n, _ := mx.connections(); n != 3 || len(mx.got()) != 8 || mx.countCommands("RSET") != 0 {
		t.Errorf("%d connections for %d messages, %d RSET", n, len(mx.got()), mx.countCommands("RSET"))
	}
	settled(t, w.pool, 1, 1)
	// Not for another transport.
	o := w.direct.opts
	o.Name = "other"
	if got, _ := deliverBy(t, NewDirect(o), w.delivery("a@one.example")); got != "250" {
		t.Error(got)
	}
	if n, _ := mx.connections(); n != 4 {
		t.Errorf("%d connections", n)
	}
}

func TestAddressWithAConnectionIsPreferred(t *testing.T) {
	t.Parallel()
	a, b := serve(t, serverSetup{}), serve(t, serverSetup{})
	w := newWorld(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example A %s\n", b.ip)}, nil)
	w.want("250", w.delivery("a@one.example"))
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example A %s\none.example A %s\n", a.ip, b.ip)})
	for range 5 {
		w.want("250", w.delivery("a@one.example"))
	}
	n, _ := a.connections()
	if k, _ := b.connections(); n != 0 || k != 1 {
		t.Errorf("%d and %d connections", n, k)
	}
}

func TestRequirementsForTLSDoNotShareConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	mx := serve(t, serverSetup{tls: w.cert("mx.one.example")})
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n", mx.ip)})
	w.direct.opts.TLSMemory = neverTLS{}
	want := 0
	for _, mode := range []string{"testing", "enforce", "testing", "enforce"} {
		w.policy.set("one.example", mode, "mx.one.example")
		w.want("250", w.delivery("a@one.example"))
		if want < 2 {
			want++
		}
		if n, _ := mx.connections(); n != want {
			t.Fatalf("%d connections, want %d", n, want)
		}
	}
	d := w.delivery("a@one.example")
	d.Messages[0].RequireTLS = ptr(false)
	w.want("250", d)
	if n, _ := mx.connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

type neverTLS struct{ TLSMemory }

func (neverTLS) DidTLS(context.Context, dns.Domain) bool { return false }
func (neverTLS) SetTLS(context.Context, dns.Domain)      {}

func TestDeadConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		ext      string
		hook     func(s *session, c string) string // From the second message of the first connection on.
		want     string
		conns    int
		messages int
	}{
		{"closed while idle", "PIPELINING", nil, "250", 2, 2},
		{"closed while idle, step by step", "SIZE", nil, "250", 2, 2},
		{"421 to MAIL", "SIZE", on("MAIL", "quit 421 4.4.2 idle for too long"), "250", 2, 2},
		{"421 to MAIL, pipelined", "PIPELINING", on("MAIL", "quit 421 4.4.2 idle for too long"), "250", 2, 2},
		{"closed at MAIL", "PIPELINING", on("MAIL", "close"), "250", 2, 2},
		{"closed after MAIL", "SIZE", on("RCPT", "close"), "error", 1, 1},
		{"451 to MAIL", "SIZE", on("MAIL", "451 4.0.0 later"), "451 4.0.0", 1, 1},
		{"550 to MAIL", "PIPELINING", on("MAIL", "550 5.7.1 no"), "550 5.7.1!", 1, 1},
		{"closed after the content", "PIPELINING", on(".", "close"), "error", 1, 2},
		{"421 to the content", "PIPELINING", on(".", "quit 421 4.3.2 going down"), "421 4.3.2", 1, 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, mx := pooled(t, serverSetup{ext: []string{tc.ext}, hook: func(s *session, c string) string {
				again := s.mails == 1 && strings.HasPrefix(c, "MAIL") || s.mails == 2
				if tc.hook != nil && s.n == 1 && again {
					return tc.hook(s, c)
				}
				return ""
			}}, PoolOptions{})
			w.want("250", w.delivery("a@one.example"))
			if tc.hook == nil {
				mx.hangUp(false)
			}
			r := w.want(tc.want, w.delivery("a@one.example"))
			if r.Unanswered != (tc.name == "closed after the content") {
				t.Errorf("unanswered is %v", r.Unanswered)
			}
			if n, _ := mx.connections(); n != tc.conns || len(mx.got()) != tc.messages {
				t.Errorf("%d connections, %d messages", n, len(mx.got()))
			}
			if tc.want == "421 4.3.2" {
				settled(t, w.pool, 0, 0)
			}
		})
	}
}

// on returns a hook that gives a reply to a command.
func on(command, reply string) func(*session, string) string {
	return func(_ *session, c string) string {
		if strings.HasPrefix(c, command) {
			return reply
		}
		return ""
	}
}

func TestFreshConnectionThatFailsIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"close", "quit 421 4.3.2 busy"} {
		w, mx := pooled(t, serverSetup{hook: on("MAIL", reply)}, PoolOptions{})
		if got, _ := w.deliver(w.delivery("a@one.example")); strings.HasSuffix(got, "!") || got == "250" {
			t.Errorf("got %s", got)
		}
		if n, _ := mx.connections(); n != 1 {
			t.Errorf("%s: %d connections", reply, n)
		}
		settled(t, w.pool, 0, 0)
	}
}

func TestIdleAndOldConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	w, mx := pooled(t, serverSetup{}, PoolOptions{Idle: time.Millisecond})
	w.want("250", w.delivery("a@one.example"))
	settled(t, w.pool, 0, 0)
	if mx.countCommands("QUIT") != 1 {
		t.Error("connection was closed without QUIT")
	}
	w, _ = pooled(t, serverSetup{}, PoolOptions{MaxAge: time.Nanosecond})
	w.want("250", w.delivery("a@one.example"))
	settled(t, w.pool, 0, 0)
}

func TestPoolIsBounded(t *testing.T) {
	t.Parallel()
	w, mx := pooled(t, serverSetup{}, PoolOptions{PerDestination: 3, Total: 3})
	other := serve(t, serverSetup{})
	w.dns.Set(t, testkit.DNSOptions{Zone: fmt.Sprintf("one.example A %s\ntwo.example A %s\n", mx.ip, other.ip)})
	var l []queue.Delivery
	for i := range 40 {
		l = append(l, w.delivery(fmt.Sprintf("a@%s.example", []string{"one", "two"}[i%2])))
	}
	var wg sync.WaitGroup
	for _, d := range l {
		wg.Go(func() {
			for _, r := range w.direct.Deliver(t.Context(), d) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(mx.got()) + len(other.got()); n != 40 {
		t.Errorf("%d messages", n)
	}
	_, max1 := mx.connections()
	_, max2 := other.connections()
	if total, _ := w.pool.state(); total > 3 || max1 > 3 || max2 > 3 {
		t.Errorf("%d connections, at most %d and %d at a time", total, max1, max2)
	}
}

func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	t.Parallel()
	hold, reached := make(chan struct{}), make(chan struct{})
	w, _ := pooled(t, serverSetup{hook: func(_ *session, c string) string {
		if c == "." {
			close(reached)
			<-hold
		}
		return ""
	}}, PoolOptions{PerDestination: 1})
	first, second := w.delivery("a@one.example"), w.delivery("b@one.example")
	done := make(chan []queue.Result)
	go func() { done <- w.direct.Deliver(context.Background(), first) }()
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := w.direct.Deliver(ctx, second); !errors.Is(r[0].Err, context.DeadlineExceeded) {
		t.Errorf("got %v", r[0].Err)
	}
	close(hold)
	if r := <-done; r[0].Err != nil {
		t.Error(r[0].Err)
	}
}

func TestDeliveryEndsWithTheContext(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"", "EHLO", "MAIL", "RCPT", "DATA", "."} {
		ctx, cancel := context.WithCancel(t.Context())
		w, mx := pooled(t, serverSetup{hook: func(_ *session, c string) string {
			if c == command || command != "" && strings.HasPrefix(c, command) {
				cancel()
				<-t.Context().Done()
			}
			return ""
		}}, PoolOptions{})
		go func() { <-t.Context().Done() }()
		start := time.Now()
		r := w.direct.Deliver(ctx, w.delivery("a@one.example"))
		if !errors.Is(r[0].Err, context.Canceled) || time.Since(start) > time.Minute { // Less than any time-out.
			t.Errorf("at %q: got %v after %v", command, r[0].Err, time.Since(start))
		}
		if n, _ := mx.connections(); n != 1 || r[0].Unanswered != (command == ".") {
			t.Errorf("at %q: %d connections, unanswered is %v", command, n, r[0].Unanswered)
		}
		settled(t, w.pool, 0, 0)
		cancel()
	}
}

func TestClosedPool(t *testing.T) {
	t.Parallel()
	hold, reached := make(chan struct{}), make(chan struct{})
	w, mx := pooled(t, serverSetup{hook: func(s *session, c string) string {
		if c == "." && s.n == 2 {
			close(reached)
			<-hold
		}
		return ""
	}}, PoolOptions{})
	w.want("250", w.delivery("a@one.example"))
	d := w.delivery("b@two.example")
	o := w.direct.opts
	o.Name = "other"
	other := NewDirect(o)
	done := make(chan []queue.Result)
	go func() { done <- other.Deliver(context.Background(), d) }()
	<-reached
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.pool.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	w.want("error", w.delivery("a@one.example"))
	close(hold)
	if r := <-done; r[0].Err != nil {
		t.Error(r[0].Err)
	}
	if err := w.pool.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := mx.countCommands("QUIT"); n != 2 {
		t.Errorf("%d QUIT", n)
	}
}

// TestNothingLeaks is not parallel: it counts goroutines and descriptors of the
// process.
func TestNothingLeaks(t *testing.T) {
	fds := func() int {
		l, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			testkit.Missing(t, "no /proc: %v", err)
		}
		return len(l)
	}
	testPort() // It has a socket.
	goroutines, files := runtime.NumGoroutine(), fds()
	t.Run("load", func(t *testing.T) {
		w, mx := pooled(t, serverSetup{hook: func(s *session, c string) string {
			switch {
			case s.n%5 == 0 && strings.HasPrefix(c, "RCPT"):
				return "close"
			case s.n%7 == 0 && c == "":
				return "421 4.3.2 busy"
			}
			return ""
		}}, PoolOptions{PerDestination: 5, MaxMessages: 2})
		var l []queue.Delivery
		for range 200 {
			l = append(l, w.delivery("a@one.example"))
		}
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				for k := i; k < len(l); k += 10 {
					w.direct.Deliver(t.Context(), l[k])
				}
			})
		}
		wg.Wait()
		if len(mx.got()) < 50 {
			t.Errorf("%d messages", len(mx.got()))
		}
	})
	// What ends does so without us waiting for it.
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > goroutines || fds() > files {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d descriptors, before %d and %d", runtime.NumGoroutine(), fds(), goroutines, files)
		}
		runtime.Gosched()
		time.Sleep(10 * time.Millisecond)
	}
}
