package bench

import (
	"fmt"
	"testing"
	"time"
)

// bulk is how many messages are copied, moved and expunged with one command.
func (f form) bulk() int { return min(10_000, f.sizes[0]/2) }

// BenchmarkBulk measures COPY, MOVE and EXPUNGE of many messages, with Dovecot doing the
// same in turn. Both answer when what they have done is on the disk.
func BenchmarkBulk(b *testing.B) {
	f := theForm()
	for _, n := range f.sizes {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) { benchmarkBulk(b, f, n) })
	}
}

func benchmarkBulk(b *testing.B, f form, n int) {
	s := start(b, filled(b, n))
	defer s.stop(b)
	names, conns := []string{"mox"}, []*imapConn{dialIMAP(b, s.addrs["imap"])}
	peer := startDovecotFilled(b, n)
	if peer != nil {
		names, conns = append(names, "dovecot"), append(conns, dialIMAP(b, peer.addr))
	}
	times := make([]map[string][]time.Duration, len(conns))
	for i, c := range conns {
		times[i] = map[string][]time.Duration{}
		c.do(b, "CREATE Copies")
		c.do(b, "CREATE Moved")
	}
	for range min(bulkRounds, f.rounds) {
		for i, c := range conns {
			measureBulk(b, c, f.bulk(), times[i])
		}
	}
	columns := append([]string{""}, names...)
	if peer != nil {
		columns = append(columns, "mox of Dovecot")
	}
	tb := theReport.table(fmt.Sprintf("%d messages of %d with one command, ms, median of %d", f.bulk(), n, len(times[0]["COPY"])), columns...)
	for _, cmd := range bulkCommands {
		row := []any{cmd}
		var m [2]time.Duration
		for i, name := range names {
			m[i] = median(times[i][cmd])
			row = append(row, m[i])
			line(b, "server="+name+"/cmd="+cmd, metric{"ns/op", float64(m[i].Nanoseconds())})
		}
		if peer != nil {
			row = append(row, m[0].Seconds()/m[1].Seconds())
		}
		tb.row(row...)
	}
	tb.note("mox answers when the database is synced; copies share the file of a message, which is on the disk already.")
	if peer != nil {
		tb.note("%s: mail_fsync=always", peer.note)
	}
}

// bulkRounds is how often each of the commands is measured.
const bulkRounds = 5

// bulkCommands are what measureBulk measures.
var bulkCommands = []string{"COPY", "MOVE", "STORE", "EXPUNGE"}

// measureBulk copies n messages, moves the copies, marks them as deleted, and expunges them.
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
	timed("MOVE", "MOVE 1:* Moved")
	c.do(b, "SELECT Moved")
	timed("STORE", `STORE 1:* +FLAGS.SILENT (\Deleted)`)
	if a := timed("EXPUNGE", "EXPUNGE"); a.lines["EXPUNGE"] != n {
		b.Fatalf("%d of %d messages were expunged", a.lines["EXPUNGE"], n)
	}
}
