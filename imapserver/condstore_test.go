package imapserver

import (
	"fmt"
	"testing"

	"mox/imap"
	"mox/internal/safefile"
	"mox/store"
)

// fillMany makes Inbox a mailbox of 100,000 messages, most of them copies.
func fillMany(b *testing.B) (*testServer, *benchClient) {
	b.Helper()
	ts := newTestServer(b, testSetup{store: func(o *store.Options) { o.FS = noSync{safefile.OS} }})
	fill(b, ts.store, 1000)
	c := ts.client()
	c.do("ENABLE QRESYNC")
	c.do("SELECT Inbox")
	for range 99 {
		c.do("COPY 1:1000 Inbox")
	}
	return ts, c
}

// BenchmarkQResync measures what a client does that comes back to a mailbox of 100,000
// messages after a few changes. It costs what these cost.
func BenchmarkQResync(b *testing.B) {
	ts, c := fillMany(b)
	acc, err := ts.store.Account(b.Context(), "mjl")
	if err != nil {
		b.Fatal(err)
	}
	defer acc.Release()
	mb, _ := acc.Tree().ByName(imap.Inbox)
	c.do(`UID STORE 11,501,60001,99999 +FLAGS.SILENT (\Flagged)`)
	c.do(`UID STORE 10,500,60000 +FLAGS.SILENT (\Deleted)`)
	c.do("EXPUNGE")
	for _, cmd := range []struct {
		name, text string
		lines      int // Of the response, at most.
	}{
		{"Select", fmt.Sprintf("SELECT Inbox (QRESYNC (%d %d))", mb.UIDValidity, mb.ModSeq), 20},
		{"SelectKnown", fmt.Sprintf("SELECT Inbox (QRESYNC (%d %d 1:100000 (1:9,99900 1:9,99903)))", mb.UIDValidity, mb.ModSeq), 20},
		{"SelectUpToDate", fmt.Sprintf("SELECT Inbox (QRESYNC (%d 1000000))", mb.UIDValidity), 20},
		{"FetchChangedSince", fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)", mb.ModSeq), 10},
		{"SearchModSeq", fmt.Sprintf("UID SEARCH RETURN (COUNT) MODSEQ %d", mb.ModSeq+1), 3},
		{"FetchPartial", "UID FETCH 1:* (FLAGS) (PARTIAL -1:-10)", 12},
		{"SearchPartial", "UID SEARCH RETURN (PARTIAL -1:-10) UNSEEN", 3},
		{"StatusHighestModSeq", "STATUS Inbox (HIGHESTMODSEQ)", 2},
	} {
		b.Run(cmd.name, func(b *testing.B) {
			c.b = b
			b.ReportAllocs()
			for b.Loop() {
				if lines, _ := c.do(cmd.text); lines > cmd.lines {
					b.Fatalf("%d lines", lines)
				}
			}
		})
	}
	c.b = b
}
