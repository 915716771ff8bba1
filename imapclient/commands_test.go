package imapclient

import (
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/imap"
)

// What each method sends, and what it makes of a plausible answer.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	nums := imap.NewRanges[uint32](2, 3, 4).NumSet()
	date := time.Date(1994, 2, 7, 21, 52, 25, 0, time.FixedZone("", -8*3600))
	for _, tc := range []struct {
		script string
		f      func(c *Client) error
	}{
		{"C: c1 NOOP", func(c *Client) error { _, err := c.Noop(ctxbg); return err }},
		{"C: c1 ID NIL\nS: * ID NIL", func(c *Client) error { id, err := c.ID(ctxbg, nil); return want(err, id, ID(nil)) }},
		{`C: c1 ID ("name" "mox")` + "\n" + `S: * ID ("name" "x")`, func(c *Client) error {
			id, err := c.ID(ctxbg, map[string]string{"name": "mox"})
			return want(err, id, ID{"name": imap.Str("x")})
		}},
		{`C: c1 LOGIN "a b" "c\"d\\"`, func(c *Client) error { _, err := c.Login(ctxbg, "a b", `c"d\`); return err }},
		{"C: c1 ENABLE CONDSTORE QRESYNC\nS: * ENABLED CONDSTORE", func(c *Client) error {
			caps, err := c.Enable(ctxbg, imap.CapCondStore, imap.CapQResync)
			return errors.Join(want(err, caps, []imap.Cap{imap.CapCondStore}), want(nil, c.Enabled().Has(imap.CapCondStore), true))
		}},
		{"C: c1 CREATE a/b", func(c *Client) error { _, err := c.Create(ctxbg, "a/b"); return err }},
		{`C: c1 CREATE "My Drafts" (USE (\Drafts \Sent))`, func(c *Client) error {
			_, err := c.Create(ctxbg, "My Drafts", imap.UseDrafts, imap.UseSent)
			return err
		}},
		{"C: c1 DELETE Entw&APw-rfe", func(c *Client) error { _, err := c.Delete(ctxbg, "Entwürfe"); return err }},
		{`C: c1 RENAME a "b c"`, func(c *Client) error { _, err := c.Rename(ctxbg, "a", "b c"); return err }},
		{"C: c1 SUBSCRIBE a", func(c *Client) error { _, err := c.Subscribe(ctxbg, "a"); return err }},
		{"C: c1 UNSUBSCRIBE a", func(c *Client) error { _, err := c.Unsubscribe(ctxbg, "a"); return err }},
		{"C: c1 STATUS inbox (MESSAGES SIZE)\nS: * STATUS other (SIZE 1)\nS: * STATUS INBOX (MESSAGES 5 SIZE 7)", func(c *Client) error {
			st, err := c.Status(ctxbg, "inbox", imap.StatusMessages, imap.StatusSize)
			return want(err, st.Items, map[imap.StatusItem]uint64{imap.StatusMessages: 5, imap.StatusSize: 7})
		}},
		{`C: c1 LIST "" %` + "\n" + `S: * LIST () "/" a`, func(c *Client) error {
			l, _, err := c.List(ctxbg, "", []string{"%"}, ListOptions{})
			return want(err, l, []List{{Delimiter: '/', Mailbox: "a"}})
		}},
		{`C: c1 LIST (SUBSCRIBED REMOTE RECURSIVEMATCH SPECIAL-USE) a/ (% "b c*") RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES) METADATA ("/private/a b"))`, func(c *Client) error {
			_, _, err := c.List(ctxbg, "a/", []string{"%", "b c*"}, ListOptions{
				Select: imap.ListSelect{Subscribed: true, Remote: true, RecursiveMatch: true, SpecialUse: true},
				Return: imap.ListReturn{Subscribed: true, Children: true, SpecialUse: true, Status: []imap.StatusItem{imap.StatusMessages}, Metadata: []string{"/private/a b"}},
			})
			return err
		}},
		{`C: c1 LSUB "" *` + "\n" + `S: * LSUB (\NoSelect) "/" a`, func(c *Client) error {
			l, err := c.LSub(ctxbg, "", "*")
			return want(err, l, []List{{LSub: true, Attrs: []string{imap.AttrNoSelect}, Delimiter: '/', Mailbox: "a"}})
		}},
		{`C: c1 NAMESPACE` + "\n" + `S: * NAMESPACE (("" "/")) NIL NIL`, func(c *Client) error {
			n, err := c.Namespace(ctxbg)
			return want(err, n, Namespace{Personal: []NamespaceDescr{{Delimiter: '/'}}})
		}},
		{"C: c1 CLOSE", func(c *Client) error { return c.CloseMailbox(ctxbg) }},
		{"C: c1 UNSELECT", func(c *Client) error { return c.Unselect(ctxbg) }},
		{"C: c1 EXPUNGE", func(c *Client) error { _, err := c.Expunge(ctxbg); return err }},
		{"C: c1 UID EXPUNGE 2:4", func(c *Client) error { _, err := c.UIDExpunge(ctxbg, nums); return err }},
		{"C: c1 GETQUOTA \"\"\nS: * QUOTA \"\" (STORAGE 1 2)", func(c *Client) error {
			q, err := c.GetQuota(ctxbg, "")
			return want(err, q.Resources, []QuotaResource{{"STORAGE", 1, 2}})
		}},
		{"C: c1 GETQUOTAROOT a\nS: * QUOTAROOT a r\nS: * QUOTA r (STORAGE 1 2)", func(c *Client) error {
			r, q, err := c.GetQuotaRoot(ctxbg, "a")
			return errors.Join(want(err, r.Roots, []string{"r"}), want(nil, len(q), 1))
		}},
		{"C: c1 GETMETADATA inbox (/private/a)\nS: * METADATA INBOX (/private/a \"x\")", func(c *Client) error {
			l, longest, err := c.GetMetadata(ctxbg, "inbox", []string{"/private/a"}, MetadataOptions{})
			return errors.Join(want(err, l, []MetadataEntry{{"/private/a", imap.Str("x")}}), want(nil, longest, uint64(0)))
		}},
		{`C: c1 GETMETADATA (MAXSIZE 10 DEPTH infinity) "" (/private/a)` + "\nS: * OK [METADATA LONGENTRIES 12] done", func(c *Client) error {
			opts := MetadataOptions{MaxSize: imap.Number{Value: 10, OK: true}, Depth: DepthInfinity}
			l, longest, err := c.GetMetadata(ctxbg, "", []string{"/private/a"}, opts)
			return errors.Join(want(err, len(l), 0), want(nil, longest, uint64(12)))
		}},
		{"C: c1 NOTIFY NONE", func(c *Client) error { _, err := c.Notify(ctxbg, nil, NotifyOptions{}); return err }},
		{`C: c1 NOTIFY SET STATUS (SELECTED (MessageNew (UID FLAGS) MessageExpunge FlagChange)) (SUBTREE ("a b" c) (MailboxName)) (PERSONAL NONE)` + "\nS: * STATUS c (MESSAGES 1)", func(c *Client) error {
			resp, err := c.Notify(ctxbg, []NotifyGroup{
				{Filter: NotifySelected, Events: []NotifyEvent{EventMessageNew, EventMessageExpunge, EventFlagChange}, Items: []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}}},
				{Filter: NotifySubtree, Mailboxes: []string{"a b", "c"}, Events: []NotifyEvent{EventMailboxName}},
				{Filter: NotifyPersonal},
			}, NotifyOptions{Status: true})
			return want(err, len(All[MailboxStatus](resp)), 1)
		}},
		{`C: c1 SETMETADATA "" (/a "x" /b NIL /c ~{2+}` + "\nC: \x00y)", func(c *Client) error {
			_, err := c.SetMetadata(ctxbg, "", MetadataEntry{"/a", imap.Str("x")}, MetadataEntry{Name: "/b"}, MetadataEntry{"/c", imap.Str("\x00y")})
			return err
		}},
		{"C: c1 APPEND a {5+}\nC: hello\nS: * 1 EXISTS", func(c *Client) error {
			a, _, err := c.Append(ctxbg, "a", StringMessage("hello"))
			return want(err, a, Appended{})
		}},
		{`C: c1 APPEND a (\Seen x) " 7-Feb-1994 21:52:25 -0800" {5+}` + "\nC: hello ~{2+}\nC: hi UTF8 (~{1+}\nC: x)", func(c *Client) error {
			m := StringMessage("hello", `\Seen`, "x")
			m.Date = date
			bin, utf8 := StringMessage("hi"), StringMessage("x")
			bin.Binary, utf8.UTF8 = true, true
			_, _, err := c.Append(ctxbg, "a", m, bin, utf8)
			return err
		}},
		{"C: c1 UID REPLACE 7 a {5+}\nC: hello\nS: * OK [APPENDUID 1 8] done", func(c *Client) error {
			a, _, err := c.Replace(ctxbg, UID, 7, "a", StringMessage("hello"))
			return want(err, a, Appended{1, set(8, 8)})
		}},
		{"C: c1 STORE 2:4 +FLAGS.SILENT (\\Seen x)", func(c *Client) error {
			_, _, err := c.Store(ctxbg, Seq, nums, StoreAdd, []string{`\Seen`, "x"}, StoreOptions{Silent: true})
			return err
		}},
		{"C: c1 UID STORE 2:4 (UNCHANGEDSINCE 7) FLAGS ()\nS: * 1 FETCH (FLAGS () UID 2)", func(c *Client) error {
			l, _, err := c.Store(ctxbg, UID, nums, StoreSet, nil, StoreOptions{UnchangedSince: new(uint64(7))})
			return want(err, len(l), 1)
		}},
		{"C: c1 COPY 2:4 a", func(c *Client) error {
			cp, _, err := c.Copy(ctxbg, Seq, nums, "a")
			return want(err, cp, Copied{})
		}},
		{"C: c1 UID MOVE 2:4 a\nS: * OK [COPYUID 5 2:4 7:9] moved", func(c *Client) error {
			cp, _, err := c.Move(ctxbg, UID, nums, "a")
			return want(err, cp, Copied{5, set(2, 4), set(7, 9)})
		}},
	} {
		name, _, _ := strings.Cut(tc.script, "\n")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tc.f(dial(t, Options{}, tc.script+"\nS: c1 OK done\n")); err != nil {
				t.Error(err)
			}
		})
	}
}

// want returns err, or an error if got is not what is wanted.
func want(err error, got, want any) error {
	if err == nil && !reflect.DeepEqual(got, want) {
		err = fmt.Errorf("got %+v, want %+v", got, want)
	}
	return err
}

func TestMissingResponses(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(c *Client) error{
		"ENABLED":   func(c *Client) error { _, err := c.Enable(ctxbg); return err },
		"STATUS":    func(c *Client) error { _, err := c.Status(ctxbg, "a"); return err },
		"NAMESPACE": func(c *Client) error { _, err := c.Namespace(ctxbg); return err },
	} {
		conn, server := net.Pipe()
		go func() {
			defer server.Close()
			io.WriteString(server, "* OK hi\r\n")
			server.Read(make([]byte, 100))
			io.WriteString(server, "c1 OK done\r\n")
		}()
		c, err := New(ctxbg, conn, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := f(c); err == nil || !strings.Contains(err.Error(), "no "+name+" response") {
			t.Errorf("%s: got %v", name, err)
		}
		c.Close()
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	// RFC 9051 §6.3.2 with codes of extensions, and what comes before CLOSED is of the mailbox before.
	c := dial(t, Options{}, `C: c1 SELECT INBOX (CONDSTORE)
		S: * 3 EXISTS
		S: * OK [CLOSED] Previous mailbox is now closed
		S: * 172 EXISTS
		S: * 1 RECENT
		S: * OK [UNSEEN 12] Message 12 is first unseen
		S: * OK [UIDVALIDITY 3857529045] UIDs valid
		S: * OK [UIDNEXT 4392] Predicted next UID
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
		S: * OK [PERMANENTFLAGS (\Deleted \Seen \*)] Limited
		S: * OK [HIGHESTMODSEQ 715194045007] x
		S: * OK [MAILBOXID (F1)] x
		S: * LIST () "/" INBOX
		S: c1 OK [READ-WRITE] SELECT completed
		C: c2 EXAMINE a (QRESYNC (67890007 90060115194045000 41:211 (1:2 3:4)))
		S: * OK [PERMANENTFLAGS ()] none
		S: * OK [NOMODSEQ] x
		S: * VANISHED (EARLIER) 41,43:116
		S: * 49 FETCH (UID 117 FLAGS (\Seen) MODSEQ (90060115194045001))
		S: c2 OK [READ-ONLY] done
		C: c3 SELECT
		S: c3 BAD what
		C: c4 SELECT missing
		S: c4 NO [NONEXISTENT] no
		`)
	m, err := c.Select(ctxbg, "INBOX", SelectOptions{CondStore: true})
	if err != nil || c.State() != StateSelected {
		t.Fatalf("state %d, %v", c.State(), err)
	}
	if m.ReadOnly || m.Exists != 172 || m.Recent != 1 || m.Unseen != 12 || m.UIDValidity != 3857529045 || m.UIDNext != 4392 || len(m.Flags) != 5 ||
		!slices.Equal(m.PermanentFlags, []string{`\Deleted`, `\Seen`, `\*`}) || m.HighestModSeq != 715194045007 || m.MailboxID != "F1" || m.List.Mailbox != "Inbox" {
		t.Errorf("got %+v", m)
	}
	m, err = c.Select(ctxbg, "a", SelectOptions{ReadOnly: true, QResync: &QResync{
		UIDValidity: 67890007, ModSeq: 90060115194045000, KnownUIDs: imap.Ranges{{First: 41, Last: 211}},
		MatchSeqs: imap.Ranges{{First: 1, Last: 2}}, MatchUIDs: imap.Ranges{{First: 3, Last: 4}}}})
	if err != nil || !m.ReadOnly || m.PermanentFlags == nil || len(m.PermanentFlags) != 0 || !m.NoModSeq || len(m.Vanished) != 1 || len(m.Changed) != 1 || m.List != nil {
		t.Errorf("got %+v, %v", m, err)
	}
	_, err = c.Cmd(ctxbg, "SELECT")
	checkRefused(t, err, imap.TypeBAD, "")
	if c.State() != StateSelected {
		t.Errorf("state %d after BAD", c.State())
	}
	_, err = c.Select(ctxbg, "missing", SelectOptions{})
	checkRefused(t, err, imap.TypeNO, imap.CodeNonExistent)
	if c.State() != StateAuthenticated {
		t.Errorf("state %d after NO", c.State())
	}
}

func TestUTF8AfterEnable(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 ENABLE IMAP4rev2
		S: * ENABLED IMAP4rev2
		S: c1 OK done
		C: c2 LIST "" "ü&%"
		S: * LIST () "/" "ü&"
		S: c2 OK schön
		`)
	if _, err := c.Enable(ctxbg, imap.CapIMAP4rev2); err != nil {
		t.Fatal(err)
	}
	l, _, err := c.List(ctxbg, "", []string{"ü&%"}, ListOptions{})
	if err != nil || len(l) != 1 || l[0].Mailbox != "ü&" {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestLiteralsOfCommands(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 5000)
	for _, tc := range []struct {
		name, caps string
		opts       Options
		script     string
	}{
		{"LITERAL+", "LITERAL+", Options{}, "C: c1 APPEND a {5000+}\nC: " + big},
		{"LITERAL-, too large", "LITERAL-", Options{}, "C: c1 APPEND a {5000}\nS: * 1 EXISTS\nS: + go\nC: " + big},
		{"no extension", "IMAP4rev1", Options{}, "C: c1 APPEND a {5000}\nS: + go\nC: " + big},
		{"forced", "LITERAL+", Options{SyncLiterals: true}, "C: c1 APPEND a {5000}\nS: + go\nC: " + big},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := dialGreeting(t, tc.opts, "S: * OK [CAPABILITY "+tc.caps+"] hi\n"+tc.script+"\nS: c1 OK [APPENDUID 5 7] done\n")
			a, _, err := c.Append(ctxbg, "a", StringMessage(big))
			if err := want(err, a, Appended{5, set(7, 7)}); err != nil {
				t.Error(err)
			}
		})
	}
	c := dialGreeting(t, Options{}, "S: * OK [CAPABILITY LITERAL-] hi\nC: c1 APPEND a {5+}\nC: hello\nS: c1 OK done\n")
	if _, _, err := c.Append(ctxbg, "a", StringMessage("hello")); err != nil {
		t.Errorf("small literal with LITERAL-: %v", err)
	}
}

func TestLiteralThatIsRefused(t *testing.T) {
	t.Parallel()
	c := dialGreeting(t, Options{}, `S: * OK hi
		C: c1 APPEND a {5}
		S: c1 NO [TRYCREATE] no such mailbox
		C: c2 NOOP
		S: c2 OK done
		`)
	_, _, err := c.Append(ctxbg, "a", StringMessage("hello"), StringMessage("more"))
	checkRefused(t, err, imap.TypeNO, imap.CodeTryCreate)
	if _, err := c.Noop(ctxbg); err != nil {
		t.Error(err)
	}
}

func TestAppendOfShortMessage(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Message{
		"too few bytes": {Size: 10, Data: strings.NewReader("short")},
		"no reader":     {Size: 10},
	} {
		conn, server := net.Pipe()
		go func() {
			io.WriteString(server, "* OK [CAPABILITY LITERAL+] hi\r\n")
			io.Copy(io.Discard, server)
		}()
		c, err := New(ctxbg, conn, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Append(ctxbg, "a", m); err == nil || c.broken == nil {
			t.Errorf("%s: got %v", name, err)
		}
		c.Close()
	}
}
