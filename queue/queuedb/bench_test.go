package queuedb

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
	"mox/mlog"
)

// benchQueued is how many messages are queued already in benchmarks.
const benchQueued = 100000

// benchOpen opens a queue with messages to a number of domains, all due, or later.
func benchOpen(b *testing.B, domains int, due time.Duration) *DB {
	b.Helper()
	dir := b.TempDir()
	d := testOpen(b, Options{Dir: dir, AccountMessages: -1, Log: mlog.Discard(), JumpFloor: -1})
	at := now().Add(due)
	for i := 0; i < benchQueued; {
		tcheck(b, d.bdb.Write(ctxbg, func(tx *bstore.Tx) error {
			bt, err := newBatch(d, tx)
			if err != nil {
				return err
			}
			for range 10000 {
				// Contents have ids above those that are handed out, so that they need no files.
				base := Base{ID: 1<<40 + int64(i), Size: 1, MessageID: fmt.Sprintf("<%d@example.org>", i)}
				m := Message{Account: fmt.Sprintf("a%d", i%100), SenderDomain: "example.org", RecipientDomain: fmt.Sprintf("d%d.example", i%domains), Queued: at, NextAttempt: at.Add(time.Duration(i))}
				if err := bt.submit(base, []Message{m}, &Submission{Bulk: true}); err != nil {
					return err
				}
				i++
			}
			return bt.flush()
		}))
	}
	b.ResetTimer()
	return d
}

// BenchmarkEnqueueLongQueue queues messages at the same time as others do, each with one
// recipient.
func BenchmarkEnqueueLongQueue(b *testing.B) {
	for _, domains := range []int{1, 1000} {
		b.Run(fmt.Sprintf("domains=%d", domains), func(b *testing.B) {
			d := benchOpen(b, domains, time.Hour)
			var mu sync.Mutex
			n := 0
			b.SetParallelism(20)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mu.Lock()
					n++
					rcpt := path(b, fmt.Sprintf("a@d%d.example", n%domains))
					mu.Unlock()
					s := safefile.NewSpool(safefile.SpoolOptions{Dir: b.TempDir()})
					_, err := io.WriteString(s, "Subject: hello\r\n\r\nhello\r\n")
					tcheck(b, err)
					_, err = d.Enqueue(ctxbg, Submission{Account: "a1", Spool: s, Recipients: []Recipient{{Sender: path(b, "a@example.org"), To: rcpt}}})
					tcheck(b, err)
					tcheck(b, s.Close())
				}
			})
		})
	}
}

// BenchmarkClaimFinish claims and finishes messages of a long queue, as 20 workers at
// the same time do.
func BenchmarkClaimFinish(b *testing.B) {
	for _, domains := range []int{1, 1000} {
		b.Run(fmt.Sprintf("domains=%d", domains), func(b *testing.B) {
			d := benchOpen(b, domains, -time.Hour)
			var flows []flow
			tcheck(b, d.read(ctxbg, func(tx *bstore.Tx) (err error) {
				flows, err = bstore.QueryTx[flow](tx).List()
				return err
			}))
			var mu sync.Mutex
			n := 0
			b.SetParallelism(10)
			b.RunParallel(func(pb *testing.PB) {
				var out []Outcome
				for pb.Next() {
					mu.Lock()
					n++
					f := flows[n%len(flows)]
					mu.Unlock()
					job, ok, err := d.FinishAndClaim(ctxbg, out, ClaimOptions{Now: time.Now(), Flow: f.Name, Next: later(time.Hour)})
					tcheck(b, err)
					out = nil
					if ok {
						out = []Outcome{{ID: job.Messages[0].ID, Fate: Delivered, Result: &Result{Start: time.Now(), Success: true, Code: 250}}}
					}
				}
			})
		})
	}
}

// BenchmarkWatch reads when each flow is due, as a start does.
func BenchmarkWatch(b *testing.B) {
	d := benchOpen(b, 1000, time.Hour)
	for b.Loop() {
		tcheck(b, d.Watch(ctxbg, func([]Head, bool) {}))
	}
}

// BenchmarkList reads a page of a long queue.
func BenchmarkList(b *testing.B) {
	d := benchOpen(b, 1000, time.Hour)
	for name, p := range map[string]Page{
		"queued":              {Desc: true, Max: 100},
		"nextattempt":         {Sort: ByNextAttempt, Max: 100},
		"nextattempt-reverse": {Sort: ByNextAttempt, Desc: true, Max: 100},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				l, err := d.List(ctxbg, Filter{}, p)
				tcheck(b, err)
				if len(l) != 100 {
					b.Fatal(len(l))
				}
			}
		})
	}
}
