package search

import (
	"context"
	"fmt"
	"testing"

	"mox/imap"
)

// benchThreads is how many messages are sorted and threaded.
const benchThreads = 100_000

// BenchmarkSort sorts a whole mailbox, without what was kept of earlier times and with it.
func BenchmarkSort(b *testing.B) {
	m := newMailbox(b)
	for i := 0; i < benchThreads; i += 500 {
		var msgs []newMessage
		for j := i; j < i+500; j++ {
			msgs = append(msgs, newMessage{fmt.Sprintf("From: Sender %d <s%d@example.org>\nTo: list%d@example.org\nSubject: Re: number %d of many\nDate: Mon, %d Feb 1994 23:%02d:%02d -0800\nMessage-ID: <%d@example.org>\nReferences: <%d@example.org> <%d@example.org>\n\nx\n",
				j%300, j%300, j%20, j/7, 1+j*7919%28, j%60, j*31%60, j, j/5, j/2), "", now})
		}
		m.add(msgs...)
	}
	mb := Mailbox{Mail: m, Owner: m.Account, Index: m.index()}
	positions := m.positions()
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, by := range []string{"ARRIVAL", "DATE", "SUBJECT", "REVERSE FROM SUBJECT DATE"} {
		for _, cold := range []bool{true, false} {
			b.Run(fmt.Sprintf("by=%s/cold=%v", by, cold), func(b *testing.B) {
				k := NewKeys(64 << 20)
				_, err := k.Sort(ctx, mb, positions, criteria(by))
				check(err)
				for b.Loop() {
					if cold {
						k = NewKeys(64 << 20)
					}
					_, err := k.Sort(ctx, mb, positions, criteria(by))
					check(err)
				}
				b.ReportMetric(float64(k.size)/benchThreads, "bytes/msg")
			})
		}
	}
	for _, a := range []imap.ThreadAlgorithm{imap.ThreadReferences, imap.ThreadOrderedSubject} {
		for _, cold := range []bool{true, false} {
			b.Run(fmt.Sprintf("thread=%s/cold=%v", a, cold), func(b *testing.B) {
				k := NewKeys(64 << 20)
				_, err := k.Thread(ctx, mb, positions, a)
				check(err)
				for b.Loop() {
					if cold {
						k = NewKeys(64 << 20)
					}
					_, err := k.Thread(ctx, mb, positions, a)
					check(err)
				}
				b.ReportMetric(float64(k.size)/benchThreads, "bytes/msg")
			})
		}
	}
}
