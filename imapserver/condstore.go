package imapserver

import (
	"context"
	"iter"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// CONDSTORE and QRESYNC. RFC 7162
//
// A message has one mod-sequence for all its flags: that of the change of the account
// which changed them last. What the client is told as HIGHESTMODSEQ is never more than
// what it has been told the changes of.

// vanishedLine is how many octets of UIDs a VANISHED response has at most.
const vanishedLine = 4000

// enableCondStore is for all that is a "CONDSTORE enabling command": from now on the
// client is told mod-sequences, and first that of the selected mailbox. RFC 7162 §3.1
func (s *session) enableCondStore() {
	if s.condStore {
		return
	}
	s.condStore = true
	if s.sel != nil {
		s.sel.tellHighest()
	}
}

// tellHighest writes up to which change the client has been told of all.
func (s *selected) tellHighest() {
	s.c.enc.Status("", "OK", imap.CodeHighestModSeq.Num(uint64(s.modSeq)), "highest mod-sequence")
}

// usesVanished reports whether VANISHED takes the place of EXPUNGE. RFC 7162 §3.2.10, RFC
// 9586 §3.4
func (s *session) usesVanished() bool { return s.qresync || s.uidOnly }

// tellVanished writes VANISHED responses.
func (s *session) tellVanished(uids imap.Ranges, earlier bool) {
	for part := range uids.Chunks(vanishedLine) {
		s.c.enc.Raw("* VANISHED ")
		if earlier {
			s.c.enc.Raw("(EARLIER) ")
		}
		s.c.enc.Ranges(part)
		s.c.enc.CRLF()
	}
}

// missing returns those of the UIDs that the mailbox has had and has no message of.
func (s *selected) missing(uids imap.Ranges) imap.Ranges {
	uids = uids.Intersect(s.allUIDs())
	var present imap.Ranges
	for _, iv := range s.uidPositions(uids) {
		for _, it := range s.known.Range(iv.first, iv.end) {
			present.Add(it.UID)
		}
	}
	return uids.Subtract(present)
}

// allUIDs returns the UIDs that messages have or have had.
func (s *selected) allUIDs() imap.Ranges {
	if s.known.UIDNext() <= 1 {
		return nil
	}
	return imap.Ranges{{First: 1, Last: s.known.UIDNext() - 1}}
}

// vanished returns those of the UIDs whose messages were expunged after since. If the
// history does not go back so far, it returns all that have no message: "A server that
// receives a mod-sequence smaller than <minmodseq> [...] MUST behave as if it was
// requested to report all expunged messages". RFC 7162 §3.2.6
func (s *selected) vanished(ctx context.Context, uids imap.Ranges, since store.ModSeq) (_ imap.Ranges, complete bool, _ error) {
	gone, complete, err := s.account.Vanished(ctx, s.id, since)
	if err != nil {
		return nil, false, err
	}
	if !complete {
		return s.missing(uids), false, nil
	}
	var l imap.Ranges
	for _, uid := range gone {
		// What the client still knows is told without EARLIER.
		if _, known := s.known.Find(uid); !known {
			l.Add(uid)
		}
	}
	return l.Intersect(uids), true, nil
}

// changedSince iterates over the messages of the intervals that have changed after since,
// as they are in a version of the mailbox, with their positions in what the client knows.
func (s *selected) changedSince(latest *store.Index, intervals []interval, since store.ModSeq) iter.Seq2[int, store.Item] {
	return func(yield func(int, store.Item) bool) {
		for _, it := range latest.ChangedSince(since, 0, latest.Len()) {
			pos, ok := s.known.Find(it.UID)
			for len(intervals) > 0 && intervals[0].end <= pos {
				intervals = intervals[1:]
			}
			if len(intervals) == 0 {
				return
			}
			if ok && intervals[0].first <= pos && !yield(pos, it) {
				return
			}
		}
	}
}

// resync is what a client knows of a mailbox that it selects again.
//
//	select-param   =/ "QRESYNC" SP "(" uidvalidity SP mod-sequence-value
//	                  [SP known-uids] [SP seq-match-data] ")"
//	seq-match-data =  "(" known-sequence-set SP known-uid-set ")"
type resync struct {
	uidValidity uint32
	modSeq      store.ModSeq
	known       imap.NumSet // Empty for all.
	seqs, uids  imap.Ranges // Of the same length.
}

// parseResync parses the argument of QRESYNC. RFC 7162 §3.2.5
func parseResync(d *wire.Decoder) *resync {
	defer d.In("qresync-param")()
	r := &resync{}
	d.NeedByte('(')
	r.uidValidity = d.NeedNZNumber()
	d.NeedSP()
	r.modSeq = store.ModSeq(d.NeedModSeq(true)) // Clients send 0 when they know nothing.
	if d.PeekIs(' ') && !d.PeekSPList() {
		d.NeedSP()
		r.known = d.NeedStaticSet()
	}
	if d.TrySP() {
		d.NeedByte('(')
		r.seqs = needAscending(d)
		d.NeedSP()
		r.uids = needAscending(d)
		d.NeedByte(')')
		if r.seqs.Count() != r.uids.Count() {
			d.Fail("sets of different size")
		}
	}
	d.NeedByte(')')
	return r
}

// needAscending consumes a number set whose numbers ascend, without "*".
func needAscending(d *wire.Decoder) imap.Ranges {
	set := d.NeedStaticSet()
	last := uint32(0)
	for _, r := range set.Ranges {
		if r.First <= last || r.Last < r.First {
			d.Fail("numbers must ascend")
		}
		last = r.Last
	}
	return set.Resolve(0)
}

// matched returns the UID up to which the client's pairs of message sequence number and
// UID are those of the mailbox, 0 if none is: it knows about all before that. RFC 7162
// §3.2.5.2
func (s *selected) matched(r *resync) (upto uint32) {
	next, stop := iter.Pull(r.uids.All())
	defer stop()
	for seq := range r.seqs.All() {
		uid, ok := next()
		if !ok || int64(seq) > int64(s.known.Len()) || s.known.At(int(seq)-1).UID != uid {
			break
		}
		upto = uid
	}
	return upto
}

// resync tells what has happened in the mailbox since the client saw it last. A client
// that still has messages whose end it has been told already, or so it says, is told of
// all that are gone. RFC 7162 §3.2.5.1, §3.2.5.2
func (s *selected) resync(ctx context.Context, r *resync) error {
	if r.uidValidity != s.known.UIDValidity() {
		return nil
	}
	gone, complete, err := s.vanished(ctx, s.allUIDs(), r.modSeq)
	if err != nil {
		return err
	}
	uids := s.allUIDs()
	if !r.known.Empty() {
		uids = r.known.Resolve(0)
	}
	if lost := s.missing(r.uids).Subtract(gone); complete && len(lost) > 0 {
		s.c.enc.Status("", "OK", imap.CodeAlert, "you have messages that you were told are gone, here are all that are gone")
		gone = s.missing(s.allUIDs())
	} else {
		gone = gone.Intersect(uids)
		if upto := s.matched(r); upto > 0 {
			gone = gone.Subtract(imap.Ranges{{First: 1, Last: upto}})
		}
	}
	s.tellVanished(gone, true)
	for pos, it := range s.changedSince(s.known, s.uidPositions(uids), r.modSeq) {
		s.writeFlags(pos, it, true)
	}
	return nil
}

// selectParams are the parameters of SELECT and EXAMINE.
type selectParams struct {
	condStore bool
	resync    *resync // Nil without QRESYNC.
}

// parseSelectParams parses parameters, if there are any.
//
//	select-params = SP "(" select-param *(SP select-param) ")"
//	select-param  = "CONDSTORE" / "QRESYNC" ...
func parseSelectParams(d *wire.Decoder) (p selectParams) {
	if !d.TrySP() {
		return p
	}
	defer d.In("select-param")()
	d.NeedList(func() {
		switch name := d.NeedName(); {
		case name == "CONDSTORE" && !p.condStore:
			p.condStore = true
		case name == "QRESYNC" && p.resync == nil:
			d.NeedSP()
			p.resync = parseResync(d)
		default:
			d.Fail("unknown or repeated parameter")
		}
	})
	return p
}

// checkSelect refuses parameters that the client has not enabled.
func (s *session) checkSelect(p selectParams) error {
	switch {
	case p.resync != nil && !s.qresync:
		return imap.Bad("", "enable qresync first") // RFC 7162 §3.2.5
	case p.resync != nil && s.uidOnly && len(p.resync.seqs) > 0:
		return errUIDRequired // RFC 9586 §3.7
	}
	return nil
}

// fetchModifiers are the modifiers of FETCH.
type fetchModifiers struct {
	changed  bool // CHANGEDSINCE, with since.
	since    store.ModSeq
	vanished bool
	partial  *imap.PartialRange
}

// parseFetchModifiers parses modifiers, if there are any. Some clients send CHANGEDSINCE
// 0.
//
//	fetch-modifiers     = SP "(" fetch-modifier *(SP fetch-modifier) ")"
//	chgsince-fetch-mod  = "CHANGEDSINCE" SP mod-sequence-value
//	rexpunges-fetch-mod = "VANISHED"
//	modifier-partial    = "PARTIAL" SP partial-range
func parseFetchModifiers(d *wire.Decoder) (m fetchModifiers) {
	if !d.TrySP() {
		return m
	}
	defer d.In("fetch-modifier")()
	d.NeedList(func() {
		switch name := d.NeedName(); {
		case name == "CHANGEDSINCE" && !m.changed:
			d.NeedSP()
			m.changed, m.since = true, store.ModSeq(d.NeedModSeq(true))
		case name == "VANISHED" && !m.vanished:
			m.vanished = true
		case name == "PARTIAL" && m.partial == nil:
			d.NeedSP()
			m.partial = d.NeedPartialRange()
		default:
			d.Fail("unknown or repeated modifier")
		}
	})
	return m
}

// checkFetch refuses modifiers that the client has not enabled, or that belong to UID
// FETCH. RFC 7162 §3.2.6, RFC 9394 §3.3
func (s *session) checkFetch(req *fetchRequest) error {
	switch {
	case req.vanished && (!req.uid || !req.changed || !s.qresync):
		return imap.Bad("", "vanished needs uid fetch, changedsince and enabled qresync")
	case req.partial != nil && !req.uid:
		return imap.Bad("", "partial needs uid fetch")
	}
	return nil
}

// fetchVanished tells which of the UIDs of a UID FETCH have been expunged. "*" stands for
// the last UID that there has been, so that "1:*" has all of them.
func (s *selected) fetchVanished(ctx context.Context, req *fetchRequest) error {
	uids := s.saved
	if !req.set.Saved {
		uids = req.set.Resolve(s.allUIDs().Max())
	}
	gone, _, err := s.vanished(ctx, uids, req.since)
	if err == nil {
		s.tellVanished(gone, true)
	}
	return err
}

// parseUnchangedSince parses the modifier of STORE, if there is one. It returns -1
// otherwise.
//
//	store-modifiers = SP "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"
func parseUnchangedSince(d *wire.Decoder) store.ModSeq {
	if !d.PeekSPList() {
		return -1
	}
	defer d.In("store-modifier")()
	since := store.ModSeq(-1)
	d.NeedSP()
	d.NeedList(func() {
		if !d.TryName("UNCHANGEDSINCE") || since >= 0 {
			d.Fail("expected UNCHANGEDSINCE once")
		}
		d.NeedSP()
		since = store.ModSeq(d.NeedModSeq(true))
	})
	return since
}
