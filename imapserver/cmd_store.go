package imapserver

import (
	"context"
	"slices"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// STORE, UID STORE. RFC 9051 §6.4.6, with UNCHANGEDSINCE of RFC 7162 §3.1.3.

// storeRequest has the arguments of STORE.
type storeRequest struct {
	uid    bool
	set    imap.NumSet
	since  store.ModSeq // UNCHANGEDSINCE, -1 if it was not given.
	silent bool
	change store.FlagChange
}

func (r *storeRequest) setUID() { r.uid = true }

// parseStore parses a number set and a change of flags.
//
//	store           = "STORE" SP sequence-set [store-modifiers] SP store-att-flags
//	store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP
//	                  (flag-list / (flag *(SP flag)))
func parseStore(d *wire.Decoder) *storeRequest {
	req := &storeRequest{}
	d.NeedSP()
	req.set = d.NeedNumSet()
	req.since = parseUnchangedSince(d)
	d.NeedSP()
	defer d.In("store-att-flags")()
	switch {
	case d.TryByte('+'):
		req.change.Op = store.FlagsAdd
	case d.TryByte('-'):
		req.change.Op = store.FlagsRemove
	}
	switch d.NeedName() {
	case "FLAGS":
	case "FLAGS.SILENT":
		req.silent = true
	default:
		d.Fail("expected FLAGS")
	}
	d.NeedSP()
	req.change.FlagSet = d.NeedFlags()
	return req
}

// runStore changes flags, and tells the new ones unless that is not wanted.
func runStore(ctx context.Context, s *selected, req *storeRequest) (reply, error) {
	if err := s.writable(); err != nil {
		return reply{}, err
	}
	uids, err := s.uidList(req.set, req.uid)
	if err != nil {
		return reply{}, err
	}
	if req.since >= 0 {
		s.enableCondStore()
	}
	if len(uids) == 0 {
		return reply{}, nil
	}
	uids, lowest := s.limitUIDs(uids)
	res, err := s.setFlags(ctx, uids, req.change, req.since)
	if err != nil {
		return reply{}, err
	}
	latest, err := s.latest(ctx)
	if err != nil {
		return reply{}, err
	}
	modified := imap.NewRanges(res.Modified...)
	if req.silent {
		s.storedSilently(uids, latest, req, modified)
	} else {
		s.tellStored(uids, latest, req.uid)
	}
	switch {
	case len(modified) > 0:
		return reply{code: imap.CodeModified.Set(s.fromUIDs(modified, req.uid)), text: "some messages have changed", lowest: lowest}, nil
	case len(res.Missing) > 0:
		// Expunged by another session, which cannot be told now. RFC 2180 §4.2.1
		return reply{code: imap.CodeExpungeIssued, text: "some messages are gone", lowest: lowest}, nil
	}
	return reply{lowest: lowest}, nil
}

// setFlags changes flags of messages that have not changed after since, if that is not
// negative. Where other flags have changed than those that are to be added or removed, it
// does that too: "a server implementation SHOULD avoid generating spurious MODIFIED
// responses". RFC 7162 §3.1.3, §3.1.12
func (s *selected) setFlags(ctx context.Context, uids []uint32, change store.FlagChange, since store.ModSeq) (store.FlagsResult, error) {
	set := func(uids []uint32, since store.ModSeq) (res store.FlagsResult, err error) {
		err = s.update(ctx, func(tx *store.Tx) error {
			res, err = tx.SetFlags(s.id, uids, change, since)
			return err
		})
		return res, err
	}
	res, err := set(uids, since)
	if err != nil || len(res.Modified) == 0 || change.Op == store.FlagsSet {
		return res, err
	}
	latest, err := s.latest(ctx)
	if err != nil {
		return res, err
	}
	var others []uint32
	for _, uid := range res.Modified {
		was, ok := s.itemAsOf(uid, since)
		pos, ok2 := latest.Find(uid)
		if ok && ok2 && !touches(change, was, itemAt(latest, pos)) {
			others = append(others, uid)
		}
	}
	if len(others) == 0 {
		return res, nil
	}
	again, err := set(others, latest.ModSeq())
	modified := imap.NewRanges(res.Modified...).Subtract(imap.NewRanges(others...)).Union(imap.NewRanges(again.Modified...))
	res.Modified = slices.Collect(modified.All())
	res.Missing = append(res.Missing, again.Missing...)
	return res, err
}

// itemAsOf returns a message as it was at a mod-sequence, if that is sure: the client has
// been told of all up to then, and of nothing later that happened to the message. While
// others' expunges cannot be told, replies to its own commands tell later flags than those
// that are known, and mod-sequences by which it can name changes in between.
func (s *selected) itemAsOf(uid uint32, modSeq store.ModSeq) (it store.Item, ok bool) {
	if _, later := s.told[uid]; later || modSeq > max(s.modSeq, s.known.ModSeq()) {
		return it, false
	}
	pos, ok := s.known.Find(uid)
	if ok {
		it = itemAt(s.known, pos)
	}
	return it, ok && it.ModSeq <= modSeq
}

// itemAt returns the message at a position.
func itemAt(ix *store.Index, pos int) store.Item {
	return store.Item{Entry: ix.At(pos), Flags: ix.Flags(pos)}
}

// touches reports whether a flag that is to be changed is another one in two versions of a
// message.
func touches(c store.FlagChange, a, b store.Item) bool {
	if (a.Flags^b.Flags)&c.Flags != 0 {
		return true
	}
	return slices.ContainsFunc(c.Keywords, func(k string) bool {
		return slices.Contains(a.Keywords(), k) != slices.Contains(b.Keywords(), k)
	})
}

// fromUIDs returns UIDs, or the message sequence numbers of those that the client knows.
func (s *selected) fromUIDs(uids imap.Ranges, uid bool) imap.Ranges {
	if uid {
		return uids
	}
	var seqs imap.Ranges
	for n := range uids.All() {
		if pos, ok := s.known.Find(n); ok {
			seqs.Add(uint32(pos + 1))
		}
	}
	return seqs
}

// tellStored tells the flags of the messages, also of those that did not change.
func (s *selected) tellStored(uids []uint32, latest *store.Index, withUID bool) {
	s.tellKeywords()
	for _, uid := range uids {
		if pos, ok := latest.Find(uid); ok {
			s.tellMessage(itemAt(latest, pos), withUID)
		}
	}
}

// tellMessage tells the flags of a message, and notes that.
func (s *selected) tellMessage(it store.Item, withUID bool) {
	known, _ := s.known.Find(it.UID)
	s.writeFlags(known, it, withUID)
	s.tell(it.UID, toldFlags{it.Flags, it.Keywords(), it.ModSeq})
}

// storedSilently notes the flags that the client can work out itself. If another session
// has changed a message too, so that they are others, the next sync tells them. Clients
// that know mod-sequences are told those, and the flags of messages that were not to be
// changed: "An untagged FETCH response MUST be sent, even if the .SILENT suffix is
// specified". RFC 7162 §3.1.3
func (s *selected) storedSilently(uids []uint32, latest *store.Index, req *storeRequest, modified imap.Ranges) {
	for _, uid := range uids {
		known, ok := s.known.Find(uid)
		pos, ok2 := latest.Find(uid)
		if !ok || !ok2 {
			continue
		}
		it := itemAt(latest, pos)
		before := toldFlags{flags: s.known.Flags(known), keywords: s.known.At(known).Keywords()}
		if told, ok := s.told[uid]; ok {
			before = told
		}
		want := before.after(req.change)
		same := want.equal(toldFlags{flags: it.Flags, keywords: it.Keywords()})
		switch {
		case s.condStore && (!same || modified.Contains(uid)):
			s.tellMessage(it, req.uid)
		case same:
			if s.condStore {
				s.openFetch(known, uid)
				s.itemUID(uid, req.uid)
				s.itemModSeq(it.ModSeq)
				s.closeFetch()
				want.modSeq = it.ModSeq
			}
			s.tell(uid, want)
		}
	}
}

// after returns the flags that a change makes of t.
func (t toldFlags) after(c store.FlagChange) toldFlags {
	switch c.Op {
	case store.FlagsAdd:
		keywords := slices.Concat(t.keywords, c.Keywords)
		slices.Sort(keywords)
		return toldFlags{flags: t.flags | c.Flags, keywords: slices.Compact(keywords)}
	case store.FlagsRemove:
		gone := func(k string) bool { return slices.Contains(c.Keywords, k) }
		return toldFlags{flags: t.flags &^ c.Flags, keywords: slices.DeleteFunc(slices.Clone(t.keywords), gone)}
	}
	return toldFlags{flags: c.Flags, keywords: c.Keywords}
}
