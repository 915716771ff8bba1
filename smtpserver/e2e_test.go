package smtpserver

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/deliver"
	"mox/internal/identity"
	"mox/internal/inbound"
	"mox/internal/submit"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/sasl"
	"mox/store"
)

// gatedDeliverer delivers nothing.
type gatedDeliverer struct{ enter func() }

func (g *gatedDeliverer) Deliver(context.Context, deliver.Delivery) (deliver.Result, error) {
	g.enter()
	return deliver.Result{}, nil
}

// system is a server with the real engines.
type system struct {
	*testServer
	store *store.Store
	queue *queuedb.DB
}

func newSystem(t testing.TB, more ...func(*Options)) *system {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	snap, err := config.New(testStatic(dir), testDynamic())
	if err != nil {
		t.Fatalf("config: %v", err)
	}
	holder := config.NewHolder(snap)
	st, err := store.Open(ctx, store.Options{Dir: dir, Log: mlog.Discard()})
	if err != nil {
		t.Fatalf("store: %v", err)
	}
	qdir := filepath.Join(dir, "queue")
	if err := os.MkdirAll(qdir, 0700); err != nil {
		t.Fatalf("queue directory: %v", err)
	}
	q, err := queuedb.Open(ctx, queuedb.Options{Dir: qdir, Log: mlog.Discard()})
	if err != nil {
		t.Fatalf("queue: %v", err)
	}
	checker, err := identity.New(identity.Options{Store: st, Config: holder, Dir: dir})
	if err != nil {
		t.Fatalf("identity: %v", err)
	}
	if err := checker.SetPassword(ctx, "ann", testPassword); err != nil {
		t.Fatalf("set password: %v", err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Errorf("close queue: %v", err)
		}
		if err := st.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	ts := newTestServer(t, testSetup{options: func(o *Options) {
		o.Config = holder
		o.Auth = checker
		o.Decide = inbound.New(inbound.Options{})
		d := deliver.New(deliver.Options{Store: st, Config: holder})
		o.Deliver, o.Rejects = d, d
		o.Submit = submit.New(submit.Options{Config: holder, Store: st, Queue: q})
		for _, fn := range more {
			fn(o)
		}
	}})
	return &system{ts, st, q}
}

// content returns the messages in the Inbox of an account, prefix included.
func (s *system) content(account string) []string {
	s.t.Helper()
	return s.contentIn(account, "Inbox")
}

// contentIn is content of another mailbox.
func (s *system) contentIn(account, mailbox string) []string {
	s.t.Helper()
	ctx := context.Background()
	acc, err := s.store.Account(ctx, account)
	if err != nil {
		s.t.Fatalf("account: %v", err)
	}
	defer acc.Release()
	mb, _ := acc.Tree().ByName(mailbox)
	ix, err := acc.Index(ctx, mb.ID)
	if err != nil {
		s.t.Fatalf("index: %v", err)
	}
	var l []string
	for i := range ix.Len() {
		c, err := acc.OpenContent(ctx, ix.At(i).ContentID)
		if err != nil {
			s.t.Fatalf("open message: %v", err)
		}
		data, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		if err != nil {
			s.t.Fatalf("read message: %v", err)
		}
		if err := c.Close(); err != nil {
			s.t.Errorf("close message: %v", err)
		}
		l = append(l, string(data))
	}
	problems, err := acc.Verify(ctx)
	if err != nil || len(problems) > 0 {
		s.t.Errorf("verify: %v, %v", problems, err)
	}
	return l
}

func TestMailFromElsewhereEndsInTheInbox(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	c := dialClient(t, s.delivery)
	c.hello()
	small, large := "Subject: small\r\n\r\nhi\r\n", bigMessage(500_000)
	c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
	c.cmd("RCPT TO:<bob@example.org>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd(small+".", "250 ")
	c.cmd("MAIL FROM:<>", "250 ")
	c.cmd("RCPT TO:<ann+x@example.org>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd(stuff(large)+".", "250 ")
	got := s.content("ann")
	if len(got) != 2 || len(s.content("bob")) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	if !strings.HasSuffix(got[0], small) || !strings.HasSuffix(got[1], large) {
		t.Errorf("content differs")
	}
	for i, fields := range [][]string{
		{"Delivered-To: ann@example.org\r\n", "Return-Path: <a@elsewhere.example>\r\n", "Received: from client.example ([127.0.0.1]) by"},
		{"Delivered-To: ann+x@example.org\r\n", "Return-Path: <>\r\n", "for\r\n\t<ann+x@example.org>;"},
	} {
		header, _, _ := strings.Cut(got[i], "Subject:")
		for _, f := range fields {
			if !strings.Contains(header, f) && !strings.Contains(strings.ReplaceAll(header, "\r\n\t", " "), strings.ReplaceAll(f, "\r\n\t", " ")) {
				t.Errorf("message %d has no %q in %q", i, f, header)
			}
		}
	}
}

func TestLoopEnds(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	c := dialClient(t, s.delivery)
	c.hello()
	c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd(strings.Repeat("Received: from x\r\n", deliver.MaxReceived+1)+"\r\n.", "550 5.4.6 ")
}

func TestSubmittedMessageIsInTheQueue(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	c := dialClient(t, s.submission)
	c.hello()
	c.cmd("STARTTLS", "220 ")
	cs := c.startTLS().ConnectionState()
	c.cmd("EHLO client.example", "250-")
	if got := c.auth(mechanismClient(t, sasl.SCRAMSHA256Plus, credentials("ann@example.org", testPassword), &cs), true); !strings.HasPrefix(got, "235 ") {
		t.Fatalf("login: %q", got)
	}
	send := func(content, reply string) {
		t.Helper()
		c.cmd("MAIL FROM:<ann@example.org> HOLDFOR=3600", "250 ")
		c.cmd("RCPT TO:<someone@elsewhere.example>", "250 ")
		c.cmd("RCPT TO:<bob@example.org>", "250 ")
		c.cmd("DATA", "354 ")
		c.cmd(content+".", reply)
	}
	send("From: <bob@example.org>\r\n\r\nx\r\n", "550 5.7.1 ")
	send("Subject: no from\r\n\r\nx\r\n", "550 5.6.0 ")
	send("From: <ann@example.org>\r\n", "554 5.6.0 ")
	send("From: <ann@example.org>\r\nSubject: hello\r\n\r\nx\r\n", "250 2.2.0 ")
	l, err := s.queue.List(context.Background(), queuedb.Filter{}, queuedb.Page{})
	if err != nil {
		t.Fatalf("queue: %v", err)
	}
	if len(l) != 2 {
		t.Fatalf("%d messages in queue", len(l))
	}
}
