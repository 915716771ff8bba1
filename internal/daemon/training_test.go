package daemon

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mox/internal/ctl"
	"mox/internal/training"
)

// junkDaemon starts a server whose account has a junk filter.
func junkDaemon(t *testing.T) *testDaemon {
	t.Helper()
	dir := newDir(t)
	change(t, filepath.Join(dir, "domains.conf"), "\t\tDestinations:\n", "\t\tJunkFilter:\n\t\t\tThreshold: 0.9\n\t\tDestinations:\n")
	return start(t, dir)
}

// stream runs a command and returns the text that it answers with.
func stream(t *testing.T, c *ctl.Client, params ...string) string {
	t.Helper()
	if err := c.Do(params[0], params[1:]...); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c.StreamReader())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fill delivers messages and has a client move the first n of them to Junk, and flag n
// as not junk.
func (d *testDaemon) fill(t *testing.T, n int) {
	t.Helper()
	c := d.dial(t)
	for i := range 2 * n {
		if err := c.Do("deliver", LocalserveAddress); err != nil {
			t.Fatal(err)
		}
		w := c.StreamWriter()
		if _, err := fmt.Fprintf(w, "From: Ann%d <ann%d@example.net>\nSubject: test\n\nhello\n", i, i); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := c.ReadOK(); err != nil {
			t.Fatal(err)
		}
	}
	ic := d.imap(t)
	command(t, ic, fmt.Sprintf("move 1:%d Junk", n))
	command(t, ic, "store 1:* +flags ($NotJunk)")
}

func TestUsersTrainTheirFilter(t *testing.T) {
	t.Parallel()
	d := junkDaemon(t)
	d.fill(t, 3)
	if err := d.training.Flush(t.Context(), "mox"); err != nil {
		t.Fatal(err)
	}
	want := "mox: 6 lessons, 3 not junk and 3 junk, "
	c := d.dial(t)
	for _, account := range []string{"mox", ""} {
		if got := stream(t, c, "retrain", account); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("retrain %q: got %q", account, got)
		}
	}
	if _, err := os.Stat(filepath.Join(d.DataDir(), "accounts/mox", training.FileName)); err != nil {
		t.Error(err)
	}
	refused(t, c.Do("retrain", "nobody"), `no account "nobody"`)
	// What is on disk is good when the server has stopped.
	d.stop()
	if problems, err := training.Verify(t.Context(), d.DataDir()); err != nil || len(problems) > 0 {
		t.Errorf("verify: %v, %v", problems, err)
	}
}

func TestRetrainNeedsAFilter(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.dial(t)
	refused(t, c.Do("retrain", "mox"), "has no JunkFilter")
	refused(t, c.Do("retrain", ""), "no account has a JunkFilter")
}

func TestReputationSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	d.submit(t, "Ann@Example.org")
	d.submitter.Settle()
	c := d.dial(t)
	if err := c.Do("sendersset", "mox", "block", "@example.org"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ReadLine(); err != nil || got != "@example.org" {
		t.Errorf("got %q, %v", got, err)
	}
	got := stream(t, c, "reputation", "mox", "ann@example.org", "")
	for _, want := range []string{"ann@example.org to Inbox of account mox\n", "the user has blocked @example.org, on 20", "last sent to on 20", "refused (sender-blocked)"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if got := stream(t, c, "reputation", "mox", "ann@example.org", "Archive"); !strings.Contains(got, " to Archive of ") {
		t.Errorf("got %q", got)
	}
	refused(t, c.Do("reputation", "mox", "ann@example.org", "Nowhere"), `no mailbox "Nowhere"`)
	refused(t, c.Do("reputation", "mox", "ann", ""), "parse address")
	refused(t, c.Do("reputation", "nobody", "ann@example.org", ""), `no account "nobody"`)
}

func TestSendersAreAllowedAndBlocked(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.dial(t)
	list := func() (l []string) {
		t.Helper()
		if err := c.Do("senderslist", "mox"); err != nil {
			t.Fatal(err)
		}
		n, err := c.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		for range must(strconv.Atoi(n)) {
			line, err := c.ReadLine()
			if err != nil {
				t.Fatal(err)
			}
			l = append(l, line[:strings.LastIndexByte(line, '\t')])
		}
		return l
	}
	set := func(what, sender, want string) {
		t.Helper()
		if err := c.Do("sendersset", "mox", what, sender); err != nil {
			t.Fatal(err)
		}
		if got, err := c.ReadLine(); err != nil || got != want {
			t.Errorf("%s: got %q, %v", sender, got, err)
		}
	}
	if l := list(); len(l) != 0 {
		t.Errorf("got %q", l)
	}
	set("allow", "Ann@Bücher.Example", "ann@xn--bcher-kva.example")
	set("block", "@News.Example.org", "@news.example.org")
	set("block", "ann@bücher.example", "ann@xn--bcher-kva.example")
	if got := strings.Join(list(), ", "); got != "block\t@news.example.org, block\tann@xn--bcher-kva.example" {
		t.Errorf("got %q", got)
	}
	refused(t, c.Do("sendersset", "mox", "allow", "example.org"), "write @example.org")
	refused(t, c.Do("sendersset", "mox", "like", "@example.org"), `not "like"`)
	refused(t, c.Do("sendersset", "nobody", "allow", "@example.org"), `no account "nobody"`)
	refused(t, c.Do("senderslist", "nobody"), `no account "nobody"`)
	if err := c.Do("sendersrm", "mox", "@NEWS.example.org"); err != nil {
		t.Error(err)
	}
	refused(t, c.Do("sendersrm", "mox", "@news.example.org"), "neither allows nor blocks @news.example.org")
	refused(t, c.Do("sendersrm", "mox", "x"), "not an address")
	refused(t, c.Do("sendersrm", "nobody", "x"), `no account "nobody"`)
	if l := list(); len(l) != 1 {
		t.Errorf("got %q", l)
	}
}

func must(n int, err error) int {
	if err != nil {
		panic(err)
	}
	return n
}
