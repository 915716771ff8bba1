package queue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/dsn"
	"mox/internal/deliver"
	"mox/internal/testkit"
	"mox/message"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/store"
)

var ctxbg = context.Background()

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func path(t testing.TB, s string) smtp.Path {
	t.Helper()
	if s == "" {
		return smtp.Path{}
	}
	p, err := smtp.ParseMailbox(s, smtp.Strict)
	tcheck(t, err)
	return p
}

// fakeTransport answers as a function says and remembers when it was asked.
type fakeTransport struct {
	mu      sync.Mutex // Guards what follows.
	answer  func(ctx context.Context, m queuedb.Message) error
	calls   []call
	now     int
	most    int
	domains map[string]int
}

type call struct {
	at    time.Time
	rcpts []string
	text  string
}

func (f *fakeTransport) Name() string { return "fake" }

func (f *fakeTransport) Deliver(ctx context.Context, d Delivery) []Result {
	b, err := io.ReadAll(io.NewSectionReader(d.Content, 0, d.Content.Size()))
	if err != nil {
		return allFailed(d, err)
	}
	c := call{at: time.Now(), text: string(b)}
	for _, m := range d.Messages {
		c.rcpts = append(c.rcpts, m.Recipient().XString(false))
	}
	slices.Sort(c.rcpts)
	domain := d.Messages[0].RecipientDomain
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.now++
	f.most = max(f.most, f.now)
	if f.domains == nil {
		f.domains = map[string]int{}
	}
	f.domains[domain]++
	answer := f.answer
	if f.domains[domain] > DefaultConcurrentLane {
		panic("too many deliveries to one domain")
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now--
		f.domains[domain]--
	}()
	l := make([]Result, len(d.Messages))
	for i, m := range d.Messages {
		if answer != nil {
			l[i] = Result{Err: answer(ctx, m), Remote: "mx.remote.example", Success: dsn.Relayed}
		}
	}
	return l
}

// answers sets what Deliver returns for each message; nil is success.
func (f *fakeTransport) answers(fn func(ctx context.Context, m queuedb.Message) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = fn
}

// busy returns how many deliveries are made now, and the most so far.
func (f *fakeTransport) busy() (now, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, f.most
}

// seen returns the calls so far.
func (f *fakeTransport) seen() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fakeTransport) take() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.calls
	f.calls = nil
	return l
}

func fail(code int, enhanced, text string) func(context.Context, queuedb.Message) error {
	return func(context.Context, queuedb.Message) error {
		return &smtp.Error{Code: code, Enhanced: enhanced, Text: text}
	}
}

type env struct {
	t    *testing.T
	q    *Queue
	db   *queuedb.DB
	st   *store.Store
	tr   *fakeTransport
	conf *config.Holder
	dir  string
	full atomic.Bool // Accounts refuse notifications.

	faults *testkit.Faults // Of the queue's files.
}

func (e *env) Deliver(ctx context.Context, d deliver.Delivery) (deliver.Result, error) {
	if e.full.Load() && d.Recipient.Account != "boss" {
		return deliver.Result{}, smtp.Errorf(452, smtp.Se22MailboxFull, "mailbox full")
	}
	return deliver.New(deliver.Options{Store: e.st}).Deliver(ctx, d)
}

func testConfig(t testing.TB, dir string) *config.Holder {
	t.Helper()
	var static config.Static
	static.DataDir = dir
	static.LogLevel = "info"
	static.Hostname = "mx.example.org"
	static.Listeners = map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}}
	static.Postmaster = config.PostmasterFields{Account: "boss", Mailbox: "Postmaster"}
	account := func(addr string) config.AccountFields {
		return config.AccountFields{Domain: "example.org", Destinations: map[string]config.DestinationFields{addr: {}}}
	}
	snap, err := config.New(static, config.Dynamic{
		Domains:  map[string]config.DomainFields{"example.org": {Aliases: map[string]config.AliasFields{"all": {Addresses: []string{"ann@example.org", "boss@example.org", "mox@example.org"}}}}, "off.example": {Disabled: true}},
		Accounts: map[string]config.AccountFields{"ann": account("ann@example.org"), "boss": account("boss@example.org"), "mox": account("mox@example.org"), "off": account("off@off.example")},
	})
	tcheck(t, err)
	return config.NewHolder(snap)
}

// testQueue calls fn in a bubble with a clock of its own, with a queue that is
// running, and verifies all databases at the end.
func testQueue(t *testing.T, edit func(o *Options), fn func(t *testing.T, e *env)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &env{t: t, dir: t.TempDir(), tr: &fakeTransport{}}
		e.conf = testConfig(t, e.dir)
		var err error
		e.st, err = store.Open(ctxbg, store.Options{Dir: e.dir, Log: mlog.Discard()})
		tcheck(t, err)
		defer e.st.Close()
		e.faults = testkit.NewFaults(nil)
		e.db, err = queuedb.Open(ctxbg, queuedb.Options{Dir: e.dir, Log: mlog.Discard(), FS: e.faults})
		tcheck(t, err)
		defer func() { tcheck(t, e.db.Close()) }()
		e.start(edit)
		defer func() {
			tcheck(t, e.q.Shutdown(ctxbg))
			e.verify()
		}()
		fn(t, e)
	})
}

func (e *env) start(edit func(o *Options)) {
	e.t.Helper()
	o := Options{DB: e.db, Config: e.conf, Deliver: e, Transports: map[string]Transport{"": e.tr}, TempDir: e.dir}
	if edit != nil {
		edit(&o)
	}
	q := New(o)
	e.q = q
	go func() {
		if err := q.Run(ctxbg); err != nil && !errors.Is(err, queuedb.ErrClosed) {
			e.t.Error(err)
		}
	}()
}

func (e *env) verify() {
	e.t.Helper()
	problems, err := e.db.Verify(ctxbg)
	tcheck(e.t, err)
	for _, p := range problems {
		e.t.Errorf("verify: %s", p)
	}
}

func (e *env) submission(sender string, rcpts ...string) queuedb.Submission {
	e.t.Helper()
	s := testkit.Spool(e.t, e.dir, "From: ann@example.org\r\nSubject: hi\r\nMessage-Id: <orig@example.org>\r\n\r\nbody\r\n")
	sub := queuedb.Submission{Account: "ann", Spool: s, Base: queuedb.Base{Subject: "hi", MessageID: "<orig@example.org>"}}
	for _, r := range rcpts {
		sub.Recipients = append(sub.Recipients, queuedb.Recipient{Sender: path(e.t, sender), To: path(e.t, r)})
	}
	return sub
}

func (e *env) enqueue(s queuedb.Submission) []queuedb.Message {
	e.t.Helper()
	l, err := e.db.Enqueue(ctxbg, s)
	tcheck(e.t, err)
	e.q.Kick()
	return l
}

// queued returns the messages in the queue.
func (e *env) queued() []queuedb.Message {
	e.t.Helper()
	synctest.Wait()
	l, err := e.db.List(ctxbg, queuedb.Filter{}, queuedb.Page{})
	tcheck(e.t, err)
	return l
}

// mailbox returns the messages in a mailbox.
func (e *env) mailbox(account, name string) []string {
	e.t.Helper()
	synctest.Wait()
	acc, err := e.st.Account(ctxbg, account)
	if errors.Is(err, store.ErrNoAccount) {
		return nil
	}
	tcheck(e.t, err)
	defer acc.Release()
	mb, ok := acc.Tree().ByName(name)
	if !ok {
		return nil
	}
	ix, err := acc.Index(ctxbg, mb.ID)
	tcheck(e.t, err)
	var l []string
	for _, m := range ix.Range(0, ix.Len()) {
		c, err := acc.OpenContent(ctxbg, m.ContentID)
		tcheck(e.t, err)
		b, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
		tcheck(e.t, err)
		tcheck(e.t, c.Close())
		l = append(l, string(b))
	}
	problems, err := acc.Verify(ctxbg)
	tcheck(e.t, err)
	if len(problems) > 0 {
		e.t.Fatalf("verify: %v", problems)
	}
	return l
}

// report parses a notification.
func report(t *testing.T, text string) (dsn.Report, message.Header) {
	t.Helper()
	r := bytes.NewReader([]byte(text))
	root, err := message.Parse(r, r.Size(), message.Limits{})
	tcheck(t, err)
	rep, err := dsn.Parse(r, root)
	tcheck(t, err)
	return rep, message.ParseHeader([]byte(text), message.Limits{})
}
