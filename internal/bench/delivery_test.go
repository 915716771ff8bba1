package bench

import (
	"fmt"
	"testing"
)

// deliveryRound has messages a second of one round: of one sender and many, into a new
// mailbox and a large one, and what the bare disk does for one and for many.
type deliveryRound struct {
	chain, one, oneBig       float64
	chainMany, many, manyBig float64
	cpu, cpuMany             float64 // Seconds of the server for a message.
}

// BenchmarkDelivery measures deliveries over SMTP, each on stable storage before it is
// acknowledged, in rounds with a probe of the disk.
func BenchmarkDelivery(b *testing.B) {
	f := theForm()
	accounts := make([]string, f.rounds)
	for i := range accounts {
		accounts[i] = fmt.Sprintf("round%d", i)
	}
	dir := scratch(b, "small") + "/mox"
	initDir(b, dir, accounts...)
	small := start(b, dir)
	big := start(b, filled(b, f.big))
	p := newProbe(b, many)
	var rounds []deliveryRound
	for _, account := range accounts {
		rounds = append(rounds, measureDelivery(b, f, p, small, big, account+"@localhost"))
	}
	reportDelivery(b, f, rounds)
	small.stop(b)
	big.stop(b)
}

// measureDelivery does a round, with a new account of the small server.
func measureDelivery(b *testing.B, f form, p *probe, small, big *server, recipient string) deliveryRound {
	toSmall, toBig := dialSenders(b, small, many, recipient), dialSenders(b, big, many, address)
	defer toSmall.close()
	defer toBig.close()
	var r deliveryRound
	r.chain = rate(b, f.slice, 1, p.chain)
	before := small.cpu(b)
	r.one = rate(b, f.slice, 1, toSmall.send)
	r.cpu = (small.cpu(b) - before) / (r.one * f.slice.Seconds())
	r.oneBig = rate(b, f.slice, 1, toBig.send)
	r.chainMany = rate(b, f.slice, many, p.chain)
	before = small.cpu(b)
	r.many = rate(b, f.slice, many, toSmall.send)
	r.cpuMany = (small.cpu(b) - before) / (r.many * f.slice.Seconds())
	r.manyBig = rate(b, f.slice, many, toBig.send)
	return r
}

func reportDelivery(b *testing.B, f form, rounds []deliveryRound) {
	tb := theReport.table(fmt.Sprintf("Delivery over SMTP of messages of 4 KB, messages a second. With 1 and %d senders (connections), into a new\n"+
		"mailbox and one of %d. Chain: the bare disk, for 1 and for %d messages at a time (create, write, fsync,\n"+
		"fsync of the directory, two fdatasyncs). Each round is %v a column, in this order but for the ratios.", many, f.big, many, f.slice),
		"round", "chain", "1 sender", "of chain", "1 into big", "of new",
		fmt.Sprintf("chain %d", many), fmt.Sprintf("%d senders", many), "of 1", fmt.Sprintf("%d into big", many), "of new", "CPU ms, 1", fmt.Sprintf("CPU ms, %d", many))
	columns := make([][]float64, len(tb.columns)-1)
	for i, r := range rounds {
		values := []float64{r.chain, r.one, r.one / r.chain, r.oneBig, r.oneBig / r.one,
			r.chainMany, r.many, r.many / r.one, r.manyBig, r.manyBig / r.many, r.cpu * 1000, r.cpuMany * 1000}
		row := []any{fmt.Sprint(i + 1)}
		for j, v := range values {
			columns[j] = append(columns[j], v)
			row = append(row, v)
		}
		tb.row(row...)
	}
	var m []float64
	row := []any{"median"}
	for _, c := range columns {
		m = append(m, median(c))
		row = append(row, median(c))
	}
	tb.row(row...)
	tb.note("Wanted: 1 sender at least 0.5 of the chain; %d at least 4 of 1; into big 0.8 of new or more. CPU is the server's, for a message.", many)
	line(b, "probe", metric{"chain/s", m[0]}, metric{"chain32/s", m[5]})
	line(b, "senders=1", metric{"msg/s", m[1]}, metric{"of-chain", m[2]}, metric{"cpu-ms/msg", m[10]})
	line(b, "senders=1/big", metric{"msg/s", m[3]}, metric{"of-new", m[4]})
	line(b, fmt.Sprintf("senders=%d", many), metric{"msg/s", m[6]}, metric{"of-one", m[7]}, metric{"cpu-ms/msg", m[11]})
	line(b, fmt.Sprintf("senders=%d/big", many), metric{"msg/s", m[8]}, metric{"of-new", m[9]})
}
