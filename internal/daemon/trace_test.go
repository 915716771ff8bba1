package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/internal/tracedb"
)

func TestTracesArePrintedPageByPage(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.dial(t)
	refused(t, c.Do("trace", "", "", "10"), "no message is known")
	const n = tracedb.MaxPage + 20
	d.fill(t, n/2)
	for _, max := range []int{1, tracedb.MaxPage, tracedb.MaxPage + 1, n, 10 * n} {
		got := stream(t, c, "trace", LocalserveAddress, "", fmt.Sprint(max))
		if k := strings.Count(got, "  received   by control socket, "); k != min(n, max) || strings.Count(got, "  delivered  ") != k {
			t.Errorf("at most %d: got %d messages", max, k)
		}
	}
	refused(t, c.Do("trace", "", "", "0"), "number of messages must be from 1 to")
	refused(t, c.Do("trace", "", "", "x"), "number of messages must be from 1 to")
	refused(t, c.Do("trace", "", "yesterday", "1"), "time: ")
	refused(t, c.Do("trace", "999999", "", "1"), `"999999"`)
	refused(t, c.Do("trace", "", "2100-01-01T00:00:00Z", "1"), "no message is known since 2100")
}

func TestNothingIsKeptOfMessagesIfTheConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	d := start(t, dir)
	d.fill(t, 1)
	file := filepath.Join(d.DataDir(), tracedb.FileName)
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	d.stop()
	change(t, filepath.Join(dir, "mox.conf"), "Hostname: ", "KeepTracePeriod: -1s\nHostname: ")
	d = start(t, dir)
	d.fill(t, 1)
	refused(t, d.dial(t).Do("trace", "", "", "10"), "KeepTracePeriod in mox.conf is negative")
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file is there: %v", err)
	}
}

func TestStepsAreOneLineEachForPeople(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	got := traceText(tracedb.Message{Time: at, Skipped: 3, Steps: []tracedb.Step{
		{Time: at, Kind: tracedb.Received, From: "<>", Service: "smtp", Host: "mail.example", IP: "192.0.2.1", Name: "host.example", TLS: "TLS 1.3 X", Size: 5, Connection: "abc", Cid: 255},
		{Time: at.Add(1500 * time.Millisecond), Kind: tracedb.Judged, To: "ann@x", Member: "bob@x", Result: tracedb.Rejected, Reason: "junk", Code: 451, Enhanced: "4.3.0", Text: "no\x1b[2J", Reasons: []string{"one", "two\nlines"}},
		{Time: at.Add(time.Minute), Kind: tracedb.Attempted, To: "eve@y", Result: tracedb.Retry, Queue: 7, Attempt: 2, Transport: "direct", Host: "mx.y", IP: "2001:db8::1", Unanswered: true, Duration: time.Second, Next: at.Add(time.Hour)},
	}})
	want := `2026-03-01T12:00:00.000Z without Message-ID
  2026-03-01T12:00:00.000Z    +0.000s  received   by smtp, from mail.example (192.0.2.1 host.example), tls TLS 1.3 X, from <>, 5 bytes, id abc, cid ff
  2026-03-01T12:00:01.500Z    +1.500s  verdict    <ann@x>, member <bob@x>, refused, reason junk, 451 4.3.0 no [2J
                                                   - one
                                                   - two lines
  2026-03-01T12:01:00.000Z   +60.000s  attempt    <eve@y>, retry, queue id 7, attempt 2, transport direct, to mx.y (2001:db8::1), no reply came after all was sent, took 1.000s, next attempt 2026-03-01T13:00:00Z
  and 3 more steps that were not kept

`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
