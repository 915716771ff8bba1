package bench

import (
	"fmt"
	"testing"
	"time"
)

// bulk is how many messages are copied and expunged with one command.
func (f form) bulk() int { return min(10_000, f.sizes[0]/2) }

// BenchmarkBulk measures COPY and EXPUNGE of many messages, with Dovecot doing the same in
// turn. Both answer when what they have done is on the disk.
func BenchmarkBulk(b *testing.B) {
	f := theForm()
	n := f.sizes[0]
	s := start(b, filled(b, n))
	defer s.stop(b)
	names, conns := []string{"mox"}, []*imapConn{dialIMAP(b, s.addrs["imap"])}
	peer := startDovecot(b)
	if peer != nil {
		names, conns = append(names, "dovecot"), append(conns, dialIMAP(b, peer.addr))
		fillMailbox(b, conns[1], n)
	}
	times := make([]map[string][]time.Duration, len(conns))
	for i, c := range conns {
		times[i] = map[string][]time.Duration{}
		c.do(b, "CREATE Copies")
	}
	for range min(3, f.rounds) {
		for i, c := range conns {
			measureBulk(b, c, f.bulk(), times[i])
		}
	}
	tb := theReport.table(fmt.Sprintf("%d messages with one command, ms", f.bulk()), append([]string{""}, names...)...)
	for _, cmd := range bulkCommands {
		row := []any{cmd}
		for i, name := range names {
			m := median(times[i][cmd])
			row = append(row, m)
			line(b, "server="+name+"/cmd="+cmd, metric{"ns/op", float64(m.Nanoseconds())})
		}
		tb.row(row...)
	}
	tb.note("mox answers when the database is synced; copies share the file of a message, which is on the disk already.")
	if peer != nil {
		tb.note("%s: mail_fsync=always", peer.note)
	}
}

// bulkCommands are what measureBulk measures.
var bulkCommands = []string{"COPY", "STORE", "EXPUNGE"}

// measureBulk copies n messages, marks the copies as deleted, and expunges them.
func measureBulk(b *testing.B, c *imapConn, n int, times map[string][]time.Duration) {
	timed := func(name, command string) *tally {
		begin := time.Now()
		a := c.tally(b, command)
		times[name] = append(times[name], time.Since(begin))
		return a
	}
	c.do(b, "SELECT INBOX")
	timed("COPY", fmt.Sprintf("COPY 1:%d Copies", n))
	c.do(b, "SELECT Copies")
	timed("STORE", `STORE 1:* +FLAGS.SILENT (\Deleted)`)
	if a := timed("EXPUNGE", "EXPUNGE"); a.lines["EXPUNGE"] != n {
		b.Fatalf("%d of %d messages were expunged", a.lines["EXPUNGE"], n)
	}
}
