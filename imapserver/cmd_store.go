package imapserver

import (
	"context"
	"slices"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// STORE, UID STORE. RFC 9051 §6.4.6. UNCHANGEDSINCE (RFC 7162) is not known yet.

// storeRequest has the arguments of STORE.
type storeRequest struct {
	uid    bool
	set    imap.NumSet
	silent bool
	change store.FlagChange
}

func (r *storeRequest) setUID() { r.uid = true }

// parseStore parses a number set and a change of flags.
//
//	store           = "STORE" SP sequence-set SP store-att-flags
//	store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP
//	                  (flag-list / (flag *(SP flag)))
func parseStore(d *wire.Decoder) *storeRequest {
	req := &storeRequest{}
	d.NeedSP()
	req.set = d.NeedNumSet()
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
	if err != nil || len(uids) == 0 {
		return reply{}, err
	}
	var res store.FlagsResult
	err = s.update(ctx, func(tx *store.Tx) (err error) {
		res, err = tx.SetFlags(s.id, uids, req.change, -1)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	latest, err := s.latest(ctx)
	if err != nil {
		return reply{}, err
	}
	if req.silent {
		s.storedSilently(uids, latest, req.change)
	} else {
		s.tellStored(uids, latest, req.uid)
	}
	if len(res.Missing) > 0 {
		// Expunged by another session, which cannot be told now. RFC 2180 §4.2.1
		return reply{code: imap.CodeExpungeIssued, text: "some messages are gone"}, nil
	}
	return reply{}, nil
}

// tellStored tells the flags of the messages, also of those that did not change.
func (s *selected) tellStored(uids []uint32, latest *store.Index, withUID bool) {
	s.tellKeywords()
	for _, uid := range uids {
		pos, ok := latest.Find(uid)
		if !ok {
			continue
		}
		known, _ := s.known.Find(uid)
		flags, keywords := latest.Flags(pos), latest.At(pos).Keywords()
		s.writeFlags(known, uid, withUID, flags, keywords)
		s.tell(uid, flags, keywords)
	}
}

// storedSilently notes the flags that the client can work out itself. If another session
// has changed a message too, so that they are others, the next sync tells them.
func (s *selected) storedSilently(uids []uint32, latest *store.Index, change store.FlagChange) {
	for _, uid := range uids {
		known, ok := s.known.Find(uid)
		pos, ok2 := latest.Find(uid)
		if !ok || !ok2 {
			continue
		}
		before := toldFlags{s.known.Flags(known), s.known.At(known).Keywords()}
		if told, ok := s.told[uid]; ok {
			before = told
		}
		want := before.after(change)
		if want.equal(toldFlags{latest.Flags(pos), latest.At(pos).Keywords()}) {
			s.tell(uid, want.flags, want.keywords)
		}
	}
}

// after returns the flags that a change makes of t.
func (t toldFlags) after(c store.FlagChange) toldFlags {
	switch c.Op {
	case store.FlagsAdd:
		keywords := slices.Concat(t.keywords, c.Keywords)
		slices.Sort(keywords)
		return toldFlags{t.flags | c.Flags, slices.Compact(keywords)}
	case store.FlagsRemove:
		gone := func(k string) bool { return slices.Contains(c.Keywords, k) }
		return toldFlags{t.flags &^ c.Flags, slices.DeleteFunc(slices.Clone(t.keywords), gone)}
	}
	return toldFlags{c.Flags, c.Keywords}
}
