package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
)

const (
	stressClients = 20

	// stressMessages is about how many messages there are in each mailbox, at most.
	stressMessages = 300
)

// stressMailboxes are the mailboxes that all clients change.
var stressMailboxes = []string{"INBOX", "Archive", "Stress/Füße"}

// stressTime is how long clients do what they like: 10 seconds, in CI a minute, and 5
// minutes in the long form.
func stressTime() time.Duration {
	switch {
	case soak():
		return 5 * time.Minute
	case os.Getenv("CI") != "":
		return time.Minute
	}
	return 10 * time.Second
}

// TestStress has many clients do random things with the mailboxes of one account, each
// with extensions of its own, and compares all that they are told with what may be told:
// a [mirror] has the rules. In the end all agree on what is in the mailboxes.
func TestStress(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{loglevel: "error"})
	ctx := testContext(t)
	if _, err := s.imap(user, password).Create(ctx, stressMailboxes[2]); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d clients, %v", seed, stressClients, stressTime())
	end := time.Now().Add(stressTime())
	var wg sync.WaitGroup
	var commands, told atomic.Int64
	clients := make([]*stressClient, stressClients)
	for i := range clients {
		c := &stressClient{s: s, rand: rand.New(rand.NewPCG(seed, uint64(i))), name: i, caches: map[string]mirrorCache{}}
		clients[i] = c
		wg.Go(func() {
			defer func() { commands.Add(c.commands); told.Add(c.told) }()
			for time.Now().Before(end) && !t.Failed() {
				if err := c.session(ctx, end); err != nil {
					t.Errorf("client %d (%s): %v\nlast: %s", i, c.mode(), err, strings.Join(c.log, "\n      "))
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d commands, %d untagged responses", commands.Load(), told.Load())
	for _, mailbox := range stressMailboxes {
		checkStressEnd(t, s, clients, mailbox)
	}
}

// checkStressEnd compares counts and flags of a mailbox by all ways to learn them, and
// with what clients with QRESYNC know when they have resynchronized.
func checkStressEnd(t *testing.T, s *server, clients []*stressClient, mailbox string) {
	t.Helper()
	ctx := testContext(t)
	want := fetchMirror(t, s, mailbox)
	c := s.imap(user, password)
	status, err := c.Status(ctx, mailbox, imap.StatusMessages, imap.StatusUnseen, imap.StatusDeleted, imap.StatusSize, imap.StatusUIDNext)
	if err != nil {
		t.Fatal(err)
	}
	got := map[imap.StatusItem]uint64{imap.StatusMessages: 0, imap.StatusUnseen: 0, imap.StatusDeleted: 0}
	for _, m := range want {
		got[imap.StatusMessages]++
		if !slices.Contains(m.flags, `\Seen`) {
			got[imap.StatusUnseen]++
		}
		if slices.Contains(m.flags, `\Deleted`) {
			got[imap.StatusDeleted]++
		}
	}
	for item, n := range got {
		if status.Items[item] != n {
			t.Errorf("%s: STATUS says %s %d, FETCH %d", mailbox, item, status.Items[item], n)
		}
	}
	for _, c := range clients {
		cache, ok := c.caches[mailbox]
		if !ok {
			continue
		}
		c.filter = ""
		if err := c.connect(ctx, true); err != nil {
			t.Fatal(err)
		}
		if err := c.open(ctx, mailbox); err != nil {
			t.Errorf("%s: client %d: %v", mailbox, c.name, err)
			continue
		}
		if err := c.m.compare(want); err != nil {
			t.Errorf("%s: client %d after resynchronization from %d: %v", mailbox, c.name, cache.modseq, err)
		}
		_ = c.c.Close() // It was only asked.
	}
}

// fetchMirror returns what a new client is told of a mailbox, by UID.
func fetchMirror(t *testing.T, s *server, mailbox string) map[uint32]mirrored {
	t.Helper()
	ctx := testContext(t)
	c := s.imap(user, password)
	if _, err := c.Select(ctx, mailbox, imapclient.SelectOptions{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	all := map[uint32]mirrored{}
	_, _, err := c.Fetch(ctx, imapclient.Seq, numbers(t, "1:*"), []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}, {Attr: imap.FetchModSeq}}, imapclient.FetchOptions{Each: func(f *imapclient.FetchData) error {
		all[f.UID] = mirrored{f.UID, sortedFlags(f.Flags), f.ModSeq}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A stressClient does random things.
type stressClient struct {
	s    *server
	rand *rand.Rand
	name int

	c        *imapclient.Client
	m        *mirror
	qresync  bool
	filter   imapclient.NotifyFilter // Of NOTIFY, empty for none.
	caches   map[string]mirrorCache  // What is known of mailboxes, for QRESYNC.
	appended int
	commands int64
	told     int64
	log      []string // Last commands.
}

// A mirrorCache is what a client keeps of a mailbox that it leaves.
type mirrorCache struct {
	validity uint32
	modseq   uint64
	messages map[uint32]mirrored
}

func (c *stressClient) mode() string {
	if c.qresync {
		return "QRESYNC " + string(c.filter)
	}
	return "EXPUNGE " + string(c.filter)
}

// connect logs in.
func (c *stressClient) connect(ctx context.Context, qresync bool) error {
	nc := c.s.dial("imap")
	c.m, c.qresync = nil, qresync
	var err error
	c.c, err = imapclient.New(ctx, nc, imapclient.Options{OnUntagged: func(u imapclient.Untagged) {
		c.told++
		if c.m != nil {
			c.m.tell(u)
		}
	}})
	if err != nil {
		return err
	}
	if _, err := c.c.Login(ctx, user, password); err != nil {
		return err
	}
	if qresync {
		_, err = c.c.Enable(ctx, "QRESYNC")
	}
	return err
}

// session is a connection with some mailboxes one after another.
func (c *stressClient) session(ctx context.Context, end time.Time) error {
	if err := c.connect(ctx, c.name%2 == 0); err != nil {
		return err
	}
	c.filter = []imapclient.NotifyFilter{"", "", imapclient.NotifySelected, imapclient.NotifySelectedDelayed}[c.rand.IntN(4)]
	defer c.c.Close() // Some sessions end without LOGOUT.
	for range 1 + c.rand.IntN(4) {
		mailbox := stressMailboxes[c.rand.IntN(len(stressMailboxes))]
		if err := c.open(ctx, mailbox); err != nil {
			return fmt.Errorf("open %s: %w", mailbox, err)
		}
		for range 5 + c.rand.IntN(40) {
			if time.Now().After(end) {
				break
			}
			c.commands++
			if err := c.step(ctx); err != nil {
				return err
			}
		}
		if err := c.verify(ctx); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if c.qresync {
			c.caches[mailbox] = mirrorCache{c.m.validity, c.m.synced, c.m.byUID()}
		}
	}
	if c.rand.IntN(2) == 0 {
		return c.c.Logout(ctx)
	}
	return nil
}

// open selects a mailbox, with what is known of it, and learns the rest.
func (c *stressClient) open(ctx context.Context, mailbox string) error {
	c.note("SELECT " + mailbox)
	opts := imapclient.SelectOptions{}
	cache, known := c.caches[mailbox]
	if c.qresync && known {
		opts.QResync = &imapclient.QResync{UIDValidity: cache.validity, ModSeq: cache.modseq}
		if c.rand.IntN(2) == 0 {
			opts.QResync.KnownUIDs = imap.NewRanges(slices.Collect(maps.Keys(cache.messages))...)
		}
	}
	c.m = nil
	box, err := c.c.Select(ctx, mailbox, opts)
	if err != nil {
		return err
	}
	if c.m, err = newMirror(box, cache, c.qresync, opts.QResync != nil && len(opts.QResync.KnownUIDs) > 0); err != nil {
		return err
	}
	if err := c.notify(ctx); err != nil {
		return err
	}
	return c.fetchAll(ctx)
}

// notify asks to be told all that happens in the selected mailbox, in some sessions.
func (c *stressClient) notify(ctx context.Context) error {
	c.m.loose = c.filter == imapclient.NotifySelected
	if c.filter == "" {
		return nil
	}
	return c.run("NOTIFY", func() error {
		_, err := c.c.Notify(ctx, []imapclient.NotifyGroup{{Filter: c.filter,
			Events: []imapclient.NotifyEvent{imapclient.EventMessageNew, imapclient.EventMessageExpunge, imapclient.EventFlagChange},
			Items:  []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}, {Attr: imap.FetchModSeq}}}}, imapclient.NotifyOptions{})
		return err
	})
}

// fetchAll asks for UIDs and flags of all messages, after which they must be known.
func (c *stressClient) fetchAll(ctx context.Context) error {
	items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}}
	if c.qresync {
		items = append(items, imap.FetchItem{Attr: imap.FetchModSeq})
	}
	n := len(c.m.messages)
	asked := map[uint32]bool{}
	kind := c.kind()
	err := c.run(named(kind, "FETCH"), func() error {
		_, _, err := c.c.Fetch(ctx, kind, starSet(), items, imapclient.FetchOptions{Each: func(f *imapclient.FetchData) error {
			asked[f.UID] = true
			return nil
		}})
		return err
	})
	if err != nil || n == 0 {
		return err
	}
	last := uint32(0)
	for uid := range asked {
		last = max(last, uid)
	}
	// Some may be known to be gone now, or have been removed: then the next command tells.
	if err := c.run("NOOP", func() error { _, err := c.c.Noop(ctx); return err }); err != nil {
		return err
	}
	for i, e := range c.m.messages {
		if e.uid != 0 && e.uid <= last && !asked[e.uid] {
			return fmt.Errorf("message %d (UID %d) was not told in FETCH of all, and is there", i+1, e.uid)
		}
	}
	return nil
}

// kind is what numbers a client uses: UIDs only, if sequence numbers change at any time.
func (c *stressClient) kind() imapclient.NumKind {
	if c.m.loose || c.rand.IntN(2) == 0 {
		return imapclient.UID
	}
	return imapclient.Seq
}

// named returns the name of a command with numbers.
func named(kind imapclient.NumKind, command string) string {
	if kind == imapclient.UID {
		return "UID " + command
	}
	return command
}

// verify has all changes told, and all messages.
func (c *stressClient) verify(ctx context.Context) error {
	if err := c.run("NOOP", func() error { _, err := c.c.Noop(ctx); return err }); err != nil {
		return err
	}
	c.m.settled()
	return c.fetchAll(ctx)
}

// run runs a command, during which the mirror keeps to the rules for it. Refusals that
// others bring about are fine.
func (c *stressClient) run(name string, command func() error) error {
	c.note(name)
	word, _, _ := strings.Cut(name, " ")
	c.m.begin(word)
	err := command()
	c.m.end()
	return errors.Join(refused(err), c.m.err)
}

// note remembers a command for a failure.
func (c *stressClient) note(s string) {
	c.log = append(c.log, fmt.Sprintf("%s %s", time.Now().Format("05.000"), s))
	if len(c.log) > 8 {
		c.log = c.log[1:]
	}
}

// refused returns an error that is none of a message that was removed by others.
func refused(err error) error {
	var e *imap.Error
	if errors.As(err, &e) && e.Type == imap.TypeNO && (e.Code == imap.CodeExpungeIssued || e.Code == imap.CodeNonExistent) {
		return nil
	}
	return err
}

func starSet() imap.NumSet {
	return imap.NumSet{Ranges: []imap.NumRange{{First: 1, Last: 0}}}
}
