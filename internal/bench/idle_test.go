package bench

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkIdle measures the memory of connections that have logged in, selected a
// mailbox and wait, without a command and in IDLE.
func BenchmarkIdle(b *testing.B) {
	f := theForm()
	s := start(b, filled(b, f.sizes[0]))
	work := dialIMAP(b, s.addrs["imap"])
	work.do(b, "SELECT INBOX")
	work.do(b, "FETCH 1:* (FLAGS)")
	// The memory that checking a password takes is needed for a moment only.
	dialIMAP(b, s.addrs["imap"]).do(b, "LOGOUT")
	before := settle(b, s, work)
	conns := make([]*imapConn, f.idle)
	for i := range conns {
		conns[i] = dialIMAP(b, s.addrs["imap"])
		conns[i].do(b, "SELECT INBOX")
	}
	tb := theReport.table(fmt.Sprintf("Memory of a connection that waits, KiB, over %d with a mailbox of %d selected", f.idle, f.sizes[0]),
		"", "resident", "heap and stacks", "heap", "stacks")
	mib := func(n float64) float64 { return n / (1 << 20) }
	show := func(name string) {
		now := settle(b, s, work)
		per := func(n float64) float64 { return n / float64(f.idle) / 1024 }
		heap, stack := now.heap-before.heap, now.stack-before.stack
		tb.row(name, per(now.resident-before.resident), per(heap+stack), per(heap), per(stack))
		tb.note("%s: resident %.1f MiB, before %.1f; heap and stacks in use %.1f MiB, before %.1f", name,
			mib(now.resident), mib(before.resident), mib(now.heap+now.stack), mib(before.heap+before.stack))
		line(b, "state="+benchName(name), metric{"resident-B/conn", per(now.resident-before.resident) * 1024}, metric{"heap+stack-B/conn", per(heap+stack) * 1024})
	}
	show("selected")
	for _, c := range conns {
		check(b, c.send("IDLE\r\n"))
		check(b, c.continuation())
	}
	show("in IDLE")
	for _, c := range conns {
		_, err := c.nc.Write([]byte("DONE\r\n"))
		check(b, err)
		_, err = c.read(nil)
		check(b, err)
	}
	s.stop(b)
}

// memory is what a server uses, in bytes.
type memory struct {
	resident, files, heap, stack float64
}

const (
	// settleInterval is between two looks at memory, settleLooks how many show that it does
	// not become less any more, and settleTime how long that may take.
	settleInterval = 500 * time.Millisecond
	settleLooks    = 4
	settleTime     = 20 * time.Second
)

// settle has the server collect garbage, with commands that make some, until it gives
// no more unused memory back, and returns what it uses.
func settle(b *testing.B, s *server, work *imapConn) memory {
	b.Helper()
	const cycles = "go_gc_duration_seconds_count"
	var m map[string]float64
	least := s.resident(b).now
	looks := 0
	for end := time.Now().Add(settleTime); looks < settleLooks && time.Now().Before(end); looks++ {
		m = s.metrics(b)
		for want := m[cycles] + 1; m[cycles] < want; m = s.metrics(b) {
			work.do(b, "FETCH 1:100 (BODY.PEEK[])")
		}
		time.Sleep(settleInterval)
		if now := s.resident(b).now; now < least-64<<10 {
			least, looks = now, 0
		}
	}
	// After a cycle, what is not used any more is still counted until it was swept.
	m = s.metrics(b)
	r := s.resident(b)
	return memory{float64(r.now), float64(r.files), m["go_memstats_heap_inuse_bytes"], m["go_memstats_stack_inuse_bytes"]}
}
