package imapserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/safefile"
	"mox/store"
)

// cache is what a client of QRESYNC keeps of a mailbox.
type cache struct {
	validity uint32
	modSeq   uint64
	flags    map[uint32]string // By UID.
}

// apply takes responses in the order in which they came.
func (k *cache) apply(t *testing.T, untagged []imapclient.Untagged, exists *int) {
	for _, u := range untagged {
		switch u := u.(type) {
		case imapclient.Exists:
			*exists = int(u)
		case imapclient.Vanished:
			for uid := range u.UIDs.Resolve(0).All() {
				delete(k.flags, uid)
				if !u.Earlier {
					*exists--
				}
			}
		case imapclient.Expunge:
			t.Error("EXPUNGE with QRESYNC")
		case *imapclient.FetchData:
			if u.UID == 0 || u.ModSeq == 0 {
				t.Errorf("FETCH without UID or MODSEQ: %+v", u)
			}
			if u.Flags != nil {
				k.flags[u.UID] = flagText(u.Flags)
			}
		case imapclient.Status:
			if u.Code.Name == imap.CodeHighestModSeq {
				k.modSeq = max(k.modSeq, u.Code.Num)
			}
		}
	}
}

func flagText(flags []string) string {
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

func imapClient(t *testing.T, ts *testServer) *imapclient.Client {
	t.Helper()
	nc, err := ts.dial(t.Context(), "raw")
	if err != nil {
		t.Fatal(err)
	}
	c, err := imapclient.New(t.Context(), nc, imapclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Login(t.Context(), "mjl@mox.example", "test1234"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enable(t.Context(), imap.CapQResync); err != nil {
		t.Fatal(err)
	}
	return c
}

// writer changes a mailbox at random until the context ends.
func writer(ctx context.Context, t *testing.T, c *imapclient.Client, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	if _, err := c.Select(t.Context(), imap.Inbox, imapclient.SelectOptions{}); err != nil {
		t.Error(err)
		return
	}
	for ctx.Err() == nil {
		first := uint32(rnd.IntN(60) + 1)
		set := imap.NumSet{Ranges: []imap.NumRange{{First: first, Last: first + uint32(rnd.IntN(5))}}}
		var err error
		switch n := rnd.IntN(10); {
		case n < 2:
			_, _, err = c.Append(t.Context(), imap.Inbox, imapclient.StringMessage(fmt.Sprintf("Subject: %d\r\n\r\n", rnd.Int())))
		case n < 6:
			actions := []imapclient.StoreAction{imapclient.StoreAdd, imapclient.StoreRemove, imapclient.StoreSet}
			flag := []string{`\Seen`, `\Flagged`, "word"}[rnd.IntN(3)]
			_, _, err = c.Store(t.Context(), imapclient.UID, set, actions[rnd.IntN(3)], []string{flag}, imapclient.StoreOptions{Silent: rnd.IntN(2) == 0})
		case n < 7:
			_, _, err = c.Store(t.Context(), imapclient.UID, set, imapclient.StoreAdd, []string{`\Deleted`}, imapclient.StoreOptions{})
		case n < 8:
			_, err = c.Expunge(t.Context())
		case n < 9:
			_, _, err = c.Copy(t.Context(), imapclient.UID, set, imap.Inbox)
		default:
			_, _, err = c.Move(t.Context(), imapclient.UID, set, imap.Inbox)
		}
		if e := (*imap.Error)(nil); err != nil && !errors.As(err, &e) {
			t.Error(err)
			return
		}
	}
}

// A client that goes away and comes back while two others change the mailbox knows, each
// time it looks, what one knows that reads everything. It also forgets often, so that
// history has been pruned.
func TestResynchronizingClientKnowsAll(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{store: func(o *store.Options) {
		o.FS, o.Tombstones = noSync{safefile.OS}, 20
	}})
	fill(t, ts.store, 50)
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for i := range 2 {
		c := imapClient(t, ts)
		writers.Go(func() { writer(ctx, t, c, uint64(i)) })
	}
	k := &cache{flags: map[uint32]string{}}
	rnd := rand.New(rand.NewPCG(7, 7))
	const rounds = 60
	for i := range rounds {
		if i == rounds-1 {
			cancel()
			writers.Wait()
		}
		k.round(t, imapClient(t, ts), rnd)
		if t.Failed() {
			break
		}
	}
	cancel()
	writers.Wait()
	k.check(t, imapClient(t, ts))
}

// round selects the mailbox with what the cache knows, and looks at it for a while.
func (k *cache) round(t *testing.T, c *imapclient.Client, rnd *rand.Rand) {
	var opts imapclient.SelectOptions
	if k.validity != 0 {
		opts.QResync = &imapclient.QResync{UIDValidity: k.validity, ModSeq: k.modSeq}
		if rnd.IntN(2) == 0 {
			opts.QResync.KnownUIDs = k.uids()
		}
	}
	mb, err := c.Select(t.Context(), imap.Inbox, opts)
	if err != nil {
		t.Fatal(err)
	}
	exists := 0
	k.apply(t, mb.Response.Untagged, &exists)
	if k.validity == 0 {
		k.fetchAll(t, c, &exists)
	} else if opts.QResync.KnownUIDs != nil {
		k.fetchNew(t, c, &exists, opts.QResync.ModSeq)
	}
	k.validity = mb.UIDValidity
	for range rnd.IntN(4) {
		resp, err := c.Noop(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		k.apply(t, resp.Untagged, &exists)
		k.fetchNew(t, c, &exists, k.modSeq)
	}
	for i := 0; len(k.flags) != exists && i < 100; i++ {
		k.fetchNew(t, c, &exists, k.modSeq) // Which, at its end, may tell of more.
	}
	if len(k.flags) != exists {
		t.Errorf("%d messages in the cache, %d exist", len(k.flags), exists)
	}
	st, err := c.Status(t.Context(), imap.Inbox, imap.StatusHighestModSeq)
	if err != nil || st.Items[imap.StatusHighestModSeq] < k.modSeq {
		t.Errorf("HIGHESTMODSEQ %d told, status %v, %v", k.modSeq, st, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func (k *cache) uids() (r imap.Ranges) {
	for uid := range k.flags {
		r.Add(uid)
	}
	return r
}

func (k *cache) fetch(t *testing.T, c *imapclient.Client, exists *int, first uint32, opts imapclient.FetchOptions) {
	t.Helper()
	items := []imap.FetchItem{{Attr: imap.FetchFlags}, {Attr: imap.FetchModSeq}}
	_, resp, err := c.Fetch(t.Context(), imapclient.UID, imap.NumSet{Ranges: []imap.NumRange{{First: first}}}, items, opts)
	if err != nil {
		t.Fatal(err)
	}
	k.apply(t, resp.Untagged, exists)
}

func (k *cache) fetchAll(t *testing.T, c *imapclient.Client, exists *int) {
	k.fetch(t, c, exists, 1, imapclient.FetchOptions{})
}

// fetchNew asks for messages that the cache does not have.
func (k *cache) fetchNew(t *testing.T, c *imapclient.Client, exists *int, since uint64) {
	k.fetch(t, c, exists, 1, imapclient.FetchOptions{ChangedSince: since})
}

// check compares with what is in the mailbox.
func (k *cache) check(t *testing.T, c *imapclient.Client) {
	want := &cache{flags: map[uint32]string{}}
	if _, err := c.Select(t.Context(), imap.Inbox, imapclient.SelectOptions{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	var exists int
	want.fetchAll(t, c, &exists)
	for uid, flags := range want.flags {
		if got, ok := k.flags[uid]; !ok || got != flags {
			t.Errorf("uid %d has flags %q, cache %q, %v", uid, flags, got, ok)
		}
	}
	for uid := range k.flags {
		if _, ok := want.flags[uid]; !ok {
			t.Errorf("uid %d is gone", uid)
		}
	}
	if len(want.flags) == 0 {
		t.Error("nothing is left to compare")
	}
}
