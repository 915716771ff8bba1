package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/imap"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/internal/testkit"
)

func TestConcurrentAppendsGetEveryUIDOnce(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	mb, _ := a.Tree().ByName(imap.Inbox)
	const senders, each = 16, 20
	var wg sync.WaitGroup
	var mu sync.Mutex
	uids := map[uint32]string{}
	stop := make(chan struct{})
	wg.Go(func() { watch(t, a, mb.ID, stop) })
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				data := testMessage(s*1000 + i)
				l, err := a.Append(ctx, newMessage(t, a, data))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				uids[l[0].UID] = data
				mu.Unlock()
			}
		})
	}
	sending.Wait()
	close(stop)
	wg.Wait()
	ix, err := a.Index(ctx, mb.ID)
	if err != nil || ix.Len() != senders*each || len(uids) != senders*each {
		t.Fatalf("%d messages, %d acknowledged: %v", ix.Len(), len(uids), err)
	}
	for _, it := range ix.Range(0, ix.Len()) {
		if int64(len(uids[it.UID])) != it.Size {
			t.Fatalf("uid %d has size %d, expected that of %q", it.UID, it.Size, uids[it.UID])
		}
	}
}

// watch follows a mailbox as a session does, until stop is closed.
func watch(t *testing.T, a *Account, mailboxID int64, stop chan struct{}) {
	s := a.Session()
	defer s.Close()
	known, err := a.Index(ctx, mailboxID)
	if err != nil {
		t.Error(err)
		return
	}
	for {
		select {
		case <-stop:
			return
		case <-s.Wait():
		}
		s.Take()
		latest, err := a.Index(ctx, mailboxID)
		if err != nil {
			t.Error(err)
			return
		}
		d := known.Diff(latest)
		if len(d.Expunged)+len(d.Changed) > 0 || known.Len()+len(d.Added) != latest.Len() {
			t.Errorf("diff %+v from %d to %d messages", d, known.Len(), latest.Len())
		}
		known = latest
	}
}

func TestAppendIsAllOrNothing(t *testing.T) {
	t.Parallel()
	size := int64(len(testMessage(1)))
	a := testAccount(t, func(o *Options) { o.Quota = func(string) int64 { return 3*size - 1 } })
	before := a.Tree()
	for name, tc := range map[string]struct {
		msgs []NewMessage
		err  error
	}{
		"over quota": {[]NewMessage{newMessage(t, a, testMessage(1)), newMessage(t, a, testMessage(2)), newMessage(t, a, testMessage(3))}, ErrOverQuota},
		"no mailbox": {[]NewMessage{newMessage(t, a, testMessage(1)), {Mailbox: "Nowhere", Spool: newMessage(t, a, "x").Spool}}, ErrNoMailbox},
		"bad name":   {[]NewMessage{{Mailbox: "a//b", Create: true, Spool: newMessage(t, a, "x").Spool}}, ErrMailboxName},
	} {
		if _, err := a.Append(ctx, tc.msgs...); !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := a.Tree(); after.ModSeq != before.ModSeq || after.Size() != 0 || files(t, a) != 0 {
		t.Errorf("something changed: %+v, %d files", after.state, files(t, a))
	}
}

// One request among many that wait together fails alone.
func TestBadMessageFailsAloneInABatch(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	a.mu.Lock() // The committer waits, and so do all that come.
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		m := newMessage(t, a, testMessage(i))
		if i == 7 {
			m.Keywords = make([]string, imap.MaxKeywords+1)
			for k := range m.Keywords {
				m.Keywords[k] = fmt.Sprintf("k%04d", k)
			}
		}
		wg.Go(func() { _, errs[i] = a.Append(ctx, m) })
	}
	a.mu.Unlock()
	wg.Wait()
	for i, err := range errs {
		if i == 7 != errors.Is(err, ErrLimit) || i != 7 && err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
}

func TestLowDiskSpaceRefusesMailButNotChanges(t *testing.T) {
	t.Parallel()
	free := int64(1 << 40)
	floor := safefile.NewFloor(safefile.FloorOptions{Path: "/", Min: 1 << 20, FreeSpace: func(string) (int64, error) { return free, nil }, Now: steadyClock()})
	a := testAccount(t, func(o *Options) { o.Floor = floor })
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(1))); err != nil {
		t.Fatal(err)
	}
	free = 100
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(2))); !errors.Is(err, ErrNoSpace) {
		t.Errorf("append: %v", err)
	}
	expungeAll(t, a)
}

// steadyClock returns times an hour apart, so that nothing is cached.
func steadyClock() func() time.Time {
	c := &clock{time.Now()}
	return func() time.Time { c.t = c.t.Add(time.Hour); return c.t }
}

func TestFailedAccountIsReadOnlyUntilReopenedAndVerified(t *testing.T) {
	t.Parallel()
	r := newModelRun(t, 1)
	if _, err := r.append(r.m, imap.Inbox); err != nil {
		t.Fatal(err)
	}
	s := r.a.Session()
	defer s.Close()
	failQuietly(r.a)
	if _, err := r.append(r.m.clone(), imap.Inbox); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("append: %v", err)
	}
	if _, err := r.setFlags(r.m.clone().boxes[imap.Inbox], imap.Inbox); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("flags: %v", err)
	}
	r.readAll()
	reopenFailed(t, r.a)
	if _, overflow := s.Take(); !overflow {
		t.Error("session was not told to look anew")
	}
	if _, err := r.append(r.m, imap.Inbox); err != nil {
		t.Fatal(err)
	}
	r.compare("after reopen")
	r.readAll()
}

// failQuietly does as fail does, without the background.
func failQuietly(a *Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = testkit.ErrIO
}

// reopenFailed reopens an account as after a failure of the disk.
func reopenFailed(t *testing.T, a *Account) {
	t.Helper()
	failQuietly(a)
	if err := a.reopen(ctx); err != nil {
		t.Fatal(err)
	}
}

// One failure's wait for the next try may end when the account works again.
func TestWorkingAccountIsNotReopened(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	was := a.db
	if err := a.reopen(ctx); err != nil || a.db != was {
		t.Errorf("reopen: %v, opened again %v", err, a.db != was)
	}
}

// Reopening moves files without a record away. A message whose file was among them
// must not be acknowledged.
func TestMessageWrittenBeforeReopeningIsRefused(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	p, err := a.prepare(ctx, newMessage(t, a, testMessage(1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.sync(), p.parse()); err != nil {
		t.Fatal(err)
	}
	r := &appendRequest{msgs: []*prepared{p}, done: make(chan struct{})}
	reopenFailed(t, a)
	a.commit.add(r)
	<-r.done
	if !errors.Is(r.err, ErrReadOnly) {
		t.Errorf("commit of a message whose file was moved: %v", r.err)
	}
	a.discard(r)
	if _, err := a.Append(ctx, newMessage(t, a, testMessage(2))); err != nil {
		t.Error(err)
	}
	if n := files(t, a); n != 1 {
		t.Errorf("%d files instead of one", n)
	}
}

func TestSecondStoreOnTheSameDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	if _, err := Open(ctx, a.store.opts); !errors.Is(err, safefile.ErrLocked) {
		t.Fatalf("second store: %v", err)
	}
}

func TestThreads(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	add := func(id, subject, refs string) Message {
		data := "From: <a@example.org>\r\nSubject: " + subject + "\r\nMessage-Id: <" + id + "@x>\r\n"
		if refs != "" {
			var l []string
			for r := range strings.FieldsSeq(refs) {
				l = append(l, "<"+r+"@x>")
			}
			data += "References: " + strings.Join(l, " ") + "\r\n"
		}
		l, err := a.Append(ctx, newMessage(t, a, data+"\r\nbody\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		return l[0]
	}
	root := add("root", "plan", "")
	reply := add("reply", "Re: plan", "root")
	late := add("c", "Re: later", "p q")     // Its parents come after it.
	parent := add("q", "later", "")          // Was referred to.
	other := add("o", "other", "root reply") // Another subject: a thread of its own.
	bare := add("bare", "Re: plan", "")      // No references: by subject.
	if reply.ThreadID != root.ThreadID || bare.ThreadID != root.ThreadID || parent.ThreadID != late.ThreadID || other.ThreadID == root.ThreadID || late.ThreadID == root.ThreadID {
		t.Fatalf("threads: root %d reply %d late %d parent %d other %d bare %d", root.ThreadID, reply.ThreadID, late.ThreadID, parent.ThreadID, other.ThreadID, bare.ThreadID)
	}
	if err := a.Update(ctx, func(tx *Tx) error { return tx.SetThread(root.ThreadID, true, true) }); err != nil {
		t.Fatal(err)
	}
	if m := add("muted", "Re: plan", "reply"); !m.Flags.Has(imap.FlagSeen) {
		t.Error("reply to a muted thread is unseen")
	}
	mb, _ := a.Tree().ByName(imap.Inbox)
	if mb.Unseen != 3 {
		t.Errorf("%d unseen, expected the 3 of other threads", mb.Unseen)
	}
}

func TestPanicWhileParsingIsAnErrorForTheMessage(t *testing.T) {
	t.Parallel()
	before := metrics.PanicCount()
	p := &prepared{} // Without a spool.
	if err := p.parse(); err == nil || !strings.Contains(err.Error(), "panic") || metrics.PanicCount() == before {
		t.Errorf("got %v, %d panics counted", err, metrics.PanicCount()-before)
	}
}

func TestQuotaOfMessagesCountsWhatIsStored(t *testing.T) {
	t.Parallel()
	quota := int64(2)
	a := testAccount(t, func(o *Options) { o.QuotaMessages = func(string) int64 { return quota } })
	add := func(n int) error {
		var l []NewMessage
		for i := range n {
			l = append(l, newMessage(t, a, testMessage(i)))
		}
		_, err := a.Append(ctx, l...)
		return err
	}
	if err := add(3); !errors.Is(err, ErrOverQuota) {
		t.Errorf("three of two: %v", err)
	}
	if err := add(2); err != nil {
		t.Fatal(err)
	}
	if err := a.CheckSpace(Usage{Messages: 1}); !errors.Is(err, ErrOverQuota) {
		t.Errorf("check of a third: %v", err)
	}
	if err := a.CheckSpace(Usage{Size: 1 << 30}); err != nil {
		t.Errorf("check of octets: %v", err)
	}
	inbox, _ := a.Tree().ByName("Inbox")
	copied := func() error {
		return a.Update(ctx, func(tx *Tx) error {
			_, err := tx.Copy(inbox.ID, []uint32{2}, inbox.ID)
			return err
		})
	}
	if err := copied(); !errors.Is(err, ErrOverQuota) {
		t.Errorf("copy: %v", err)
	}
	quota = 1 // One too many now, which is no reason to refuse a replacement.
	if _, err := a.Replace(ctx, inbox.ID, 1, newMessage(t, a, testMessage(9))); err != nil {
		t.Errorf("replace: %v", err)
	}
	quota = 3
	if err := copied(); err != nil {
		t.Errorf("copy with room: %v", err)
	}
	if n := a.Tree().Messages(); n != 3 {
		t.Errorf("%d messages", n)
	}
}
