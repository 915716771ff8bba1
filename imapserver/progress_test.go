package imapserver

import (
	"strings"
	"testing"
	"time"

	"mox/internal/safefile"
	"mox/store"
)

func TestLongCommandsTellThatTheyAreWorkedOn(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{store: func(o *store.Options) { o.FS = noSync{safefile.OS} }})
	ts.server.progressInterval = time.Nanosecond
	fill(t, ts.store, 600)
	c := ts.connect("imap1")
	c.send("a SELECT Inbox")
	c.until("a OK")
	c.send("s SEARCH TEXT hello")
	if l := strings.Join(c.until("s OK"), "\n"); !strings.Contains(l, `* OK [INPROGRESS ("s" 500 600)] `) {
		t.Errorf("no progress: %s", l)
	}
	c.send("x]y SEARCH TEXT hello")
	if l := strings.Join(c.until("x]y OK"), "\n"); !strings.Contains(l, `* OK [INPROGRESS] `) {
		t.Errorf("no progress: %s", l)
	}
	// A change that waits for another one.
	acc, err := ts.store.Account(t.Context(), "mjl")
	if err != nil {
		t.Fatal(err)
	}
	defer acc.Release()
	err = acc.Update(t.Context(), func(*store.Tx) error {
		c.send("u STORE 1 +FLAGS.SILENT (word)")
		c.line(`* OK [INPROGRESS ("u" NIL NIL)] `)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.until("u OK")
}
