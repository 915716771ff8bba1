package e2e

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mox/imap"
	"mox/imapclient"
)

// expungeAll deletes all messages of the selected mailbox.
func (s *server) expungeAll(c *imapclient.Client) {
	s.t.Helper()
	ctx := testContext(s.t)
	if _, _, err := c.Store(ctx, imapclient.Seq, numbers(s.t, "1:*"), imapclient.StoreAdd, []string{`\Deleted`}, imapclient.StoreOptions{}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.Expunge(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// count returns how many messages a mailbox has, -1 if there is none.
func (s *server) count(c *imapclient.Client, mailbox string) int64 {
	s.t.Helper()
	st, err := c.Status(testContext(s.t), mailbox, imap.StatusMessages)
	if err != nil {
		return -1
	}
	return int64(st.Items[imap.StatusMessages])
}

// What was deleted is listed and comes back, also after the server was killed, and also
// with its mailbox; what was purged does not.
func TestUndelete(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	ctx := testContext(t)
	c := s.inbox()
	add := func(mailbox string, n int) {
		t.Helper()
		for i := range n {
			data := "Message-ID: <" + mailbox + strconv.Itoa(i) + "@example.org>\r\nFrom: Ann <ann@example.org>\r\nSubject: Report " + strconv.Itoa(i) + "\r\n\r\ntext\r\n"
			if _, _, err := c.Append(ctx, mailbox, imapclient.Message{Data: strings.NewReader(data), Size: int64(len(data)), Flags: []string{`\Flagged`}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := c.Create(ctx, "Project/X"); err != nil {
		t.Fatal(err)
	}
	add("Inbox", 3)
	add("Project/X", 2)
	s.expungeAll(c)
	if _, err := c.Delete(ctx, "Project/X"); err != nil {
		t.Fatal(err)
	}

	// Acknowledged is durable.
	s.proc.Kill()
	s.proc = nil
	s.verify()
	s = localserve(t, options{dir: s.dir})
	list := s.run(0, "undelete", "list", "mox")
	for _, want := range []string{`"Inbox" `, `"Project/X" (deleted)`, `\Flagged`, `"inbox1@example.org"`, "ann@example.org", `"report 2"`} {
		if !strings.Contains(list, want) {
			t.Errorf("list has no %s:\n%s", want, list)
		}
	}
	if n := strings.Count(list, "\n"); n != 6 {
		t.Fatalf("list has %d lines:\n%s", n, list)
	}
	id := regexp.MustCompile(`(?m)^(\d+) .*inbox0`).FindStringSubmatch(list)
	if id == nil {
		t.Fatalf("no id in %s", list)
	}

	c = s.inbox() // It is told of what comes back.
	s.run(0, "undelete", "restore", "mox", id[1])
	s.run(0, "undelete", "restore", "-messageid", "<Inbox1@example.org>", "-into", "Back/Here", "mox")
	s.run(0, "undelete", "restore", "-mailbox", "Project/X", "-since", "1h", "mox")
	if in, back, x := s.count(c, "Inbox"), s.count(c, "Back/Here"), s.count(c, "Project/X"); in != 1 || back != 1 || x != 2 {
		t.Errorf("%d, %d and %d messages are back", in, back, x)
	}
	s.run(1, "undelete", "restore", "-mailbox", "Trash", "mox")
	s.run(2, "undelete", "restore", "mox")
	s.run(0, "undelete", "purge", "-all", "mox")
	if list := s.run(0, "undelete", "list", "mox"); strings.Count(list, "\n") != 1 {
		t.Errorf("after purge:\n%s", list)
	}
	s.run(1, "undelete", "list", "nobody")
}
