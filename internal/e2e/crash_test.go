package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
)

// Rounds of TestCrash, unless the environment variable MOX_CRASH_ROUNDS says otherwise.
const (
	crashRounds     = 10
	crashRoundsLong = 50
)

// crashWorkers is how many IMAP sessions work in mailboxes of their own.
const crashWorkers = 4

// crashDeliverers is how many SMTP sessions deliver to the inbox.
const crashDeliverers = 3

// TestCrash kills the server with SIGKILL at random moments while several sessions
// deliver, append, flag, move and expunge. After each restart all that was
// acknowledged is there, once, with its UID and flags, and what was not answered was
// done as a whole or not at all; and the data is in order.
func TestCrash(t *testing.T) {
	t.Parallel()
	rounds := crashRounds
	if soak() {
		rounds = crashRoundsLong
	}
	if s := os.Getenv("MOX_CRASH_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("MOX_CRASH_ROUNDS: %v", err)
		}
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(testkit.DataDir(t), "mox")
	m := newModel()
	for i := range rounds {
		s := localserve(t, options{dir: dir, dying: true})
		s.checkCrash(m)
		if t.Failed() {
			t.Fatalf("after round %d", i)
		}
		s.crashRound(m, rnd, i)
		s.verify()
		if rnd.IntN(3) == 0 {
			// While it starts and recovers, too.
			dying := startOnly(t, dir)
			time.Sleep(time.Duration(rnd.IntN(150)) * time.Millisecond)
			dying.Kill()
			s.verify()
		}
	}
	s := localserve(t, options{dir: dir})
	s.checkCrash(m)
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Logf("%d messages in %d rounds; of %d commands without an answer %d were not done", len(m.records), rounds, m.unanswered, m.undone)
}

// crashRound loads the server and kills it.
func (s *server) crashRound(m *model, rnd *rand.Rand, round int) {
	s.t.Helper()
	ctx := testContext(s.t)
	errs := make(chan error, crashDeliverers+crashWorkers+1)
	var wg sync.WaitGroup
	for i := range crashDeliverers {
		d := &deliverer{m: m, c: s.smtpClient(), name: fmt.Sprintf("smtp-%d-%d", round, i), rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0))}
		wg.Go(func() { errs <- d.run(ctx) })
	}
	for i := range crashWorkers + 1 {
		w := &worker{m: m, c: s.imap(user, password), name: fmt.Sprintf("imap-%d-%d", round, i), rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0))}
		w.boxes = [2]string{fmt.Sprintf("w%d/a", i), fmt.Sprintf("w%d/b", i)}
		if i == crashWorkers {
			w.boxes[0] = "INBOX"
		}
		for _, name := range w.boxes {
			if _, err := w.c.Create(ctx, name); err != nil && !errors.As(err, new(*imap.Error)) {
				s.t.Fatalf("create %s: %v", name, err)
			}
		}
		wg.Go(func() { errs <- w.run(ctx) })
	}
	time.Sleep(time.Duration(20+rnd.IntN(700)) * time.Millisecond)
	s.proc.Kill()
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			s.t.Errorf("round %d: %v", round, err)
		}
	}
	if out := s.proc.Output(); strings.Contains(out, "panic") {
		s.t.Errorf("round %d: there was a panic in the server:\n%s", round, out)
	}
}

// checkCrash reads all mail and compares it with what must be there.
func (s *server) checkCrash(m *model) {
	s.t.Helper()
	ctx := testContext(s.t)
	c := s.imap(user, password)
	list, _, err := c.List(ctx, "", []string{"*"}, imapclient.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	have, boxes := map[string][]found{}, map[string]*imapclient.Mailbox{}
	items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}, {Attr: imap.FetchBodySection, Peek: true}}
	for _, l := range list {
		name := strings.Replace(l.Mailbox, "Inbox", "INBOX", 1)
		mb, err := c.Select(ctx, l.Mailbox, imapclient.SelectOptions{ReadOnly: true})
		if err != nil {
			s.t.Fatalf("examine %s: %v", l.Mailbox, err)
		}
		boxes[name] = mb
		if mb.Exists == 0 {
			continue
		}
		msgs, _, err := c.Fetch(ctx, imapclient.Seq, numbers(s.t, "1:*"), items, imapclient.FetchOptions{})
		if err != nil || uint32(len(msgs)) != mb.Exists {
			s.t.Fatalf("fetch of %s: %d of %d messages, %v", name, len(msgs), mb.Exists, err)
		}
		for _, msg := range msgs {
			content := string(msg.Sections[0].Data)
			id := crashIDOf(content)
			have[id] = append(have[id], found{place{name, msg.UID, sortFlags(msg.Flags)}, content})
		}
	}
	for _, text := range m.check(have, boxes) {
		s.t.Error(text)
	}
	_ = c.Logout(ctx)
}

func TestCrashModelFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	box := func(next uint32) map[string]*imapclient.Mailbox {
		return map[string]*imapclient.Mailbox{"A": {UIDValidity: 1, UIDNext: next}}
	}
	at := func(uid uint32, flags, content string) []found {
		return []found{{place{"A", uid, flags}, content}}
	}
	for _, tc := range []struct {
		name  string
		have  map[string][]found
		boxes map[string]*imapclient.Mailbox
		want  string
	}{
		{"as acknowledged", map[string][]found{"x": at(3, "f", "c"), "y": at(4, "", "trace c")}, box(6), ""},
		{"unanswered is done", map[string][]found{"x": at(3, "f", "c"), "y": at(4, "", "trace c"), "z": at(5, "g", "c"), "z2": at(6, "g", "c")}, box(7), ""},
		{"lost", map[string][]found{"y": at(4, "", "trace c")}, box(6), `"x": nowhere`},
		{"doubled", map[string][]found{"x": append(at(3, "f", "c"), at(5, "f", "c")...), "y": at(4, "", "trace c")}, box(6), "2 times"},
		{"renumbered", map[string][]found{"x": at(5, "f", "c"), "y": at(4, "", "trace c")}, box(6), `"x": A uid 5`},
		{"unflagged", map[string][]found{"x": at(3, "", "c"), "y": at(4, "", "trace c")}, box(6), "flags ()"},
		{"changed", map[string][]found{"x": at(3, "f", "c2"), "y": at(4, "", "trace c")}, box(6), "has changed"},
		{"from nowhere", map[string][]found{"x": at(3, "f", "c"), "y": at(4, "", "trace c"), "q": at(5, "", "")}, box(6), "never sent"},
		{"UID used again", map[string][]found{"x": at(3, "f", "c"), "y": at(2, "", "trace c")}, box(6), "used before"},
		{"half", map[string][]found{"x": at(3, "f", "c"), "y": at(4, "", "trace c"), "z": at(5, "g", "c")}, box(6), "half of a command"},
		{"UIDNEXT goes back", map[string][]found{"x": at(3, "f", "c"), "y": at(4, "", "trace c")}, box(2), "UIDNEXT"},
		{"no mailbox", map[string][]found{"x": at(3, "f", "c"), "y": at(4, "", "trace c")}, nil, "is gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := newModel()
			if wrong := m.check(nil, box(3)); len(wrong) > 0 {
				t.Fatal(wrong)
			}
			m.add("x", "c", false)
			m.done(m.begin([]string{"x"}, func(place) place { return place{"A", 0, "f"} }), map[string]uint32{"x": 3})
			m.add("y", "c", true)
			m.done(m.begin([]string{"y"}, func(place) place { return place{mailbox: "A"} }), nil)
			m.add("z", "c", false)
			m.add("z2", "c", false)
			m.begin([]string{"z", "z2"}, func(place) place { return place{"A", 0, "g"} })
			wrong := strings.Join(m.check(tc.have, tc.boxes), "\n")
			if tc.want == "" && wrong != "" || !strings.Contains(wrong, tc.want) {
				t.Errorf("got %q, want %q", wrong, tc.want)
			}
		})
	}
}
