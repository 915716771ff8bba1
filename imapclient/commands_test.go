package imapclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/imap"
	"mox/internal/testkit"
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
			l, err := c.GetMetadata(ctxbg, "inbox", "/private/a")
			return want(err, l, []MetadataEntry{{"/private/a", imap.Str("x")}})
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

func TestSearch(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 SEARCH CHARSET UTF-8 UNSEEN TEXT {2+}
		C: é
		S: * SEARCH 2 84
		S: * SEARCH 882 (MODSEQ 917162500)
		S: c1 OK done
		C: c2 UID SEARCH RETURN (MIN COUNT PARTIAL -1:-10) 1:*
		S: * ESEARCH (TAG "other") UID COUNT 1
		S: * ESEARCH (TAG "c2") UID MIN 4 COUNT 17 PARTIAL (-1:-10 4:5)
		S: c2 OK done
		C: c3 SEARCH RETURN (ALL) ALL
		S: * ESEARCH (TAG "c3") ALL 4:6,9
		S: c3 OK done
		`)
	program := imap.SearchProgram{Charset: "UTF-8", Key: imap.SearchKey{Op: imap.SearchAnd, Keys: []imap.SearchKey{
		{Op: imap.SearchNotFlag, Flag: imap.FlagSeen}, {Op: imap.SearchText, Text: "é"}}}}
	res, err := c.Search(ctxbg, Seq, program, SearchOptions{})
	if err != nil || !slices.Equal(res.Nums, []uint32{2, 84, 882}) || res.ModSeq != 917162500 || res.ESearch != nil {
		t.Errorf("got %+v, %v", res, err)
	}
	all := imap.SearchProgram{Key: imap.SearchKey{Op: imap.SearchSeq, Set: imap.NumSet{Ranges: []imap.NumRange{{First: 1}}}}}
	res, err = c.Search(ctxbg, UID, all, SearchOptions{Return: imap.SearchReturn{Given: true, Min: true, Count: true, Partial: &imap.PartialRange{First: -1, Last: -10}}})
	if err != nil || res.ESearch == nil || res.ESearch.Count.Value != 17 || res.ESearch.Min != 4 || res.ESearch.Partial.String() != "4:5" || len(res.Nums) != 0 {
		t.Errorf("got %+v, %v", res, err)
	}
	res, err = c.Search(ctxbg, Seq, imap.SearchProgram{}, SearchOptions{Return: imap.SearchReturn{Given: true, All: true}})
	if err != nil || !slices.Equal(res.Nums, []uint32{4, 5, 6, 9}) {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{MaxLiteral: 3}, `C: c1 UID FETCH 1:* (UID BODY.PEEK[]<0.5>) (CHANGEDSINCE 7 VANISHED PARTIAL -1:-10)
		S: * VANISHED (EARLIER) 3
		S: * 1 FETCH (UID 4 BODY[]<0> {3}
		S: abc)
		S: * 9 EXISTS
		S: c1 OK done
		C: c2 FETCH 1:* (FLAGS)
		S: * 1 FETCH (FLAGS ())
		S: * 9 EXISTS
		S: * 2 FETCH (FLAGS (\Seen))
		S: c2 OK done
		C: c3 FETCH 1:* (BODY[])
		S: * 1 FETCH (BODY[] {10}
		S: 0123456789 UID 7)
		S: * 2 FETCH (BODY[] {4}
		S: abcd)
		S: c3 OK done
		C: c4 FETCH 1:* (BODY[])
		S: * 2 FETCH (BODY[] {4}
		`)
	every := imap.NumSet{Ranges: []imap.NumRange{{First: 1}}}
	items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchBodySection, Peek: true, Partial: &imap.Partial{Count: 5}}}
	l, resp, err := c.Fetch(ctxbg, UID, every, items, FetchOptions{ChangedSince: 7, Vanished: true, Partial: &imap.PartialRange{First: -1, Last: -10}})
	if err != nil || len(l) != 1 || l[0].UID != 4 || string(l[0].Sections[0].Data) != "abc" || len(resp.Untagged) != 3 {
		t.Errorf("got %+v, %+v, %v", l, resp, err)
	}

	var seqs []uint32
	l, resp, err = c.Fetch(ctxbg, Seq, every, []imap.FetchItem{{Attr: imap.FetchFlags}}, FetchOptions{Each: func(f *FetchData) error {
		seqs = append(seqs, f.Seq)
		return nil
	}})
	if err != nil || len(l) != 0 || !slices.Equal(seqs, []uint32{1, 2}) || len(resp.Untagged) != 1 {
		t.Errorf("got %v, %+v, %v", seqs, resp, err)
	}

	// Larger than what would be kept, and not read to the end.
	var pieces []string
	body := []imap.FetchItem{{Attr: imap.FetchBodySection}}
	l, _, err = c.Fetch(ctxbg, Seq, every, body, FetchOptions{Literal: func(f *FetchData, s *FetchSection, r io.Reader) error {
		b := make([]byte, 2)
		_, err := io.ReadFull(r, b)
		pieces = append(pieces, fmt.Sprintf("%d %s %d", f.Seq, b, s.Size))
		return err
	}})
	if err != nil || !slices.Equal(pieces, []string{"1 01 10", "2 ab 4"}) || l[0].UID != 7 || l[0].Sections[0].Data != nil {
		t.Errorf("got %v, %+v, %v", pieces, l, err)
	}

	_, _, err = c.Fetch(ctxbg, Seq, every, body, FetchOptions{})
	checkRefused(t, err, imap.TypeBYE, imap.CodeTooBig)
}

func TestFetchCallbackFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, opts := range map[string]FetchOptions{
		"each":    {Each: func(*FetchData) error { return boom }},
		"literal": {Literal: func(*FetchData, *FetchSection, io.Reader) error { return boom }},
	} {
		c := dial(t, Options{}, "C: c1 FETCH * (BODY[])\nS: * 1 FETCH (BODY[] {1}\nS: x)\n")
		_, _, err := c.Fetch(ctxbg, Seq, imap.NumSet{Ranges: []imap.NumRange{{}}}, []imap.FetchItem{{Attr: imap.FetchBodySection}}, opts)
		if !errors.Is(err, boom) || c.broken == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFetchRaw(t *testing.T) {
	t.Parallel()
	script := `C: c%d FETCH 1:* ALL
		S: * 1 FETCH (BODY[] {10}
		S> c1 OK done
		S: x UID 7 X {1}
		S: y)
		S: * ok it is {5}
		S: c%d OK [READ-ONLY] done
		`
	c := dial(t, Options{}, fmt.Sprintf(script+script+"C: c3 FOO\nS: c3 NO [CANNOT] no\nC: c4 FOO\nS: c4 WHAT\n", 1, 1, 2, 2))
	var lines, literals []string
	h := RawHandler{
		Line: func(line []byte) error { lines = append(lines, string(line)); return nil },
		Literal: func(size int64, r io.Reader) error {
			b, err := io.ReadAll(io.LimitReader(r, 5))
			literals = append(literals, fmt.Sprintf("%d %s", size, b))
			return err
		},
	}
	st, err := c.FetchRaw(ctxbg, "FETCH 1:* ALL", h)
	if err != nil || st.Type != "OK" {
		t.Errorf("got %+v, %v", st, err)
	}
	if want := []string{"* 1 FETCH (BODY[] {10}", "x UID 7 X {1}", ")", "* ok it is {5}"}; !slices.Equal(lines, want) {
		t.Errorf("got lines %q, want %q", lines, want)
	}
	if !slices.Equal(literals, []string{"10 c1 OK", "1 y"}) {
		t.Errorf("got literals %q", literals)
	}
	if _, err := c.FetchRaw(ctxbg, "FETCH 1:* ALL", RawHandler{}); err != nil {
		t.Error(err)
	}
	_, err = c.FetchRaw(ctxbg, "FOO", RawHandler{})
	checkRefused(t, err, imap.TypeNO, "")
	if _, err = c.FetchRaw(ctxbg, "FOO", RawHandler{}); err == nil {
		t.Error("an unknown status is taken")
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 IDLE
		S: * 1 EXISTS
		S: + idling
		S: * 2 EXISTS
		S: * 3 EXISTS
		C: DONE
		S: * 4 EXISTS
		S: c1 OK done
		C: c2 IDLE
		S: c2 NO no
		C: c3 NOOP
		S: c3 OK done
		`)
	var got []Untagged
	err := c.Idle(ctxbg, func(u Untagged) error {
		got = append(got, u)
		if u == Exists(3) {
			return ErrStopIdle
		}
		return nil
	})
	if err != nil || !slices.Equal(got, []Untagged{Exists(1), Exists(2), Exists(3), Exists(4)}) {
		t.Errorf("got %v, %v", got, err)
	}
	checkRefused(t, c.Idle(ctxbg, func(Untagged) error { return nil }), imap.TypeNO, "")
	if _, err := c.Noop(ctxbg); err != nil {
		t.Error(err)
	}
}

func TestIdleEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, done := runServer(t, "S: * OK hi\nC: c1 IDLE\nS: + idling\nS: * 1 EXISTS\nC: DONE\nS: c1 OK done\nC: c2 NOOP\nS: c2 OK done\n")
		c, err := New(ctxbg, conn, Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(ctxbg, 20*time.Minute) // Longer than the time-out.
		defer cancel()
		start := time.Now()
		n := 0
		if err := c.Idle(ctx, func(Untagged) error { n++; return nil }); err != nil || n != 1 || time.Since(start) != 20*time.Minute {
			t.Errorf("got %v after %v and %d responses", err, time.Since(start), n)
		}
		if _, err := c.Noop(ctxbg); err != nil {
			t.Error(err)
		}
		<-done
	})
}

func TestIdleErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	c := dial(t, Options{}, "C: c1 IDLE\nS: + idling\nS: * 1 EXISTS\n")
	if err := c.Idle(ctxbg, func(Untagged) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	c = dial(t, Options{}, "C: c1 IDLE\nS: + idling\nS!")
	if err := c.Idle(ctxbg, func(Untagged) error { return nil }); !errors.Is(err, io.EOF) || c.broken == nil {
		t.Errorf("got %v", err)
	}
	c = dial(t, Options{}, "C: c1 IDLE\nS: + idling\nS: + again\n")
	if err := c.Idle(ctxbg, func(Untagged) error { return nil }); err == nil {
		t.Error("a second continuation request is taken")
	}
}

func TestStartTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	serverConfig, clientConfig := ca.ServerConfig(t, "mail.example"), ca.ClientConfig("mail.example")
	conn, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		defer server.Close()
		done <- func() error {
			io.WriteString(server, "* OK [CAPABILITY STARTTLS] hi\r\n")
			server.Read(make([]byte, 100))
			io.WriteString(server, "c1 OK go\r\n")
			tc := tls.Server(server, serverConfig)
			b := make([]byte, 100)
			n, err := tc.Read(b)
			if err == nil && string(b[:n]) != "c2 NOOP\r\n" {
				err = fmt.Errorf("got %q", b[:n])
			}
			io.WriteString(tc, "c2 OK done\r\n")
			return err
		}()
	}()
	c, err := New(ctxbg, conn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(ctxbg, clientConfig); err != nil {
		t.Fatal(err)
	}
	if c.Caps() != nil {
		t.Error("capabilities from before TLS are kept")
	}
	if _, err := c.Noop(ctxbg); err != nil {
		t.Error(err)
	}
	if _, ok := c.Conn().(*tls.Conn); !ok {
		t.Error("the connection has no TLS")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStartTLSWithInjectedData(t *testing.T) {
	t.Parallel()
	conn, server := net.Pipe()
	go func() {
		io.WriteString(server, "* OK hi\r\n")
		server.Read(make([]byte, 100))
		io.WriteString(server, "c1 OK go\r\n* OK [ALERT] pay here\r\n")
	}()
	c, err := New(ctxbg, conn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(ctxbg, &tls.Config{ServerName: "mail.example"}); err == nil || !strings.Contains(err.Error(), "between STARTTLS") {
		t.Errorf("got %v", err)
	}
}

func TestStartTLSRefused(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, "C: c1 STARTTLS\nS: c1 NO no certificate\n")
	checkRefused(t, c.StartTLS(ctxbg, nil), imap.TypeNO, "")
}
