package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"mox/config"
	"mox/dns"
	"mox/internal/deliver"
	"mox/internal/safefile"
	"mox/internal/script"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/queue"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/store"
)

// TestConversations has the scripts in testdata. Each plays the server of one.example,
// with connections mx1, mx2 and so on, for messages that are in a real queue, and says
// what becomes of each recipient. Setup:
//
//	submit   recipients of the message that is queued at the start
//	fate     a recipient, and one of "delivered", "retry" and "bounced"
//	double   how many recipients may get the message twice, since no reply was read
//	size     of the message in octets; large ones are sent with BDAT
//	connect  an error that connections fail with: "refused" or "timeout"
//
// Directives are "@submit recipients" for another message, "@wait duration", "@mark" and
// "@after duration" for how long something takes, "mx1+ starttls", and "mx1+ garbage" for
// a handshake that fails.
//
// Afterwards, the server takes everything. Who has got the message does not get it
// again, whose it is to be tried again gets it once, and who was refused never does.
func TestConversations(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d scripts, %v", len(paths), err)
	}
	ca := testkit.NewCA(t)
	cert := ca.ServerConfig(t, "mx.one.example")
	resolver := newOutside(t, testkit.NewDNS(t, testkit.DNSOptions{Zone: "one.example MX 10 mx.one.example\nmx.one.example A 192.0.2.1\n"}))
	points := map[string]int{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) {
			// Not in parallel: each looks at how much a metric goes up.
			s, err := script.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { converse(t, s, resolver, cert) })
			for _, f := range s.All("fate") {
				points[strings.Fields(f)[1]]++
			}
		})
	}
	t.Logf("%d scripts, recipients: %v", len(paths), points)
}

// A talk is a queue and the other side of its connections.
type talk struct {
	t      *testing.T
	s      *script.Script
	db     *queuedb.DB
	st     *store.Store
	dir    string
	marked time.Time

	mu      sync.Mutex // Guards what follows.
	dialed  chan net.Conn
	over    bool           // The script has ended, and the server takes everything.
	later   map[string]int // How often each recipient got the message then.
	warned  int            // Doubles that may come, in the log.
	servers sync.WaitGroup

	cert *tls.Config
}

// converse runs a script, in a bubble with a clock of its own.
func converse(t *testing.T, s *script.Script, resolver dns.Resolver, cert *tls.Config) {
	c := &talk{t: t, s: s, dir: t.TempDir(), dialed: make(chan net.Conn, 100), later: map[string]int{}, cert: cert}
	var err error
	c.st, err = store.Open(t.Context(), store.Options{Dir: c.dir, Log: mlog.Discard()})
	tcheck(t, err)
	defer c.st.Close()
	c.db, err = queuedb.Open(t.Context(), queuedb.Options{Dir: c.dir, Log: mlog.Discard()})
	tcheck(t, err)
	defer func() { tcheck(t, c.db.Close()) }()
	pool := NewPool(PoolOptions{})
	direct := NewDirect(DirectOptions{Network: Network{Hostname: newHostname(t), Resolver: resolver, Pool: pool, Dialer: c, Log: slog.New(c)}})
	q := queue.New(queue.Options{
		DB: c.db, Config: talkConfig(t, c.dir), Deliver: deliver.New(deliver.Options{Store: c.st}),
		Transports: map[string]queue.Transport{"": direct}, TempDir: c.dir,
		Retain: func(string) time.Duration { return 7 * 24 * time.Hour },
	})
	before := unanswered(t)
	ran := make(chan error, 1)
	c.submit(c.setting("submit", "a@one.example"))
	go func() { ran <- q.Run(context.WithoutCancel(t.Context())) }()

	err = s.Run(t.Context(), script.Options{Dial: c.accept, Directives: c.directives(), Timeout: 2 * time.Hour})
	if err != nil {
		t.Error(err)
	}
	synctest.Wait()
	if n := len(c.dialed); n > 0 {
		t.Errorf("%d connections that the script does not have", n)
	}
	fates := c.fates()
	if want := c.want(); !maps.Equal(fates, want) {
		t.Errorf("fates %v, want %v", fates, want)
	}
	doubles := c.setting("double", "0")
	if got := fmt.Sprint(unanswered(t) - before); got != doubles {
		t.Errorf("metric counts %s doubles that may come, want %s", got, doubles)
	}
	if got := fmt.Sprint(c.warned); got != doubles {
		t.Errorf("log has %s doubles that may come, want %s", got, doubles)
	}
	c.afterwards(fates)
	tcheck(t, q.Shutdown(context.WithoutCancel(t.Context())))
	tcheck(t, <-ran)
	tcheck(t, pool.Close(context.WithoutCancel(t.Context())))
	c.servers.Wait()
	if problems, err := c.db.Verify(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("verify: %v, %v", problems, err)
	}
}

func tcheck(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unanswered returns the value of the metric.
func unanswered(t *testing.T) int {
	t.Helper()
	var m dto.Metric
	tcheck(t, metricUnanswered.Write(&m))
	return int(m.GetCounter().GetValue())
}

func talkConfig(t *testing.T, dir string) *config.Holder {
	t.Helper()
	var static config.Static
	static.DataDir, static.LogLevel, static.Hostname = dir, "info", "sender.example"
	static.Listeners = map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}}
	static.Postmaster = config.PostmasterFields{Account: "me", Mailbox: "Postmaster"}
	snap, err := config.New(static, config.Dynamic{
		Domains:  map[string]config.DomainFields{"sender.example": {}},
		Accounts: map[string]config.AccountFields{"me": {Domain: "sender.example", Destinations: map[string]config.DestinationFields{"me@sender.example": {}}}},
	})
	tcheck(t, err)
	return config.NewHolder(snap)
}

func (c *talk) setting(key, otherwise string) string {
	if v, ok := c.s.Get(key); ok {
		return v
	}
	return otherwise
}

// want returns the fates that the script has.
func (c *talk) want() map[string]string {
	c.t.Helper()
	m := map[string]string{}
	for _, v := range c.s.All("fate") {
		rcpt, fate, ok := strings.Cut(v, " ")
		if !ok {
			c.t.Fatalf("fate %q", v)
		}
		m[rcpt] = fate
	}
	return m
}

// submit queues a message for recipients.
func (c *talk) submit(rcpts string) {
	c.t.Helper()
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: c.dir})
	defer spool.Close()
	size := 0
	_, err := fmt.Sscan(c.setting("size", "128"), &size)
	tcheck(c.t, err)
	// Lines of 64 octets, so that a chunk ends with one.
	text := fmt.Appendf(nil, "From: <me@sender.example>\r\nSubject: test%s\r\n\r\n", strings.Repeat("x", 64-27-15-2))
	for i := 2; len(text) < size; i++ {
		text = fmt.Appendf(text, "line %06d%s\r\n", i, strings.Repeat(" x", 25)+"x")
	}
	_, err = spool.Write(text)
	tcheck(c.t, err)
	sub := queuedb.Submission{Account: "me", Spool: spool, Base: queuedb.Base{Subject: "test", MessageID: "<test@sender.example>"}}
	sender, err := smtp.ParseMailbox("me@sender.example", smtp.Strict)
	tcheck(c.t, err)
	for r := range strings.FieldsSeq(rcpts) {
		to, err := smtp.ParseMailbox(r, smtp.Strict)
		tcheck(c.t, err)
		sub.Recipients = append(sub.Recipients, queuedb.Recipient{Sender: sender, To: to})
	}
	_, err = c.db.Enqueue(c.t.Context(), sub)
	tcheck(c.t, err)
}

// directives are those of scripts.
func (c *talk) directives() map[string]script.Directive {
	return map[string]script.Directive{
		"submit": func(_ *script.Run, args []string) error {
			c.submit(strings.Join(args, " "))
			return nil
		},
		"mark": func(*script.Run, []string) error {
			synctest.Wait()
			c.marked = time.Now()
			return nil
		},
		"after": func(_ *script.Run, args []string) error {
			synctest.Wait()
			if took := time.Since(c.marked).String(); took != args[0] {
				return fmt.Errorf("took %s", took)
			}
			return nil
		},
		"starttls": func(r *script.Run, args []string) error {
			return r.Upgrade(args[0], func(nc net.Conn) (net.Conn, error) {
				tc := tls.Server(nc, c.cert)
				return tc, tc.HandshakeContext(r.Context())
			})
		},
		"garbage": func(r *script.Run, args []string) error {
			synctest.Wait() // Not with the reply to STARTTLS.
			nc, err := r.Conn(args[0])
			if err == nil {
				_, err = io.WriteString(nc, "this is not a handshake\r\n")
			}
			return errors.Join(err, r.Close(args[0]))
		},
		"wait": func(r *script.Run, args []string) error {
			d, err := time.ParseDuration(args[0])
			time.Sleep(d)
			return err
		},
	}
}

// DialContext implements Dialer.
func (c *talk) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch how := c.setting("connect", ""); {
	case c.over:
		a, b := newPipe()
		c.servers.Go(func() { c.serve(b) })
		return a, nil
	case how == "refused":
		return nil, errors.New("connection refused")
	case how == "timeout":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	a, b := newPipe()
	c.dialed <- b
	return a, nil
}

// accept returns the next connection.
func (c *talk) accept(ctx context.Context, _ string) (net.Conn, error) {
	select {
	case nc := <-c.dialed:
		return nc, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve is a server that takes everything.
func (c *talk) serve(nc net.Conn) {
	defer nc.Close()
	br := bufio.NewReader(nc)
	reply := "220 mx.one.example"
	for {
		if _, err := io.WriteString(nc, reply+"\r\n"); err != nil {
			return
		}
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		reply = "250 ok"
		switch line = strings.TrimSuffix(line, "\r\n"); {
		case strings.HasPrefix(line, "EHLO"):
			reply = "250-mx.one.example\r\n250 STARTTLS" // It did so in some scripts, which is remembered.
		case line == "STARTTLS":
			_, _ = io.WriteString(nc, "220 go\r\n") // The handshake tells what is to be known.
			tc := tls.Server(nc, c.cert)
			if tc.Handshake() != nil {
				return
			}
			nc, br = tc, bufio.NewReader(tc)
			if line, err := br.ReadString('\n'); err != nil || !strings.HasPrefix(line, "EHLO") {
				return
			}
		case line == "DATA":
			_, _ = io.WriteString(nc, "354 go\r\n") // Reading tells what is to be known.
			if _, err := io.Copy(io.Discard, smtp.NewDataReader(br, 1<<30)); err != nil {
				return
			}
		case strings.HasPrefix(line, "RCPT TO:"):
			c.mu.Lock()
			c.later[strings.Trim(strings.TrimPrefix(line, "RCPT TO:"), "<>")]++
			c.mu.Unlock()
		}
	}
}

// fates returns what has become of each recipient, by what is in the database and in
// the mailbox of the sender. It is one thing, or there is an error.
func (c *talk) fates() map[string]string {
	c.t.Helper()
	all := strings.Fields(c.setting("submit", "a@one.example"))
	for rcpt := range c.want() {
		if !slices.Contains(all, rcpt) {
			all = append(all, rcpt)
		}
	}
	l, err := c.db.List(c.t.Context(), queuedb.Filter{}, queuedb.Page{})
	tcheck(c.t, err)
	retired, err := c.db.ListRetired(c.t.Context(), queuedb.RetiredFilter{}, queuedb.RetiredPage{})
	tcheck(c.t, err)
	notices := c.inbox()
	m := map[string]string{}
	for _, rcpt := range all {
		queued := slices.ContainsFunc(l, func(m queuedb.Message) bool {
			return m.Recipient().XString(false) == rcpt && !m.Failed && m.NextAttempt.After(time.Now()) && len(m.Results) == int(m.Attempts)
		})
		done := slices.ContainsFunc(retired, func(r queuedb.Retired) bool { return r.Message.Recipient().XString(false) == rcpt && r.Success })
		bounced := slices.ContainsFunc(notices, func(text string) bool {
			return strings.Contains(text, "Final-Recipient: rfc822; "+rcpt+"\r\nAction: failed\r\n")
		})
		var fates []string
		for fate, ok := range map[string]bool{"retry": queued, "delivered": done, "bounced": bounced} {
			if ok {
				fates = append(fates, fate)
			}
		}
		slices.Sort(fates)
		m[rcpt] = strings.Join(fates, " and ")
	}
	return m
}

// inbox returns the notifications that the sender has got.
func (c *talk) inbox() []string {
	c.t.Helper()
	acc, err := c.st.Account(c.t.Context(), "me")
	if errors.Is(err, store.ErrNoAccount) {
		return nil
	}
	tcheck(c.t, err)
	defer acc.Release()
	mb, ok := acc.Tree().ByName("Inbox")
	if !ok {
		return nil
	}
	ix, err := acc.Index(c.t.Context(), mb.ID)
	tcheck(c.t, err)
	var l []string
	for _, m := range ix.Range(0, ix.Len()) {
		content, err := acc.OpenContent(c.t.Context(), m.ContentID)
		tcheck(c.t, err)
		b, err := io.ReadAll(io.NewSectionReader(content, 0, content.Size()))
		tcheck(c.t, errors.Join(err, content.Close()))
		l = append(l, string(b))
	}
	return l
}

// afterwards lets days pass, with a server that takes everything.
func (c *talk) afterwards(fates map[string]string) {
	c.t.Helper()
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	notices := len(c.inbox())
	time.Sleep(24 * time.Hour)
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for rcpt, fate := range fates {
		want := 0
		if fate == "retry" {
			want = 1
		}
		if got := c.later[rcpt]; got != want {
			c.t.Errorf("%s, %s: delivered %d times later, want %d", rcpt, fate, got, want)
		}
	}
	if n := len(c.inbox()); n != notices {
		c.t.Errorf("%d notifications, %d before", n, notices)
	}
	if l, err := c.db.List(c.t.Context(), queuedb.Filter{}, queuedb.Page{}); err != nil || len(l) > 0 {
		c.t.Errorf("left in the queue: %v, %v", l, err)
	}
}

// Enabled implements slog.Handler.
func (c *talk) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (c *talk) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Level == slog.LevelWarn && strings.Contains(r.Message, "may deliver it twice") {
		c.warned++
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (c *talk) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup implements slog.Handler.
func (c *talk) WithGroup(string) slog.Handler { return c }
