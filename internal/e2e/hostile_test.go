package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
)

const (
	// hostileCPU and hostileMemory are what a hostile message may cost: CPU time, and
	// resident memory beyond that before, of which some 20 MB are for a login. They are
	// twice and more what is needed, as both depend on what else the machine does.
	hostileCPU    = 5 * time.Second
	hostileMemory = 128 << 20

	// ticksPerSecond is the unit of CPU time in /proc. It is 100 on all architectures
	// that we build for. proc(5)
	ticksPerSecond = 100

	neighbours = 20 // Good messages in the mailbox.

	// noCharacter comes in place of NUL, which a literal cannot have. RFC 9051 §9
	noCharacter = 0x80
)

// A hostile is a message that is made to cost a lot.
type hostile struct {
	name string
	make func() []byte
}

var hostiles = []hostile{
	{"nothing special", func() []byte { return []byte(hostileHeader + "\r\nhello\r\n") }},
	{"MIME 10,000 deep", func() []byte { return nestedMIME(10_000, func(i int) string { return fmt.Sprintf("b%d", i) }) }},
	{"one boundary 10,000 times", func() []byte { return nestedMIME(10_000, func(int) string { return "boundary" }) }},
	{"10,000 boundary parameters", func() []byte {
		return repeated("Content-Type: multipart/mixed", ";\r\n boundary=b", 10_000, "\r\n\r\n--b\r\n\r\nhello\r\n--b--\r\n")
	}},
	{"message/rfc822 5,000 deep", func() []byte {
		return repeated("", "Content-Type: message/rfc822\r\n\r\n", 5000, "Subject: inner\r\n\r\nhello\r\n")
	}},
	{"100,000 parts", func() []byte {
		return repeated("Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n", 100_000, "--b--\r\n")
	}},
	{"100,000 folded header lines", func() []byte { return repeated("X-Folded: a", "\r\n folded", 100_000, "\r\n\r\nhello\r\n") }},
	{"100,000 header fields", func() []byte { return repeated("", "X-Field: value\r\n", 100_000, "\r\nhello\r\n") }},
	{"100,000 recipients", func() []byte {
		return repeated("To: a@example.org", ",\r\n a@example.org", 100_000, "\r\n\r\nhello\r\n")
	}},
	{"50 MB line", func() []byte { return repeated("\r\n", "x", 50_000_000, "\r\n") }},
	{"50 MB header line", func() []byte { return repeated("X-Long: ", "x", 50_000_000, "\r\n\r\nhello\r\n") }},
	{"50 MB line in base64", func() []byte {
		return repeated("Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n", "PGE+", 50_000_000/4, "\r\n")
	}},
	{"NULs in body", func() []byte { return repeated("\r\n", "\x00hello\x00\r\n", 1000, "") }},
	{"NULs in header", func() []byte { return repeated("X-NUL: a", "\x00", 1000, "\r\n\r\nhello\r\n") }},
}

// hostileItems is what is fetched.
var hostileItems = []imap.FetchItem{{Attr: imap.FetchRFC822Size}, {Attr: imap.FetchEnvelope}, {Attr: imap.FetchBodyStructure}, {Attr: imap.FetchBodySection, Peek: true}}

const hostileHeader = "From: <sender@remote.example>\r\nTo: <mox@localhost>\r\nSubject: hostile\r\nMIME-Version: 1.0\r\n"

func repeated(before, s string, n int, after string) []byte {
	return slices.Concat([]byte(hostileHeader+before), bytes.Repeat([]byte(s), n), []byte(after))
}

// nestedMIME returns a message with multiparts in multiparts.
func nestedMIME(depth int, boundary func(int) string) []byte {
	var b bytes.Buffer
	b.WriteString(hostileHeader)
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%[1]s\r\n", boundary(i))
	}
	b.WriteString("\r\nhello\r\n")
	for i := range depth {
		fmt.Fprintf(&b, "--%s--\r\n", boundary(depth-1-i))
	}
	return b.Bytes()
}

// A cost is what something needed of the server.
type cost struct {
	cpu    time.Duration
	memory int64
}

func (c cost) String() string {
	return fmt.Sprintf("%.2f s %5.1f MB", c.cpu.Seconds(), float64(c.memory)/(1<<20))
}

// A hostileCost is what one message was answered with, and what it has cost.
type hostileCost struct {
	smtp, append               string // The answer.
	accept, add, fetch, search cost
	rounds                     int           // Of the neighbour, meanwhile.
	longest                    time.Duration // One of them.
}

// stored returns how many messages were taken.
func (c hostileCost) stored() int {
	n := 0
	if c.smtp == "250" {
		n++
	}
	if c.append == "OK" {
		n++
	}
	return n
}

// TestHostileMessages sends messages that are made to cost much, each to a server of
// its own. They are refused, or stored as they are, and then answered for. They cost
// little, and the neighbours in their mailbox can be read and searched all the time.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc of Linux")
	}
	costs := make([]hostileCost, len(hostiles))
	t.Run("messages", func(t *testing.T) {
		for i, h := range hostiles {
			t.Run(h.name, func(t *testing.T) { costs[i] = testHostile(t, h.make()) })
		}
	})
	t.Logf("%-28s %-4s %-18s %-14s %-18s %-18s %-18s %s", "", "SMTP", "", "APPEND", "", "FETCH", "SEARCH TEXT", "neighbour")
	for i, h := range hostiles {
		c := costs[i]
		t.Logf("%-28s %-4s %-18s %-14s %-18s %-18s %-18s %d rounds, longest %v", h.name, c.smtp, c.accept, c.append, c.add, c.fetch, c.search, c.rounds, c.longest.Round(time.Millisecond))
	}
}

func testHostile(t *testing.T, data []byte) (c hostileCost) {
	s := localserve(t, options{loglevel: "error", edit: tolerant})
	before := s.resident() // Of all that follows: what freed memory is still there is not for free.
	sc := s.smtpClient()
	for i := range neighbours {
		deliver(t, sc, user, fmt.Sprintf("%sX-Number: %d\r\n\r\ngood neighbour\r\n", hostileHeader, i))
	}
	c.accept = s.measure("SMTP", before, func() { c.smtp = s.sendHostile(data) })
	ic := s.inbox()
	s.readNeighbours(ic)
	c.add = s.measure("APPEND", before, func() { c.append = s.appendHostile(ic, data) })
	stored := c.stored()
	c.fetch = s.measure("FETCH", before, func() { s.fetchHostile(ic, data, stored) })
	if stored > 0 {
		c.search = s.measure("SEARCH TEXT", before, func() { s.searchText(ic, neighbours+1) })
	}
	if c.smtp[0] != '2' && c.smtp[0] != '5' || c.append != "OK" && c.append != "NO" && c.append != "BAD" {
		t.Errorf("SMTP was answered %q, APPEND %q", c.smtp, c.append)
	}
	s.withNeighbour(&c, func() {
		if got := s.sendHostile(data); got != c.smtp {
			t.Errorf("SMTP was answered %q, then %q", c.smtp, got)
		}
		if got := s.appendHostile(ic, data); got != c.append {
			t.Errorf("APPEND was answered %q, then %q", c.append, got)
		}
		s.fetchHostile(ic, data, 2*stored)
		s.searchText(ic, 1)
	})
	return c
}

// withNeighbour calls fn while a neighbour reads the good messages all the time.
func (s *server) withNeighbour(c *hostileCost, fn func()) {
	s.t.Helper()
	nc := s.inbox()
	var stop atomic.Bool
	first, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; !stop.Load(); n++ {
			start := time.Now()
			if err := s.tryNeighbours(nc); err != nil {
				s.t.Errorf("neighbour: %v", err)
				return
			}
			c.longest = max(c.longest, time.Since(start))
			c.rounds = n
			if n == 0 {
				close(first)
			}
		}
	}()
	select {
	case <-first:
		fn()
	case <-done:
	}
	stop.Store(true)
	<-done
}

func (s *server) readNeighbours(c *imapclient.Client) {
	s.t.Helper()
	if err := s.tryNeighbours(c); err != nil {
		s.t.Fatal(err)
	}
}

// tryNeighbours reads and searches the neighbours of a hostile message once.
func (s *server) tryNeighbours(c *imapclient.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, _, err := c.Fetch(ctx, imapclient.Seq, numbers(s.t, fmt.Sprintf("1:%d", neighbours)), hostileItems, imapclient.FetchOptions{})
	if err != nil {
		return fmt.Errorf("fetch: %w", err)
	}
	for i, m := range l {
		if want := fmt.Sprintf("X-Number: %d\r\n\r\ngood neighbour\r\n", i); !bytes.HasSuffix(m.Sections[0].Data, []byte(want)) {
			return fmt.Errorf("message %d is not what it was: %q", m.Seq, m.Sections[0].Data)
		}
		if m.Envelope == nil || m.Envelope.Subject.Value != "hostile" || m.BodyStructure == nil || m.BodyStructure.Octets != int64(len("good neighbour\r\n")) {
			return fmt.Errorf("message %d: envelope %v, body structure %v", m.Seq, m.Envelope, m.BodyStructure)
		}
	}
	// What it says in the neighbours, and what is nowhere in them, so that all is read.
	for _, q := range []struct {
		text string
		n    int
	}{{"good neighbour", neighbours}, {"nowhere", 0}} {
		res, err := c.Search(ctx, imapclient.Seq, textProgram(fmt.Sprintf("1:%d", neighbours), q.text, s.t), imapclient.SearchOptions{})
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		if len(l) != neighbours || len(res.Nums) != q.n {
			return fmt.Errorf("fetched %d, found %d with %q", len(l), len(res.Nums), q.text)
		}
	}
	return nil
}

func textProgram(set, text string, t testing.TB) imap.SearchProgram {
	return imap.SearchProgram{Key: imap.SearchKey{Op: imap.SearchAnd, Keys: []imap.SearchKey{
		{Op: imap.SearchSeq, Set: numbers(t, set)},
		{Op: imap.SearchText, Text: text},
	}}}
}

// searchText searches a message for what is not in it, so that all of it is read, or,
// from the first message on, all messages.
func (s *server) searchText(c *imapclient.Client, seq uint32) {
	s.t.Helper()
	set := strconv.Itoa(int(seq))
	if seq == 1 {
		set = "1:*"
	}
	res, err := c.Search(testContext(s.t), imapclient.Seq, textProgram(set, "nowhere", s.t), imapclient.SearchOptions{})
	if err != nil || len(res.Nums) != 0 {
		s.t.Fatalf("search of %s: %v, %v", set, res, err)
	}
}

// sendHostile sends a message as it is over SMTP, which our client does not do, and
// returns the code of the reply.
func (s *server) sendHostile(data []byte) string {
	s.t.Helper()
	nc := s.dial("smtp")
	defer func() { _ = nc.Close() }()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	tc := textproto.NewReader(bufio.NewReader(nc))
	reply := func(want int) string {
		s.t.Helper()
		code, text, err := tc.ReadResponse(want)
		if err != nil {
			s.t.Fatalf("SMTP: want %d, got %d %s: %v", want, code, text, err)
		}
		return strconv.Itoa(code)
	}
	reply(220)
	for _, cmd := range []string{"EHLO client.example", "MAIL FROM:<sender@remote.example> BODY=8BITMIME", "RCPT TO:<mox@localhost>"} {
		if _, err := io.WriteString(nc, cmd+"\r\n"); err != nil {
			s.t.Fatal(err)
		}
		reply(250)
	}
	if _, err := io.WriteString(nc, "DATA\r\n"); err != nil {
		s.t.Fatal(err)
	}
	reply(354)
	_, err := nc.Write(data)
	if err == nil {
		_, err = io.WriteString(nc, ".\r\n")
	}
	if err != nil {
		s.t.Logf("sending: %v", err) // It may have been refused before its end.
	}
	return reply(0)
}

// appendHostile appends a message and returns the status.
func (s *server) appendHostile(c *imapclient.Client, data []byte) string {
	s.t.Helper()
	_, _, err := c.Append(testContext(s.t), "INBOX", imapclient.Message{Size: int64(len(data)), Data: bytes.NewReader(data), Binary: bytes.IndexByte(data, 0) >= 0})
	var ie *imap.Error
	switch {
	case errors.As(err, &ie):
		s.t.Logf("APPEND: %v", err)
		return string(ie.Type)
	case err != nil:
		s.t.Fatalf("APPEND: %v", err)
	}
	return "OK"
}

// fetchHostile fetches the hostile messages, which must be there as often as they were
// stored, and as they were sent.
func (s *server) fetchHostile(c *imapclient.Client, data []byte, stored int) {
	s.t.Helper()
	if stored == 0 {
		return
	}
	items, binary := hostileItems, bytes.IndexByte(data, 0) >= 0
	if binary {
		items = append(slices.Clone(items), imap.FetchItem{Attr: imap.FetchBinary, Peek: true})
	}
	n := 0
	_, _, err := c.Fetch(testContext(s.t), imapclient.Seq, numbers(s.t, fmt.Sprintf("%d:*", neighbours+1)), items, imapclient.FetchOptions{Each: func(m *imapclient.FetchData) error {
		n++
		if binary && !bytes.HasSuffix(m.Sections[1].Data, data) {
			return fmt.Errorf("message %d is not what it was with BINARY", m.Seq)
		}
		data := bytes.ReplaceAll(data, []byte{0}, []byte{noCharacter})
		if got := m.Sections[0].Data; !bytes.HasSuffix(got, data) || m.Size != int64(len(got)) {
			return fmt.Errorf("message %d was %d octets and is %d, of RFC822.SIZE %d", m.Seq, len(data), len(got), m.Size)
		}
		if m.Envelope == nil || m.Envelope.Subject.Value != "hostile" || m.BodyStructure == nil {
			return fmt.Errorf("message %d: envelope %v, body structure %v", m.Seq, m.Envelope, m.BodyStructure)
		}
		return nil
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	if n != stored {
		s.t.Fatalf("%d messages were stored, and %d are there", stored, n)
	}
}

// measure returns what fn costs the server: CPU time, and the peak of resident memory
// beyond before.
func (s *server) measure(what string, before int64, fn func()) cost {
	s.t.Helper()
	pid := strconv.Itoa(s.proc.PID())
	if err := os.WriteFile(filepath.Join("/proc", pid, "clear_refs"), []byte("5"), 0); err != nil {
		s.t.Fatal(err) // Makes the present the peak. proc(5)
	}
	start := s.cpu()
	fn()
	c := cost{s.cpu() - start, s.status("VmHWM") - before}
	if c.cpu >= hostileCPU || c.memory >= hostileMemory {
		s.t.Errorf("%s costs %v, more than %v and %d MB", what, c, hostileCPU, hostileMemory>>20)
	}
	return c
}

// cpu returns the CPU time that the server has used.
func (s *server) cpu() time.Duration {
	s.t.Helper()
	stat := string(testkit.ReadFile(s.t, fmt.Sprintf("/proc/%d/stat", s.proc.PID())))
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // From field 3 on.
	var ticks int64
	for _, field := range f[14-3 : 15-3+1] { // utime and stime.
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			s.t.Fatalf("stat: %v", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// resident returns the octets of the server that are in memory.
func (s *server) resident() int64 { return s.status("VmRSS") }

// status returns a size from the status of the server in /proc.
func (s *server) status(field string) int64 {
	s.t.Helper()
	text := testkit.ReadFile(s.t, fmt.Sprintf("/proc/%d/status", s.proc.PID()))
	m := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB$`).FindSubmatch(text)
	if m == nil {
		s.t.Fatalf("no %s in status:\n%s", field, text)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n << 10
}
