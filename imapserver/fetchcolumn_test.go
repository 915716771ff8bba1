package imapserver

import (
	"fmt"
	"strings"
	"testing"

	"mox/internal/safefile"
	"mox/store"
)

// fetched returns the responses to a command.
func (c *benchClient) fetched(cmd string) string {
	if _, err := c.nc.Write([]byte("a " + cmd + "\r\n")); err != nil {
		c.b.Fatalf("write: %v", err)
	}
	var all strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			c.b.Fatalf("read: %v", err)
		}
		if strings.HasPrefix(line, "a ") {
			if !strings.HasPrefix(line, "a OK") {
				c.b.Fatalf("%s: %s", cmd, line)
			}
			return all.String()
		}
		all.WriteString(line)
	}
}

// What is fetched of all messages at once, from what is kept together from the second time
// on, is what is fetched of a few at a time.
func TestFetchOfAllMessagesIsThatOfEach(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{store: func(o *store.Options) { o.FS = noSync{safefile.OS} }})
	fill(t, ts.store, 1100)
	c := ts.client()
	c.do("SELECT Inbox")
	c.do("STORE 7,900 +FLAGS.SILENT (\\Deleted)")
	c.do("EXPUNGE")
	compare := func(items string) {
		t.Helper()
		var want strings.Builder
		for n := 1; n <= 1098; n += 100 {
			want.WriteString(c.fetched(fmt.Sprintf("FETCH %d:%d %s", n, min(n+99, 1098), items)))
		}
		for i := range 3 {
			if got := c.fetched("FETCH 1:1098 " + items); got != want.String() {
				t.Errorf("%s, time %d: %d octets, want %d", items, i, len(got), want.Len())
			}
		}
	}
	all := []string{
		"(BODYSTRUCTURE)", "(BODYSTRUCTURE UID FLAGS)", "(UID BODY.PEEK[HEADER.FIELDS (To subject DATE)])", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)]<3.9>)",
		"(BODY.PEEK[HEADER.FIELDS (Received)])", "(BODY.PEEK[HEADER.FIELDS (X-None)])", "(BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "(BODY)",
		"(PREVIEW)", "(BODY.PEEK[HEADER])",
	}
	for _, items := range all {
		compare(items)
	}
	fill(t, ts.store, 3)
	c.do("NOOP")
	c.do("STORE 3 +FLAGS.SILENT (\\Deleted)")
	c.do("EXPUNGE")
	for _, items := range all {
		compare(items)
	}
	c.do("FETCH 1:* (BODY[HEADER.FIELDS (SUBJECT)])")
	if got := c.fetched("SEARCH RETURN (COUNT) UNSEEN"); !strings.HasSuffix(got, "COUNT 0\r\n") {
		t.Errorf("after messages were seen: %s", got)
	}
}
