package imapserver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mox/imap"
	"mox/imapclient"
)

func TestContextsOfASessionAreLimited(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := ts.connect("raw")
	c.enter(selectedState)
	for i := range maxContexts + 1 {
		c.send("c%d SEARCH RETURN (UPDATE COUNT) SEEN", i)
		c.line("* ESEARCH")
		line := c.line("")
		if refused := strings.HasPrefix(line, "* NO [NOUPDATE \"c20\"]"); refused != (i == maxContexts) {
			t.Errorf("search %d is answered %q", i, line)
		} else if refused {
			c.line("c20 OK")
		}
	}
	// Room for another one.
	c.send("d CANCELUPDATE c3")
	c.line("d OK")
	c.send("e SEARCH RETURN (UPDATE) SEEN")
	c.line("* ESEARCH")
	c.line("e OK")
	c.send("f CANCELUPDATE%s", strings.Repeat(" x", maxContexts+1))
	c.line("f BAD")
}

func TestResultsOfContextsAreLimitedButForOne(t *testing.T) {
	t.Parallel()
	with := func(n int, last uint32) *selected {
		s := &selected{}
		for range n {
			s.contexts = append(s.contexts, &searchContext{found: imap.Ranges{{First: 1, Last: last}}})
		}
		return s
	}
	for _, tt := range []struct {
		s       *selected
		results int
		want    bool
	}{
		{with(0, 0), maxContextResults + 1, true}, {with(1, maxContextResults-5), 5, true}, {with(1, maxContextResults-5), 6, false},
		{with(maxContexts-1, 1), 5, true}, {with(maxContexts, 1), 5, false}, {with(4, maxContextResults/4), 1, false},
	} {
		if got := tt.s.roomForContext(tt.results); got != tt.want {
			t.Errorf("%d results beside %d contexts: %v", tt.results, len(tt.s.contexts), got)
		}
	}
}

// Many new messages at once are not searched for a text in one go.
func TestContextsThatReadFilesEndWhenThatIsTooMuch(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := ts.connect("raw")
	c.enter(selectedState)
	c.send("a SEARCH RETURN (UPDATE) TEXT word")
	c.line("* ESEARCH")
	c.line("a OK")
	c.send("b SEARCH RETURN (UPDATE) SUBJECT Report")
	c.line("* ESEARCH")
	c.line("b OK")
	fill(t, ts.store, maxContextFiles+1)
	c.send("n NOOP")
	c.line(`* NO [NOUPDATE "a"]`)
	c.line("* 1001 EXISTS")
	c.line("* 0 RECENT")
	c.line(`* ESEARCH (TAG "b") ADDTO (0 1:1001)`)
	c.line("n OK")
	c.send("d CANCELUPDATE a")
	c.line("d BAD")
}

// follower is a client that keeps results of searches up to date by what it is told.
type follower struct {
	*imapclient.Client
	t       *testing.T
	kinds   []imapclient.NumKind
	tags    []string
	results [][]uint32
}

// take applies what was told.
func (f *follower) take(resp *imapclient.Response, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, u := range resp.Untagged {
		switch u := u.(type) {
		case imapclient.ESearch:
			if i := slices.Index(f.tags, u.Tag); i >= 0 && len(u.Updates) > 0 {
				if f.results[i], err = u.Update(f.results[i]); err != nil {
					f.t.Fatalf("%v: %+v", err, u)
				}
			}
		case imapclient.Expunge:
			for i, l := range f.results {
				if f.kinds[i] == imapclient.UID {
					continue
				}
				for j, n := range l {
					if n == uint32(u) {
						f.t.Fatalf("message %d is expunged, and still in a result", n)
					} else if n > uint32(u) {
						l[j]--
					}
				}
			}
		}
	}
}

// followed are searches whose results are followed; those with an order are SORT.
var followed = []struct {
	kind  imapclient.NumKind
	order []imap.SortCriterion
	key   imap.SearchKey
}{
	{imapclient.UID, nil, imap.SearchKey{Op: imap.SearchNotFlag, Flag: imap.FlagSeen}},
	{imapclient.Seq, nil, imap.SearchKey{Op: imap.SearchFlag, Flag: imap.FlagFlagged}},
	{imapclient.UID, []imap.SortCriterion{{Key: imap.SortSubject}}, imap.SearchKey{Op: imap.SearchNotFlag, Flag: imap.FlagSeen}},
	{imapclient.Seq, []imap.SortCriterion{{Key: imap.SortSubject, Reverse: true}, {Key: imap.SortSize}}, imap.SearchKey{}},
	{imapclient.Seq, nil, imap.SearchKey{Op: imap.SearchSubject, Text: "1"}},
}

// find runs a search of followed.
func (f *follower) find(i int, ret imap.SearchReturn) *imapclient.SearchResult {
	f.t.Helper()
	w, opts := &followed[i], imapclient.SearchOptions{Return: ret}
	var res *imapclient.SearchResult
	var err error
	if w.order == nil {
		res, err = f.Search(f.t.Context(), w.kind, imap.SearchProgram{Key: w.key}, opts)
	} else {
		res, err = f.Sort(f.t.Context(), w.kind, w.order, imap.SearchProgram{Key: w.key}, opts)
	}
	f.take(res.Response, err)
	return res
}

// TestUpdatesKeepResultsRight makes random changes in two sessions, and compares results kept
// up to date with those of new searches.
func TestUpdatesKeepResultsRight(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	rnd := rand.New(rand.NewPCG(7, 8))
	connect := func() *imapclient.Client {
		nc, err := ts.dial(context.Background(), "raw")
		if err != nil {
			t.Fatal(err)
		}
		c, err := imapclient.New(t.Context(), nc, imapclient.Options{})
		if err == nil {
			_, err = c.Login(t.Context(), testUser, testPassword)
		}
		if err == nil {
			_, err = c.Select(t.Context(), "Inbox", imapclient.SelectOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	f, other := &follower{Client: connect(), t: t}, connect()
	for i := range followed {
		res := f.find(i, imap.SearchReturn{Given: true, Update: true, All: true})
		f.tags, f.results, f.kinds = append(f.tags, res.Tag), append(f.results, res.Nums), append(f.kinds, followed[i].kind)
	}
	one := func() imap.NumSet {
		n := uint32(1 + rnd.IntN(60))
		return imap.NumSet{Ranges: []imap.NumRange{{First: n, Last: n + uint32(rnd.IntN(4))}}}
	}
	for range 400 {
		var err error
		c := []*imapclient.Client{f.Client, other}[rnd.IntN(2)]
		action := []imapclient.StoreAction{imapclient.StoreAdd, imapclient.StoreRemove}[rnd.IntN(2)]
		var resp *imapclient.Response
		switch rnd.IntN(6) {
		case 0:
			_, resp, err = c.Append(t.Context(), "Inbox", imapclient.StringMessage(fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", rnd.IntN(20), strings.Repeat("x", rnd.IntN(5)))))
		case 1, 2, 3:
			flag := []string{`\Seen`, `\Flagged`, `\Deleted`}[rnd.IntN(3)]
			_, resp, err = c.Store(t.Context(), imapclient.UID, one(), action, []string{flag}, imapclient.StoreOptions{Silent: rnd.IntN(2) == 0})
		case 4:
			resp, err = c.Noop(t.Context())
		case 5:
			if rnd.IntN(4) == 0 {
				resp, err = c.Expunge(t.Context())
			} else {
				resp, err = c.Noop(t.Context())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if c == f.Client {
			f.take(resp, nil)
		}
		if rnd.IntN(5) > 0 {
			continue
		}
		f.take(f.Noop(t.Context()))
		for i := range followed {
			if want := f.find(i, imap.SearchReturn{Given: true, All: true}).Nums; !slices.Equal(f.results[i], want) {
				t.Fatalf("search %d: result is %v, want %v", i, f.results[i], want)
			}
		}
	}
}
