package imapserver

import (
	"slices"
	"strings"
	"testing"
)

// enter brings a connection that has been greeted into a state.
func (c *lineConn) enter(s state) {
	c.t.Helper()
	c.line("* OK")
	// The first command on a connection must not be wrong.
	c.send("s0 NOOP")
	c.line("s0 OK")
	if s == notAuthenticated {
		return
	}
	c.send("s1 LOGIN mjl@mox.example test1234")
	c.line("s1 OK")
	if s == selectedState {
		c.send("s2 SELECT Inbox")
		c.until("s2 OK")
	}
}

func TestEachCommandIsNoInAStateThatIsWrong(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	for _, s := range []state{notAuthenticated, authenticated, selectedState} {
		c := ts.connect("raw")
		c.enter(s)
		for _, cmd := range commandTable() {
			if cmd.states&s != 0 {
				continue
			}
			c.send("a %s whatever )", cmd.name)
			c.line("a NO")
		}
		c.send("b NOOP")
		c.line("b OK")
	}
}

func TestEachCommandIsBadWithArgumentsThatAreWrong(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	for _, s := range []state{notAuthenticated, authenticated, selectedState} {
		for _, args := range []string{" )(", "  ", " {x}", " \"open"} {
			c := ts.connect("raw")
			c.enter(s)
			for _, cmd := range commandTable() {
				if cmd.states&s == 0 {
					continue
				}
				c.send("a %s%s", cmd.name, args)
				if line := c.line("a "); !strings.HasPrefix(line, "a BAD") {
					t.Errorf("%s%s is answered %q", cmd.name, args, line)
				}
				c.send("n NOOP") // Or there are too many in a row.
				c.line("n OK")
			}
			c.send("b NOOP")
			c.line("b OK")
		}
	}
}

func TestCommandsAreInTheTableOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, cmd := range commandTable() {
		if seen[cmd.name] || cmd.name != strings.ToUpper(cmd.name) || cmd.bind == nil || cmd.states == 0 {
			t.Errorf("row of %q", cmd.name)
		}
		seen[cmd.name] = true
	}
	// The rule of RFC 9051 §7.5.1 is about the first three, and no other needs it but searches.
	for _, cmd := range commandTable() {
		want := slices.Contains([]string{"FETCH", "STORE", "SEARCH", "SORT", "THREAD"}, cmd.name)
		if got := cmd.flags&keepsSeqs != 0; got != want {
			t.Errorf("%s keeps sequence numbers: %v", cmd.name, got)
		}
	}
}
