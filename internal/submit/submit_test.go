package submit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
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

type env struct {
	s     *Submitter
	db    *queuedb.DB
	st    *store.Store
	kicks int
	fail  error // Of the queue, if not nil.
}

func (e *env) Enqueue(ctx context.Context, s queuedb.Submission) ([]queuedb.Message, error) {
	if e.fail != nil {
		return nil, e.fail
	}
	return e.db.Enqueue(ctx, s)
}

func testEnv(t testing.TB, pedantic bool, edit func(a *config.AccountFields)) *env {
	t.Helper()
	var static config.Static
	static.DataDir = t.TempDir()
	static.LogLevel = "info"
	static.Hostname = "mx.example.org"
	static.Pedantic = pedantic
	static.Listeners = map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}}
	static.Postmaster = config.PostmasterFields{Account: "ann", Mailbox: "Inbox"}
	ann := config.AccountFields{Domain: "example.org", Destinations: map[string]config.DestinationFields{"ann@example.org": {}, "ann@off.example": {}, "ü@example.org": {}}}
	if edit != nil {
		edit(&ann)
	}
	snap, err := config.New(static, config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {LocalpartCatchallSeparator: "+"}, "off.example": {Disabled: true}},
		Accounts: map[string]config.AccountFields{
			"ann": ann,
			"bob": {Domain: "example.org", Destinations: map[string]config.DestinationFields{"bob@example.org": {}}},
		},
	})
	tcheck(t, err)
	e := &env{}
	e.st, err = store.Open(ctxbg, store.Options{Dir: static.DataDir, Log: mlog.Discard()})
	tcheck(t, err)
	t.Cleanup(func() { e.st.Close() })
	e.db, err = queuedb.Open(ctxbg, queuedb.Options{Dir: static.DataDir, Log: mlog.Discard()})
	tcheck(t, err)
	t.Cleanup(func() { e.db.Close() })
	e.s = New(Options{Config: config.NewHolder(snap), Store: e.st, Queue: e, Kick: func() { e.kicks++ }})
	return e
}

const goodHeader = "From: Ann <ann@example.org>\r\nDate: Tue, 1 Apr 2025 10:00:00 +0000\r\nMessage-Id: <id@example.org>\r\nSubject: =?utf-8?q?h=C3=AF?=\r\n"

func submission(t testing.TB, text string, rcpts ...string) Submission {
	t.Helper()
	sub := Submission{
		Account: "ann", Login: "ann@example.org", Spool: testkit.Spool(t, t.TempDir(), text), Trace: []byte("Received: x\r\n"),
		Mail: smtp.MailCommand{ReversePath: path(t, "ann@example.org")},
	}
	for _, r := range rcpts {
		sub.Rcpts = append(sub.Rcpts, path(t, r))
	}
	return sub
}

func (e *env) content(t testing.TB, m queuedb.Message) (queuedb.Base, string) {
	t.Helper()
	_, base, err := e.db.Get(ctxbg, m.ID)
	tcheck(t, err)
	c, err := e.db.OpenContent(base)
	tcheck(t, err)
	defer c.Close()
	b, err := io.ReadAll(c)
	tcheck(t, err)
	return base, string(b)
}

func TestMessageIsQueuedForEachRecipientWithOneContent(t *testing.T) {
	t.Parallel()
	e := testEnv(t, true, nil)
	sub := submission(t, goodHeader+"X-Mox-Extra-some-KEY: the value\r\n\r\nbody\r\n", "a@one.example", "b@two.example", "c@[192.0.2.1]")
	sub.Rcpts = append(sub.Rcpts, smtp.Path{Localpart: "Postmaster"})
	res, err := e.s.Submit(ctxbg, sub)
	tcheck(t, err)
	if len(res.Messages) != 4 || res.MessageID != "<id@example.org>" || e.kicks != 1 {
		t.Fatalf("result %+v, %d kicks", res, e.kicks)
	}
	var rcpts []string
	for _, m := range res.Messages {
		rcpts = append(rcpts, m.Recipient().XString(false))
		if m.ContentID != res.Messages[0].ContentID || m.Account != "ann" || !m.Sender().Equal(sub.Mail.ReversePath) || m.RequireTLS != nil {
			t.Errorf("message %+v", m)
		}
	}
	if want := []string{"a@one.example", "b@two.example", "c@[192.0.2.1]", "Postmaster@mx.example.org"}; !slices.Equal(rcpts, want) {
		t.Errorf("recipients %v, want %v", rcpts, want)
	}
	base, text := e.content(t, res.Messages[0])
	if want := "Received: x\r\n" + goodHeader + "X-Mox-Extra-some-KEY: the value\r\n\r\nbody\r\n"; text != want {
		t.Errorf("content %q, want %q", text, want)
	}
	if base.Subject != "hï" || base.Extra["Some-Key"] != "the value" || base.SMTPUTF8 || base.EightBit || base.FutureRelease != "" {
		t.Errorf("base %+v", base)
	}
}

func TestMissingFieldsAreAdded(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	res, err := e.s.Submit(ctxbg, submission(t, "From: ann+x@example.org\r\n\r\nb\xc3\xa9\r\n", "a@one.example"))
	tcheck(t, err)
	base, text := e.content(t, res.Messages[0])
	h := message.ParseHeader([]byte(text), message.Limits{})
	if h.Value("Message-Id") != res.MessageID || base.MessageID != res.MessageID || !strings.HasSuffix(res.MessageID, "@mx.example.org>") || len(res.MessageID) < 30 {
		t.Errorf("message id %q, %q", h.Value("Message-Id"), res.MessageID)
	}
	if d, ok := message.ParseDate(h.Value("Date")); !ok || time.Since(d).Abs() > time.Minute {
		t.Errorf("date %q", h.Value("Date"))
	}
	if string(h.Fields[0].Name) != "Received" || !base.EightBit {
		t.Errorf("first field %s, 8bit %v", h.Fields[0].Name, base.EightBit)
	}
}

func TestMessagesThatMayNotBeSent(t *testing.T) {
	t.Parallel()
	lenient, strict := testEnv(t, false, nil), testEnv(t, true, nil)
	rest := "Date: Tue, 1 Apr 2025 10:00:00 +0000\r\nMessage-Id: <id@example.org>\r\n\r\nbody\r\n"
	tests := []struct {
		name     string
		e        *env
		text     string
		edit     func(s *Submission)
		code     int
		enhanced string
		kind     string
	}{
		{"no From", lenient, rest, nil, 550, "5.6.0", "badfrom"},
		{"two From fields", lenient, "From: ann@example.org\r\nFrom: ann@example.org\r\n" + rest, nil, 550, "5.6.0", "badfrom"},
		{"two addresses", lenient, "From: ann@example.org, ann+1@example.org\r\n" + rest, nil, 550, "5.6.0", "badfrom"},
		{"empty From", lenient, "From:\r\n" + rest, nil, 550, "5.6.0", "badfrom"},
		{"empty group", lenient, "From: undisclosed:;\r\n" + rest, nil, 550, "5.6.0", "badfrom"},
		{"From without domain", lenient, "From: ann\r\n" + rest, nil, 550, "5.6.0", "badfrom"},
		{"From of another account", lenient, "From: bob@example.org\r\n" + rest, nil, 550, "5.7.1", "badfrom"},
		{"From elsewhere", lenient, "From: ann@elsewhere.example\r\n" + rest, nil, 550, "5.7.1", "badfrom"},
		{"postmaster fallback is no sender", lenient, "From: postmaster@example.org\r\n" + rest, nil, 550, "5.7.1", "badfrom"},
		{"disabled domain", lenient, "From: ann@off.example\r\n" + rest, nil, 451, "4.3.0", "badfrom"},
		{"no header end", lenient, "From: ann@example.org\r\n", nil, 554, "5.6.0", "badmessage"},
		{"huge header", lenient, "From: ann@example.org\r\n" + strings.Repeat("X: y\r\n", message.MaxFields) + rest, nil, 554, "5.6.0", "badmessage"},
		{"Return-Path", strict, "Return-Path: <>\r\nFrom: ann@example.org\r\n" + rest, nil, 550, "5.6.0", "badheader"},
		{"duplicate extra", lenient, "From: ann@example.org\r\nX-Mox-Extra-A: 1\r\nx-mox-extra-a: 2\r\n" + rest, nil, 554, "5.6.0", "badheader"},
		{"header in UTF-8", strict, "From: ann@example.org\r\nSubject: \xc3\xa9\r\n" + rest, nil, 550, "5.6.0", "missingsmtputf8"},
		{"recipient in UTF-8", strict, "From: ann@example.org\r\n" + rest, func(s *Submission) { s.Rcpts[0].Localpart = "é" }, 550, "5.6.0", "missingsmtputf8"},
		{"no recipients", lenient, "From: ann@example.org\r\n" + rest, func(s *Submission) { s.Rcpts = nil }, 554, "5.1.0", "badmessage"},
		{"unknown account", lenient, "From: ann@example.org\r\n" + rest, func(s *Submission) { s.Account = "eve" }, 451, "4.3.0", "queueerror"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			sub := submission(t, tc.text, "a@one.example")
			if tc.edit != nil {
				tc.edit(&sub)
			}
			_, err := tc.e.s.Submit(ctxbg, sub)
			e := smtp.AsError(err)
			if e == nil || e.Code != tc.code || e.Enhanced != tc.enhanced || Kind(err) != tc.kind {
				t.Fatalf("got %v, kind %s; want %d %s %s", err, Kind(err), tc.code, tc.enhanced, tc.kind)
			}
			st, err := tc.e.db.Status(ctxbg)
			tcheck(t, err)
			if st.Messages != 0 {
				t.Fatal("message was queued")
			}
		})
	}
}

func TestWhatIsFineUnlessPedantic(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	for _, text := range []string{
		"Return-Path: <>\r\n" + goodHeader + "\r\n",
		goodHeader + "Comments: \xc3\xa9\r\n\r\n",
		"From: =?utf-8?q?=C3=A9?= <ANN+tag@Example.ORG>\r\n\r\n",
	} {
		if _, err := e.s.Submit(ctxbg, submission(t, text, "a@one.example")); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSMTPUTF8IsSetOnlyWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	e := testEnv(t, true, nil)
	tests := []struct {
		name string
		text string
		edit func(s *Submission)
		want bool
	}{
		{"not needed", goodHeader + "\r\nbody \xc3\xa9\r\n", func(*Submission) {}, false},
		{"domain has another form", goodHeader + "\r\n", func(s *Submission) { s.Rcpts[0] = path(t, "a@☺.example") }, false},
		{"header", goodHeader + "Comments: \xc3\xa9\r\n\r\n", func(*Submission) {}, true},
		{"sender", goodHeader + "\r\n", func(s *Submission) { s.Mail.ReversePath = path(t, "ü@example.org") }, true},
		{"recipient", goodHeader + "\r\n", func(s *Submission) { s.Rcpts[0] = path(t, "ü@one.example") }, true},
	}
	for _, tc := range tests {
		sub := submission(t, tc.text, "a@one.example")
		sub.Mail.SMTPUTF8 = true
		tc.edit(&sub)
		res, err := e.s.Submit(ctxbg, sub)
		tcheck(t, err)
		if base, _ := e.content(t, res.Messages[0]); base.SMTPUTF8 != tc.want {
			t.Errorf("%s: SMTPUTF8 %v", tc.name, base.SMTPUTF8)
		}
	}
}

func TestReleaseInTheFuture(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	for _, tc := range []struct {
		mail smtp.MailCommand
		text string
		next time.Time
	}{
		{smtp.MailCommand{HoldFor: 90 * time.Second}, "for;90", time.Now().Add(90 * time.Second)},
		{smtp.MailCommand{HoldUntil: until}, "until;" + until.Format(time.RFC3339), until},
		{smtp.MailCommand{}, "", time.Now()},
	} {
		sub := submission(t, goodHeader+"\r\n", "a@one.example")
		sub.Mail = tc.mail
		res, err := e.s.Submit(ctxbg, sub)
		tcheck(t, err)
		base, _ := e.content(t, res.Messages[0])
		if base.FutureRelease != tc.text || res.Messages[0].NextAttempt.Sub(tc.next).Abs() > time.Minute || !res.Messages[0].Sender().IsZero() {
			t.Errorf("%+v: %q, %v", tc.mail, base.FutureRelease, res.Messages[0].NextAttempt)
		}
	}
}

func TestTLSRequiredField(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	yes, no := true, false
	for _, tc := range []struct {
		field   string
		require bool
		want    *bool
	}{
		{"", false, nil},
		{"TLS-Required: No\r\n", false, &no},
		{"TLS-Required: nO \r\nTLS-Required: no\r\n", false, &no},
		{"TLS-Required: Yes\r\n", false, nil},
		{"TLS-Required: no\r\nTLS-Required: x\r\n", false, nil},
		{"TLS-Required: No\r\n", true, &yes},
	} {
		sub := submission(t, goodHeader+tc.field+"\r\n", "a@one.example")
		sub.Mail.RequireTLS = tc.require
		res, err := e.s.Submit(ctxbg, sub)
		tcheck(t, err)
		got := res.Messages[0].RequireTLS
		if (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
			t.Errorf("%q: got %v", tc.field, got)
		}
	}
}

func limits(messages, first int) func(a *config.AccountFields) {
	return func(a *config.AccountFields) {
		a.MaxOutgoingMessagesPerDay, a.MaxFirstTimeRecipientsPerDay = messages, first
	}
}

func TestMessagesPerDayAreLimited(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, limits(3, 100))
	send := func(rcpts ...string) error {
		_, err := e.s.Submit(ctxbg, submission(t, goodHeader+"\r\n", rcpts...))
		return err
	}
	tcheck(t, send("a@one.example", "b@one.example"))
	err := send("a@one.example", "b@one.example")
	if e := smtp.AsError(err); e == nil || e.Code != 451 || e.Enhanced != "4.7.1" || !strings.Contains(e.Text, "MaxOutgoingMessagesPerDay") || Kind(err) != "messagelimiterror" {
		t.Fatalf("got %v", err)
	}
	tcheck(t, send("a@one.example"))
	if err := send("a@one.example"); !errors.Is(err, ErrMessageLimit) {
		t.Fatalf("got %v", err)
	}
}

func TestFirstTimeRecipientsPerDayAreLimited(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, limits(1000, 3))
	send := func(rcpts ...string) error {
		_, err := e.s.Submit(ctxbg, submission(t, goodHeader+"\r\n", rcpts...))
		return err
	}
	tcheck(t, send("a@one.example", "b@one.example", "b@one.example"))
	for range 5 { // Known ones do not count.
		tcheck(t, send("a@one.example", "b@ONE.example"))
	}
	err := send("c@one.example", "d@one.example")
	if e := smtp.AsError(err); e == nil || e.Code != 451 || e.Enhanced != "4.7.1" || !strings.Contains(e.Text, "MaxFirstTimeRecipientsPerDay") || Kind(err) != "recipientlimiterror" {
		t.Fatalf("got %v", err)
	}
	tcheck(t, send("c@one.example"))
	if err := send("d@one.example"); !errors.Is(err, ErrRecipientLimit) {
		t.Fatalf("got %v", err)
	}
	tcheck(t, send("c@one.example"))
}

func TestRecipientsBecomeContacts(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	_, err := e.s.Submit(ctxbg, submission(t, goodHeader+"\r\n", "Bob@sub.Example.Net", "x@[192.0.2.1]", "c@bücher.example"))
	tcheck(t, err)
	e.s.Settle()
	acc, err := e.st.Account(ctxbg, "ann")
	tcheck(t, err)
	defer acc.Release()
	tcheck(t, acc.Reputation(ctxbg, func(r *store.Reputation) error {
		for _, c := range []struct {
			kind  store.ContactKind
			value string
			known bool
		}{
			{store.ContactAddress, "bob@sub.example.net", true},
			{store.ContactDomain, "sub.example.net", true},
			{store.ContactOrg, "example.net", true},
			{store.ContactAddress, "c@bücher.example", true},
			{store.ContactAddress, "ann@example.org", false},
		} {
			at, err := r.SentTo(c.kind, c.value)
			if err != nil || at.IsZero() == c.known {
				t.Errorf("%s%s: got %v, %v", c.kind, c.value, at, err)
			}
		}
		return nil
	}))
}

func TestMessagesThatWereNotQueuedDoNotCount(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, limits(2, 2))
	for i, tc := range []struct {
		err      error
		code     int
		enhanced string
	}{
		{queuedb.ErrNoSpace, 452, "4.3.1"},
		{queuedb.ErrAccountLimit, 452, "4.3.1"},
		{queuedb.ErrReadOnly, 451, "4.3.0"},
		{queuedb.ErrTooLarge, 554, "5.5.3"},
		{errors.New("other"), 451, "4.3.0"},
	} {
		e.fail = fmt.Errorf("enqueue: %w", tc.err)
		_, err := e.s.Submit(ctxbg, submission(t, goodHeader+"\r\n", fmt.Sprintf("a%d@one.example", i), fmt.Sprintf("b%d@one.example", i)))
		if se := smtp.AsError(err); se == nil || se.Code != tc.code || se.Enhanced != tc.enhanced || Kind(err) != "queueerror" || !errors.Is(err, ErrQueue) {
			t.Errorf("%v: got %v", tc.err, err)
		}
	}
	e.fail = nil
	_, err := e.s.Submit(ctxbg, submission(t, goodHeader+"\r\n", "a0@one.example", "b0@one.example"))
	tcheck(t, err)
}

// Submissions at the same time must not go past a limit together.
func TestLimitsHoldForSubmissionsAtTheSameTime(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, limits(10, 5))
	e.s.opts.Kick = nil
	var mu sync.Mutex
	var wg sync.WaitGroup
	sent := 0
	for i := range 20 {
		sub := submission(t, goodHeader+"\r\n", fmt.Sprintf("a%d@one.example", i))
		wg.Go(func() {
			_, err := e.s.Submit(ctxbg, sub)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				sent++
			} else if !errors.Is(err, ErrRecipientLimit) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sent != 5 {
		t.Fatalf("%d were queued, want 5", sent)
	}
}

func TestContextThatEndsIsReturnedAsIs(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	e.fail = context.Canceled
	ctx, cancel := context.WithCancel(ctxbg)
	sub := submission(t, goodHeader+"\r\n", "a@one.example")
	e.s.opts.Queue = queueFunc(func() error { cancel(); return context.Canceled })
	if _, err := e.s.Submit(ctx, sub); !errors.Is(err, context.Canceled) || smtp.AsError(err) != nil {
		t.Fatal(err)
	}
}

type queueFunc func() error

func (f queueFunc) Enqueue(context.Context, queuedb.Submission) ([]queuedb.Message, error) {
	return nil, f()
}

// An address is noted while more is submitted to it, and is new only once.
func TestAddressIsNewOnce(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, limits(1_000_000, 1_000_000))
	var count int64
	e.s.opts.Queue = countingQueue(func(l *queuedb.Limits) { count += l.New })
	e.s.contacts.wait() // From now on without pauses.
	const addresses = 100
	for i := range addresses {
		sub := submission(t, goodHeader+"\r\n", fmt.Sprintf("a%d@one.example", i))
		for range 20 {
			_, err := e.s.Submit(ctxbg, sub)
			tcheck(t, err)
		}
	}
	if count != addresses {
		t.Errorf("%d new addresses, want %d", count, addresses)
	}
}

// countingQueue queues nothing.
type countingQueue func(l *queuedb.Limits)

func (f countingQueue) Enqueue(_ context.Context, s queuedb.Submission) ([]queuedb.Message, error) {
	f(s.Limits)
	return nil, nil
}
