package transfer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit/peers"
	"mox/store"
)

// startDovecot starts a Dovecot, which announces the capabilities given, or all.
func startDovecot(t *testing.T, caps string) (port int) {
	t.Helper()
	d := peers.StartDovecot(t, peers.DovecotOptions{Password: "secret", Capabilities: caps, Config: `
auth_mechanisms = plain scram-sha-256
namespace inbox {
  inbox = yes
  separator = .
  mailbox Gesendet {
    special_use = \Sent
    auto = create
  }
}
`})
	port, err := strconv.Atoi(d.Port)
	tcheck(t, err)
	return port
}

// other returns a connection to another server.
func other(t *testing.T, port int) *imapclient.Client {
	t.Helper()
	nc, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	tcheck(t, err)
	c, err := imapclient.New(ctx, nc, imapclient.Options{})
	tcheck(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Login(ctx, "ann", "secret")
	tcheck(t, err)
	_, err = c.Capability(ctx)
	tcheck(t, err)
	return c
}

// fill appends messages with various flags and dates.
func fill(t *testing.T, c *imapclient.Client, mailbox string, from, n int) {
	t.Helper()
	for i := from; i < from+n; {
		var l []imapclient.Message
		for range min(100, from+n-i) {
			m := imapclient.StringMessage(fmt.Sprintf("Subject: %s %d\r\n\r\n%s\r\n", mailbox, i, strings.Repeat("line\r\n", i%50)))
			m.Date = time.Unix(1e9+int64(i), 0).UTC()
			m.Flags = [][]string{nil, {`\Seen`}, {`\Seen`, "$Forwarded", "Work"}, {`\Flagged`, `\Answered`}}[i%4]
			l = append(l, m)
			i++
		}
		_, _, err := c.Append(ctx, mailbox, l...)
		tcheck(t, err)
	}
}

// cutConn ends after so many octets.
type cutConn struct {
	net.Conn
	left atomic.Int64
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left.Add(-int64(n)) < 0 {
		return 0, errors.Join(errors.New("cut"), c.Close())
	}
	return n, err
}

// pullOptions are for a server on loopback, to which the first connections are cut.
func pullOptions(t *testing.T, port, cuts int, after int64) PullOptions {
	o := PullOptions{Host: "127.0.0.1", Port: port, TLS: TLSNone, Login: "ann", Secret: func(context.Context) (string, error) { return "secret", nil }}
	o.Progress = func(s string) { t.Log(s) }
	o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		nc, err := net.Dial("tcp", address)
		if err != nil || cuts == 0 {
			return nc, err
		}
		cuts--
		c := &cutConn{Conn: nc}
		c.left.Store(after)
		return c, nil
	}
	return o
}

// remoteContent is content for another server.
func remoteContent(t *testing.T, c *imapclient.Client, boxes map[string]string) []string {
	t.Helper()
	var l []string
	for name, local := range boxes {
		m, err := c.Select(ctx, name, imapclient.SelectOptions{ReadOnly: true})
		tcheck(t, err)
		if m.Exists == 0 {
			continue
		}
		items := []imap.FetchItem{{Attr: imap.FetchFlags}, {Attr: imap.FetchInternalDate}, {Attr: imap.FetchBodySection, Peek: true}}
		msgs, _, err := c.Fetch(ctx, imapclient.Seq, everything, items, imapclient.FetchOptions{})
		tcheck(t, err)
		for _, f := range msgs {
			l = append(l, fmt.Sprintf("%s [%s] %d %q", local, flagSet(flagNames(f.Flags)), f.InternalDate.Unix(), f.Sections[0].Data))
		}
	}
	slices.Sort(l)
	return l
}

func (w *world) pull(o PullOptions, want PullResult) {
	w.t.Helper()
	res, err := w.Pull(ctx, w.a, o)
	tcheck(w.t, err)
	if res.Mailboxes = 0; res != want {
		w.t.Errorf("result %+v, want %+v", res, want)
	}
}

// TestAccountsAreCopiedFromDovecot copies, with connections that end, and then again
// after changes, with all ways to learn of them.
func TestAccountsAreCopiedFromDovecot(t *testing.T) {
	t.Parallel()
	const basic = "IMAP4rev1 LITERAL+ SASL-IR NAMESPACE LIST-EXTENDED SPECIAL-USE MULTIAPPEND UIDPLUS"
	for _, tc := range []struct {
		name, caps string
		n          int
	}{
		{"with QRESYNC", "", 10000},
		{"with CONDSTORE", basic + " CONDSTORE", 300},
		{"without", basic, 300},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				tc.n = 300
			}
			port := startDovecot(t, tc.caps)
			c := other(t, port)
			boxes := map[string]string{"INBOX": "Inbox", "Gesendet": "Sent", "Listen.Gölang": "Listen/Gölang"}
			_, err := c.Create(ctx, "Listen.Gölang")
			tcheck(t, err)
			fill(t, c, "INBOX", 0, tc.n-200)
			fill(t, c, "Gesendet", 0, 100)
			fill(t, c, "Listen.Gölang", 0, 100)

			w := newWorld(t)
			res, err := w.Pull(ctx, w.a, pullOptions(t, port, 3, int64(tc.n)*60))
			tcheck(t, err)
			if res.Copied != tc.n || res.Connections != 4 {
				t.Errorf("result %+v", res)
			}
			wantContent(t, w.a, remoteContent(t, c, boxes)...)
			w.pull(pullOptions(t, port, 0, 0), PullResult{Connections: 1})

			w.deltas(c, port)
			wantContent(t, w.a, remoteContent(t, c, boxes)...)
			w.pull(pullOptions(t, port, 0, 0), PullResult{Connections: 1})

			// What was changed here stays.
			inbox, _ := w.a.Tree().ByName(imap.Inbox)
			tcheck(t, w.a.Update(ctx, func(tx *store.Tx) error {
				_, err := tx.SetFlags(inbox.ID, []uint32{2}, store.FlagChange{Op: store.FlagsAdd, FlagSet: imap.FlagSet{Flags: imap.FlagDraft}}, -1)
				return err
			}))
			_, err = c.Select(ctx, "INBOX", imapclient.SelectOptions{})
			tcheck(t, err)
			_, _, err = c.Store(ctx, imapclient.UID, imap.NewRanges[uint32](2).NumSet(), imapclient.StoreSet, []string{`\Flagged`}, imapclient.StoreOptions{})
			tcheck(t, err)
			_, err = c.Delete(ctx, "Listen.Gölang")
			tcheck(t, err)
			w.pull(pullOptions(t, port, 0, 0), PullResult{Flags: 1, Deleted: 100, Connections: 1})
			ix, err := w.a.Index(ctx, inbox.ID)
			tcheck(t, err)
			if pos, ok := ix.Find(2); !ok || ix.Flags(pos) != imap.FlagFlagged|imap.FlagDraft {
				t.Errorf("flags %s, %v", ix.Flags(pos), ok)
			}
		})
	}
}

// deltas changes mail on the other server, and copies again.
func (w *world) deltas(c *imapclient.Client, port int) {
	t := w.t
	fill(t.(*testing.T), c, "INBOX", 20000, 5)
	_, err := c.Select(ctx, "INBOX", imapclient.SelectOptions{})
	tcheck(t, err)
	for _, s := range []struct {
		uids   imap.Ranges
		action imapclient.StoreAction
		flags  []string
	}{
		{imap.NewRanges[uint32](1, 5, 9), imapclient.StoreAdd, []string{`\Deleted`}},
		{imap.NewRanges[uint32](2), imapclient.StoreSet, []string{`\Seen`, "New"}},
		{imap.NewRanges[uint32](3), imapclient.StoreSet, nil},
	} {
		_, _, err := c.Store(ctx, imapclient.UID, s.uids.NumSet(), s.action, s.flags, imapclient.StoreOptions{})
		tcheck(t, err)
	}
	_, err = c.Expunge(ctx)
	tcheck(t, err)
	w.pull(pullOptions(t.(*testing.T), port, 0, 0), PullResult{Copied: 5, Flags: 2, Deleted: 3, Connections: 1})
}
