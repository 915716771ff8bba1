package tracedb

import (
	"fmt"
	"testing"
	"time"

	"mox/dns"
	"mox/mlog"
	"mox/smtp"
)

// BenchmarkStep is what a step costs mail: alone, as when there is little mail, and
// while the writer is as busy as it can be.
func BenchmarkStep(b *testing.B) {
	reasons := []string{"the sender is known", "not junk by its content"}
	ctx := WithRef(mlog.WithCid(ctxbg, 1), Ref{Cid: 1})
	to := smtp.Path{Localpart: "ann", IPDomain: dns.IPDomain{Domain: dns.Domain{ASCII: "mox.example"}}}
	bench := func(b *testing.B, d *DB, after func()) {
		b.ReportAllocs()
		for b.Loop() {
			d.Step(ctx, Step{Kind: Judged, To: Address(to), Result: Accepted, Reason: "no-bad-signals", Reasons: reasons})
			after()
		}
	}
	b.Run("alone", func(b *testing.B) {
		d := &DB{steps: make(chan *Step, 1)}
		bench(b, d, func() { <-d.steps })
	})
	b.Run("busy", func(b *testing.B) { bench(b, open(b, Options{}), func() {}) })
}

// BenchmarkWriter is how many messages with five steps the writer takes a second.
func BenchmarkWriter(b *testing.B) {
	d := open(b, Options{})
	w := &writer{d: d, recent: recent{ids: map[Ref]int64{}}}
	const messages = maxBatch / 5
	cid := int64(0)
	for b.Loop() {
		var batch []*Step
		for range messages {
			cid++
			when := at.Add(time.Duration(cid) * time.Millisecond)
			ref := Ref{Cid: cid}
			id, to := fmt.Sprintf("%d@remote.example", cid), fmt.Sprintf("user%d@mox.example", cid%1000)
			batch = append(batch,
				&Step{Ref: ref, Time: when, Kind: Received, MessageID: id, From: "bob@remote.example", Service: "smtp", Host: "mail.remote.example", IP: "192.0.2.1", TLS: "TLS 1.3"},
				&Step{Ref: ref, Time: when, Kind: Judged, To: to, Result: Accepted, Reason: "no-bad-signals", Reasons: []string{"the sender is known"}},
				&Step{Ref: ref, Time: when, Kind: Delivered, To: to, Result: OK, Account: "ann", Mailbox: "Inbox"},
				&Step{Ref: ref, Time: when, Kind: Queued, Queue: cid, To: to},
				&Step{Ref: Ref{Queue: cid}, Time: when, Kind: Attempted, Queue: cid, To: to, Result: OK, Host: "mx.remote.example", IP: "192.0.2.2", Code: 250, Text: "queued"},
			)
		}
		if err := w.write(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cid)/b.Elapsed().Seconds(), "messages/s")
}
