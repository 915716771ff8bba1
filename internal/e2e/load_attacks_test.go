package e2e

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	littleendian "encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// trickles is how many connections say or read next to nothing.
	trickles = 500

	// floodConns is how many connections are tried at the same time, of which
	// floodServed can be served: DefaultMaxConnections.
	floodConns, floodServed = 7000, 2000

	// perAddress is how many connections there are from one address, fewer than one may
	// have. Addresses are far apart, for networks have limits too.
	perAddress = 20
)

// explodingRules are for the address regexp@localhost: expressions that take forever
// where they are tried one way after the other, and long where they are not.
var explodingRules = func() string {
	var b strings.Builder
	b.WriteString("\t\t\t\tRulesets:\n")
	for _, re := range []string{"^(a+)+!$", "^(a|aa)+!$", "^(.*a){20}!$", "^(a?){500}a{500}!$", "(((a*)*)*)*!$", "^(a|a|a|a|a)*!$", "a.*a.*a.*a.*a.*!"} {
		fmt.Fprintf(&b, "\t\t\t\t\t-\n\t\t\t\t\t\tHeadersRegexp:\n\t\t\t\t\t\t\t^(x-?)+(a|a)*$: %s\n\t\t\t\t\t\tMailbox: Regexp\n", re)
	}
	return b.String()
}()

var attacks = []attack{
	{"500 clients write slowly", slowWriters},
	{"500 clients do not read", slowReaders},
	{"7,000 connections", flood},
	{"headers without end", endlessHeaders},
	{"MIME 10,000 deep", func(s *server, d time.Duration) (string, error) {
		deep := nestedMIME(10_000, func(i int) string { return fmt.Sprintf("b%d", i) })
		return s.sendFor(d, user, func(int) io.Reader { return bytes.NewReader(deep) })
	}},
	{"reports of 10 GB", func(s *server, _ time.Duration) (string, error) { return s.sendBombs() }},
	{"regular expressions", func(s *server, d time.Duration) (string, error) {
		many := repeated("", "X-Aaaaaa: "+strings.Repeat("a", 900)+"\r\n", 100, "\r\nhello\r\n")
		long := repeated("X-A: a", strings.Repeat("a", 70)+"\r\n ", 1000, "\r\n\r\nhello\r\n")
		return s.sendFor(d, "regexp@localhost", func(i int) io.Reader {
			if i%2 == 0 {
				return bytes.NewReader(many)
			}
			return bytes.NewReader(long)
		})
	}},
}

// attacker connects from an address of its own.
func (s *server) attacker(number int, service string) (net.Conn, error) {
	host := number / perAddress
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(16+host/32), byte(host%32*8), 1)}}
	nc, err := d.Dial("tcp", s.addr[service])
	if err != nil {
		return nil, err
	}
	return nc, nc.SetDeadline(time.Now().Add(2 * patience))
}

// conns are connections of attackers, to be closed at the end.
type conns struct {
	mu sync.Mutex
	l  []net.Conn
}

func (c *conns) add(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.l = append(c.l, nc)
}

func (c *conns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.l {
		_ = nc.(*net.TCPConn).SetLinger(0) // So that ports are free at once.
		_ = nc.Close()                     // Nothing is lost.
	}
}

// each runs fn for each of n connections, at the same time, from the first address on.
func (s *server) each(n int, service func(int) string, fn func(i int, nc net.Conn) error) error {
	return s.eachFrom(0, n, service, fn)
}

// eachFrom is each for attackers from a number on.
func (s *server) eachFrom(first, n int, service func(int) string, fn func(i int, nc net.Conn) error) error {
	var open conns
	defer open.close()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			nc, err := s.attacker(first+i, service(i))
			if err != nil {
				errs[i] = err
				return
			}
			open.add(nc)
			errs[i] = fn(i, nc)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// slowWriters begin with something and go on with an octet now and then: a command, a
// message, a login, a TLS handshake.
func slowWriters(s *server, d time.Duration) (string, error) {
	services := []string{"smtp", "smtp", "imap", "submissions"}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var mu sync.Mutex
	ended := 0
	err := s.each(trickles, func(i int) string { return services[i%len(services)] }, func(i int, nc net.Conn) error {
		text := []string{"EHLO ", "X: ", `a LOGIN "`, "\x16\x03\x01\x40\x00"}[i%len(services)]
		if i%len(services) == 1 {
			c, err := newSMTPTalk(nc)
			if err == nil {
				err = c.envelope(user)
			}
			if err != nil {
				return err
			}
		}
		if _, err := io.WriteString(nc, text); err != nil {
			return err
		}
		for tick := time.NewTicker(200 * time.Millisecond); ctx.Err() == nil; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return nil
			}
			if _, err := nc.Write([]byte("x")); err != nil {
				mu.Lock()
				defer mu.Unlock()
				ended++ // That is fine.
				return nil
			}
		}
		return nil
	})
	return fmt.Sprintf("%d of %d connections ended by the server", ended, trickles), err
}

// slowReaders ask for much and read nothing: replies to commands, and for some who have
// logged in, all mail.
func slowReaders(s *server, d time.Duration) (string, error) {
	const users = 40
	err := s.each(trickles, func(i int) string {
		if i%2 == 0 {
			return "smtp"
		}
		return "imap"
	}, func(i int, nc net.Conn) error {
		if err := nc.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			return err
		}
		text := "EHLO client.example\r\nMAIL FROM:<a@sender.example>\r\n" + strings.Repeat("RCPT TO:<mox@localhost>\r\n", 1000)
		switch {
		case i%2 == 1 && i/2 < users:
			text = fmt.Sprintf("a LOGIN %s %s\r\nb SELECT INBOX\r\n%s", user, password, strings.Repeat("c FETCH 1:* (BODY.PEEK[] BODYSTRUCTURE)\r\n", 100))
		case i%2 == 1:
			text = strings.Repeat("a CAPABILITY\r\n", 10_000)
		}
		go func() { _, _ = io.WriteString(nc, text) }() // Until the server takes no more, or the end.
		time.Sleep(d)
		return nil
	})
	return fmt.Sprintf("%d of them have logged in", users), err
}

// flood opens more connections than the server takes.
func flood(s *server, d time.Duration) (string, error) {
	var mu sync.Mutex
	codes := map[string]int{}
	answered := make(chan struct{}) // Closed when all are.
	tokens := make(chan struct{}, 100)
	err := s.each(floodConns, func(int) string { return "smtp" }, func(_ int, nc net.Conn) error {
		tokens <- struct{}{} // So many wait at the same time.
		code := make([]byte, 3)
		_, err := io.ReadFull(nc, code)
		<-tokens
		if err != nil {
			code = []byte("end")
		}
		mu.Lock()
		codes[string(code)]++
		n := 0
		for _, c := range codes {
			n += c
		}
		mu.Unlock()
		if n == floodConns {
			close(answered)
		}
		// All are open until the last was answered.
		select {
		case <-answered:
		case <-time.After(patience):
			return errors.New("not all connections were answered")
		}
		time.Sleep(d / 4)
		return nil
	})
	if err == nil && (codes["220"] > floodServed || codes["220"] < floodServed*9/10) {
		err = fmt.Errorf("%d connections were served, expected up to %d", codes["220"], floodServed)
	}
	if err == nil {
		err = s.servedAgain()
	}
	return counts(codes), err
}

// servedAgain waits until a stranger is served.
func (s *server) servedAgain() error {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		nc, err := s.attacker(floodConns+perAddress, "smtp")
		if err != nil {
			return err
		}
		_, err = newSMTPTalk(nc)
		_ = nc.Close() // It was only to see.
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// endless is a reader of a text again and again, up to a size.
func endless(before, text string, size int64) io.Reader {
	return io.LimitReader(io.MultiReader(strings.NewReader(hostileHeader+before), &repeater{text: strings.Repeat(text, max(1, 64<<10/len(text)))}), size)
}

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], r.text[r.at:])
		n += c
		r.at = (r.at + c) % len(r.text)
	}
	return n, nil
}

// endlessHeaders sends messages that are nothing but header, beyond the largest size
// of a message and just below.
func endlessHeaders(s *server, _ time.Duration) (string, error) {
	const over, under = 110 << 20, 95 << 20
	codes, err := s.sendMany(user, 0, 6, func(i int) io.Reader {
		size := int64(over)
		if i >= 3 {
			size = under
		}
		switch i % 3 {
		case 0:
			return endless("", "X-Field: "+strings.Repeat("x", 60)+"\r\n", size)
		case 1:
			return endless("X-Field: x", "\r\n xxxxxxxxxx", size)
		}
		return endless("X-Field: ", "x", size)
	})
	for code := range codes {
		if code[0] != '5' && err == nil {
			err = fmt.Errorf("reply %s to a header of 95 MB or more", code)
		}
	}
	return counts(codes), err
}

// sendFor sends messages, several at the same time and each time from other addresses,
// for some time.
func (s *server) sendFor(d time.Duration, to string, message func(int) io.Reader) (string, error) {
	const most = 200 // As far as addresses go.
	all := map[string]int{}
	for i, end := 0, time.Now().Add(d); i < most && time.Now().Before(end); i++ {
		codes, err := s.sendMany(to, 2*floodConns+i*perAddress, perAddress, message)
		for code, n := range codes {
			all[code] += n
		}
		if err != nil {
			return counts(all), err
		}
	}
	return counts(all), nil
}

// sendMany sends n messages at the same time. It returns the codes that they were
// answered with. The rest of a reply, which may come slowly, is not waited for.
func (s *server) sendMany(to string, first, n int, message func(int) io.Reader) (map[string]int, error) {
	var mu sync.Mutex
	codes := map[string]int{}
	err := s.eachFrom(first, n, func(int) string { return "smtp" }, func(i int, nc net.Conn) error {
		c, err := newSMTPTalk(nc)
		if err == nil {
			err = c.envelope(to)
		}
		if err != nil {
			return err
		}
		if err := nc.SetDeadline(time.Now().Add(5 * patience)); err != nil {
			return err
		}
		if _, err = io.Copy(nc, message(i)); err == nil {
			_, err = io.WriteString(nc, "\r\n.\r\n")
		}
		code := make([]byte, 3)
		if _, rerr := io.ReadFull(c.tp.R, code); rerr != nil {
			return fmt.Errorf("sending: %w, reading the reply: %w", err, rerr)
		}
		mu.Lock()
		defer mu.Unlock()
		codes[string(code)]++
		return nil
	})
	return codes, err
}

// counts formats how often there was what.
func counts(m map[string]int) string {
	var l []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		l = append(l, fmt.Sprintf("%d x %s", m[k], k))
	}
	return strings.Join(l, ", ")
}

// bombSize is of what is in the files that are attached, in octets.
const bombSize = 10 << 30

// deflated returns a text of bombSize octets in DEFLATE, RFC 1951: a beginning, and
// something again and again.
func deflated(before, text string) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err) // The level is one that there is.
	}
	const block = 16 << 20
	write := func(s string) []byte {
		b.Reset()
		_, _ = io.WriteString(w, s) // A buffer takes all.
		_ = w.Flush()
		return bytes.Clone(b.Bytes())
	}
	// Each block refers to what is before it, which is the same for all but the first.
	all := write(before)
	same := strings.Repeat(text, block/len(text))
	all = append(all, write(same)...)
	again := write(same)
	for range bombSize/block - 1 {
		all = append(all, again...)
	}
	b.Reset()
	_ = w.Close()
	return append(all, b.Bytes()...)
}

// gzipped returns DEFLATE data as a file of gzip, RFC 1952 §2.3, whose end nobody should
// get to.
func gzipped(data []byte) []byte {
	return slices.Concat([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), data, make([]byte, 8))
}

// zipped returns DEFLATE data as a zip file with one report, that says how small it is if
// that is asked for.
func zipped(data []byte, liar bool) []byte {
	size := uint32(0xffff_fff0)
	if liar {
		size = 1000
	}
	const name = "report.xml"
	le := littleendian.LittleEndian
	fields := le.AppendUint32(nil, 8<<16) // No flags, DEFLATE.
	fields = append(fields, 0, 0, 0x21, 0x58, 0, 0, 0, 0)
	fields = le.AppendUint32(fields, uint32(len(data)))
	fields = le.AppendUint32(fields, size)
	fields = le.AppendUint16(fields, uint16(len(name)))
	fields = append(fields, 0, 0)
	local := slices.Concat([]byte("PK\x03\x04\x14\x00"), fields, []byte(name), data)
	central := slices.Concat([]byte("PK\x01\x02\x14\x00\x14\x00"), fields, make([]byte, 14), []byte(name))
	end := append([]byte("PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00"), le.AppendUint32(le.AppendUint32(nil, uint32(len(central))), uint32(len(local)))...)
	return slices.Concat(local, central, end, []byte{0, 0})
}

// sendBombs sends reports that are small as they come.
func (s *server) sendBombs() (string, error) {
	const feedback, report = `<?xml version="1.0"?><feedback>`, `{"organization-name": "x", "policies": [`
	xml := [][]byte{deflated(feedback, " "), deflated(feedback, "<a>"), deflated(feedback, "<record></record>")}
	json := [][]byte{deflated(report, " "), deflated(report, "["), deflated(report, "{},")}
	var messages [][]byte
	add := func(kind, name string, data []byte) {
		messages = append(messages, fmt.Appendf(nil, "From: <reports@sender.example>\r\nTo: <x@localhost>\r\nSubject: Report Domain: localhost Submitter: sender.example Report-ID: %d\r\n"+
			"MIME-Version: 1.0\r\nContent-Type: %s; name=\"%s\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"%[3]s\"\r\n\r\n%s\r\n",
			len(messages), kind, name, lines(base64.StdEncoding.EncodeToString(data))))
	}
	for _, data := range xml {
		add("application/zip", "sender.example!localhost!1!2.zip", zipped(data, false))
		add("application/zip", "sender.example!localhost!1!2.zip", zipped(data, true))
		add("application/gzip", "sender.example!localhost!1!2.xml.gz", gzipped(data))
	}
	dmarc, err := s.sendMany("dmarc@localhost", 0, len(messages), func(i int) io.Reader { return bytes.NewReader(messages[i]) })
	if err != nil {
		return counts(dmarc), err
	}
	messages = nil
	for _, data := range json {
		add("application/tlsrpt+gzip", "sender.example!localhost!1!2.json.gz", gzipped(data))
	}
	tls, err := s.sendMany("tlsrpt@localhost", 0, len(messages), func(i int) io.Reader { return bytes.NewReader(messages[i]) })
	return "DMARC: " + counts(dmarc) + ", TLSRPT: " + counts(tls), err
}

// lines breaks a text into lines.
func lines(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s
}
