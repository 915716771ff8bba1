package imapserver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"mox/internal/safefile"
	"mox/store"
)

// benchMessages is how many messages the benchmarks of reading have in Inbox: the number
// that figures to compare with were measured with.
const benchMessages = 20000

// noSync is a file system that does not wait for the disk, to fill a store quickly.
type noSync struct{ safefile.FS }

type noSyncFile struct{ safefile.File }

func (noSyncFile) Sync() error { return nil }

func (noSync) SyncDir(string) error { return nil }

func (n noSync) CreateExcl(name string, perm fs.FileMode) (safefile.File, error) {
	f, err := n.FS.CreateExcl(name, perm)
	if err != nil {
		return nil, err
	}
	return noSyncFile{f}, nil
}

// fill delivers n different messages of a usual size, an alternative of text and HTML.
// Every fourth is unread.
func fill(b testing.TB, s *store.Store, n int) {
	b.Helper()
	acc, err := s.Ensure(context.Background(), "mjl")
	if err != nil {
		b.Fatalf("account: %v", err)
	}
	defer acc.Release()
	rnd := rand.New(rand.NewPCG(1, 2))
	const batch = 500
	for start := 0; start < n; start += batch {
		var msgs []store.NewMessage
		for i := start; i < min(start+batch, n); i++ {
			sp := safefile.NewSpool(safefile.SpoolOptions{Dir: s.TempDir()})
			defer sp.Close()
			if _, err := sp.Write(benchMessage(rnd, i)); err != nil {
				b.Fatalf("spool: %v", err)
			}
			m := store.NewMessage{Mailbox: "Inbox", Spool: sp, Received: time.Unix(1700000000+int64(i)*60, 0)}
			if i%4 != 0 {
				m.Flags = 1 // \Seen
			}
			msgs = append(msgs, m)
		}
		if _, err := acc.Append(context.Background(), msgs...); err != nil {
			b.Fatalf("append: %v", err)
		}
	}
}

// benchMessage returns a message of about 4 KB.
func benchMessage(rnd *rand.Rand, i int) []byte {
	words := strings.Fields("the report of last week has been sent to all members who asked for it and will be discussed in our next meeting on thursday morning")
	var text strings.Builder
	for text.Len() < 1200 {
		for range 10 {
			text.WriteString(words[rnd.IntN(len(words))] + " ")
		}
		text.WriteString("\r\n")
	}
	return fmt.Appendf(nil, "Received: from mail%d.example.org (mail%d.example.org [192.0.2.%d])\r\n\tby mx.mox.example with ESMTPS id %x for <mjl@mox.example>;\r\n\tSat, 21 Nov 2026 10:00:00 +0100\r\n"+
		"From: \"Sender Number %d\" <sender%d@example.org>\r\nTo: \"M. J. L.\" <mjl@mox.example>\r\nCc: list%d@lists.example.net\r\n"+
		"Subject: Report %d of the %s project\r\nDate: Sat, 21 Nov 2026 10:%02d:00 +0100\r\nMessage-ID: <%x.%d@example.org>\r\nReferences: <%d@example.org>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"b%d\"\r\n\r\n"+
		"--b%d\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n%s\r\n"+
		"--b%d\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html><body><p>%s</p></body></html>\r\n--b%d--\r\n",
		i%7, i%7, i%250, rnd.Uint64(), i%300, i%300, i%20, i, words[rnd.IntN(len(words))], i%60, rnd.Uint64(), i, i/5,
		i, i, text.String(), i, text.String(), i)
}

// benchClient is a client that only counts.
type benchClient struct {
	b  testing.TB
	nc net.Conn
	br *bufio.Reader
}

func (ts *testServer) client() *benchClient {
	nc, err := ts.dial(context.Background(), "imap1")
	if err != nil {
		ts.t.Fatalf("dial: %v", err)
	}
	return &benchClient{ts.t, nc, bufio.NewReaderSize(nc, 256<<10)}
}

// do sends a command and reads its responses. It returns their lines and bytes.
func (c *benchClient) do(cmd string) (lines, size int) {
	if _, err := c.nc.Write([]byte("a " + cmd + "\r\n")); err != nil {
		c.b.Fatalf("write: %v", err)
	}
	for {
		line, err := c.br.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			size += len(line)
			continue
		} else if err != nil {
			c.b.Fatalf("read: %v", err)
		}
		lines++
		size += len(line)
		if bytes.HasPrefix(line, []byte("a ")) {
			if !bytes.HasPrefix(line, []byte("a OK")) {
				c.b.Fatalf("%s: %s", cmd, line)
			}
			return lines, size
		}
	}
}

// BenchmarkRead measures commands on a mailbox of 20,000 messages that has been read
// before. Dovecot needs, on the machine this is for, 0.2 ms for SELECT, 10 ms for FLAGS,
// 140 ms for ENVELOPE BODYSTRUCTURE, 55 ms for four header fields, 0.2 ms for UNSEEN and
// 40 ms for SUBJECT.
func BenchmarkRead(b *testing.B) {
	ts := newTestServer(b, testSetup{store: func(o *store.Options) { o.FS = noSync{safefile.OS} }})
	fill(b, ts.store, benchMessages)
	c := ts.client()
	c.do("SELECT Inbox")
	c.do("FETCH 1:* (ENVELOPE)")
	for _, cmd := range []struct{ name, text string }{
		{"Select", "SELECT Inbox"},
		{"FetchFlags", "FETCH 1:* (FLAGS)"},
		{"FetchUIDFlags", "UID FETCH 1:* (FLAGS)"},
		{"FetchSizeDate", "FETCH 1:* (UID RFC822.SIZE INTERNALDATE)"},
		{"FetchEnvelopeBodystructure", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)"},
		{"FetchHeaderFields", "FETCH 1:* (BODY.PEEK[HEADER.FIELDS (From To Subject Date)])"},
		{"FetchHeader", "FETCH 1:* (BODY.PEEK[HEADER])"},
		{"FetchBody", "FETCH 1:* (BODY.PEEK[])"},
		{"FetchPart", "FETCH 1:* (BODY.PEEK[1])"},
		{"SearchUnseen", "SEARCH UNSEEN"},
		{"SearchUnseenCount", "SEARCH RETURN (COUNT) UNSEEN"},
		{"SearchUnseenUndeletedUIDAll", "UID SEARCH RETURN (ALL) UNSEEN UNDELETED"},
		{"SearchSubject", "SEARCH SUBJECT \"report 19\""},
		{"SearchFrom", "SEARCH FROM \"sender29\""},
		{"SearchSince", "SEARCH SINCE 1-Dec-2023"},
		{"SearchBody", "SEARCH 1:2000 BODY \"not in there\""},
		{"StoreFlagged", "STORE 1:1000 +FLAGS (\\Flagged)"},
		{"Noop", "NOOP"},
	} {
		b.Run(cmd.name, func(b *testing.B) {
			c.b = b
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				_, size = c.do(cmd.text)
			}
			b.SetBytes(int64(size))
		})
	}
	c.b = b
}

// BenchmarkAppend measures appends over one connection, each on stable storage before it
// is acknowledged. The figure to beat is 820 a second.
func BenchmarkAppend(b *testing.B) {
	ts := newTestServer(b, testSetup{})
	c := ts.client()
	msg := benchMessage(rand.New(rand.NewPCG(1, 2)), 1)
	cmd := fmt.Sprintf("APPEND Inbox {%d+}\r\n%s", len(msg), msg)
	for b.Loop() {
		c.do(cmd)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// BenchmarkMultiAppend measures appends of 100 messages in one command.
func BenchmarkMultiAppend(b *testing.B) {
	ts := newTestServer(b, testSetup{})
	c := ts.client()
	msg := benchMessage(rand.New(rand.NewPCG(1, 2)), 1)
	cmd := "APPEND Inbox" + strings.Repeat(fmt.Sprintf(" {%d+}\r\n%s", len(msg), msg), 100)
	for b.Loop() {
		c.do(cmd)
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// BenchmarkIdleConnections reports what 500 connections that wait cost in memory, client
// side included.
func BenchmarkIdleConnections(b *testing.B) {
	const n = 500
	for _, state := range []struct{ name, cmd string }{{"Selected", ""}, {"Idle", "i IDLE\r\n"}} {
		b.Run(state.name, func(b *testing.B) {
			ts := newTestServer(b, testSetup{})
			fill(b, ts.store, 1000)
			before := memory()
			conns := make([]net.Conn, n)
			for i := range conns {
				nc, err := ts.dial(context.Background(), "imap")
				if err == nil {
					err = converse(nc, "a SELECT Inbox")
				}
				if err == nil && state.cmd != "" {
					_, err = nc.Write([]byte(state.cmd))
				}
				if err != nil {
					b.Fatalf("connection %d: %v", i, err)
				}
				conns[i] = nc
			}
			for b.Loop() {
			}
			b.ReportMetric(float64(memory()-before)/n, "bytes/conn")
			for _, nc := range conns {
				nc.Close()
			}
		})
	}
}

// memory returns what heap and stacks use.
func memory() int64 {
	for range 3 {
		runtime.GC()
		time.Sleep(50 * time.Millisecond) // Stacks shrink, and goroutines come to rest.
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
