package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/safefile"
	"mox/store"
)

// pullBatch is how many messages are asked for in one command, and stored in one commit.
const pullBatch = 50

// maxSkipped is how many messages can be left out in a run.
const maxSkipped = 1000

// flagsBatch is for changes of flags, and deletions.
const flagsBatch = 500

// remoteMessage is a message of the other server.
type remoteMessage struct {
	uid     uint32
	flags   string
	gmailID uint64
}

// listing is what a mailbox has, or what has changed in it.
type listing struct {
	messages []remoteMessage
	vanished func(uid uint32) bool
}

// mailbox copies a mailbox.
func (p *puller) mailbox(ctx context.Context, b remoteBox) error {
	x, err := p.open(ctx, b)
	if err != nil {
		return final(err)
	}
	opts := imapclient.SelectOptions{ReadOnly: true, CondStore: p.condstore && !p.qresync}
	if p.qresync && x.state.ModSeq > 0 {
		opts.QResync = &imapclient.QResync{UIDValidity: x.state.UIDValidity, ModSeq: x.state.ModSeq}
	}
	m, err := p.c.Select(ctx, b.name, opts)
	if refused := (*imap.Error)(nil); errors.As(err, &refused) && refused.Type == imap.TypeNO {
		p.say("%s is left out, the server does not open it: %s", b.name, refused.Text)
		return nil
	} else if err != nil {
		return err
	}
	if x.state.UIDValidity != 0 && x.state.UIDValidity != m.UIDValidity {
		if err := x.rematch(ctx, m.Exists); err != nil {
			return err
		}
	}
	x.state.UIDValidity = m.UIDValidity
	l, err := x.changes(ctx, m)
	if err != nil {
		return err
	}
	var fresh, changed []remoteMessage
	for _, r := range l.messages {
		if i, ok := x.find(r.uid); !ok {
			fresh = append(fresh, r)
		} else if x.known[i].flags != r.flags {
			changed = append(changed, r)
		}
	}
	slices.SortFunc(fresh, func(a, b remoteMessage) int { return int(int64(a.uid) - int64(b.uid)) })
	for i, batch := 0, []remoteMessage(nil); i < len(fresh); i += len(batch) {
		batch = fresh[i:min(i+pullBatch, len(fresh))]
		p.say("%s: %d of %d new messages", b.name, i, len(fresh))
		if err := x.take(ctx, batch); err != nil {
			return err
		}
	}
	if err := x.setFlags(ctx, changed); err != nil {
		return err
	}
	if !p.opts.Keep {
		if err := x.remove(ctx, func(k known) bool { return l.vanished(k.remote) }); err != nil {
			return err
		}
	}
	x.state.ModSeq = m.HighestModSeq
	if x.missed {
		x.state.ModSeq = 0
	}
	return x.update(ctx, func(*store.Tx) error { return nil })
}

// changes asks for what has changed since the last time, as far as the server knows that,
// or else for everything.
func (x *boxPull) changes(ctx context.Context, m *imapclient.Mailbox) (l listing, err error) {
	p := x.p
	since := x.state.ModSeq
	if m.HighestModSeq == 0 || x.b.all || len(imapclient.All[imapclient.Malformed](m.Response)) > 0 {
		since = 0
	}
	if since > 0 && p.qresync {
		for _, f := range m.Changed {
			l.add(f)
		}
		var gone imap.Ranges
		for _, v := range m.Vanished {
			gone = gone.Union(v.UIDs.Resolve(0))
		}
		l.vanished = gone.Contains
		return l, nil
	}
	l.vanished = func(uint32) bool { return false }
	if since > 0 && since == m.HighestModSeq && int(m.Exists) == len(x.known) {
		return l, nil
	}
	seen := 0 // Messages; those that are missing are not taken for deleted, as a response may be lost.
	if m.Exists > 0 {
		opts := imapclient.FetchOptions{Gmail: p.gmail, ChangedSince: since, Each: func(f *imapclient.FetchData) error {
			seen++
			if x.b.all && p.elsewhere(f.GmailLabels) {
				return nil
			}
			if len(l.messages) > maxPullUIDs {
				return final(fmt.Errorf("mailbox has more than %d messages", maxPullUIDs))
			}
			l.add(f)
			return nil
		}}
		items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}}
		if _, _, err := p.c.Fetch(ctx, imapclient.UID, everything, items, opts); err != nil {
			return l, err
		}
	}
	var present imap.Ranges
	if since > 0 && m.Exists > 0 {
		r, err := p.c.Search(ctx, imapclient.UID, imap.SearchProgram{Key: imap.SearchKey{Op: imap.SearchSeq, Set: everything}}, imapclient.SearchOptions{})
		if err != nil {
			return l, err
		}
		seen = len(r.Nums)
		present = imap.NewRanges(r.Nums...)
	} else {
		uids := make([]uint32, len(l.messages))
		for i, r := range l.messages {
			uids[i] = r.uid
		}
		present = imap.NewRanges(uids...)
	}
	if seen >= int(m.Exists) {
		l.vanished = func(uid uint32) bool { return !present.Contains(uid) }
	}
	return l, nil
}

// everything is 1:*.
var everything = imap.NumSet{Ranges: []imap.NumRange{{First: 1}}}

// add adds a message, if the response has what is needed.
func (l *listing) add(f *imapclient.FetchData) {
	if f.UID == 0 || !f.Has(imap.FetchFlags) {
		return
	}
	l.messages = append(l.messages, remoteMessage{f.UID, flagNames(f.Flags), f.GmailID})
}

// flagNames returns flags as they are kept in notes.
func flagNames(flags []string) string {
	flags = slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return strings.EqualFold(f, imap.FlagNameRecent) })
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

// take stores new messages. One of Gmail that was copied to another mailbox is copied here.
func (x *boxPull) take(ctx context.Context, batch []remoteMessage) error {
	var fetch []remoteMessage
	for _, r := range batch {
		c, ok := x.p.ids[r.gmailID]
		if r.gmailID == 0 || !ok {
			fetch = append(fetch, r)
		} else if done, err := x.copy(ctx, r, c); err != nil {
			return err
		} else if !done {
			fetch = append(fetch, r)
		}
	}
	if len(fetch) == 0 {
		return nil
	}
	l, err := x.fetch(ctx, fetch)
	defer closePulled(l)
	refused := (*imap.Error)(nil)
	switch {
	case errors.As(err, &refused) && refused.Code != "":
		return err // Such as a limit, or a server in trouble: not because of a message.
	case errors.As(err, &refused) && refused.Type == imap.TypeNO && len(fetch) > 1:
		// One is to blame, the others are taken.
		for i := range fetch {
			if err := x.take(ctx, fetch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	case errors.As(err, &refused) && refused.Type == imap.TypeNO:
		x.p.say("%s: message with uid %d is left out this time: %s", x.b.name, fetch[0].uid, refused.Text)
		x.missed = true
		if x.p.res.Skipped++; x.p.res.Skipped > maxSkipped {
			return err
		}
		return nil
	case err != nil:
		return err
	}
	x.missed = x.missed || len(l) < len(fetch)
	return x.store(ctx, l, fetch)
}

// pulled is a message that was fetched.
type pulled struct {
	uid   uint32
	flags string
	date  time.Time
	spool *safefile.Spool // Nil for one that is left out.
}

func closePulled(l []pulled) {
	for _, m := range l {
		if m.spool != nil {
			_ = m.spool.Close() // A temporary file, which goes at the latest with the next start.
		}
	}
}

// fetch asks for messages.
func (x *boxPull) fetch(ctx context.Context, batch []remoteMessage) (l []pulled, err error) {
	uids := make([]uint32, len(batch))
	for i, r := range batch {
		uids[i] = r.uid
	}
	items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchFlags}, {Attr: imap.FetchInternalDate}, {Attr: imap.FetchBodySection, Peek: true}}
	var spool *safefile.Spool // Of the response that is being read.
	large := false
	write := func(r io.Reader) error {
		if spool != nil {
			return nil // A second one, which nobody has asked for.
		}
		spool = safefile.NewSpool(safefile.SpoolOptions{Dir: x.p.t.opts.TempDir, MaxSize: MaxMessageSize, CRLF: true})
		w := lenient{w: spool}
		_, err := io.Copy(&w, r)
		large = w.large
		return err
	}
	_, _, err = x.p.c.Fetch(ctx, imapclient.UID, imap.NewRanges(uids...).NumSet(), items, imapclient.FetchOptions{
		Literal: func(_ *imapclient.FetchData, _ *imapclient.FetchSection, r io.Reader) error { return write(r) },
		Each: func(f *imapclient.FetchData) error {
			if spool == nil && len(f.Sections) > 0 && !f.Sections[0].NIL { // A short one is not always a literal.
				if err := write(strings.NewReader(string(f.Sections[0].Data))); err != nil {
					return err
				}
			}
			m := pulled{f.UID, flagNames(f.Flags), f.InternalDate, spool}
			spool = nil
			if m.spool != nil && (large || m.spool.Size() == 0 || f.UID == 0) {
				x.p.say("%s: message with uid %d is empty or too large, and is left out", x.b.name, f.UID)
				if err := m.spool.Close(); err != nil {
					return err
				}
				m.spool = nil
			} else if m.spool == nil {
				return nil // It is about flags only.
			}
			l = append(l, m)
			return nil
		},
	})
	if spool != nil {
		_ = spool.Close() // The response was not complete.
	}
	return l, err
}

// store stores messages, and notes which they were.
func (x *boxPull) store(ctx context.Context, l []pulled, batch []remoteMessage) error {
	var msgs []store.NewMessage
	var stored []pulled
	for _, m := range l {
		if m.spool == nil {
			x.set(known{remote: m.uid, flags: m.flags})
			x.p.res.Skipped++
			continue
		}
		set := flagSet(m.flags)
		msgs = append(msgs, store.NewMessage{MailboxID: x.state.MailboxID, Spool: m.spool, Flags: set.Flags, Keywords: set.Keywords, Received: m.date})
		stored = append(stored, m)
	}
	if len(msgs) == 0 {
		return x.update(ctx, func(*store.Tx) error { return nil })
	}
	var uids []uint32
	_, err := x.p.a.AppendThen(ctx, func(tx *store.Tx, done []store.Message) error {
		uids = uids[:0]
		for i, m := range done {
			x.set(known{stored[i].uid, m.UID, stored[i].flags})
			uids = append(uids, m.UID)
		}
		return x.save(tx)
	}, msgs...)
	if err != nil {
		return final(err)
	}
	clear(x.dirty)
	x.p.res.Copied += len(msgs)
	metricMessages.WithLabelValues("pull").Add(float64(len(msgs)))
	for i, m := range stored {
		for _, r := range batch {
			if r.uid == m.uid && r.gmailID != 0 {
				x.p.ids[r.gmailID] = copied{x.state.MailboxID, uids[i]}
			}
		}
	}
	return nil
}

// copy takes a message from another mailbox of ours, and reports whether it was there.
func (x *boxPull) copy(ctx context.Context, r remoteMessage, c copied) (done bool, err error) {
	err = x.update(ctx, func(tx *store.Tx) error {
		l, err := tx.Copy(c.mailboxID, []uint32{c.uid}, x.state.MailboxID)
		if errors.Is(err, store.ErrNoMailbox) || err == nil && len(l) == 0 {
			return nil
		} else if err != nil {
			return err
		}
		done = true
		x.set(known{r.uid, l[0].Dst, r.flags})
		_, err = tx.SetFlags(x.state.MailboxID, []uint32{l[0].Dst}, store.FlagChange{Op: store.FlagsSet, FlagSet: flagSet(r.flags)}, -1)
		return err
	})
	if done && err == nil {
		x.p.res.Copied++
	}
	return done, err
}

// setFlags does here what was done to flags there.
func (x *boxPull) setFlags(ctx context.Context, changed []remoteMessage) error {
	for batch := range slices.Chunk(changed, flagsBatch) {
		type change struct{ old, now string }
		groups := map[change][]uint32{}
		for _, r := range batch {
			i, _ := x.find(r.uid)
			c := change{x.known[i].flags, r.flags}
			groups[c] = append(groups[c], x.known[i].local)
		}
		err := x.update(ctx, func(tx *store.Tx) error {
			for c, uids := range groups {
				old, now := flagSet(c.old), flagSet(c.now)
				for _, fc := range []store.FlagChange{
					{Op: store.FlagsAdd, FlagSet: minus(now, old)},
					{Op: store.FlagsRemove, FlagSet: minus(old, now)},
				} {
					if _, err := tx.SetFlags(x.state.MailboxID, uids, fc, -1); err != nil {
						return err
					}
				}
			}
			for _, r := range batch {
				i, _ := x.find(r.uid)
				x.set(known{r.uid, x.known[i].local, r.flags})
			}
			return nil
		})
		if err != nil {
			return err
		}
		x.p.res.Flags += len(batch)
	}
	return nil
}

// minus returns what is in a and not in b.
func minus(a, b imap.FlagSet) imap.FlagSet {
	a.Flags &^= b.Flags
	a.Keywords = slices.DeleteFunc(slices.Clone(a.Keywords), func(k string) bool { return slices.Contains(b.Keywords, k) })
	return a
}

// remove expunges the messages that gone is true for.
func (x *boxPull) remove(ctx context.Context, gone func(known) bool) error {
	var l []known
	for _, k := range x.known {
		if gone(k) {
			l = append(l, k)
		}
	}
	for batch := range slices.Chunk(l, flagsBatch) {
		drop := map[uint32]bool{}
		uids := []uint32{}
		for _, k := range batch {
			drop[k.remote] = true
			x.dirty[k.remote/pullBlock] = true
			if k.local != 0 {
				uids = append(uids, k.local)
			}
		}
		x.known = slices.DeleteFunc(x.known, func(k known) bool { return drop[k.remote] })
		err := x.update(ctx, func(tx *store.Tx) error {
			_, err := tx.Expunge(x.state.MailboxID, uids, false)
			return err
		})
		if err != nil {
			return err
		}
		x.p.res.Deleted += len(batch)
	}
	return nil
}

// rematch finds out which messages are which when a mailbox has got a new UIDVALIDITY, by
// size and date, so that they need not be copied again.
func (x *boxPull) rematch(ctx context.Context, exists uint32) error {
	ix, err := x.p.a.Index(ctx, x.state.MailboxID)
	if err != nil {
		return final(err)
	}
	type mark struct{ size, date int64 }
	old := map[mark][]known{}
	for _, k := range x.known {
		if pos, ok := ix.Find(k.local); ok {
			e := ix.At(pos)
			m := mark{e.Size, e.ReceivedUnix()}
			old[m] = append(old[m], k)
		}
	}
	var found []known
	if exists > 0 {
		items := []imap.FetchItem{{Attr: imap.FetchUID}, {Attr: imap.FetchInternalDate}, {Attr: imap.FetchRFC822Size}}
		_, _, err = x.p.c.Fetch(ctx, imapclient.UID, everything, items, imapclient.FetchOptions{Each: func(f *imapclient.FetchData) error {
			m := mark{f.Size, f.InternalDate.Unix()}
			if l := old[m]; len(l) > 0 {
				found = append(found, known{f.UID, l[0].local, l[0].flags})
				old[m] = l[1:]
			}
			return nil
		}})
		if err != nil {
			return err
		}
	}
	left := map[uint32]bool{}
	for _, l := range old {
		for _, k := range l {
			left[k.remote] = true
		}
	}
	x.p.say("%s has a new UIDVALIDITY, %d of %d messages are the same", x.b.name, len(found), len(x.known))
	if !x.p.opts.Keep {
		if err := x.remove(ctx, func(k known) bool { return left[k.remote] }); err != nil {
			return err
		}
	}
	x.forget()
	for _, k := range found {
		x.set(k)
	}
	return nil
}
