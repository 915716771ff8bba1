package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// importRate is how many commands of each kind a second are sent during an import.
const importRate = 10

// BenchmarkImport measures an import of an mbox file into a new mailbox, and how long
// others wait meanwhile.
func BenchmarkImport(b *testing.B) {
	f := theForm()
	path := filepath.Join(scratch(b, "import"), "mbox")
	size := writeMbox(b, path, f.imported)
	dir := scratch(b, "import") + "/mox"
	initDir(b, dir)
	s := start(b, dir)
	toInbox := dialSenders(b, s, 1, address)
	defer toInbox.close()
	for range 100 {
		check(b, toInbox.send(0))
	}
	noop, sel := dialIMAP(b, s.addrs["imap"]), dialIMAP(b, s.addrs["imap"])
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	var heap float64
	times := make([][]time.Duration, 3)
	for i, run := range []func() error{
		func() error { _, err := noop.run("NOOP\r\n", nil); return err },
		func() error { _, err := sel.run("SELECT INBOX\r\n", nil); return err },
		func() error { return toInbox.send(0) },
	} {
		wg.Go(func() { times[i] = repeat(b, ctx, run) })
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			heap = max(heap, s.metrics(b)["go_memstats_heap_inuse_bytes"])
			time.Sleep(100 * time.Millisecond)
		}
	})
	begin := time.Now()
	out, err := exec.Command(binary(b), "-config", filepath.Join(dir, "mox.conf"), "import", "mbox", "mox", "Imported", path).CombinedOutput()
	took := time.Since(begin)
	cancel()
	wg.Wait()
	if err != nil || !bytes.Contains(out, fmt.Appendf(nil, "%d messages imported", f.imported)) {
		b.Fatalf("import: %v\n%s", err, out)
	}
	most := s.resident(b).most
	s.stop(b)
	tb := theReport.table(fmt.Sprintf("Import of %d messages, %d MB, from an mbox file into a new mailbox, while one client does %d NOOP a second, one as many SELECT,\n"+
		"and as many messages are delivered: messages a second, heap of the server, and how long these took, in ms.", f.imported, size>>20, importRate),
		"messages/s", "MB/s", "heap MB", "most RSS MB", "NOOP p50", "p99", "SELECT p50", "p99", "delivery p50", "p99")
	row := []any{float64(f.imported) / took.Seconds(), float64(size) / 1e6 / took.Seconds(), heap / 1e6, float64(most) / 1e6}
	for _, l := range times {
		row = append(row, quantile(l, 0.5), quantile(l, 0.99))
	}
	tb.row(row...)
	tb.note("Wanted: heap under 300 MB; p99 of NOOP and SELECT under 100 ms, of a delivery under 250 ms.")
	line(b, "mbox", metric{"msg/s", row[0].(float64)}, metric{"heap-MB", row[2].(float64)}, metric{"noop-p99-ms", row[5].(float64)},
		metric{"select-p99-ms", row[7].(float64)}, metric{"delivery-p99-ms", row[9].(float64)})
}

// repeat runs something at random times until ctx ends, and returns how long it took each
// time, at least once.
func repeat(b *testing.B, ctx context.Context, run func() error) (l []time.Duration) {
	for len(l) == 0 || ctx.Err() == nil {
		time.Sleep(time.Duration(rand.ExpFloat64() * float64(time.Second) / importRate))
		start := time.Now()
		if err := run(); err != nil {
			b.Error(err)
			return l
		}
		l = append(l, time.Since(start))
	}
	return l
}

// quantile returns a quantile in milliseconds.
func quantile(l []time.Duration, q float64) float64 {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return float64(l[int(float64(len(l)-1)*q)].Microseconds()) / 1000
}

// writeMbox writes an mbox file with n messages and returns its size.
func writeMbox(t testing.TB, path string, n int) int64 {
	t.Helper()
	f, err := os.Create(path)
	check(t, err)
	w := bufio.NewWriter(f)
	for i := range n {
		m := mix(i)
		fmt.Fprintf(w, "From a@example.org %s\n", m.received.UTC().Format(time.ANSIC))
		_, _ = io.WriteString(w, strings.ReplaceAll(m.text, "\r\n", "\n"))
		_, _ = io.WriteString(w, "\n")
	}
	check(t, w.Flush())
	info, err := f.Stat()
	check(t, errors.Join(err, f.Close()))
	return info.Size()
}
