package imapserver

import (
	"fmt"
	"testing"

	"mox/imap"
	"mox/store"
)

func TestNotifyOverflowEndsNotifications(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	ts.deliver("mjl", imap.Inbox, "Subject: a\r\n\r\n")
	c := ts.connect("imap1")
	c.send("a SELECT Inbox")
	c.until("a OK")
	c.send("b NOTIFY SET (selected (MessageNew MessageExpunge FlagChange)) (personal (SubscriptionChange MessageNew MessageExpunge))")
	c.until("b OK")
	acc, err := ts.store.Account(t.Context(), "mjl")
	if err != nil {
		t.Fatal(err)
	}
	defer acc.Release()
	subscribe := func(format string, n int) {
		t.Helper()
		err := acc.Update(t.Context(), func(tx *store.Tx) error {
			for i := range n {
				if err := tx.Subscribe(fmt.Sprintf(format, i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	subscribe("few%d", 2)
	c.line(`* LIST (\NonExistent \Subscribed) "/" few0`)
	c.line(`* LIST (\NonExistent \Subscribed) "/" few1`)
	subscribe("many%d", 1500)
	c.line("* OK [NOTIFICATIONOVERFLOW] ")

	// Nothing is told any more, also of the selected mailbox, until a new NOTIFY.
	ts.deliver("mjl", imap.Inbox, "Subject: b\r\n\r\n")
	subscribe("more%d", 1)
	c.send("c NOOP")
	c.line("c OK")
	c.send("d NOTIFY SET (personal (SubscriptionChange))")
	c.line("* 2 EXISTS")
	c.line("* 0 RECENT")
	c.line("d OK")
	subscribe("again%d", 1)
	c.line(`* LIST (\NonExistent \Subscribed) "/" again0`)
}

func TestNotifyNamesAreLimited(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := ts.connect("imap1")
	names := ""
	for i := range 100 {
		names += fmt.Sprintf(" x%d", i)
	}
	group := " (subtree (" + names[1:] + ") (MailboxName))"
	set := "NOTIFY SET"
	for range maxNotifyNames / 100 {
		set += group
	}
	c.send("a %s", set)
	c.line("a OK")
	c.send("b %s (mailboxes more (MailboxName))", set)
	c.line("b NO [NOTIFICATIONOVERFLOW]")
	c.send("c NOTIFY SET (mailboxes (x%s) (MailboxName))", names)
	c.line("c BAD")
}

// The files of expunged messages stay while a session may still read them: until it has
// been told, has ended, or does not want to be told.
func TestExpungedMessagesAreReadableUntilTold(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		do   func(c *lineConn)
	}{
		{"told", func(c *lineConn) { c.send("x NOOP"); c.until("x OK") }},
		{"closed", func(c *lineConn) { c.send("x UNSELECT"); c.until("x OK") }},
		{"ended", func(c *lineConn) { c.send("x LOGOUT"); c.until("x OK"); c.closed() }},
		{"not interested", func(c *lineConn) { c.send("x NOTIFY NONE"); c.until("x OK") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ts := newTestServer(t, testSetup{store: func(o *store.Options) { o.UndeleteWindow = -1 }})
			ts.deliver("mjl", imap.Inbox, "Subject: a\r\n\r\n")
			acc, err := ts.store.Account(t.Context(), "mjl")
			if err != nil {
				t.Fatal(err)
			}
			defer acc.Release()
			inbox, _ := acc.Tree().ByName(imap.Inbox)
			ix, err := acc.Index(t.Context(), inbox.ID)
			if err != nil {
				t.Fatal(err)
			}
			id := ix.At(0).ContentID
			readable := func() bool {
				t.Helper()
				if err := acc.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				m, err := acc.OpenContent(t.Context(), id)
				if err != nil {
					return false
				}
				return m.Close() == nil
			}
			c := ts.connect("imap1")
			c.send("a SELECT Inbox")
			c.until("a OK")
			err = acc.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Expunge(inbox.ID, nil, false)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if acc.Tree().Size() != 0 {
				t.Errorf("%d octets of quota are used", acc.Tree().Size())
			}
			if !readable() {
				t.Error("not readable in a session that does not know")
			}
			c.send("b FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]")
			c.until("b OK [EXPUNGEISSUED]")
			tc.do(c)
			if readable() {
				t.Error("still there")
			}
		})
	}
}
