package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
)

const (
	// loadMemory is how much memory the server may need at most, whatever is done to it.
	loadMemory = 512 << 20

	// loadLatency is how long 99 of 100 commands of others may take meanwhile. In the
	// short form other tests run at the same time, and it is only shown.
	loadLatency = time.Second

	// loadUsual is the number of messages in the mailbox, and loadLarge how many of them
	// are large.
	loadUsual, loadLarge = 20, 20
)

// An attack is what is done to a server while others use it. It returns what became of
// it, and an error for what the server should have done otherwise.
type attack struct {
	name string
	run  func(s *server, d time.Duration) (string, error)
}

// TestHostileLoad attacks a server in many ways, one after another. Meanwhile somebody
// sends mail, and somebody reads mail. The server keeps to its memory, and they notice
// little.
//
// Attackers come from addresses of 127.0.0.0/8 other than 127.0.0.1, with all limits.
func TestHostileLoad(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc of Linux, and its loopback addresses")
	}
	s := loadServer(t)
	d := 2 * time.Second
	if soak() {
		d = 30 * time.Second
	}
	t.Logf("%-34s %8s %8s %8s %8s %8s  %s", "", "RSS MB", "commands", "p50 ms", "p99 ms", "max ms", "what became of it")
	for _, a := range append([]attack{{"nothing", func(_ *server, d time.Duration) (string, error) {
		time.Sleep(d)
		return "", nil
	}}}, attacks...) {
		t.Run(a.name, func(t *testing.T) { testAttack(t, s.with(t), a, d) })
	}
}

// loadServer starts a server with messages in its mailbox, where attackers have limits.
func loadServer(t *testing.T) *server {
	t.Helper()
	dns := testkit.NewDNS(t, testkit.DNSOptions{Zone: `
sender.example MX 10 mx.sender.example
mx.sender.example A 127.0.0.1
sender.example TXT "v=spf1 ip4:127.0.0.0/8 -all"
_dmarc.sender.example TXT "v=DMARC1; p=reject"
remote.example MX 10 mx.remote.example
mx.remote.example A 127.0.0.1
`})
	dir := filepath.Join(testkit.DataDir(t), "mox")
	initOnly(t, dir)
	replaceIn(t, filepath.Join(dir, "mox.conf"),
		"Pedantic: true\n", "Pedantic: false\nDNSResolver:\n\t- "+dns.Addr+"\n",
		"\t\t\t\t- 127.0.0.0/8\n", "\t\t\t\t- 127.0.0.1\n")
	replaceIn(t, filepath.Join(dir, "domains.conf"),
		"\t\tLocalpartCatchallSeparator: +\n", "\t\tLocalpartCatchallSeparator: +\n\t\tDMARC:\n\t\t\tLocalpart: dmarc\n\t\t\tAccount: mox\n\t\t\tMailbox: DMARC\n"+
			"\t\tTLSRPT:\n\t\t\tLocalpart: tlsrpt\n\t\t\tAccount: mox\n\t\t\tMailbox: TLSRPT\n",
		"\t\t\tmox@localhost: nil\n", "\t\t\tmox@localhost: nil\n\t\t\tregexp@localhost:\n"+explodingRules)
	s := localserve(t, options{dir: dir, loglevel: "error"})
	c := s.smtpClient()
	for i := range loadUsual {
		deliver(t, c, user, fmt.Sprintf("%sX-Number: %d\r\n\r\ngood neighbour\r\n", hostileHeader, i))
	}
	large := string(repeated("\r\n", strings.Repeat("large ", 10)+"\r\n", 2<<20/62, ""))
	for range loadLarge {
		deliver(t, c, user, large)
	}
	return s
}

// replaceIn replaces texts in a file, in pairs, which must be there.
func replaceIn(t testing.TB, path string, pairs ...string) {
	t.Helper()
	text := string(testkit.ReadFile(t, path))
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("no %q in %s", pairs[i], path)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// testAttack attacks a server while others use it.
func testAttack(t *testing.T, s *server, a attack, d time.Duration) {
	// But for the one that has filled the mailbox.
	poll(t, "end of the connections of other attackers", func() bool { return s.connections() <= 1 })
	l := &latencies{}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	var rounds [2]atomic.Int64
	begun := make(chan struct{}, 2)
	for i, open := range []func(*latencies) (func() error, error){s.goodSender, s.goodReader} {
		work, err := open(l)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer func() { begun <- struct{}{} }()
			for ctx.Err() == nil {
				if err := work(); err != nil {
					t.Errorf("another session: %v", err)
					return
				}
				if rounds[i].Add(1) == 1 {
					begun <- struct{}{}
				}
			}
		})
	}
	<-begun
	<-begun
	l.reset()
	if err := s.resetPeak(); err != nil {
		t.Fatal(err)
	}
	result, err := a.run(s, d)
	if err != nil {
		t.Error(err)
	}
	peak := s.status("VmHWM")
	stop()
	wg.Wait()
	n, p50, p99, longest := l.figures()
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	t.Logf("%-34s %8.0f %8d %8.1f %8.1f %8.1f  %s", a.name, float64(peak)/(1<<20), n, ms(p50), ms(p99), ms(longest), result)
	if peak >= loadMemory {
		t.Errorf("the server needs %d MB, more than %d", peak>>20, loadMemory>>20)
	}
	if soak() && p99 >= loadLatency {
		t.Errorf("1 of 100 commands of others takes more than %v", p99)
	}
	if rounds[0].Load() == 0 || rounds[1].Load() == 0 {
		t.Error("others could not do anything")
	}
}

// resetPeak makes the memory that the server has now the most that it has had.
func (s *server) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.proc.PID()), []byte("5"), 0) // proc(5)
}

// connections returns how many connections are counted for SMTP and IMAP.
func (s *server) connections() (n int) {
	s.t.Helper()
	resp, err := http.Get("http://" + s.addr["metricshttp"] + "/metrics")
	check(s.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	check(s.t, err)
	for _, m := range regexp.MustCompile(`(?m)^mox_connections_count\{\S+protocol="(?:imap|smtp|submission)s?"\S*\} (\d+)$`).FindAllStringSubmatch(string(data), -1) {
		count, err := strconv.Atoi(m[1])
		check(s.t, err)
		n += count
	}
	return n
}

// latencies are how long commands took. It is for many goroutines.
type latencies struct {
	mu sync.Mutex
	l  []time.Duration
}

// time runs a command.
func (l *latencies) time(fn func() error) error {
	begin := time.Now()
	err := fn()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.l = append(l.l, time.Since(begin))
	return err
}

func (l *latencies) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.l = nil
}

func (l *latencies) figures() (n int, p50, p99, longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.l)
	if n = len(l.l); n == 0 {
		return 0, 0, 0, 0
	}
	return n, l.l[n/2], l.l[n*99/100], l.l[n-1]
}

// An smtpTalk is a connection on which commands are sent as they are.
type smtpTalk struct {
	nc net.Conn
	tp *textproto.Reader
}

func newSMTPTalk(nc net.Conn) (*smtpTalk, error) {
	c := &smtpTalk{nc, textproto.NewReader(bufio.NewReader(nc))}
	return c, errors.Join(nc.SetDeadline(time.Now().Add(patience)), c.reply(220))
}

func (c *smtpTalk) reply(want int) error {
	_, _, err := c.tp.ReadResponse(want)
	return err
}

// cmd sends a command, and reads a reply, which must have this code.
func (c *smtpTalk) cmd(text string, want int) error {
	if err := c.nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c.nc, text+"\r\n"); err != nil {
		return err
	}
	if err := c.reply(want); err != nil {
		return fmt.Errorf("%.20s: %w", text, err)
	}
	return nil
}

// envelope begins a message up to DATA.
func (c *smtpTalk) envelope(to string) error {
	for _, text := range []string{"EHLO client.example", "MAIL FROM:<a@sender.example>", "RCPT TO:<" + to + ">"} {
		if err := c.cmd(text, 250); err != nil {
			return err
		}
	}
	return c.cmd("DATA", 354)
}

// goodSender returns a function that sends a message on a connection that is kept.
func (s *server) goodSender(l *latencies) (func() error, error) {
	nc := s.dial("smtp")
	s.t.Cleanup(func() { _ = nc.Close() })
	c, err := newSMTPTalk(nc)
	if err == nil {
		err = c.cmd("EHLO client.example", 250)
	}
	message := hostileHeader + "\r\n" + strings.Repeat("hello\r\n", 100) + "."
	return func() error {
		for _, x := range []struct {
			text string
			code int
		}{{"MAIL FROM:<sender@remote.example>", 250}, {"RCPT TO:<mox@localhost>", 250}, {"DATA", 354}, {message, 250}} {
			if err := l.time(func() error { return c.cmd(x.text, x.code) }); err != nil {
				return err
			}
		}
		time.Sleep(20 * time.Millisecond) // Somebody with mail to send, and not one more attack.
		return nil
	}, err
}

// goodReader returns a function that reads and searches mail on a connection that is
// kept.
func (s *server) goodReader(l *latencies) (func() error, error) {
	c := s.inbox()
	usual := numbers(s.t, fmt.Sprintf("1:%d", loadUsual))
	program := textProgram(fmt.Sprintf("1:%d", loadUsual), "good neighbour", s.t)
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, fn := range []func() error{
			func() error { _, err := c.Noop(ctx); return err },
			func() error {
				got, _, err := c.Fetch(ctx, imapclient.Seq, usual, hostileItems, imapclient.FetchOptions{})
				if err == nil && len(got) != loadUsual {
					err = fmt.Errorf("fetched %d messages of %d", len(got), loadUsual)
				}
				return err
			},
			func() error {
				res, err := c.Search(ctx, imapclient.Seq, program, imapclient.SearchOptions{})
				if err == nil && len(res.Nums) != loadUsual {
					err = fmt.Errorf("found %d messages of %d", len(res.Nums), loadUsual)
				}
				return err
			},
			func() error {
				_, _, err := c.Store(ctx, imapclient.Seq, usual, imapclient.StoreAdd, imap.FlagSeen.Names(), imapclient.StoreOptions{})
				return err
			},
		} {
			if err := l.time(fn); err != nil {
				return err
			}
		}
		time.Sleep(20 * time.Millisecond)
		return nil
	}, nil
}
