package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// serveText answers whatever comes with parts of a text, one write each.
func serveText(t *testing.T, parts ...string) *imapConn {
	t.Helper()
	client, remote := net.Pipe()
	t.Cleanup(func() {
		_ = client.Close() // Pipes have no errors to report.
		_ = remote.Close()
	})
	go func() {
		buf := make([]byte, 1024)
		if _, err := remote.Read(buf); err != nil {
			return
		}
		for _, p := range parts {
			if _, err := remote.Write([]byte(p)); err != nil {
				return
			}
		}
	}()
	return newIMAP(client)
}

func TestClientFindsTheEndOfAnAnswerHoweverItIsCut(t *testing.T) {
	t.Parallel()
	const text = "* 1 FETCH (BODY[] {12}\r\nzq1 OK no\r\n\n)\r\n* SEARCH 1 2 3\r\n* 5 EXISTS\r\nzq1 OK [READ-WRITE] done\r\n"
	for size := 7; size <= len(text); size++ {
		// A part must not end where the line in the literal does, which real tags avoid.
		var parts []string
		for s := text; s != ""; {
			n := min(size, len(s))
			if strings.HasSuffix(s[:n], "no\r\n") {
				n++
			}
			parts = append(parts, s[:n])
			s = s[n:]
		}
		a := &tally{lines: map[string]int{}}
		got, err := serveText(t, parts...).run("X\r\n", a.see)
		if err != nil || got != int64(len(text)) {
			t.Errorf("in parts of %d: got %d octets of %d, %v", size, got, len(text), err)
		}
		if a.lines["FETCH"] != 1 || a.lines["EXISTS"] != 1 || a.numbers != 3 {
			t.Errorf("in parts of %d: counted %v and %d numbers", size, a.lines, a.numbers)
		}
	}
}

func TestClientReportsWhatIsNotOK(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"zq1 NO [OVERQUOTA] full\r\n", "zq1 BAD what\r\n"} {
		_, err := serveText(t, "* 1 EXISTS\r\n", text).run("X\r\n", nil)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%q: got %v", text, err)
		}
	}
	c := serveText(t, "* BYE\r\n")
	_ = c.nc.SetDeadline(time.Now().Add(-time.Second)) // A pipe supports it.
	if _, _, err := c.until([]byte("* "), nil); err == nil {
		t.Error("no error without an answer")
	}
}

func TestBlockingConnection(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	c, err := dialBlocking(l.Addr().String(), 50*time.Millisecond)
	check(t, err)
	defer c.Close()
	peer, err := l.Accept()
	check(t, err)
	defer peer.Close()
	p := make([]byte, 10)
	for _, text := range []string{"one", "other"} {
		_, err = io.WriteString(peer, text)
		check(t, err)
		if n, err := c.Read(p); string(p[:n]) != text || err != nil {
			t.Errorf("read %q, %v", p[:n], err)
		}
		_, err = io.WriteString(c, text)
		check(t, err)
		if n, err := peer.Read(p); string(p[:n]) != text || err != nil {
			t.Errorf("wrote %q, %v", p[:n], err)
		}
	}
	if runtime.GOOS == "linux" {
		if n, err := c.Read(p); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading what does not come: %d, %v", n, err)
		}
	}
	check(t, peer.Close())
	if n, err := c.Read(p); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	l.Close()
	if _, err := dialBlocking(l.Addr().String(), time.Second); err == nil {
		t.Error("connected to nothing")
	}
}

func TestStampNumbersAMessageAndNothingElse(t *testing.T) {
	t.Parallel()
	m := mix(3).text
	text := []byte(m)
	stamp(text, 1234)
	if want := strings.Replace(m, "<"+serial, "<000000001234", 1); string(text) != want {
		t.Errorf("got %s", text)
	}
}

func TestDottedMessageEndsDATA(t *testing.T) {
	t.Parallel()
	if got := string(dotted("a\r\n.b\r\n..\r\n")); got != "a\r\n..b\r\n...\r\n.\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestTraceIsCountedByKindOfFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "strace")
	const dir = "/d/data/accounts/mox"
	text := strings.ReplaceAll(`12 fsync(9<$/msg/a/17>) = 0
13 fsync(9<$/msg/b/8193> <unfinished ...>
12 fsync(7<$/msg/a>) = 0
13 <... fsync resumed>) = 0
12 fdatasync(5<$/index.db>) = 0
12 fdatasync(5<$/index.db>) = 0
12 fsync(3</d/data/auth.json>) = 0
12 --- SIGURG ---
`, "$", dir)
	check(t, os.WriteFile(path, []byte(text), 0o600))
	if got, want := readTrace(t, path), (syncs{files: 2, dirs: 1, db: 2, other: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReportIsATable(t *testing.T) {
	t.Parallel()
	var r report
	tb := r.table("Title", "", "first", "second")
	tb.row("short", 0.1234, 1234*time.Microsecond)
	tb.row("much longer", 12345.6, "text")
	tb.note("A note of %d words.", 5)
	var b bytes.Buffer
	tb.write(&b)
	const want = "\nTitle\n\n" +
		"               first  second\n" +
		"  short        0.123    1.23\n" +
		"  much longer  12346    text\n" +
		"  A note of 5 words.\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if m := median([]float64{3, 1, 2, 10}); m != 2.5 {
		t.Errorf("median is %v", m)
	}
	if m := median([]time.Duration{3, 1, 2}); m != 2 {
		t.Errorf("median is %v", m)
	}
}

// What the benchmarks do, in small, with the real server.
func TestClientsWorkWithTheServer(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the server")
	}
	dir := filepath.Join(scratch(t, "test"), "mox")
	initDir(t, dir, "other")
	s := start(t, dir)
	c := dialIMAP(t, s.addrs["imap"])
	const n = 1000 // What STORE and COPY want.
	fillMailbox(t, c, n)
	for _, to := range []string{address, "other@localhost"} {
		l := dialSenders(t, s, 2, to)
		check(t, l.send(0))
		l.close()
	}
	check(t, c.appendNext(2))
	if a := c.tally(t, "SELECT INBOX"); a.lines["EXISTS"] != 1 {
		t.Errorf("SELECT: %v", a.lines)
	}
	// Two greetings of senders, one message, two appended.
	if got := c.tally(t, "FETCH 1:* (UID)").lines["FETCH"]; got != n+5 {
		t.Errorf("%d messages arrived, want %d", got, n+5)
	}
	c.do(t, fmt.Sprintf("STORE %d:%d +FLAGS.SILENT (\\Deleted)", n+1, n+5))
	c.do(t, "EXPUNGE")
	c.do(t, "CREATE Copies")
	verifyReading(t, c, n)
	if m := s.resident(t); m.now <= 0 || m.files > m.now || m.most < m.now {
		t.Errorf("memory: %+v", m)
	}
	if s.cpu(t) <= 0 {
		t.Error("no time was computed")
	}
	s.stop(t)
	again := filepath.Join(filepath.Dir(dir), "clone")
	check(t, clone(dir, again))
	s = start(t, again)
	c = dialIMAP(t, s.addrs["imap"])
	c.do(t, "SELECT INBOX")
	if got := c.tally(t, "FETCH 1:* (BODY.PEEK[])").lines["FETCH"]; got != n {
		t.Errorf("%d messages in the copy, want %d", got, n)
	}
}
