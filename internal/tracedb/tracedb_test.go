package tracedb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/bstore"

	"mox/mlog"
	"mox/smtp"
)

var ctxbg = context.Background()

// at is when the messages of tests come.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// open opens a database, in a new directory unless there is one, which is closed and
// verified when the test ends.
func open(t testing.TB, opts Options) *DB {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	d, err := Open(ctxbg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if l, err := Verify(ctxbg, opts.Dir); err != nil || len(l) > 0 {
			t.Errorf("verify: %v, %v", l, err)
		}
	})
	return d
}

func list(t testing.TB, d *DB, q Query) []Message {
	t.Helper()
	l, err := d.List(ctxbg, q)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// text returns kinds and recipients of steps, messages apart.
func text(l []Message) string {
	var s []string
	for _, m := range l {
		var steps []string
		for _, st := range m.Steps {
			steps = append(steps, strings.TrimSpace(string(st.Kind)+" "+st.To))
		}
		s = append(s, strings.Join(steps, ", "))
	}
	return strings.Join(s, "; ")
}

// smtpMessage records the steps of a message that comes in for a recipient.
func smtpMessage(d *DB, cid int64, when time.Time, id, from, to string) context.Context {
	ctx := WithRef(mlog.WithCid(ctxbg, cid), Ref{Cid: cid, N: 1})
	d.Step(ctx, Step{Time: when, Kind: Received, MessageID: id, From: from})
	d.Step(ctx, Step{Time: when.Add(time.Millisecond), Kind: Judged, To: to, Result: Accepted, Reason: "no-bad-signals"})
	d.Step(ctx, Step{Time: when.Add(2 * time.Millisecond), Kind: Delivered, To: to, Result: OK, Account: "ann", Mailbox: "Inbox"})
	return ctx
}

func TestMessagesAreFoundByMessageIDAddressAndQueueID(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	smtpMessage(d, 1, at, "one@remote.example", "bob@remote.example", "ann@mox.example")
	ctx := smtpMessage(d, 2, at.Add(time.Second), "two@remote.example", "<>", "ann@mox.example")
	d.Step(ctx, Step{Time: at.Add(2 * time.Second), Kind: Queued, Queue: 7, From: "srs@mox.example", To: "eve@other.example"})
	one := "received, verdict ann@mox.example, delivered ann@mox.example"
	two := one + ", queued eve@other.example"
	for _, tc := range []struct {
		q    Query
		want string
	}{
		{Query{Find: "one@remote.example"}, one},
		{Query{Find: "<One@remote.example>"}, one},
		{Query{Find: "bob@remote.example"}, one},
		{Query{Find: " <BOB@Remote.Example>"}, one},
		{Query{Find: "ann@mox.example"}, two + "; " + one},
		{Query{Find: "ann@mox.example", Limit: 1}, two},
		{Query{Find: "ann@mox.example", Since: at.Add(time.Second)}, two},
		{Query{Find: "ann@mox.example", Since: at.Add(time.Minute)}, ""},
		{Query{Find: "srs@mox.example"}, two},
		{Query{Queue: 7}, two},
		{Query{Queue: 8}, ""},
		{Query{}, two + "; " + one},
		{Query{Limit: 1}, two},
		{Query{Since: at.Add(time.Second)}, two},
		{Query{Find: "<>"}, ""},
		{Query{Find: "nobody@mox.example"}, ""},
		{Query{Find: "a\x00b"}, ""},
		{Query{Find: strings.Repeat("x", 5000)}, ""},
	} {
		if got := text(list(t, d, tc.q)); got != tc.want {
			t.Errorf("%+v: got %q, want %q", tc.q, got, tc.want)
		}
	}
	if m := list(t, d, Query{Queue: 7})[0]; m.MessageID() != "two@remote.example" || !m.Time.Equal(at.Add(time.Second)) {
		t.Errorf("got %q at %v", m.MessageID(), m.Time)
	}
}

func TestWhatIsTheIDOfOneAndTheAddressOfAnotherFindsBoth(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	smtpMessage(d, 1, at, "x@mox.example", "<>", "ann@mox.example")
	smtpMessage(d, 2, at.Add(time.Second), "y@mox.example", "x@mox.example", "x@mox.example")
	if l := list(t, d, Query{Find: "<x@mox.example>"}); len(l) != 2 {
		t.Errorf("got %q", text(l))
	}
}

func TestPagesGoOnBeforeTheLastMessage(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	for i := range 25 {
		// Of the same time, and all apart.
		smtpMessage(d, int64(i+1), at, fmt.Sprintf("%d@x", i), "bob@remote.example", "ann@mox.example")
	}
	for _, find := range []string{"", "ann@mox.example"} {
		seen := map[int64]bool{}
		q := Query{Find: find, Limit: 10}
		for _, want := range []int{10, 10, 5, 0} {
			l := list(t, d, q)
			if len(l) != want {
				t.Fatalf("%q: got %d messages, want %d", find, len(l), want)
			}
			for _, m := range l {
				if seen[m.ID] || q.Before != 0 && m.ID >= q.Before || len(m.Steps) != 3 {
					t.Errorf("%q: message %d of %d steps is there again, or out of order", find, m.ID, len(m.Steps))
				}
				seen[m.ID], q.Before = true, m.ID
			}
		}
	}
	for i := range MaxPage {
		smtpMessage(d, int64(i+100), at, fmt.Sprintf("%d@x", i), "<>", "ann@mox.example")
	}
	if l := list(t, d, Query{Limit: 10 * MaxPage}); len(l) != MaxPage {
		t.Errorf("got a page of %d", len(l))
	}
}

func TestStepsFromTheQueueBelongToTheMessageThatWasQueued(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := Open(ctxbg, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	in := WithRef(ctxbg, Ref{Cid: 1, N: 2})
	// The queue may be faster than who has queued.
	d.Step(WithRef(ctxbg, Ref{Queue: 11}), Step{Time: at.Add(2), Kind: Attempted, To: "bob@x.example", Attempt: 1})
	d.Step(in, Step{Time: at, Kind: Received, MessageID: "id@x"})
	d.Step(in, Step{Time: at.Add(1), Kind: Queued, Queue: 10, To: "ann@x.example"})
	d.Step(in, Step{Time: at.Add(1), Kind: Queued, Queue: 11, To: "bob@x.example"})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, Options{Dir: dir}) // It is known after a restart.
	ctx := WithRef(mlog.WithCid(ctxbg, 99), Ref{Queue: 10})
	d.Step(ctx, Step{Time: at.Add(3), Kind: Attempted, To: "ann@x.example"})
	d.Step(ctx, Step{Time: at.Add(4), Kind: Delivered, To: "ann@x.example"})
	want := "received, queued ann@x.example, queued bob@x.example, attempt bob@x.example, attempt ann@x.example, delivered ann@x.example"
	for _, q := range []Query{{Find: "<id@x>"}, {Queue: 10}, {Queue: 11}} {
		if got := text(list(t, d, q)); got != want {
			t.Errorf("%+v: got %q, want %q", q, got, want)
		}
	}
	// Not known how it got there.
	d.Step(WithRef(ctxbg, Ref{Queue: 50}), Step{Kind: Attempted, Queue: 51, To: "eve@x.example"})
	if got := text(list(t, d, Query{Queue: 51})); got != "attempt eve@x.example" {
		t.Errorf("got %q", got)
	}
	if l := list(t, d, Query{Queue: 10}); l[0].Steps[4].Cid != 99 {
		t.Errorf("got %+v", l[0].Steps[4])
	}
}

func TestTransactionsOfAConnectionAreMessagesApart(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	for n := range 3 {
		d.Step(WithRef(ctxbg, Ref{Cid: 1, N: n}), Step{Time: at, Kind: Received, From: "<>"})
	}
	d.Step(ctxbg, Step{Time: at, Kind: Received})
	d.Step(ctxbg, Step{Time: at, Kind: Received}) // Of nothing that is known.
	d.Step(mlog.WithCid(ctxbg, 7), Step{Time: at, Kind: Received})
	d.Step(mlog.WithCid(ctxbg, 7), Step{Time: at, Kind: Delivered})
	if l := list(t, d, Query{}); len(l) != 6 {
		t.Errorf("got %q", text(l))
	}
}

func TestValuesAreBounded(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	long := strings.Repeat("é", MaxText) + "\x00\r\n"
	s := Step{
		Kind: Refused, MessageID: long, From: long, To: long, Member: long, Service: long, Connection: long, Host: long, IP: long, TLS: long,
		Transport: long, Account: long, Mailbox: long, Enhanced: long, Text: long, Reason: long, Result: long, Reasons: slices.Repeat([]string{long}, 99),
	}
	d.Step(WithRef(ctxbg, Ref{Cid: 1}), s)
	d.Step(WithRef(ctxbg, Ref{Cid: 1}), Step{Kind: Refused, Text: "a\tb\x1b[0m\xff"})
	l := list(t, d, Query{Find: long})
	if len(l) != 1 || len(l[0].Steps) != 2 {
		t.Fatalf("got %d messages", len(l))
	}
	got := l[0].Steps[0]
	if n := got.size(); n > stepSize+(16+MaxReasons)*MaxText || len(got.Reasons) != MaxReasons {
		t.Errorf("got %d octets and %d reasons", n, len(got.Reasons))
	}
	if got := l[0].Steps[1].Text; got != "a b [0m\uFFFD" && got != "a b [0m" {
		t.Errorf("got %q", got)
	}
}

func TestStepsOfAMessageAreBounded(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	ctx := WithRef(ctxbg, Ref{Cid: 1})
	for range MaxMessageSteps + 10 {
		d.Step(ctx, Step{Kind: Judged, To: "ann@mox.example"})
	}
	l := list(t, d, Query{})
	if len(l) != 1 || len(l[0].Steps) != MaxMessageSteps || l[0].Skipped != 10 {
		t.Errorf("got %d messages, of the first %d steps, %d skipped", len(l), len(l[0].Steps), l[0].Skipped)
	}
}

func TestTheOldestGoFirstWhenThereIsTooMuch(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]Options{"steps": {maxSteps: 30}, "size": {maxSize: 30 * (stepSize + 40)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, opts)
			for i := range 50 {
				smtpMessage(d, int64(i+1), at.Add(time.Duration(i)*time.Second), fmt.Sprintf("%d@x", i), "bob@remote.example", "ann@mox.example")
				if i%7 == 0 {
					if err := d.Flush(ctxbg); err != nil {
						t.Fatal(err)
					}
				}
			}
			l := list(t, d, Query{})
			if len(l) < 8 || len(l) > 10 || l[0].MessageID() != "49@x" {
				t.Errorf("got %d messages, the first %q", len(l), l[0].MessageID())
			}
			if l := list(t, d, Query{Find: "1@x"}); len(l) > 0 {
				t.Errorf("got %q", text(l))
			}
			// What comes after that for one that is gone is a message of its own.
			d.Step(WithRef(ctxbg, Ref{Cid: 1, N: 1}), Step{Time: at.Add(time.Hour), Kind: Delivered, To: "late@x.example"})
			if got := text(list(t, d, Query{Find: "late@x.example"})); got != "delivered late@x.example" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestMessagesAreRemovedAfterTheirTime(t *testing.T) {
	t.Parallel()
	d := open(t, Options{Retention: time.Hour})
	now := time.Now()
	smtpMessage(d, 1, now.Add(-2*time.Hour), "old@x", "<>", "ann@mox.example")
	smtpMessage(d, 2, now.Add(-time.Minute), "new@x", "<>", "ann@mox.example")
	if err := d.Flush(ctxbg); err != nil {
		t.Fatal(err)
	}
	if err := d.clean(now); err != nil {
		t.Fatal(err)
	}
	if l := list(t, d, Query{Find: "ann@mox.example"}); len(l) != 1 || l[0].MessageID() != "new@x" {
		t.Errorf("got %q", text(l))
	}
}

func TestMailDoesNotWaitForTheDatabase(t *testing.T) {
	t.Parallel()
	d := open(t, Options{})
	held, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- d.bdb.Write(ctxbg, func(*bstore.Tx) error {
			<-held
			return nil
		})
	}()
	for range 2*stepQueue + 2*maxBatch {
		d.Step(WithRef(ctxbg, Ref{Cid: 1}), Step{Kind: Judged})
	}
	close(held)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if l := list(t, d, Query{}); len(l) != 1 {
		t.Errorf("got %q", text(l))
	}
}

func TestNoDatabaseRecordsNothing(t *testing.T) {
	t.Parallel()
	var d *DB
	d.Step(ctxbg, Step{Kind: Received})
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestClosedDatabaseSaysSo(t *testing.T) {
	t.Parallel()
	d, err := Open(ctxbg, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.Step(ctxbg, Step{Kind: Received})
	if _, err := d.List(ctxbg, Query{}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestRemoveRemovesTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := Remove(dir); err != nil {
		t.Errorf("of nothing: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), nil, 0600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if l, err := os.ReadDir(dir); err != nil || len(l) > 0 {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestErrorsOfSMTPAreTakenApart(t *testing.T) {
	t.Parallel()
	var s Step
	s.SetError(nil)
	if s.Text != "" {
		t.Errorf("got %q", s.Text)
	}
	s.SetError(errors.New("disk on fire"))
	if s.Text != "disk on fire" || s.Code != 0 {
		t.Errorf("got %+v", s)
	}
	s.SetError(fmt.Errorf("deliver: %w", smtp.Errorf(452, smtp.Se22MailboxFull, "mailbox full").WithCause(errors.New("quota"))))
	if s.Code != 452 || s.Enhanced != "4.2.2" || s.Text != "mailbox full" {
		t.Errorf("got %+v", s)
	}
}
