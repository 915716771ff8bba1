package imapserver

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/search"
	"mox/store"
)

// CONTEXT=SEARCH and CONTEXT=SORT: the result option UPDATE, and CANCELUPDATE. RFC 5267 §4
//
// A context has the UIDs of its result. When the client is told what has changed in the
// mailbox (sync.go), the messages that are new or have changed are searched again.

// searchContext is a search of which changes of the result are told.
type searchContext struct {
	tag     string
	uid     bool
	key     imap.SearchKey // With UIDs for message sequence numbers and "$".
	sort    []imap.SortCriterion
	items   []imap.FetchItem
	mutable bool // Messages may come and go when their flags or mod-sequences change.
	files   bool // Files may have to be read.
	mailbox bool // Of ESEARCH: the mailbox is told. RFC 7377 §2.1

	found imap.Ranges
	order []uint32 // UIDs in order, for SORT.
}

// errTagInUse is for UPDATE under a tag that is used already. RFC 5267 §4.3
var errTagInUse = imap.Bad("", "the tag is in use for updates already")

// errNoUpdates ends a context whose updates would be too much work.
var errNoUpdates = errors.New("too many messages to look into at once")

// checkUpdate refuses UPDATE under a tag that is in use.
func (s *selected) checkUpdate(ret imap.SearchReturn) error {
	if ret.Update && s.context(s.c.tag) >= 0 {
		return errTagInUse
	}
	return nil
}

// context returns the index of the context with a tag, -1 if there is none.
func (s *selected) context(tag string) int {
	return slices.IndexFunc(s.contexts, func(c *searchContext) bool { return c.tag == tag })
}

// openContext begins to tell changes of a result, or tells that this is refused. RFC 5267
// §4.3.1
func (s *selected) openContext(req *searchRequest, res searchResult, saved imap.Ranges, mailbox bool) {
	if !req.ret.Update {
		return
	}
	if !s.roomForContext(len(res.all)) {
		s.noUpdate(s.c.tag, "too many searches are updated, cancel some")
		return
	}
	c := &searchContext{tag: s.c.tag, uid: req.uid, key: frozen(req.program.Key, res.index, saved), sort: req.sort, items: req.ret.UpdateItems, mailbox: mailbox}
	c.mutable = c.key.Any(func(k *imap.SearchKey) bool {
		switch k.Op {
		case imap.SearchFlag, imap.SearchNotFlag, imap.SearchKeyword, imap.SearchNotKeyword, imap.SearchNew, imap.SearchModSeq:
			return true
		}
		return false
	})
	c.files = c.key.Any(func(k *imap.SearchKey) bool {
		return k.Op == imap.SearchBody || k.Op == imap.SearchText || k.Op == imap.SearchHeader
	})
	c.found = res.uids(res.all)
	if c.sort != nil {
		c.order = make([]uint32, len(res.sorted))
		for i, pos := range res.sorted {
			c.order[i] = res.index.At(pos).UID
		}
	}
	s.contexts = append(s.contexts, c)
}

// roomForContext reports whether another context can be opened: one is always possible.
func (s *selected) roomForContext(results int) bool {
	total := uint64(results)
	for _, c := range s.contexts {
		total += c.found.Count()
	}
	n := len(s.contexts)
	return n == 0 || n < maxContexts && total <= maxContextResults
}

// noUpdate tells that changes of a result are not told, or not any more.
func (s *selected) noUpdate(tag, text string) {
	s.c.enc.Status("", "NO", imap.CodeNoUpdate+imap.Code(" "+strconv.Quote(tag)), text)
}

// frozen returns a key with UIDs for message sequence numbers and "$", which are those of
// when the command was given. RFC 5267 §4.3
func frozen(key imap.SearchKey, ix *store.Index, saved imap.Ranges) imap.SearchKey {
	switch {
	case key.Op != imap.SearchSeq && (key.Op != imap.SearchUID || !key.Set.Saved):
		key.Keys = slices.Clone(key.Keys)
		for i := range key.Keys {
			key.Keys[i] = frozen(key.Keys[i], ix, saved)
		}
		return key
	case !key.Set.Saved:
		saved = nil
		for pos := range key.Set.Resolve(uint32(ix.Len())).Intersect(imap.Ranges{{First: 1, Last: uint32(ix.Len())}}).All() {
			saved.Add(ix.At(int(pos - 1)).UID)
		}
	}
	if len(saved) == 0 {
		return imap.SearchKey{Op: imap.SearchNot, Keys: []imap.SearchKey{{Op: imap.SearchAll}}}
	}
	return imap.SearchKey{Op: imap.SearchUID, Set: saved.NumSet()}
}

// contextUpdate is what has changed of a result.
type contextUpdate struct {
	*searchContext
	left, added imap.Ranges
}

// beginUpdates finds out how results change between what the client knows and a newer
// version, and tells of messages that are expunged, before that is told: "so that those
// sequence numbers remain valid". RFC 5267 §4.3.4
func (s *selected) beginUpdates(ctx context.Context, d store.Diff, latest *store.Index) (l []contextUpdate) {
	if len(s.contexts) == 0 || d.Empty() {
		return nil
	}
	expunged, changed := imap.NewRanges(d.Expunged...), imap.NewRanges(d.Changed...)
	added := imap.NewRanges(d.Added...)
	s.contexts = slices.DeleteFunc(s.contexts, func(c *searchContext) bool {
		candidates := added
		if c.mutable {
			candidates = candidates.Union(changed)
		}
		found, err := s.searchAgain(ctx, c, candidates, latest)
		if err != nil {
			if err != errNoUpdates {
				s.c.log.Error("update search context", "err", err)
			}
			s.noUpdate(c.tag, "no more updates of this search")
			return true
		}
		if gone := c.found.Intersect(expunged); len(gone) > 0 {
			s.openUpdate(c)
			s.writeRemoved(c, gone, s.known)
			s.c.enc.CRLF()
		}
		u := contextUpdate{c, c.found.Intersect(candidates).Subtract(found), found.Subtract(c.found)}
		if len(u.left)+len(u.added) > 0 {
			l = append(l, u)
		}
		return false
	})
	return l
}

// searchAgain returns which of the messages with the UIDs are in a result.
func (s *selected) searchAgain(ctx context.Context, c *searchContext, uids imap.Ranges, latest *store.Index) (found imap.Ranges, err error) {
	if len(uids) == 0 {
		return nil, nil
	}
	if c.files && uids.Count() > maxContextFiles {
		return nil, errNoUpdates
	}
	key := imap.SearchKey{Op: imap.SearchAnd, Keys: []imap.SearchKey{{Op: imap.SearchUID, Set: uids.NumSet()}, c.key}}
	p, err := search.Compile(&key, search.Scope{Index: latest, Now: s.c.srv.opts.Now()})
	if err != nil {
		return nil, err
	}
	texts := s.texts(ctx)
	defer texts.Close()
	err = p.Run(ctx, s.account, search.Options{Texts: texts}, func(pos int) bool {
		found.Add(latest.At(pos).UID)
		return true
	})
	return found, err
}

// endUpdates tells how results have changed, after the messages themselves were told, of
// which added are new. RFC 5267 §4.3.3, RFC 5465 §5.1, §7
func (s *selected) endUpdates(ctx context.Context, updates []contextUpdate, added []uint32) {
	for _, u := range updates {
		if len(u.items) > 0 {
			s.tellItems(ctx, u.added.Intersect(imap.NewRanges(added...)), u.uid, u.items)
		}
	}
	for _, u := range updates {
		order, err := s.addedOrder(ctx, u)
		if err != nil {
			s.c.log.Error("update sort context", "err", err)
			s.noUpdate(u.tag, "no more updates of this search")
			s.contexts = slices.DeleteFunc(s.contexts, func(c *searchContext) bool { return c == u.searchContext })
			continue
		}
		s.openUpdate(u.searchContext)
		if len(u.left) > 0 {
			s.writeRemoved(u.searchContext, u.left, s.known)
		}
		if len(u.added) > 0 {
			s.writeAdded(u.searchContext, u.added, order)
		}
		s.c.enc.CRLF()
	}
}

// addedOrder returns the UIDs of a SORT in order, with the messages that are added to it.
func (s *selected) addedOrder(ctx context.Context, u contextUpdate) ([]uint32, error) {
	if u.sort == nil || len(u.added) == 0 {
		return nil, nil
	}
	res := searchResult{index: s.known}
	for _, iv := range s.uidPositions(u.found.Subtract(u.left).Union(u.added)) {
		for pos := iv.first; pos < iv.end; pos++ {
			res.all = append(res.all, pos)
		}
	}
	sorted, err := s.sort(ctx, res, u.sort)
	order := make([]uint32, len(sorted))
	for i, pos := range sorted {
		order[i] = s.known.At(pos).UID
	}
	return order, err
}

// openUpdate begins an ESEARCH response about a context.
func (s *selected) openUpdate(c *searchContext) {
	if mb, ok := s.account.Tree().ByID(s.id); ok && c.mailbox {
		s.openESearch(c.tag, c.uid, &mb)
	} else {
		s.openESearch(c.tag, c.uid, nil)
	}
}

// writeRemoved takes messages out of a result and writes REMOVEFROM. The last ones go
// first, so that the positions of others stay. RFC 5267 §4.3.4
func (s *selected) writeRemoved(c *searchContext, uids imap.Ranges, ix *store.Index) {
	c.found = c.found.Subtract(uids)
	s.c.enc.Raw(" REMOVEFROM (")
	if c.sort == nil {
		s.writeResults(c, 0, slices.Collect(uids.All()), ix)
	}
	runs := runsOf(c.order, uids)
	for i, run := range slices.Backward(runs) {
		s.writeResults(c, run.first+1, c.order[run.first:run.end], ix)
		if i > 0 {
			s.c.enc.SP()
		}
	}
	if len(runs) > 0 {
		c.order = slices.DeleteFunc(c.order, uids.Contains)
	}
	s.c.enc.Raw(")")
}

// writeAdded takes messages into a result and writes ADDTO. The first ones come first, so
// that positions are those in the end. RFC 5267 §4.3.3
func (s *selected) writeAdded(c *searchContext, uids imap.Ranges, order []uint32) {
	c.found, c.order = c.found.Union(uids), order
	s.c.enc.Raw(" ADDTO (")
	if c.sort == nil {
		s.writeResults(c, 0, slices.Collect(uids.All()), s.known)
	}
	for i, run := range runsOf(order, uids) {
		if i > 0 {
			s.c.enc.SP()
		}
		s.writeResults(c, run.first+1, order[run.first:run.end], s.known)
	}
	s.c.enc.Raw(")")
}

// runsOf returns where in an order the messages of a set stand.
func runsOf(order []uint32, set imap.Ranges) (runs []interval) {
	for i, uid := range order {
		switch n := len(runs) - 1; {
		case !set.Contains(uid):
		case n >= 0 && runs[n].end == i:
			runs[n].end++
		default:
			runs = append(runs, interval{i, i + 1})
		}
	}
	return runs
}

// writeResults writes a context-position and messages.
func (s *selected) writeResults(c *searchContext, position int, uids []uint32, ix *store.Index) {
	s.c.enc.Number(uint64(position))
	s.c.enc.SP()
	s.writeNumbers(len(uids), func(i int) uint32 {
		if c.uid {
			return uids[i]
		}
		pos, _ := ix.Find(uids[i])
		return uint32(pos + 1)
	})
}

// parseCancelUpdate parses tags.
//
//	command-select =/ "CANCELUPDATE" 1*(SP quoted)
func parseCancelUpdate(d *wire.Decoder) (tags []string) {
	d.NeedSP()
	for len(tags) < maxContexts {
		tags = append(tags, d.NeedAString())
		if !d.TrySP() {
			return tags
		}
	}
	d.Fail("more tags than there can be")
	return nil
}

// runCancelUpdate ends contexts, all that are named or none.
func runCancelUpdate(_ context.Context, s *selected, tags []string) (reply, error) {
	for _, tag := range tags {
		if s.context(tag) < 0 {
			return reply{}, imap.Bad("", "there are no updates under this tag")
		}
	}
	s.contexts = slices.DeleteFunc(s.contexts, func(c *searchContext) bool { return slices.Contains(tags, c.tag) })
	return reply{}, nil
}
