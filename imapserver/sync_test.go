package imapserver

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mox/internal/safefile"
	"mox/store"
)

// viewClient is a client that keeps its own view of a mailbox from what it is told.
type viewClient struct {
	*lineConn
	rnd  *rand.Rand
	n    int   // Commands sent.
	uids []int // By message sequence number less one; 0 if not known yet.
}

// command sends a command and takes in its responses. It returns its status line.
func (v *viewClient) command(format string, args ...any) string {
	v.t.Helper()
	v.n++
	tag := fmt.Sprintf("t%d", v.n)
	cmd := fmt.Sprintf(format, args...)
	v.send("%s %s", tag, cmd)
	noExpunge := strings.HasPrefix(cmd, "FETCH") || strings.HasPrefix(cmd, "STORE") || strings.HasPrefix(cmd, "SEARCH")
	for {
		line := v.line("")
		if strings.HasPrefix(line, tag+" ") {
			return line[len(tag)+1:]
		}
		v.untagged(line, noExpunge)
	}
}

// untagged takes in a response.
func (v *viewClient) untagged(line string, noExpunge bool) {
	v.t.Helper()
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "*" {
		return
	}
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return
	}
	switch f[2] {
	case "EXISTS":
		if n < len(v.uids) {
			v.t.Errorf("EXISTS %d with %d messages", n, len(v.uids))
		}
		for len(v.uids) < n {
			v.uids = append(v.uids, 0)
		}
	case "EXPUNGE":
		if noExpunge {
			v.t.Errorf("EXPUNGE during a command that must not have it")
		}
		if n < 1 || n > len(v.uids) {
			v.t.Errorf("EXPUNGE %d with %d messages", n, len(v.uids))
			return
		}
		v.uids = slices.Delete(v.uids, n-1, n)
	case "FETCH":
		if n < 1 || n > len(v.uids) {
			v.t.Errorf("FETCH %d with %d messages", n, len(v.uids))
			return
		}
		i := strings.Index(line, "UID ")
		if i < 0 {
			return
		}
		text, _, _ := strings.Cut(line[i+4:], " ")
		uid, err := strconv.Atoi(strings.TrimRight(text, ")"))
		if err != nil {
			v.t.Errorf("no uid in %q", line)
		} else if v.uids[n-1] != 0 && v.uids[n-1] != uid {
			v.t.Errorf("message %d is uid %d, was %d", n, uid, v.uids[n-1])
		} else {
			v.uids[n-1] = uid
		}
	}
}

// step does something.
func (v *viewClient) step() {
	seq := 1
	if len(v.uids) > 0 {
		seq += v.rnd.IntN(len(v.uids))
	}
	switch v.rnd.IntN(14) {
	case 0, 1:
		v.command("APPEND Inbox {14+}\r\nSubject: a\r\n\r\n")
	case 2:
		v.command("STORE %d +FLAGS (\\Deleted)", seq)
	case 3:
		v.command("STORE %d:* +FLAGS.SILENT (\\Deleted k%d)", seq, v.rnd.IntN(4))
	case 4:
		v.command("UID STORE 1:* -FLAGS.SILENT (\\Deleted)")
	case 5:
		v.command("EXPUNGE")
	case 6:
		v.command("COPY %d Inbox", seq)
	case 7:
		v.command("MOVE %d Trash", seq)
	case 8:
		v.command("SEARCH UNDELETED")
	case 9:
		v.command("FETCH 1:* (UID FLAGS)")
	case 10:
		v.command("FETCH %d (UID BODY[HEADER])", seq)
	case 11:
		v.command("UID FETCH 1:* (FLAGS)")
	case 12:
		v.idle()
	case 13:
		v.command("NOOP")
	}
}

func (v *viewClient) idle() {
	v.n++
	v.send("i%d IDLE", v.n)
	for {
		line := v.line("")
		if strings.HasPrefix(line, "+ ") {
			break
		}
		v.untagged(line, false)
	}
	v.send("DONE")
	for {
		line := v.line("")
		if strings.HasPrefix(line, "i") {
			return
		}
		v.untagged(line, false)
	}
}

// TestViewsStayConsistent has several clients change one mailbox at random. Each must
// always agree with the server on which message a sequence number is, and in the end all
// must see the same.
func TestViewsStayConsistent(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{store: func(o *store.Options) { o.FS = noSync{safefile.OS} }})
	for range 20 {
		ts.deliver("mjl", "Inbox", "Subject: a\r\n\r\n")
	}
	const clients, steps = 4, 150
	views := make([]*viewClient, clients)
	var wg sync.WaitGroup
	for i := range views {
		v := &viewClient{lineConn: ts.connect("imap"), rnd: rand.New(rand.NewPCG(uint64(i), 7))}
		views[i] = v
		v.command("SELECT Inbox")
		v.command("FETCH 1:* UID")
		wg.Go(func() {
			for range steps {
				v.step()
			}
		})
	}
	wg.Wait()
	for _, v := range views {
		v.command("NOOP")
		if s := v.command("FETCH 1:* UID"); !strings.HasPrefix(s, "OK") {
			t.Errorf("fetch: %s", s)
		}
		if !slices.Equal(v.uids, views[0].uids) {
			t.Errorf("views differ:\n%v\n%v", v.uids, views[0].uids)
		}
	}
	if !slices.IsSorted(views[0].uids) {
		t.Errorf("uids are not ascending: %v", views[0].uids)
	}
}
