package imapserver

import (
	"strings"
	"testing"

	"mox/imap"
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
