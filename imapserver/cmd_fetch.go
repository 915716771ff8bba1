package imapserver

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/search"
	"mox/message"
	"mox/mlog"
	"mox/store"
)

// FETCH, UID FETCH. RFC 9051 §6.4.5, RFC 3501 §6.4.5, RFC 3516, RFC 8474 §5, RFC 8514 §4.2
// with CHANGEDSINCE, VANISHED and MODSEQ of RFC 7162, PARTIAL of RFC 9394, and PREVIEW of
// RFC 8970.
//
// What a message is asked for decides what is read of it: the index, its digest, or its
// file. One that cannot be read does not fail the command: its data is NIL or left out,
// the others are sent, and the command ends with NO.

// fetchRequest has the arguments of FETCH.
type fetchRequest struct {
	uid   bool
	set   imap.NumSet
	items []imap.FetchItem
	fetchModifiers
}

func (r *fetchRequest) setUID() { r.uid = true }

// parseFetch parses a number set and data items.
//
//	fetch = "FETCH" SP sequence-set SP
//	        ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
//	        [fetch-modifiers]
func parseFetch(d *wire.Decoder) *fetchRequest {
	req := &fetchRequest{}
	d.NeedSP()
	req.set = d.NeedNumSet()
	d.NeedSP()
	req.items = d.NeedFetchItems()
	req.fetchModifiers = parseFetchModifiers(d)
	return req
}

func runFetch(ctx context.Context, s *selected, req *fetchRequest) (reply, error) {
	if err := s.checkFetch(req); err != nil {
		return reply{}, err
	}
	intervals, err := s.positions(req.set, req.uid)
	if err != nil {
		return reply{}, err
	}
	if req.partial != nil {
		intervals = partial(intervals, *req.partial)
	}
	f := fetcher{selected: s, ctx: ctx, fetchModifiers: req.fetchModifiers, intervals: intervals}
	f.compile(req)
	if req.vanished {
		if err := s.fetchVanished(ctx, req); err != nil {
			return reply{}, err
		}
	}
	if f.latest, err = s.latest(ctx); err != nil {
		return reply{}, err
	}
	lowest, err := f.limit()
	if err != nil {
		return reply{}, err
	}
	if f.needs != needsIndex {
		// Message data is in the transcript only where that is asked for.
		s.c.io.level = mlog.LevelTracedata
		defer func() { s.c.flush(); s.c.io.level = 0 }()
	}
	if err := f.run(); err != nil {
		return reply{}, err
	}
	if err := f.markSeen(); err != nil {
		return reply{}, err
	}
	rep, err := f.reply()
	if err != nil {
		s.c.replyLimit(&reply{code: imap.CodeCorruption, lowest: lowest})
	}
	rep.lowest = lowest
	return rep, err
}

// needs says how much of a message must be read.
type needs uint8

const (
	needsIndex needs = iota
	needsDigest
	needsFile
)

// fetcher runs a FETCH.
type fetcher struct {
	*selected
	ctx context.Context
	fetchModifiers
	intervals []interval
	limited   []int // Positions, instead of the intervals if they have too many messages.
	items     []fetchItem
	needs     needs
	setsSeen  bool
	hasFlags  bool // FLAGS are asked for.
	hasModSeq bool // MODSEQ is asked for.

	// latest is the newest version of the mailbox, from which flags are told.
	latest *store.Index

	batch []int   // Positions of messages whose digests are needed.
	ids   []int64 // Their content ids.
	buf   []byte  // For parts of headers.
	body  bodyReader

	seen       []uint32 // UIDs to mark \Seen, ascending.
	failed     int      // Messages that could not be read.
	expunged   bool     // Some were expunged by another session.
	unknownCTE bool
}

// fetchItem is an item with what can be worked out before the messages are known.
type fetchItem struct {
	imap.FetchItem
	name   string   // In the response, with a space behind it.
	fields [][]byte // For HEADER.FIELDS.
	needs  needs
}

// compile prepares the items, each once. UID FETCH implies UID (RFC 9051 §6.4.9), but for
// clients that need no UID in a response that has it in front (RFC 9586 §3.3), and
// CHANGEDSINCE implies MODSEQ (RFC 7162 §3.1.4.1).
func (f *fetcher) compile(req *fetchRequest) {
	items := req.items
	if req.uid && !f.uidOnly {
		items = append([]imap.FetchItem{{Attr: imap.FetchUID}}, items...)
	}
	if req.changed {
		items = append(items, imap.FetchItem{Attr: imap.FetchModSeq})
	}
	told := map[string]bool{}
	for _, item := range items {
		it := fetchItem{FetchItem: item, name: responseName(item), needs: itemNeeds(item)}
		f.setsSeen = f.setsSeen || item.SetsSeen() && !f.readOnly
		if told[it.name] {
			continue
		}
		told[it.name] = true
		for _, name := range item.Section.Fields {
			it.fields = append(it.fields, []byte(name))
		}
		f.hasFlags = f.hasFlags || item.Attr == imap.FetchFlags
		if item.Attr == imap.FetchModSeq {
			f.hasModSeq = true
			f.enableCondStore()
		}
		f.needs = max(f.needs, it.needs)
		f.items = append(f.items, it)
	}
}

// responseName returns the name of an item as the response has it: without PEEK, and with
// only the offset of a partial. RFC 9051 §7.5.2
func responseName(item imap.FetchItem) string {
	item.Peek, item.Lazy = false, false
	partial := item.Partial
	item.Partial = nil
	name := item.String()
	if partial != nil {
		p := partial.AppendTo(nil)
		name += string(p[:bytes.IndexByte(p, '.')]) + ">"
	}
	return name + " "
}

// itemNeeds returns how much must be read for an item.
func itemNeeds(item imap.FetchItem) needs {
	switch item.Attr {
	case imap.FetchEnvelope, imap.FetchBodyStructure, imap.FetchBody, imap.FetchBinarySize, imap.FetchPreview:
		return needsDigest
	case imap.FetchBodySection:
		if item.Section.Spec == imap.SpecHeaderFields && len(item.Section.Part) == 0 {
			return needsDigest // And the file where the digest does not have the fields.
		}
		return needsFile
	case imap.FetchBinary, imap.FetchRFC822, imap.FetchRFC822Header, imap.FetchRFC822Text:
		return needsFile
	}
	return needsIndex
}

// run writes a response for each message, for those that must be read in batches.
func (f *fetcher) run() error {
	if done, err := f.runColumn(); done || err != nil {
		return err
	}
	n := 0
	for pos, it := range f.wanted() {
		if f.needs == needsIndex {
			f.message(pos, it, known{})
		} else {
			f.batch, f.ids = append(f.batch, pos), append(f.ids, it.ContentID)
		}
		if n++; n%fetchBatch == 0 {
			if err := f.flushBatch(); err != nil {
				return err
			}
		}
	}
	return f.flushBatch()
}

// runColumn writes all responses from what is kept of all messages together, if one item is
// kept so and enough of them are asked for.
func (f *fetcher) runColumn() (done bool, err error) {
	n := 0
	for _, iv := range f.intervals {
		n += iv.end - iv.first
	}
	if f.needs != needsDigest || f.limited != nil || f.changed || n < f.known.Len()/columnShare {
		return false, nil
	}
	data, err := f.column()
	if data == nil {
		return false, err
	}
	for pos, it := range f.wanted() {
		if err := errors.Join(f.ctx.Err(), f.c.enc.Err()); err != nil {
			return true, err
		}
		if b, ok := data.At(pos); ok {
			f.message(pos, it, known{data: b})
			continue
		}
		err := f.account.Digests(f.ctx, []int64{it.ContentID}, func(_ int, d message.Digest) error {
			f.message(pos, it, known{digest: d})
			return nil
		})
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// column returns what is kept of all messages together of the only item that is not in the
// index, nil if there is nothing.
func (f *fetcher) column() (*search.Data, error) {
	var it *fetchItem
	for i := range f.items {
		if f.items[i].needs == needsIndex {
			continue
		} else if it != nil {
			return nil, nil
		}
		it = &f.items[i]
	}
	mb := search.Mailbox{Mail: f.account, Owner: f.account, Index: f.known}
	switch it.Attr {
	case imap.FetchBodyStructure:
		return f.c.srv.keys.BodyStructures(f.ctx, mb)
	case imap.FetchBodySection:
		return f.c.srv.keys.HeaderFields(f.ctx, mb, it.Section.Fields)
	}
	return nil, nil
}

// known is what was read of a message, as far as it was needed.
type known struct {
	digest  message.Digest
	content *store.Content
	data    []byte // Of the only item that is not in the index.
}

// wanted iterates over the messages to be told about.
func (f *fetcher) wanted() iter.Seq2[int, store.Item] {
	if f.limited != nil {
		return func(yield func(int, store.Item) bool) {
			for _, pos := range f.limited {
				if !yield(pos, itemAt(f.known, pos)) {
					return
				}
			}
		}
	}
	if f.changed {
		return f.changedSince(f.latest, f.intervals, f.since)
	}
	return func(yield func(int, store.Item) bool) {
		for _, iv := range f.intervals {
			for pos, it := range f.known.Range(iv.first, iv.end) {
				if !yield(pos, it) {
					return
				}
			}
		}
	}
}

// flushBatch writes the responses that wait for digests. No transaction is open
// meanwhile.
func (f *fetcher) flushBatch() error {
	if err := errors.Join(f.ctx.Err(), f.c.enc.Err()); err != nil {
		return err
	}
	var err error
	if f.needs == needsFile {
		err = f.account.Contents(f.ctx, f.ids, func(i int, c *store.Content) error {
			k := known{content: c}
			if c != nil {
				k.digest = c.Digest()
			}
			f.message(f.batch[i], itemAt(f.known, f.batch[i]), k)
			return f.c.enc.Err()
		})
	} else {
		err = f.account.Digests(f.ctx, f.ids, func(i int, d message.Digest) error {
			f.message(f.batch[i], itemAt(f.known, f.batch[i]), known{digest: d})
			return f.c.enc.Err()
		})
	}
	f.batch, f.ids = f.batch[:0], f.ids[:0]
	return err
}

// message writes the response for one message.
func (f *fetcher) message(pos int, it store.Item, k known) {
	if f.latest != f.known {
		if p, ok := f.latest.Find(it.UID); ok {
			it = itemAt(f.latest, p)
		} else {
			f.expunged = true // Its flags are those it had.
		}
	}
	m := fetching{fetcher: f, Item: it, digest: k.digest, content: k.content, data: k.data}
	defer m.close()
	marks := f.setsSeen && !it.Flags.Has(imap.FlagSeen)
	if marks {
		m.Flags |= imap.FlagSeen
		f.seen = append(f.seen, it.UID)
	}
	f.openFetch(pos, it.UID)
	if marks && !f.hasFlags && !f.condStore {
		m.itemFlags(m.Item) // Clients that know mod-sequences are told after it has one.
	}
	for i := range f.items {
		m.item(&f.items[i])
	}
	f.closeFetch()
	f.tellFetched(pos, m.Item)
	switch {
	case m.err == nil:
	case errors.Is(m.err, store.ErrNoMessage):
		f.expunged = true // And its file is gone, too.
	default:
		f.failed++
		f.c.log.Error("message cannot be read", "err", m.err, "content", it.ContentID, "account", f.account.Name())
	}
}

// tellFetched notes that the client was told other flags than those that are known.
func (f *fetcher) tellFetched(pos int, it store.Item) {
	if !f.hasFlags || f.latest == f.known || it.ModSeq == f.known.At(pos).ModSeq {
		return
	}
	t := toldFlags{flags: it.Flags, keywords: it.Keywords()}
	if f.hasModSeq {
		t.modSeq = it.ModSeq
	}
	f.tell(it.UID, t)
}

// markSeen sets \Seen on the messages whose text was sent, in the end, so that a client
// that went away has not seen them.
func (f *fetcher) markSeen() error {
	if f.c.enc.Err() != nil {
		return nil // Reported by the dispatcher.
	}
	change := store.FlagChange{Op: store.FlagsAdd, FlagSet: imap.FlagSet{Flags: imap.FlagSeen}}
	for len(f.seen) > 0 {
		uids := f.seen[:min(len(f.seen), maxUnseenBatch)]
		f.seen = f.seen[len(uids):]
		err := f.update(f.ctx, func(tx *store.Tx) error {
			_, err := tx.SetFlags(f.id, uids, change, -1)
			return err
		})
		if err != nil {
			return f.unmark(uids, err)
		}
		for _, uid := range uids {
			pos, ok := f.latest.Find(uid)
			if ok {
				f.tell(uid, toldFlags{flags: f.latest.Flags(pos) | imap.FlagSeen, keywords: f.latest.At(pos).Keywords()})
			}
		}
	}
	return nil
}

// unmark tells the flags of messages again that could not be marked.
func (f *fetcher) unmark(uids []uint32, err error) error {
	for _, uid := range uids {
		if pos, ok := f.latest.Find(uid); ok {
			f.tellMessage(itemAt(f.latest, pos), true)
		}
	}
	return err
}

// reply returns how the command ends.
func (f *fetcher) reply() (reply, error) {
	switch {
	case f.failed > 0:
		return reply{}, imap.No(imap.CodeCorruption, "some messages could not be read")
	case f.unknownCTE:
		return reply{}, imap.No(imap.CodeUnknownCTE, "content-transfer-encoding of a part is not known")
	case f.expunged:
		return reply{code: imap.CodeExpungeIssued, text: "some messages are gone"}, nil
	}
	return reply{}, nil
}
