package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mox/imap"
	"mox/imapclient"
)

// step is a random command.
func (c *stressClient) step(ctx context.Context) error {
	if len(c.m.messages) < 5 {
		return c.append(ctx)
	}
	steps := []struct {
		weight int
		run    func(context.Context) error
	}{
		{3, c.noop}, {3, c.append}, {6, c.store}, {4, c.storeUnchanged}, {5, c.fetch}, {3, c.search}, {2, c.copy}, {2, c.move}, {3, c.expunge}, {1, c.status}, {3, c.wait},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := c.rand.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			return s.run(ctx)
		}
	}
	return nil
}

// some returns a random range of up to 20 messages, as numbers of a random kind.
func (c *stressClient) some() (imapclient.NumKind, imap.NumSet) {
	n := len(c.m.messages)
	kind := c.kind()
	if n == 0 {
		return imapclient.UID, imap.NewRanges(uint32(1)).NumSet()
	}
	first := c.rand.IntN(n)
	last := min(n-1, first+c.rand.IntN(20))
	if kind == imapclient.Seq {
		var r imap.Ranges
		r.AddRange(uint32(first+1), uint32(last+1))
		return kind, r.NumSet()
	}
	r := imap.NewRanges(uint32(1)) // It can be gone, which is no error.
	for _, e := range c.m.messages[first : last+1] {
		if e.uid != 0 {
			r.Add(e.uid)
		}
	}
	return kind, r.NumSet()
}

func (c *stressClient) noop(ctx context.Context) error {
	if err := c.run("NOOP", func() error { _, err := c.c.Noop(ctx); return err }); err != nil {
		return err
	}
	c.m.settled()
	return nil
}

func (c *stressClient) append(ctx context.Context) error {
	var l []imapclient.Message
	for range 1 + c.rand.IntN(3) {
		c.appended++
		l = append(l, imapclient.StringMessage(simple(fmt.Sprintf("stress %d %d", c.name, c.appended)), c.flags()...))
	}
	mailbox := c.mailbox()
	return c.run("APPEND "+mailbox, func() error { _, _, err := c.c.Append(ctx, mailbox, l...); return err })
}

func (c *stressClient) mailbox() string { return stressMailboxes[c.rand.IntN(len(stressMailboxes))] }

// flags returns random flags without \Deleted, of which there may be none.
func (c *stressClient) flags() (flags []string) {
	for _, f := range []string{`\Seen`, `\Flagged`, `\Answered`, `\Draft`, "stress", "other"} {
		if c.rand.IntN(3) == 0 {
			flags = append(flags, f)
		}
	}
	return flags
}

func (c *stressClient) store(ctx context.Context) error {
	kind, set := c.some()
	action := []imapclient.StoreAction{imapclient.StoreAdd, imapclient.StoreRemove, imapclient.StoreSet}[c.rand.IntN(3)]
	flags := append(c.flags(), "touched")
	silent := c.rand.IntN(2) == 0
	return c.run(fmt.Sprintf("%s %s %s %v %v", named(kind, "STORE"), set, action, flags, silent), func() error {
		_, _, err := c.c.Store(ctx, kind, set, action, flags, imapclient.StoreOptions{Silent: silent})
		return err
	})
}

// storeUnchanged changes only messages that have not changed since a time, and checks that
// those which are known to have are left out. RFC 7162 §3.1.3
func (c *stressClient) storeUnchanged(ctx context.Context) error {
	if !c.qresync {
		return c.store(ctx)
	}
	kind, set := c.some()
	numbers := set.Resolve(^uint32(0))
	since := c.m.messages[c.rand.IntN(len(c.m.messages))].modseq
	if since == 0 {
		since = c.m.synced
	}
	asked := map[uint32]uint32{} // Number by UID.
	late := map[uint32]bool{}    // Changed after since, by UID.
	for i, e := range c.m.messages {
		n := uint32(i + 1)
		if kind == imapclient.UID {
			n = e.uid
		}
		if e.uid != 0 && numbers.Contains(n) {
			asked[e.uid], late[e.uid] = n, e.modseq > since
		}
	}
	var modified imap.Ranges
	err := c.run(fmt.Sprintf("%s %s UNCHANGEDSINCE %d", named(kind, "STORE"), set, since), func() error {
		_, resp, err := c.c.Store(ctx, kind, set, imapclient.StoreAdd, []string{"unchanged"}, imapclient.StoreOptions{Silent: true, UnchangedSince: &since})
		if err != nil {
			return err
		}
		code, _ := resp.Code(imap.CodeModified)
		modified = code.UIDs.Resolve(^uint32(0))
		return nil
	})
	if err != nil {
		return err
	}
	if other := modified.Subtract(numbers); len(other) > 0 {
		return fmt.Errorf("MODIFIED %s has %s, which were not asked for", modified, other)
	}
	// What is gone, as it is told now, was not changed either, and is not in MODIFIED.
	if err := c.noop(ctx); err != nil {
		return err
	}
	there := c.m.byUID()
	for uid, n := range asked {
		if _, ok := there[uid]; ok && late[uid] && !modified.Contains(n) {
			return fmt.Errorf("message with UID %d was changed, which had changed since %d: MODIFIED %s", uid, since, modified)
		}
	}
	return nil
}

func (c *stressClient) fetch(ctx context.Context) error {
	kind, set := c.some()
	items := [][]imap.FetchItem{
		{{Attr: imap.FetchFlags}},
		{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}, {Attr: imap.FetchEnvelope}, {Attr: imap.FetchBodyStructure}},
		{{Attr: imap.FetchUID}, {Attr: imap.FetchBodySection}},
		{{Attr: imap.FetchUID}, {Attr: imap.FetchBodySection, Peek: true}, {Attr: imap.FetchRFC822Size}},
	}[c.rand.IntN(4)]
	return c.run(named(kind, "FETCH")+" "+set.String(), func() error {
		_, _, err := c.c.Fetch(ctx, kind, set, items, imapclient.FetchOptions{Each: func(f *imapclient.FetchData) error {
			for _, s := range f.Sections {
				if !strings.HasPrefix(string(s.Data), "From: <sender@remote.example>\r\n") || f.Size != 0 && f.Size != int64(len(s.Data)) {
					return fmt.Errorf("message %d (UID %d) is %q, with size %d", f.Seq, f.UID, s.Data, f.Size)
				}
			}
			return nil
		}})
		return err
	})
}

func (c *stressClient) search(ctx context.Context) error {
	kind := c.kind()
	key := []imap.SearchKey{{Op: imap.SearchAll}, {Op: imap.SearchFlag, Flag: imap.FlagFlagged}, {Op: imap.SearchNotFlag, Flag: imap.FlagSeen}}[c.rand.IntN(3)]
	n := len(c.m.messages)
	return c.run(named(kind, "SEARCH"), func() error {
		res, err := c.c.Search(ctx, kind, imap.SearchProgram{Key: key}, imapclient.SearchOptions{})
		if err != nil {
			return err
		}
		last := uint32(0)
		for _, num := range res.Nums {
			if num <= last || kind == imapclient.Seq && int(num) > max(n, len(c.m.messages)) {
				return fmt.Errorf("found %v in %d messages", res.Nums, n)
			}
			last = num
		}
		if kind == imapclient.Seq && key.Op == imap.SearchAll && len(res.Nums) < n {
			return fmt.Errorf("found %d of %d messages", len(res.Nums), n)
		}
		return nil
	})
}

func (c *stressClient) copy(ctx context.Context) error {
	if len(c.m.messages) > stressMessages {
		return c.expunge(ctx)
	}
	kind, set := c.some()
	mailbox := c.mailbox()
	return c.run(named(kind, "COPY")+" "+set.String()+" "+mailbox, func() error {
		copied, _, err := c.c.Copy(ctx, kind, set, mailbox)
		if err == nil && copied.Source.Resolve(0).Count() != copied.UIDs.Resolve(0).Count() {
			err = fmt.Errorf("COPYUID %s %s", copied.Source, copied.UIDs)
		}
		return err
	})
}

func (c *stressClient) move(ctx context.Context) error {
	kind, set := c.some()
	mailbox := c.mailbox()
	return c.run(named(kind, "MOVE")+" "+set.String()+" "+mailbox, func() error { _, _, err := c.c.Move(ctx, kind, set, mailbox); return err })
}

// expunge marks some messages as deleted, and removes these or all that are marked.
func (c *stressClient) expunge(ctx context.Context) error {
	kind, set := c.some()
	err := c.run(named(kind, "STORE")+" "+set.String()+` \Deleted`, func() error {
		_, _, err := c.c.Store(ctx, kind, set, imapclient.StoreAdd, []string{`\Deleted`}, imapclient.StoreOptions{})
		return err
	})
	if err != nil {
		return err
	}
	if kind == imapclient.UID {
		return c.run("UID EXPUNGE "+set.String(), func() error { _, err := c.c.UIDExpunge(ctx, set); return err })
	}
	return c.run("EXPUNGE", func() error { _, err := c.c.Expunge(ctx); return err })
}

func (c *stressClient) status(ctx context.Context) error {
	mailbox := c.mailbox()
	return c.run("STATUS", func() error {
		status, err := c.c.Status(ctx, mailbox, imap.StatusMessages, imap.StatusUnseen, imap.StatusUIDNext)
		if err == nil && (status.Items[imap.StatusUnseen] > status.Items[imap.StatusMessages] || status.Items[imap.StatusMessages] >= status.Items[imap.StatusUIDNext]) {
			err = fmt.Errorf("STATUS of %s: %v", mailbox, status.Items)
		}
		return err
	})
}

// wait waits for up to a tenth of a second with IDLE, or for what NOTIFY tells.
func (c *stressClient) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.rand.IntN(100))*time.Millisecond)
	defer cancel()
	told := c.rand.IntN(5)
	each := func(imapclient.Untagged) error {
		if told--; told < 0 {
			return imapclient.ErrStopIdle
		}
		return nil
	}
	if c.filter == "" || c.rand.IntN(2) == 0 {
		return c.run("IDLE", func() error { return c.c.Idle(ctx, each) })
	}
	return c.run("", func() error { return c.c.Listen(ctx, each) })
}
