package bench

import (
	"fmt"
	"testing"
)

// referenceAppends is how many messages a second Dovecot appends over one connection, on
// a machine of this class.
const referenceAppends = 820

// multi is how many messages a MULTIAPPEND has here.
const multi = 100

// BenchmarkAppend measures appends over one connection, in rounds with a probe of the
// disk and, if it is installed, Dovecot.
func BenchmarkAppend(b *testing.B) {
	f := theForm()
	dir := scratch(b, "append") + "/mox"
	initDir(b, dir)
	s := start(b, dir)
	p := newProbe(b, 1)
	conn := dialIMAP(b, s.addrs["imap"])
	peer := startDovecot(b)
	columns := []string{"round", "chain", "APPEND", "of chain", fmt.Sprintf("MULTIAPPEND of %d", multi)}
	var peerConn *imapConn
	if peer != nil {
		peerConn = dialIMAP(b, peer.addr)
		columns = append(columns, "Dovecot APPEND", "MULTIAPPEND")
	}
	tb := theReport.table(fmt.Sprintf("APPEND over one connection, messages of 4 KB a second. Dovecot on a machine of this class: %d.", referenceAppends), columns...)
	values := make([][]float64, len(columns)-1)
	for i := range f.rounds {
		chain := rate(b, f.slice, 1, p.chain)
		single, many := measureAppend(b, f, conn)
		round := []float64{chain, single, single / chain, many}
		if peer != nil {
			single, many := measureAppend(b, f, peerConn)
			round = append(round, single, many)
		}
		row := []any{fmt.Sprint(i + 1)}
		for j, v := range round {
			values[j] = append(values[j], v)
			row = append(row, v)
		}
		tb.row(row...)
	}
	row := []any{"median"}
	var m []float64
	for _, v := range values {
		m = append(m, median(v))
		row = append(row, median(v))
	}
	tb.row(row...)
	line(b, "messages=1", metric{"msg/s", m[1]}, metric{"of-chain", m[2]})
	line(b, fmt.Sprintf("messages=%d", multi), metric{"msg/s", m[3]})
	if peer != nil {
		line(b, "messages=1/server=dovecot", metric{"msg/s", m[4]})
		line(b, fmt.Sprintf("messages=%d/server=dovecot", multi), metric{"msg/s", m[5]})
		tb.note("%s", peer.note)
	}
	s.stop(b)
}

// measureAppend returns messages a second with commands of one message and of many.
func measureAppend(b *testing.B, f form, c *imapConn) (single, many float64) {
	single = rate(b, f.slice, 1, func(int) error { return c.appendNext(1) })
	many = multi * rate(b, f.slice, 1, func(int) error { return c.appendNext(multi) })
	return single, many
}
