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
