package store

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"mox/imap"
)

func TestReplaceStoresAndExpungesAtOnceOrNothing(t *testing.T) {
	t.Parallel()
	size := int64(len(testMessage(1)))
	a := testAccount(t, func(o *Options) { o.Quota = func(string) int64 { return 2*size + 20 } })
	inbox, _ := a.Tree().ByName(imap.Inbox)
	in := func(n int) NewMessage {
		m := newMessage(t, a, testMessage(n))
		m.Mailbox, m.MailboxID = "", inbox.ID
		return m
	}
	if _, err := a.Append(ctx, in(1), in(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(ctx, in(3)); !errors.Is(err, ErrOverQuota) {
		t.Fatalf("append over quota: %v", err)
	}
	m, err := a.Replace(ctx, inbox.ID, 1, in(3))
	if err != nil || m.UID != 3 {
		t.Fatalf("replace: %+v, %v", m, err)
	}
	before := a.Tree()
	if before.Messages() != 2 || before.Size() != 2*size {
		t.Fatalf("%d messages of %d octets", before.Messages(), before.Size())
	}
	large := newMessage(t, a, testMessage(4)+strings.Repeat("more", 20))
	large.Mailbox, large.MailboxID = "", inbox.ID
	for name, tc := range map[string]struct {
		mailbox int64
		uid     uint32
		m       NewMessage
		err     error
	}{
		"gone":          {inbox.ID, 1, in(4), ErrNoMessage},
		"no mailbox":    {1000, 3, in(4), ErrNoMailbox},
		"no room":       {inbox.ID, 3, large, ErrOverQuota},
		"no such place": {inbox.ID, 3, NewMessage{Mailbox: "Nowhere", Spool: in(4).Spool}, ErrNoMailbox},
	} {
		if _, err := a.Replace(ctx, tc.mailbox, tc.uid, tc.m); !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := a.Tree(); after.ModSeq != before.ModSeq {
		t.Error("a failed replace has changed something")
	}
	// Of several that replace the same message, one does.
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		m := in(10 + i)
		wg.Go(func() { _, errs[i] = a.Replace(ctx, inbox.ID, 3, m) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !errors.Is(err, ErrNoMessage) && !errors.Is(err, ErrOverQuota) {
			t.Errorf("replace: %v", err)
		}
	}
	if done != 1 || a.Tree().Messages() != 2 {
		t.Errorf("%d have replaced it, %d messages", done, a.Tree().Messages())
	}
}

func TestReplacedDraftsAreNotKept(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	for name, kept := range map[string]int{"Drafts": 0, imap.Inbox: 1} {
		mb, ok := a.Tree().ByName(name)
		if !ok {
			t.Fatalf("no mailbox %s", name)
		}
		in := func(n int) NewMessage {
			m := newMessage(t, a, testMessage(n))
			m.Mailbox, m.MailboxID = "", mb.ID
			return m
		}
		if _, err := a.Append(ctx, in(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Replace(ctx, mb.ID, 1, in(2)); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := a.Expunged(ctx, ExpungedFilter{Mailbox: name}, func(Expunged) error { n++; return nil })
		if err != nil || n != kept {
			t.Errorf("%s: %d messages can be undeleted, want %d, %v", name, n, kept, err)
		}
	}
}
