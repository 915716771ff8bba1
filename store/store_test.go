package store

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"mox/internal/testkit"
)

var ctx = context.Background()

func testOptions(t testing.TB) Options {
	return Options{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), indexFileMessages: 1}
}

// testAccount opens a store in a directory of its own with one account, which is
// verified when the test ends.
func testAccount(t testing.TB, change ...func(o *Options)) *Account {
	t.Helper()
	o := testOptions(t)
	for _, c := range change {
		c(&o)
	}
	s, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Ensure(ctx, "mox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Release()
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a
}

func testMessage(n int) string {
	return fmt.Sprintf("From: <sender%d@example.org>\r\nTo: <mox@localhost>\r\nSubject: test %d\r\nMessage-Id: <m%d@example.org>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\n\r\nbody %d\r\n", n%10, n, n, n)
}

func newMessage(t testing.TB, a *Account, data string) NewMessage {
	t.Helper()
	return NewMessage{Mailbox: "Inbox", Spool: testkit.Spool(t, a.store.TempDir(), data)}
}

func TestAppendedMessageIsRead(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	m := newMessage(t, a, testMessage(1))
	m.Digest = []byte("x")
	m.Prefix = []byte("X-Added: yes\r\n")
	l, err := a.Append(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.OpenContent(ctx, l[0].ContentID)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, c.Size())
	if _, err := c.ReadAt(buf, 0); err != nil {
		t.Fatal(err)
	}
	if string(buf) != "X-Added: yes\r\n"+testMessage(1) {
		t.Fatalf("read %q", buf)
	}
	ix, err := a.Index(ctx, l[0].MailboxID)
	if err != nil || ix.Len() != 1 || ix.At(0).UID != 1 {
		t.Fatalf("index %v %v", ix, err)
	}
	mb, _ := a.Tree().ByName("Inbox")
	if mb.Messages != 1 || mb.UIDNext != 2 || mb.Size != int64(len(buf)) {
		t.Fatalf("mailbox %+v", mb)
	}
	c.Close()
}
