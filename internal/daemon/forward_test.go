package daemon

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/safefile"
	"mox/internal/submit"
	"mox/internal/testkit"
	"mox/internal/tracedb"
	"mox/queue/queuedb"
	moxsmtp "mox/smtp"
)

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(testkit.ProcessTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no %s in time", what)
		}
	}
}

// party is a mail server of a domain, at a port that is known before it runs.
type party struct {
	*testDaemon
	domain string
	front  net.Listener
}

func newParty(t *testing.T, domain string) *party {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &party{domain: domain, front: l}
}

func (p *party) transport() config.TransportFields {
	return config.TransportFields{SMTP: &config.SMTPTransportFields{Host: "127.0.0.1", Port: p.front.Addr().(*net.TCPAddr).Port, NoSTARTTLS: true}}
}

// run starts the server, with an account ann and ways to others.
func (p *party) run(t *testing.T, resolver string, edit func(d *config.DestinationFields), others ...*party) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mox")
	if err := os.Mkdir(dir, 0700); err != nil {
		t.Fatal(err)
	}
	l := config.ListenerFields{IPs: []string{"127.0.0.1"}, Limits: config.LimitsFields{ExemptNetworks: []string{"127.0.0.0/8"}}}
	l.SMTP.Enabled, l.SMTP.NoSTARTTLS = true, true
	static := config.Static{
		DataDir: "data", LogLevel: "debug", Hostname: "mx." + p.domain, DNSResolver: []string{resolver},
		Listeners:  map[string]config.ListenerFields{"public": l},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
		Transports: map[string]config.TransportFields{},
	}
	ann := config.NewAccount(moxsmtp.Address{Localpart: "ann", Domain: dns.Domain{ASCII: p.domain}})
	ann.JunkFilter, ann.NoFirstTimeSenderDelay, ann.KeepRetiredMessagePeriod = nil, true, time.Hour
	dest := config.DestinationFields{}
	edit(&dest)
	ann.Destinations = map[string]config.DestinationFields{"ann@" + p.domain: dest}
	dynamic := config.Dynamic{Domains: map[string]config.DomainFields{p.domain: {}}, Accounts: map[string]config.AccountFields{"ann": ann}}
	for _, o := range others {
		static.Transports[o.domain] = o.transport()
		dynamic.Routes = append(dynamic.Routes, config.RouteFields{ToDomain: []string{o.domain}, Transport: o.domain})
	}
	if err := config.Create(dir, static, dynamic); err != nil {
		t.Fatal(err)
	}
	opts, log := testOptions(dir)
	opts.Localserve = false
	d, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.testDaemon = &testDaemon{Daemon: d, dir: dir, log: log, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = d.Wait(ctx)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.domain, log)
		}
	})
	var addr string
	for _, s := range p.Sockets() {
		if s.Service == "SMTP" {
			addr = s.Addr().String()
		}
	}
	go p.pass(addr)
}

// pass passes connections on to the server.
func (p *party) pass(addr string) {
	for {
		c, err := p.front.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", addr)
		if err != nil {
			_ = c.Close()
			continue
		}
		go func() { _, _ = io.Copy(s, c); _ = s.Close() }()
		go func() { _, _ = io.Copy(c, s); _ = c.Close() }()
	}
}

// sink is an SMTP server that takes or refuses recipients.
type sink struct {
	*party
	mu     sync.Mutex
	refuse bool
	from   chan string // MAIL FROM and message of what was taken.
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{party: newParty(t, "out.example"), from: make(chan string, 10)}
	go func() {
		for {
			c, err := s.front.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

type textConn struct{ *textproto.Conn }

func (c textConn) reply(line string) { _ = c.PrintfLine("%s", line) }

func (s *sink) serve(c net.Conn) {
	defer c.Close()
	tp := textConn{textproto.NewConn(c)}
	tp.reply("220 out.example ESMTP")
	var from string
	for {
		line, err := tp.ReadLine()
		if err != nil {
			return
		}
		switch word, _, _ := strings.Cut(strings.ToUpper(line), " "); word {
		case "MAIL":
			from = strings.TrimPrefix(line, "MAIL FROM:")
			tp.reply("250 ok")
		case "RCPT":
			s.mu.Lock()
			refuse := s.refuse
			s.mu.Unlock()
			if refuse {
				tp.reply("550 5.1.1 no such user")
			} else {
				tp.reply("250 ok")
			}
		case "DATA":
			tp.reply("354 go on")
			b, err := tp.ReadDotBytes()
			if err != nil {
				return
			}
			s.from <- from + "\n" + string(b)
			tp.reply("250 ok")
		case "QUIT":
			tp.reply("221 bye")
			return
		default:
			tp.reply("250 ok")
		}
	}
}

// send queues a message of ann, as a user does.
func (p *party) send(t *testing.T, to, text string) int64 {
	t.Helper()
	spool := safefile.NewSpool(safefile.SpoolOptions{Memory: 10000})
	defer spool.Close()
	if _, err := io.WriteString(spool, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	from, err := moxsmtp.ParseMailbox("ann@"+p.domain, moxsmtp.Strict)
	rcpt, rerr := moxsmtp.ParseMailbox(to, moxsmtp.Strict)
	if err != nil || rerr != nil {
		t.Fatal(err, rerr)
	}
	res, err := p.submitter.Submit(t.Context(), submit.Submission{
		Account: "ann", Login: "ann@" + p.domain, Mail: moxsmtp.MailCommand{ReversePath: from}, Rcpts: []moxsmtp.Path{rcpt}, Spool: spool,
	})
	if err != nil {
		t.Fatal(err)
	}
	return res.Messages[0].ID
}

// retired waits until a message in the history has as many results.
func (p *party) retired(t *testing.T, id int64, results int) queuedb.Retired {
	t.Helper()
	var got queuedb.Retired
	waitFor(t, "result of message", func() bool {
		r, err := p.queueDB.GetRetired(t.Context(), id)
		got = r
		return err == nil && len(r.Message.Results) >= results
	})
	return got
}

func TestMailIsForwardedAndItsBounceComesBackToTheSender(t *testing.T) {
	t.Parallel()
	resolver := testkit.NewDNS(t, testkit.DNSOptions{Zone: "a.example TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\na.example MX 10 mx.a.example\nmx.a.example A 127.0.0.1\n" +
		"b.example TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\nb.example MX 10 mx.b.example\nmx.b.example A 127.0.0.1\nmx.b.example TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n1.0.0.127.in-addr.arpa PTR mx.b.example.\n"})
	a, b, out := newParty(t, "a.example"), newParty(t, "b.example"), newSink(t)
	a.run(t, resolver.Addr, func(*config.DestinationFields) {}, b)
	b.run(t, resolver.Addr, func(d *config.DestinationFields) { d.ForwardTo = []string{"x@out.example"} }, a, out.party)

	// It arrives, with a sender that leads back.
	const text = "From: <ann@a.example>\nSubject: one\nMessage-Id: <one@a.example>\nDate: Sat, 21 Nov 2026 08:00:00 +0000\n\nbody\n"
	one := a.send(t, "ann@b.example", text)
	var got string
	select {
	case got = <-out.from:
	case <-time.After(testkit.ProcessTimeout):
		t.Fatal("nothing was forwarded in time")
	}
	from, content, _ := strings.Cut(got, "\n")
	if !strings.HasPrefix(from, "<SRS0=") || !strings.Contains(from, "=a.example=ann@b.example>") || !strings.HasSuffix(content, text) || !strings.HasPrefix(content, "Delivered-To: ann@b.example\n") {
		t.Fatalf("got %q", got)
	}
	if r := a.retired(t, one, 1); !r.Success {
		t.Errorf("got %+v", r)
	}
	steps := bytes.NewBuffer(nil)
	waitFor(t, "steps", func() bool {
		steps.Reset()
		err := WriteTrace(t.Context(), b.trace, TraceQuery{What: "one@a.example", Max: 10}, func() (io.Writer, error) { return steps, nil })
		return err == nil && strings.Contains(steps.String(), string(tracedb.Forwarded)) && strings.Contains(steps.String(), "x@out.example")
	})

	// What the target's server notices later comes back: to the history of ann at a.
	bounce := "From: <postmaster@out.example>\nTo: " + from + "\nSubject: failed\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\n\n" +
		"--x\n\nfailed\n--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; out.example\n\nOriginal-Recipient: rfc822; ann@b.example\nFinal-Recipient: rfc822; x@out.example\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; 552 5.2.2 full\n\n" +
		"--x\nContent-Type: message/rfc822\n\n" + text + "\n--x--\n"
	if err := sendTo(b.front.Addr().String(), "", strings.Trim(strings.Fields(from)[0], "<>"), bounce); err != nil {
		t.Fatal(err)
	}
	if r := a.retired(t, one, 2).Message.Results[1]; r.Success || r.Code != 552 || !strings.Contains(r.Error, "out.example") {
		t.Errorf("result %+v", r)
	}
	// But not from a sender, nor to an address that was not made here.
	for _, tc := range [][2]string{{"spam@out.example", strings.Trim(strings.Fields(from)[0], "<>")}, {"", "SRS0=AAAAAA=AA=a.example=ann@b.example"}} {
		if err := sendTo(b.front.Addr().String(), tc[0], tc[1], bounce); err == nil || !strings.HasPrefix(err.Error(), "550 ") {
			t.Errorf("from %q to %s: %v", tc[0], tc[1], err)
		}
	}

	// What it refuses at once comes back by way of our queue.
	out.mu.Lock()
	out.refuse = true
	out.mu.Unlock()
	two := a.send(t, "ann@b.example", strings.ReplaceAll(text, "one", "two"))
	if r := a.retired(t, two, 2).Message.Results[1]; r.Success || r.Code != 550 || !strings.Contains(r.Error, "mx.b.example") {
		t.Errorf("result %+v", r)
	}
}

// sendTo sends a message by SMTP.
func sendTo(addr, from, to, text string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello("mx.b.example"); err != nil {
		return err
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(to); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		return err
	}
	return w.Close()
}

func TestKeysForReturnAddressesStayAndAreReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	keys := func(after time.Duration) [][]byte {
		t.Helper()
		l, err := returnKeys(dir, now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := keys(0)
	if len(first) != 1 || len(first[0]) != returnKeySize {
		t.Fatalf("got %x", first)
	}
	if again := keys(returnKeyAge - 24*time.Hour); len(again) != 1 || !bytes.Equal(again[0], first[0]) {
		t.Errorf("got %x, want %x", again, first)
	}
	second := keys(returnKeyAge + 24*time.Hour)
	if len(second) != 2 || bytes.Equal(second[0], first[0]) || !bytes.Equal(second[1], first[0]) {
		t.Errorf("got %x, want %x at the end", second, first)
	}
	if third := keys(returnKeyKept + 48*time.Hour); len(third) != 2 || !bytes.Equal(third[1], second[0]) {
		t.Errorf("got %x, want %x at the end", third, second[0])
	}
	path := filepath.Join(dir, returnKeysName)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0640 {
		t.Errorf("%v, %v", info, err)
	}
	for _, text := range []string{"x", "2026-01-02 ", "2026-01-02 AAAA"} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0600); err != nil {
			t.Fatal(err)
		}
		if l, err := returnKeys(dir, now); err == nil {
			t.Errorf("%q: got %x", text, l)
		}
	}
}
