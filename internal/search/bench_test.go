package search

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"mox/imap"
)

func BenchmarkRun(b *testing.B) {
	m := newMailbox(b)
	var msgs []newMessage
	for i := range batchSize {
		msgs = append(msgs, newMessage{fmt.Sprintf("From: sender %d <s%d@example.org>\nSubject: number %d of many\nDate: Mon, 7 Feb 1994 23:52:25 -0800\n\n%s\n", i, i, i, strings.Repeat("some text to look at\n", 100)), "", now})
	}
	m.add(msgs...)
	for name, key := range map[string]imap.SearchKey{
		"Unseen": noFlag(imap.FlagSeen), "Since": date(imap.SearchSince, "1-Jan-2026"), "Subject": text(imap.SearchSubject, "number 7"),
		"From": text(imap.SearchFrom, "s77@"), "Header": header("Date", "1994"), "HeaderNone": header("Date", "1996"), "Body": text(imap.SearchBody, "nothing like it"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			p, err := Compile(&key, Scope{Index: m.index(), Now: now})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := p.Run(context.Background(), m, Options{}, func(int) bool { return true }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
