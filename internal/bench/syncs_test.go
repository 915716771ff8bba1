package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"mox/internal/testkit"
)

// syncs are what strace has seen of a server.
type syncs struct {
	files, dirs, db, other int
}

// straceWords returns the command that writes syncs of the command after it to a file.
// With seccomp-bpf all other system calls are as fast as without strace.
func straceWords(t testing.TB, file string) []string {
	t.Helper()
	return []string{testkit.Tool(t, "strace"), "-f", "--seccomp-bpf", "-qq", "-y", "-o", file, "-e", "trace=fsync,fdatasync"}
}

func (s syncs) minus(o syncs) syncs {
	return syncs{s.files - o.files, s.dirs - o.dirs, s.db - o.db, s.other - o.other}
}

// BenchmarkSyncs counts syncs and commits, with strace, for which time is not measured.
// A commit of the database is two fdatasyncs.
func BenchmarkSyncs(b *testing.B) {
	f := theForm()
	base := scratch(b, "syncs")
	dir := filepath.Join(base, "mox")
	initDir(b, dir)
	trace := filepath.Join(base, "strace")
	s := start(b, dir, straceWords(b, trace)...)
	tb := theReport.table("Syncs, for each message", "", "of its file", "of directories", "of the database", "other", "commits")
	c := dialIMAP(b, s.addrs["imap"])
	c.do(b, "CREATE Copies")
	one, all := dialSenders(b, s, 1, address), dialSenders(b, s, many, address)
	each := func(n int, fn func() error) func() {
		return func() {
			for range n {
				check(b, fn())
			}
		}
	}
	countSyncs(b, tb, trace, []syncOp{
		{"SMTP, 1 sender", f.count, each(f.count, func() error { return one.send(0) })},
		{fmt.Sprintf("SMTP, %d senders", many), many * f.count / 10, func() { sendEach(b, all, f.count/10) }},
		{"APPEND", f.count, each(f.count, func() error { return c.appendNext(1) })},
		{"MULTIAPPEND of 100", 1000, each(10, func() error { return c.appendNext(100) })},
		{"STORE of 1,000", 1000, func() {
			c.do(b, "SELECT INBOX")
			c.do(b, "STORE 1:1000 +FLAGS.SILENT (\\Flagged)")
		}},
		{"COPY of 1,000", 1000, func() { c.do(b, "COPY 1:1000 Copies") }},
	})
	s.stop(b)
	trace = filepath.Join(base, "strace-dovecot")
	peer := startDovecot(b, straceWords(b, trace)...)
	if peer == nil {
		return
	}
	c = dialIMAP(b, peer.addr)
	countSyncs(b, tb, trace, []syncOp{
		{"Dovecot, APPEND", f.count, each(f.count, func() error { return c.appendNext(1) })},
		{"Dovecot, MULTIAPPEND of 100", 1000, each(10, func() error { return c.appendNext(100) })},
	})
	tb.note("%s: all are counted as other", peer.note)
}

// A syncOp is something with messages during which syncs are counted.
type syncOp struct {
	name string
	n    int // Messages.
	run  func()
}

func countSyncs(b *testing.B, tb *table, trace string, ops []syncOp) {
	for _, op := range ops {
		before := readTrace(b, trace)
		op.run()
		got := readTrace(b, trace).minus(before)
		per := func(n int) float64 { return float64(n) / float64(op.n) }
		tb.row(op.name, per(got.files), per(got.dirs), per(got.db), per(got.other), per(got.db)/2)
		line(b, "op="+benchName(op.name), metric{"syncs/msg", per(got.files + got.dirs + got.db + got.other)}, metric{"commits/msg", per(got.db) / 2})
	}
}

// sendEach has each sender send n messages, all at the same time.
func sendEach(b *testing.B, l senders, n int) {
	b.Helper()
	var g errgroup.Group
	for worker := range l {
		g.Go(func() error {
			for range n {
				if err := l.send(worker); err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(b, g.Wait())
}

// readTrace counts the syncs so far.
func readTrace(t testing.TB, path string) (s syncs) {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	for l := range bytes.Lines(b) {
		// pid fsync(9</path>) = 0, or with <unfinished ...> instead of the end.
		_, arg, ok := bytes.Cut(l, []byte("sync("))
		if !ok {
			continue
		}
		_, file, _ := bytes.Cut(arg, []byte("<"))
		file, _, _ = bytes.Cut(file, []byte(">"))
		name := string(file)
		switch {
		case filepath.Base(name) == "index.db":
			s.db++
		case filepath.Base(filepath.Dir(filepath.Dir(name))) == "msg":
			s.files++
		case filepath.Base(filepath.Dir(name)) == "msg":
			s.dirs++
		default:
			s.other++
		}
	}
	return s
}
