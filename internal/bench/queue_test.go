package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
)

// queueDomains is how many destinations there are where there are many.
const queueDomains = 1000

// queueSize is the size of messages, in octets.
const queueSize = 4096

// queuePatience is how long messages may take to be sent.
const queuePatience = 60 * time.Second

// queueClients is how many clients queue messages at the same time.
const queueClients = 32

// queueUsers is how many users these are: mox counts what each of them sends, in a
// commit of its own.
const queueUsers = 8

// A queueRound has the rates of one round in messages a second.
type queueRound struct {
	domains      int
	moxIn, mox   float64 // Queued, and sent.
	peerIn, peer float64
}

// BenchmarkQueue has messages queued by clients that log in, while nothing is sent, and
// then sent to a sink that takes them at once: for one domain and for many, by mox and by
// Postfix. Both sync what they take before they say so. Before that, it looks at a long
// queue.
//
// mox does all that it does for mail of users to the world, with a DNS server in this
// process.
func BenchmarkQueue(b *testing.B) {
	f := theForm()
	s := newQueueSink(b)
	benchLongQueue(b, f)
	peer := newQueuePostfix(b)
	var rounds []queueRound
	for range f.queues {
		for _, domains := range []int{1, queueDomains} {
			r := queueRound{domains: domains}
			r.moxIn, r.mox = queueMox(b, s, f.queue, domains)
			if peer != nil {
				r.peerIn, r.peer = peer.queue(b, s, f.queue, domains)
			}
			rounds = append(rounds, r)
		}
	}
	reportQueue(b, f, rounds, peer)
}

// queueDomain returns the name of a destination, and queueIP its address.
func queueDomain(i int) string { return fmt.Sprintf("d%03d.example", i) }

func queueIP(i int) string { return fmt.Sprintf("127.8.%d.%d", i/100, 100+i%100) }

// A queueSink is where all messages go.
type queueSink struct {
	*testkit.Sink
	dns string

	mu          sync.Mutex // Guards what follows.
	left        int
	first, last time.Time
	done        chan struct{}
}

// newQueueSink starts a sink on port 25 of an address for each domain.
func newQueueSink(b *testing.B) *queueSink {
	b.Helper()
	s := &queueSink{}
	var addrs []string
	for i := range queueDomains {
		addrs = append(addrs, net.JoinHostPort(queueIP(i), "25"))
	}
	testkit.NeedRoot(b, "port 25, to which messages are sent")
	s.Sink = testkit.NewSink(b, s.took, addrs...)
	s.dns = serveQueueDNS(b)
	return s
}

func (s *queueSink) took(string) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		s.first = now
	}
	s.last = now
	if s.left--; s.left == 0 {
		close(s.done)
	}
}

// expect is called before messages come.
func (s *queueSink) expect(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.first, s.done = n, time.Time{}, make(chan struct{})
}

func (s *queueSink) missing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left
}

// rate waits for the messages and returns how many have come in a second.
func (s *queueSink) rate(b *testing.B, n int) float64 {
	b.Helper()
	select {
	case <-s.done:
	case <-time.After(queuePatience):
		b.Fatalf("%d messages of %d have not come", s.missing(), n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(n-1) / s.last.Sub(s.first).Seconds()
}

// serveQueueDNS serves DNS for all domains, and returns its address.
func serveQueueDNS(b *testing.B) string {
	b.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(b, err)
	srv := &miekg.Server{PacketConn: pc, Handler: miekg.HandlerFunc(answerQueueDNS)}
	done := make(chan struct{})
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	go func() {
		defer close(done)
		_ = srv.ActivateAndServe() // The error is about the end.
	}()
	<-started
	b.Cleanup(func() {
		check(b, srv.Shutdown())
		<-done
	})
	return pc.LocalAddr().String()
}

// answerQueueDNS answers questions about dNNN.example and mx.dNNN.example.
func answerQueueDNS(w miekg.ResponseWriter, req *miekg.Msg) {
	resp := new(miekg.Msg)
	resp.SetReply(req)
	resp.RecursionAvailable = true
	q := req.Question[0]
	name, isMX := strings.CutPrefix(strings.ToLower(q.Name), "mx.")
	n := 0
	_, err := fmt.Sscanf(name, "d%03d.example.", &n)
	header := miekg.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: miekg.ClassINET, Ttl: 300}
	switch {
	case err != nil:
		resp.Rcode = miekg.RcodeNameError
	case q.Qtype == miekg.TypeMX && !isMX:
		resp.Answer = append(resp.Answer, &miekg.MX{Hdr: header, Preference: 10, Mx: "mx." + name})
	case q.Qtype == miekg.TypeA && isMX:
		resp.Answer = append(resp.Answer, &miekg.A{Hdr: header, A: net.ParseIP(queueIP(n))})
	}
	if len(resp.Answer) == 0 {
		resp.Ns = append(resp.Ns, &miekg.SOA{Hdr: miekg.RR_Header{Name: "example.", Rrtype: miekg.TypeSOA, Class: miekg.ClassINET, Ttl: 300}, Ns: "ns.example.", Mbox: "x.example.", Minttl: 300})
	}
	_ = w.WriteMsg(resp) // The client would ask again.
}

// queueText is a message.
var queueText = func() string {
	s := "From: <ann@sender.example>\r\nTo: <someone@d000.example>\r\nSubject: test\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nMessage-ID: <" + serial + "@sender.example>\r\n\r\n"
	for len(s) < queueSize {
		s += strings.Repeat("test ", 14) + "\r\n"
	}
	return s
}()

// queueUser returns the address of a user.
func queueUser(i int) string { return fmt.Sprintf("user%02d@sender.example", i%queueUsers) }

// enqueue has n messages queued over SMTP, by clients that connect makes for a user
// each, and returns how many were in a second. Params are those of MAIL.
func enqueue(b *testing.B, n, domains int, params string, connect func(user string) *smtpConn) float64 {
	b.Helper()
	var clients []*smtpConn
	for i := range queueClients {
		clients = append(clients, connect(queueUser(i)))
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for k, c := range clients {
		wg.Go(func() {
			text := dotted(strings.Replace(queueText, "ann@sender.example", queueUser(k), 1))
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				stamp(text, int64(i))
				c.envelope = fmt.Appendf(nil, "MAIL FROM:<%s>%s\r\nRCPT TO:<someone@%s>\r\nDATA\r\n", queueUser(k), params, queueDomain(i%domains))
				if err := c.send(text); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	for _, c := range clients {
		_ = c.nc.Close() // All was answered.
	}
	if b.Failed() {
		b.FailNow()
	}
	return float64(n) / took.Seconds()
}

// fillQueue queues n messages that are due in a day, of several accounts.
func fillQueue(b *testing.B, data string, n int) {
	b.Helper()
	check(b, os.MkdirAll(data, 0o700))
	db := openQueue(b, data)
	defer func() { check(b, db.Close()) }()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range queueClients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := fillOne(db, data, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func openQueue(b *testing.B, data string) *queuedb.DB {
	b.Helper()
	db, err := queuedb.Open(context.Background(), queuedb.Options{Dir: data, Log: mlog.Discard(), AccountMessages: -1, JumpFloor: -1})
	check(b, err)
	return db
}

func fillOne(db *queuedb.DB, dir string, i int) error {
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: dir})
	defer spool.Close()
	if _, err := spool.Write([]byte(queueText)); err != nil {
		return err
	}
	account := fmt.Sprintf("user%d", i%100)
	_, err := db.Enqueue(context.Background(), queuedb.Submission{
		Account: account, Spool: spool, NextAttempt: time.Now().Add(24 * time.Hour),
		Recipients: []queuedb.Recipient{{Sender: queuePath(account, "sender.example"), To: queuePath("someone", queueDomain(i%queueDomains))}},
	})
	return err
}

func queuePath(localpart, domain string) smtp.Path {
	p, err := smtp.ParseMailbox(localpart+"@"+domain, smtp.Strict)
	if err != nil {
		panic(err) // They are written above.
	}
	return p
}

// benchLongQueue measures what depends on the length of a queue.
func benchLongQueue(b *testing.B, f form) {
	tb := theReport.table(fmt.Sprintf("Queues of some lengths, %d destinations: all figures in ms but memory of the process in MB. Claiming is picking the next\n"+
		"message that is due, with the commit, and what became of it in another.", queueDomains),
		"messages", "start", "list first 100", "list all", "read first due", "claim", "memory", "grown by")
	binary(b)
	var small float64
	for _, n := range []int{f.long / 100, f.long} {
		dir := filepath.Join(scratch(b, "queue"), "mox")
		m := newQueueMox(b, dir, "127.0.0.1:53")
		fillQueue(b, filepath.Join(dir, "data"), n)
		first, claim := claimLong(b, filepath.Join(dir, "data"))
		begin := time.Now()
		m.start(b)
		started := time.Since(begin)
		mem := m.resident(b)
		if small == 0 {
			small = float64(mem.now-mem.files) / (1 << 20)
		}
		few := m.list(b, 100, min(n, 100))
		all := m.list(b, 0, n)
		after := m.resident(b)
		m.stop(b)
		mb := float64(mem.now-mem.files) / (1 << 20)
		tb.row(fmt.Sprint(n), started, few, all, first, claim, fmt.Sprintf("%s, %s with list", number(mb), number(float64(after.now-after.files)/(1<<20))), mb-small)
		line(b, fmt.Sprintf("long/%d", n), metric{"list-ms", all.Seconds() * 1000}, metric{"claim-ms", claim.Seconds() * 1000}, metric{"MB", mb})
	}
}

// claimLong returns how long it takes to read which message is due first, and to claim
// one and give it back.
func claimLong(b *testing.B, data string) (first, claim time.Duration) {
	b.Helper()
	ctx := context.Background()
	db := openQueue(b, data)
	defer func() { check(b, db.Close()) }()
	var firsts, claims []time.Duration
	for range 100 {
		begin := time.Now()
		l, err := db.List(ctx, queuedb.Filter{}, queuedb.Page{Sort: queuedb.ByNextAttempt, Max: 1})
		check(b, err)
		firsts = append(firsts, time.Since(begin))
		now := l[0].NextAttempt
		next := now.Add(24 * time.Hour)
		begin = time.Now()
		job, ok, err := db.Claim(ctx, queuedb.ClaimOptions{Now: now, Flow: l[0].Flow, Next: func(queuedb.Message) time.Time { return next }})
		if err != nil || !ok {
			b.Fatalf("claim: %v, %v", ok, err)
		}
		claims = append(claims, time.Since(begin))
		check(b, db.Finish(ctx, []queuedb.Outcome{{ID: job.Messages[0].ID}}))
	}
	return median(firsts), median(claims)
}

func reportQueue(b *testing.B, f form, rounds []queueRound, peer *queuePostfix) {
	tb := theReport.table(fmt.Sprintf("%d messages of %d octets, messages a second: queued over SMTP by %d clients, %d users, while nothing is sent,\n"+
		"and sent to a sink, from the first to the last, to 1 domain and to %d.", f.queue, queueSize, queueClients, queueUsers, queueDomains),
		"round", "mox in", "Postfix in", "mox of theirs", "mox out", "Postfix out", "mox of theirs")
	for _, domains := range []int{1, queueDomains} {
		var columns [6][]float64
		for i, r := range rounds {
			if r.domains != domains {
				continue
			}
			row := []any{fmt.Sprintf("%d to %d", i/2+1, domains)}
			values := [6]float64{r.moxIn, r.peerIn, 0, r.mox, r.peer, 0}
			if peer != nil {
				values[2], values[5] = r.moxIn/r.peerIn, r.mox/r.peer
			}
			for j, v := range values {
				columns[j] = append(columns[j], v)
				row = append(row, v)
			}
			tb.row(row...)
		}
		row := []any{fmt.Sprintf("median to %d", domains)}
		var m [6]float64
		for j, c := range columns {
			m[j] = median(c)
			row = append(row, m[j])
		}
		tb.row(row...)
		line(b, fmt.Sprintf("mox/%d", domains), metric{"in-msg/s", m[0]}, metric{"out-msg/s", m[3]}, metric{"in-of-theirs", m[2]}, metric{"out-of-theirs", m[5]})
		if peer != nil {
			line(b, fmt.Sprintf("postfix/%d", domains), metric{"in-msg/s", m[1]}, metric{"out-msg/s", m[4]})
		}
	}
	tb.note("No message was lost. Both sync what they have taken before they say so. mox sends %d at a time, %d to one domain, as Postfix does by default.", queueConcurrency, queueDomainConcurrency)
	if peer == nil {
		tb.note("Postfix is missing, so there are no figures of it.")
		return
	}
	tb.note("%s. Its postconf -n:\n%s", peer.note, peer.conf)
}
