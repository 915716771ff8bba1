package queuedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
	"mox/internal/testkit"
	"mox/smtp"
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

func testOpen(t testing.TB, o Options) *DB {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	d, err := Open(ctxbg, o)
	tcheck(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// verify fails the test if there is a problem.
func verify(t testing.TB, d *DB) {
	t.Helper()
	l, err := d.Verify(ctxbg)
	tcheck(t, err)
	for _, p := range l {
		t.Errorf("verify: %s", p)
	}
}

func submission(t testing.TB, content string, rcpts ...string) Submission {
	t.Helper()
	s := Submission{Account: "mjl", Spool: testkit.Spool(t, t.TempDir(), content)}
	for _, r := range rcpts {
		s.Recipients = append(s.Recipients, Recipient{Sender: path(t, "mjl@sender.example"), To: path(t, r)})
	}
	return s
}

func enqueue(t testing.TB, d *DB, content string, rcpts ...string) []Message {
	t.Helper()
	l, err := d.Enqueue(ctxbg, submission(t, content, rcpts...))
	tcheck(t, err)
	return l
}

func content(t testing.TB, d *DB, base Base) string {
	t.Helper()
	c, err := d.OpenContent(base)
	tcheck(t, err)
	defer c.Close()
	b, err := io.ReadAll(c)
	tcheck(t, err)
	return string(b)
}

func later(d time.Duration) func(Message) time.Time {
	return func(Message) time.Time { return time.Now().Add(d) }
}

// claimOptions are for claimDue.
type claimOptions struct {
	now  time.Time
	busy []string // Lanes.
	jobs int
	next func(Message) time.Time
}

// claimDue claims what is due first, one job of each lane that is not busy. Without
// any it returns when something will be due.
func claimDue(d *DB, o claimOptions) (jobs []Job, next time.Time, err error) {
	var flows []flow
	err = d.read(ctxbg, func(tx *bstore.Tx) (err error) {
		flows, err = bstore.QueryTx[flow](tx).SortAsc("NextAttempt").List()
		return err
	})
	busy := slices.Clone(o.busy)
	for _, f := range flows {
		if err != nil || len(jobs) == o.jobs || f.NextAttempt.After(o.now) {
			if len(jobs) == 0 {
				next = f.NextAttempt
			}
			break
		}
		if slices.Contains(busy, f.Lane) {
			continue
		}
		busy = append(busy, f.Lane)
		var job Job
		var ok bool
		if job, ok, err = d.Claim(ctxbg, ClaimOptions{Now: o.now, Flow: f.Name, Next: o.next}); ok {
			jobs = append(jobs, job)
		}
	}
	return jobs, next, err
}

func claim(t testing.TB, d *DB, busy ...string) []Job {
	t.Helper()
	jobs, _, err := claimDue(d, claimOptions{now: time.Now(), busy: busy, jobs: 10, next: later(time.Hour)})
	tcheck(t, err)
	return jobs
}

// forget keeps no history.
func forget(string) time.Duration { return 0 }

func finishAll(t testing.TB, d *DB, fate Fate, l []Message) {
	t.Helper()
	var out []Outcome
	for _, m := range l {
		out = append(out, Outcome{ID: m.ID, Fate: fate, Result: &Result{Start: time.Now(), Success: fate == Delivered}})
	}
	tcheck(t, d.Finish(ctxbg, out))
}

// files returns the names of the content files.
func files(t testing.TB, d *DB) []string {
	t.Helper()
	l, err := filepath.Glob(filepath.Join(d.contentDir(), "*", "*"))
	tcheck(t, err)
	return l
}

func TestDirectoryNamesAreSixBitGroupsLeastSignificantFirst(t *testing.T) {
	t.Parallel()
	tests := []struct {
		id   int64
		want string
	}{
		{1, "a"},
		{8191, "a"},
		{8192, "b"},
		{25 << 13, "z"},
		{26 << 13, "0"},
		{36 << 13, "A"},
		{62 << 13, "-"},
		{63 << 13, "_"},
		{64 << 13, "ab"},
		{(64*3+2)<<13 | 77, "cd"},
		{64 * 64 << 13, "aab"},
	}
	for _, tc := range tests {
		if got := dirName(tc.id); got != tc.want {
			t.Errorf("dirName(%d) = %q, want %q", tc.id, got, tc.want)
		}
	}
}

func TestRecipientsOfASubmissionShareOneFile(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	s := submission(t, "Subject: hi\r\n\r\nbody\r\n", "a@one.example", "b@two.example", "c@one.example")
	s.Base = Base{Prefix: []byte("Date: now\r\n"), Subject: "hi", MessageID: "<x@y>", Extra: map[string]string{"k": "v"}, FutureRelease: "for;10"}
	l, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	if len(l) != 3 || len(files(t, d)) != 1 {
		t.Fatalf("got %d messages, files %v, want 3 and one file", len(l), files(t, d))
	}
	for i, m := range l {
		got, base, err := d.Get(ctxbg, m.ID)
		tcheck(t, err)
		if !got.Recipient().Equal(s.Recipients[i].To) || !got.Sender().Equal(s.Recipients[i].Sender) {
			t.Errorf("message %d: paths %v %v", i, got.Sender(), got.Recipient())
		}
		if base.Subject != "hi" || base.Extra["k"] != "v" || base.FutureRelease != "for;10" || base.MessageID != "<x@y>" {
			t.Errorf("base %+v", base)
		}
		if c := content(t, d, base); c != "Date: now\r\nSubject: hi\r\n\r\nbody\r\n" {
			t.Errorf("content %q", c)
		}
	}
	verify(t, d)

	// The file goes with the last message.
	finishAll(t, d, Delivered, l[:2])
	d.sweeper.sweep()
	if len(files(t, d)) != 1 {
		t.Fatal("file removed while a message needs it")
	}
	finishAll(t, d, Delivered, l[2:])
	d.sweeper.sweep()
	if f := files(t, d); len(f) != 0 {
		t.Fatalf("files left: %v", f)
	}
	st, err := d.Status(ctxbg)
	tcheck(t, err)
	if st != (Status{}) {
		t.Fatalf("status of empty queue: %+v", st)
	}
	verify(t, d)
}

func TestContentCanBeReadAtAnyOffset(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	s := submission(t, "0123456789", "a@one.example")
	s.Base.Prefix = []byte("abc")
	l, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	_, base, err := d.Get(ctxbg, l[0].ID)
	tcheck(t, err)
	c, err := d.OpenContent(base)
	tcheck(t, err)
	defer c.Close()
	want := "abc0123456789"
	for off := range len(want) {
		for n := 1; off+n <= len(want); n++ {
			b := make([]byte, n)
			_, err := c.ReadAt(b, int64(off))
			tcheck(t, err)
			if string(b) != want[off:off+n] {
				t.Fatalf("at %d: %q", off, b)
			}
		}
	}
	if n, err := c.ReadAt(make([]byte, 5), int64(len(want))-2); n != 2 || err != io.EOF {
		t.Fatalf("read over the end: %d, %v", n, err)
	}
}

func TestPathsSurviveStorage(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	for _, s := range []string{`""@example.org`, `"a b"@example.org`, "ü@☺.example", "a@[10.0.0.1]", "a@[IPv6:2001:db8::1]", "a@xn--74h.example"} {
		p := path(t, s)
		l, err := d.Enqueue(ctxbg, Submission{Account: "x", Spool: testkit.Spool(t, t.TempDir(), "x"), Recipients: []Recipient{{Sender: p, To: p}, {To: p}}})
		tcheck(t, err)
		for i, want := range []smtp.Path{p, {}} {
			m, _, err := d.Get(ctxbg, l[i].ID)
			tcheck(t, err)
			if !m.Recipient().Equal(p) || !m.Sender().Equal(want) {
				t.Errorf("%s: got sender %v, recipient %v", s, m.Sender(), m.Recipient())
			}
		}
	}
	verify(t, d)
}

func TestSubmissionsThatCannotBeStoredAreRefused(t *testing.T) {
	t.Parallel()
	floor := safefile.NewFloor(safefile.FloorOptions{Min: 100, FreeSpace: func(string) (int64, error) { return 1100, nil }})
	d := testOpen(t, Options{AccountMessages: 3, AccountSize: 500, Floor: floor})
	tests := []struct {
		name string
		edit func(s *Submission)
		want error // Nil: any.
	}{
		{"no account", func(s *Submission) { s.Account = "" }, nil},
		{"no recipients", func(s *Submission) { s.Recipients = nil }, nil},
		{"recipient without domain", func(s *Submission) { s.Recipients[0].To = smtp.Path{Localpart: "postmaster"} }, nil},
		{"too many recipients", func(s *Submission) {
			for len(s.Recipients) <= MaxRecipients {
				s.Recipients = append(s.Recipients, s.Recipients[0])
			}
		}, ErrTooLarge},
		{"large prefix", func(s *Submission) { s.Base.Prefix = make([]byte, MaxPrefix+1) }, ErrTooLarge},
		{"large extra", func(s *Submission) { s.Base.Extra = map[string]string{"k": strings.Repeat("x", MaxExtra)} }, ErrTooLarge},
		{"too many messages for the account", func(s *Submission) {
			for len(s.Recipients) < 4 {
				s.Recipients = append(s.Recipients, s.Recipients[0])
			}
		}, ErrAccountLimit},
		{"too many octets for the account", func(s *Submission) { s.Base.Prefix = make([]byte, 499) }, ErrAccountLimit},
		{"below the floor", func(s *Submission) { s.Base.Prefix = make([]byte, 1001) }, ErrNoSpace},
		{"text that cannot be indexed", func(s *Submission) { s.Recipients[0].FromID = "a\x00b" }, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := submission(t, "x\r\n", "a@one.example")
			tc.edit(&s)
			_, err := d.Enqueue(ctxbg, s)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if f := files(t, d); len(f) != 0 {
				t.Fatalf("files left: %v", f)
			}
			verify(t, d)
		})
	}
	enqueue(t, d, "x\r\n", "a@one.example")
}

func TestFromIDIsUsedOnce(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	s := submission(t, "x", "a@one.example")
	s.Recipients[0].FromID = "id1"
	l, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	if _, err := d.Enqueue(ctxbg, s); !errors.Is(err, ErrFromIDUsed) {
		t.Fatalf("got %v, want ErrFromIDUsed", err)
	}
	tcheck(t, d.Finish(ctxbg, []Outcome{{ID: l[0].ID, Fate: Delivered, Retain: time.Hour}}))
	if _, err := d.Enqueue(ctxbg, s); !errors.Is(err, ErrFromIDUsed) {
		t.Fatalf("got %v for the fromid of a retired message, want ErrFromIDUsed", err)
	}
	r, err := d.ListRetired(ctxbg, RetiredFilter{FromID: "id1"}, RetiredPage{})
	tcheck(t, err)
	if len(r) != 1 || !r[0].Success || r[0].Message.ID != l[0].ID {
		t.Fatalf("retired %+v", r)
	}
	verify(t, d)
}

func TestSecondProcessGetsAnError(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	ctx, cancel := context.WithTimeout(ctxbg, 50*time.Millisecond)
	defer cancel()
	if _, err := bstore.Open(ctx, filepath.Join(d.dir, "index.db"), &bstore.Options{Timeout: 10 * time.Millisecond}); err == nil {
		t.Fatal("database file is not locked")
	}
}

func TestCallersThatWaitTogetherCommitTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testOpen(t, Options{})
		enqueue(t, d, "first", "a@one.example")
		commits := 0 // Only the committer uses it.
		release := make(chan struct{})
		d.commit = func(tx *bstore.Tx) error {
			if commits++; commits == 1 {
				<-release
			}
			return tx.Commit()
		}
		const n = 20
		errs := make(chan error, n+1)
		for i := range n + 1 {
			s := submission(t, "x", fmt.Sprintf("a%d@d%d.example", i, i%3))
			go func() {
				_, err := d.Enqueue(ctxbg, s)
				errs <- err
			}()
			if i == 0 {
				synctest.Wait() // The first is in its commit.
			}
		}
		synctest.Wait() // All others wait for theirs.
		close(release)
		for range n + 1 {
			tcheck(t, <-errs)
		}
		if commits != 2 {
			t.Fatalf("%d commits, want 2", commits)
		}
		verify(t, d)
	})
}

func TestAChangeThatFailsDoesNotFailItsBatch(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	bad := submission(t, "bad", "a@one.example")
	bad.Recipients[0].FromID = "x\x00y" // Cannot be an index key, so the insert fails.
	prepare := func(s Submission) (*change, *[]Message) {
		l, err := s.messages()
		tcheck(t, err)
		id, dir, err := d.create(ctxbg, s.Spool)
		tcheck(t, err)
		base := s.Base
		base.ID, base.Size = id.id, s.Spool.Size()
		out := make([]Message, len(l))
		return &change{apply: func(b *batch) error {
			copy(out, l)
			return b.submit(base, out, &s)
		}, dirs: []string{dir}, done: make(chan struct{})}, &out
	}
	c1, l1 := prepare(submission(t, "good", "b@two.example"))
	c2, _ := prepare(bad)
	c3, l3 := prepare(submission(t, "good", "c@three.example"))
	d.committer.commit([]*change{c1, c2, c3})
	if c1.err != nil || c3.err != nil || c2.err == nil {
		t.Fatalf("errors %v, %v, %v; want only the second", c1.err, c2.err, c3.err)
	}
	for _, m := range []Message{(*l1)[0], (*l3)[0]} {
		if _, _, err := d.Get(ctxbg, m.ID); err != nil {
			t.Errorf("message %d: %v", m.ID, err)
		}
	}
	if d.ReadOnly() != nil {
		t.Fatal("read-only")
	}
	verify(t, d)
}

func TestContextThatEndsBeforeTheCommitWithdraws(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testOpen(t, Options{})
		release := make(chan struct{})
		d.commit = func(tx *bstore.Tx) error {
			<-release
			return tx.Commit()
		}
		ctx, cancel := context.WithCancel(ctxbg)
		errc := make(chan error)
		send := func(ctx context.Context, s Submission) {
			_, err := d.Enqueue(ctx, s)
			errc <- err
		}
		go send(ctxbg, submission(t, "x", "a@one.example"))
		synctest.Wait()
		go send(ctx, submission(t, "x", "a@one.example"))
		synctest.Wait()
		cancel()
		if err := <-errc; !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want canceled", err)
		}
		close(release)
		tcheck(t, <-errc)
		if f := files(t, d); len(f) != 1 {
			t.Fatalf("files %v, want one", f)
		}
		verify(t, d)
	})
}

func TestMoreIDsAreReservedInTime(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	n := 2*idWindow + 10
	var wg sync.WaitGroup
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s := safefile.NewSpool(safefile.SpoolOptions{Dir: d.dir})
			defer s.Close()
			s.Write([]byte("x"))
			for i := range work {
				sub := Submission{Account: "a", Spool: s, Recipients: []Recipient{{To: path(t, fmt.Sprintf("x@d%d.example", i%7))}}}
				if _, err := d.Enqueue(ctxbg, sub); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	verify(t, d)
	st, err := d.Status(ctxbg)
	tcheck(t, err)
	if st.Messages != int64(n) || st.Lanes != 7 {
		t.Fatalf("status %+v, want %d messages in 7 lanes", st, n)
	}
	dir := d.opts.Dir
	tcheck(t, d.Close())
	d = testOpen(t, Options{Dir: dir})
	verify(t, d)
}

func TestUseAfterCloseIsAnError(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	l := enqueue(t, d, "x", "a@one.example")
	tcheck(t, d.Close())
	tcheck(t, d.Close())
	if _, err := d.Enqueue(ctxbg, submission(t, "x", "a@one.example")); !errors.Is(err, ErrClosed) {
		t.Errorf("enqueue: %v", err)
	}
	if _, _, err := d.Get(ctxbg, l[0].ID); !errors.Is(err, ErrClosed) {
		t.Errorf("get: %v", err)
	}
	if err := d.Finish(ctxbg, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("finish: %v", err)
	}
}

func TestStoredFormatOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	dir := d.opts.Dir
	tcheck(t, d.bdb.Write(ctxbg, func(tx *bstore.Tx) error {
		st := state{ID: 1}
		if err := tx.Get(&st); err != nil {
			return err
		}
		st.Version = version + 1
		return tx.Update(&st)
	}))
	tcheck(t, d.Close())
	if _, err := Open(ctxbg, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "storage format") {
		t.Fatalf("got %v", err)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	t.Parallel()
	s := clip(strings.Repeat("é", MaxErrorText))
	if len(s) > MaxErrorText || !bytes.HasSuffix([]byte(s), []byte("é")) {
		t.Fatalf("cut to %d octets, end %q", len(s), s[len(s)-3:])
	}
	if s := clip("short"); s != "short" {
		t.Fatal(s)
	}
}

func BenchmarkEnqueue(b *testing.B) {
	for _, senders := range []int{1, 32} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			dir := os.Getenv("MOX_BENCH_DIR")
			if dir == "" {
				dir = b.TempDir()
			}
			d := testOpen(b, Options{Dir: dir, AccountMessages: -1})
			rcpt := path(b, "a@one.example")
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range senders {
				wg.Add(1)
				go func() {
					defer wg.Done()
					s := safefile.NewSpool(safefile.SpoolOptions{Dir: dir})
					defer s.Close()
					s.Write(bytes.Repeat([]byte("x"), 4000))
					for range work {
						if _, err := d.Enqueue(ctxbg, Submission{Account: "a", Spool: s, Recipients: []Recipient{{To: rcpt}}}); err != nil {
							b.Error(err)
						}
					}
				}()
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}
