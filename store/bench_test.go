package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"mox/imap"
	"mox/internal/safefile"
	"mox/message"
)

// noSync is a file system for filling mailboxes quickly.
type noSync struct{ safefile.FS }

type noSyncFile struct{ safefile.File }

func (noSyncFile) Sync() error { return nil }

func (n noSync) CreateExcl(name string, perm fs.FileMode) (safefile.File, error) {
	f, err := n.FS.CreateExcl(name, perm)
	if err != nil {
		return nil, err
	}
	return noSyncFile{f}, nil
}

func (noSync) SyncDir(string) error { return nil }

// benchMessage is about 4 KB with two parts.
func benchMessage(n int) string {
	return fmt.Sprintf("Received: from a.example by b.example with ESMTPS id %d; Fri, 20 Nov 2026 10:00:00 +0100\r\nFrom: \"Sender Number %d\" <sender%d@example.org>\r\nTo: <mox@localhost>, \"Another Person\" <another@example.com>\r\nCc: list%d@example.net\r\nSubject: =?utf-8?q?Caf=C3=A9?= report %d of the week\r\nMessage-Id: <m%d@example.org>\r\nIn-Reply-To: <m%d@example.org>\r\nReferences: <r1@example.org> <m%d@example.org>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=xyz%d\r\n\r\n--xyz%d\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s--xyz%d\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>hello</p>\r\n--xyz%d--\r\n",
		n, n, n%500, n%7, n, n, n-1, n-1, n, n, strings.Repeat("The quick brown fox jumps over the lazy dog.\r\n", 70), n, n)
}

// fill adds messages to the Inbox, quickly.
func fill(b testing.TB, a *Account, from, to int) {
	b.Helper()
	for i := from; i < to; {
		var l []NewMessage
		for ; i < to && len(l) < maxBatch; i++ {
			sp := safefile.NewSpool(safefile.SpoolOptions{Dir: a.store.TempDir(), FS: a.store.fs})
			if _, err := sp.Write([]byte(benchMessage(i))); err != nil {
				b.Fatal(err)
			}
			m := NewMessage{Mailbox: imap.Inbox, Spool: sp}
			if i%10 != 0 {
				m.Flags = imap.FlagSeen
			}
			l = append(l, m)
		}
		if _, err := a.Append(ctx, l...); err != nil {
			b.Fatal(err)
		}
		for _, m := range l {
			m.Spool.Close()
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, in := range []int{0, 100000} {
		for _, senders := range []int{1, 32} {
			b.Run(fmt.Sprintf("in=%d/senders=%d", in, senders), func(b *testing.B) {
				ns := &noSync{safefile.OS}
				a := testAccount(b, func(o *Options) { o.FS = ns })
				fill(b, a, 0, in)
				a.store.fs = safefile.OS
				n := make(chan int)
				go func() {
					for i := in; ; i++ {
						n <- i
					}
				}()
				one := func() {
					m := NewMessage{Mailbox: imap.Inbox, Spool: safefile.NewSpool(safefile.SpoolOptions{Dir: a.store.TempDir()})}
					defer m.Spool.Close()
					if _, err := m.Spool.Write([]byte(benchMessage(<-n))); err != nil {
						b.Error(err)
					}
					if _, err := a.Append(ctx, m); err != nil {
						b.Error(err)
					}
				}
				before := a.Tree().ModSeq
				if senders == 1 {
					for b.Loop() {
						one()
					}
				} else {
					b.SetParallelism(senders / 2)
					b.ResetTimer()
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							one()
						}
					})
				}
				b.ReportMetric(float64(a.Tree().ModSeq-before)/float64(b.N), "commits/op")
			})
		}
	}
}

func BenchmarkMailbox(b *testing.B) {
	for _, n := range []int{20000, 100000} {
		ns := &noSync{safefile.OS}
		a := testAccount(b, func(o *Options) { o.FS = ns })
		fill(b, a, 0, n)
		mb, _ := a.Tree().ByName(imap.Inbox)
		load := func() *Index {
			ix, err := a.Index(ctx, mb.ID)
			if err != nil {
				b.Fatal(err)
			}
			return ix
		}
		b.Run(fmt.Sprintf("messages=%d/load", n), func(b *testing.B) {
			for b.Loop() {
				a.store.cache.dropAccount(a)
				load()
			}
		})
		ix := load()
		b.Run(fmt.Sprintf("messages=%d/unseen", n), func(b *testing.B) {
			for b.Loop() {
				for range ix.MatchFlags(imap.FlagSeen, 0) {
				}
			}
		})
		ids := make([]int64, 0, n)
		for _, it := range ix.Range(0, ix.Len()) {
			ids = append(ids, it.ContentID)
		}
		size := 0
		digests := func(b *testing.B) {
			size = 0
			err := a.Digests(ctx, ids, func(_ int, d message.Digest) error { size += len(d); return nil })
			if err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("messages=%d/digests-cold", n), func(b *testing.B) {
			for b.Loop() {
				a.store.cache.dropAccount(a)
				digests(b)
			}
			b.ReportMetric(float64(size)/float64(n), "B/digest")
		})
		b.Run(fmt.Sprintf("messages=%d/digests-warm", n), func(b *testing.B) {
			for b.Loop() {
				digests(b)
			}
		})
		uids := ix.AppendUIDs(nil, 1000, 2000)
		b.Run(fmt.Sprintf("messages=%d/store-1000", n), func(b *testing.B) {
			op := FlagsAdd
			for b.Loop() {
				err := a.Update(ctx, func(tx *Tx) error {
					_, err := tx.SetFlags(mb.ID, uids, FlagChange{Op: op, FlagSet: imap.FlagSet{Flags: imap.FlagFlagged}}, -1)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
				op = FlagsAdd + FlagsRemove - op
			}
		})
		b.Run(fmt.Sprintf("messages=%d/copy-1000", n), func(b *testing.B) {
			dst, _ := a.Tree().ByName("Archive")
			for b.Loop() {
				if err := a.Update(ctx, func(tx *Tx) error { _, err := tx.Copy(mb.ID, uids, dst.ID); return err }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIndexFile is what a mailbox costs after a start: to read the file, against the
// records (BenchmarkMailbox), and what it costs to write the file at the end.
func BenchmarkIndexFile(b *testing.B) {
	for _, n := range []int{20000, 100000} {
		ns := &noSync{safefile.OS}
		a := testAccount(b, func(o *Options) { o.FS = ns })
		fill(b, a, 0, n)
		mb, _ := a.Tree().ByName(imap.Inbox)
		ix, err := a.Index(ctx, mb.ID)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("messages=%d/write", n), func(b *testing.B) {
			for b.Loop() {
				if err := a.saveIndexes(nil, []*Index{ix}); err != nil {
					b.Fatal(err)
				}
			}
			info, err := a.store.fs.Stat(a.indexPath(mb.ID))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size())/float64(n), "B/message")
		})
		b.Run(fmt.Sprintf("messages=%d/read", n), func(b *testing.B) {
			if err := errors.Join(a.saveIndexes(nil, []*Index{ix}), a.listIndexes()); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if a.fileIndex(mb.ID) == nil {
					b.Fatal("the file is not used")
				}
			}
		})
	}
}

// BenchmarkBulk changes the flags of many messages, moves them, and expunges them, each
// with one transaction.
func BenchmarkBulk(b *testing.B) {
	const bulk = 10000
	for _, n := range []int{20000, 100000} {
		ns := &noSync{safefile.OS}
		a := testAccount(b, func(o *Options) { o.FS = ns })
		fill(b, a, 0, n)
		inbox, _ := a.Tree().ByName(imap.Inbox)
		archive, _ := a.Tree().ByName("Archive")
		do := func(b *testing.B, fn func(*Tx) error) {
			b.Helper()
			if err := a.Update(ctx, fn); err != nil {
				b.Fatal(err)
			}
		}
		index := func(b *testing.B, mailboxID int64) *Index {
			ix, err := a.Index(ctx, mailboxID)
			if err != nil {
				b.Fatal(err)
			}
			return ix
		}
		uids := index(b, inbox.ID).AppendUIDs(nil, 0, bulk)
		setFlags := func(b *testing.B, op FlagOp) {
			do(b, func(tx *Tx) error {
				_, err := tx.SetFlags(inbox.ID, uids, FlagChange{Op: op, FlagSet: imap.FlagSet{Flags: imap.FlagFlagged}}, -1)
				return err
			})
		}
		b.Run(fmt.Sprintf("messages=%d/flags", n), func(b *testing.B) {
			for op := FlagsAdd; b.Loop(); op = FlagsAdd + FlagsRemove - op {
				setFlags(b, op)
			}
			b.StopTimer()
			setFlags(b, FlagsRemove)
		})
		copies := func(b *testing.B) []uint32 {
			do(b, func(tx *Tx) error { _, err := tx.Copy(inbox.ID, uids, archive.ID); return err })
			return index(b, archive.ID).AppendUIDs(nil, 0, bulk)
		}
		b.Run(fmt.Sprintf("messages=%d/expunge", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				l := copies(b)
				b.StartTimer()
				do(b, func(tx *Tx) error { _, err := tx.Expunge(archive.ID, l, false); return err })
			}
		})
	}
}
