package retention

import (
	"context"
	"fmt"
	"testing"
	"time"

	"mox/config"
	"mox/internal/safefile"
	"mox/mlog"
	"mox/store"
)

var ctx = context.Background()

// test is an account whose clock is set.
type test struct {
	t    *testing.T
	now  time.Time
	a    *store.Account
	keep *Keeper
	conf config.Account
}

func newTest(t *testing.T) *test {
	x := &test{t: t, now: time.Now()}
	clock := func() time.Time { return x.now }
	st, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	if x.a, err = st.Ensure(ctx, "ann"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if problems, err := x.a.Verify(ctx); err != nil || len(problems) > 0 {
			t.Errorf("verify: %v %q", err, problems)
		}
		x.a.Release()
	})
	x.keep = New(Options{Store: st, Log: mlog.Discard(), Now: clock})
	x.conf = config.Account{Name: "ann", Retention: map[string]time.Duration{"Trash": 30 * 24 * time.Hour, "Gone": time.Hour}}
	return x
}

func (x *test) add(mailbox string, n int) {
	x.t.Helper()
	for i := range n {
		sp := safefile.NewSpool(safefile.SpoolOptions{Dir: x.t.TempDir()})
		fmt.Fprintf(sp, "Subject: %d\r\n\r\n", i)
		// What is old when it arrives is not old in the mailbox.
		_, err := x.a.Append(ctx, store.NewMessage{Mailbox: mailbox, Spool: sp, Received: x.now.AddDate(-5, 0, 0)})
		sp.Close()
		if err != nil {
			x.t.Fatal(err)
		}
	}
}

func (x *test) run(sweep bool) {
	x.t.Helper()
	if err := x.keep.account(ctx, x.conf, sweep); err != nil {
		x.t.Fatal(err)
	}
}

func (x *test) messages(mailbox string) int64 {
	mb, _ := x.a.Tree().ByName(mailbox)
	return mb.Messages
}

func TestMessagesGoWhenTheyWereLongEnoughInTheMailbox(t *testing.T) {
	t.Parallel()
	x := newTest(t)
	x.add("Trash", batch+3)
	x.add("Inbox", 2)
	x.now = x.now.AddDate(0, 0, 20)
	x.add("Trash", 1)
	x.run(true)
	if n := x.messages("Trash"); n != batch+4 {
		t.Fatalf("%d messages before their time", n)
	}
	s := x.a.Session()
	defer s.Close()
	x.now = x.now.AddDate(0, 0, 11)
	x.run(false)
	if x.messages("Trash") != 1 || x.messages("Inbox") != 2 {
		t.Errorf("%d messages in Trash, %d in Inbox", x.messages("Trash"), x.messages("Inbox"))
	}
	if changes, overflow := s.Take(); len(changes) != 1 || overflow || changes[0].Name != "Trash" {
		t.Errorf("sessions are told %+v, %v", changes, overflow)
	}
	var ids []int64
	if err := x.a.Expunged(ctx, store.ExpungedFilter{}, func(e store.Expunged) error { ids = append(ids, e.ID); return nil }); err != nil || len(ids) != batch+3 {
		t.Fatalf("%d can be undeleted, %v", len(ids), err)
	}
	// What is undeleted has its time again.
	if err := x.a.Update(ctx, func(tx *store.Tx) error { _, err := tx.Undelete(ids[:2], ""); return err }); err != nil {
		t.Fatal(err)
	}
	x.run(false)
	if n := x.messages("Trash"); n != 3 {
		t.Errorf("%d messages after undelete", n)
	}
	x.now = x.now.AddDate(0, 0, 8)
	x.run(true)
	ids = nil
	if err := x.a.Expunged(ctx, store.ExpungedFilter{}, func(e store.Expunged) error { ids = append(ids, e.ID); return nil }); err != nil || len(ids) != 0 {
		t.Errorf("after the window %d can be undeleted, %v", len(ids), err)
	}
}

func TestNothingGoesWithoutRetention(t *testing.T) {
	t.Parallel()
	x := newTest(t)
	x.conf.Retention = nil
	x.add("Trash", 2)
	x.now = x.now.AddDate(50, 0, 0)
	x.run(true)
	if n := x.messages("Trash"); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestWhatHasExpiredEndsBeforeASweep(t *testing.T) {
	t.Parallel()
	x := newTest(t)
	n := 0
	x.keep.opts.Expire = func(context.Context, *store.Account) error { n++; return nil }
	x.run(false)
	x.run(true)
	if n != 1 {
		t.Errorf("called %d times", n)
	}
}
