package imapserver

import (
	"slices"

	"mox/imap"
)

// MESSAGELIMIT. RFC 9738
//
// A command for more messages than the limit is done for those with the highest UIDs, and
// tells the lowest of these, or, where all or nothing is to be done, is refused. SORT and
// THREAD have no limit: they give the whole order of a mailbox. RFC 9738 §3.3

// textLimit says what to do.
const textLimit = "done for the messages with the highest uids, repeat for the others"

// limitCode returns the code for a limit, with the lowest UID if it is not zero.
func limitCode(limit int, lowest uint32) imap.Code {
	code := imap.CodeMessageLimit.Num(uint64(limit))
	if lowest > 0 {
		code = code.Num(uint64(lowest))
	}
	return code
}

// highest returns the end of ascending UIDs, or of positions, that is within the limit, and
// whether that is not all.
func highest[T any](c *conn, l []T) ([]T, bool) {
	if n := len(l) - c.srv.opts.MessageLimit; n > 0 {
		return l[n:], true
	}
	return l, false
}

// limitUIDs returns the UIDs that a command is done for, and the lowest, or zero if these
// are all.
func (s *selected) limitUIDs(uids []uint32) (_ []uint32, lowest uint32) {
	uids, limited := highest(s.c, uids)
	if limited {
		lowest = uids[0]
	}
	return uids, lowest
}

// replyLimit puts the code in a reply, or in an untagged response if there is another code:
// "the former MUST be returned in the tagged OK response, while the latter MUST be returned
// in an untagged NO response". RFC 9738 §3.1
func (c *conn) replyLimit(r *reply) {
	switch code := limitCode(c.srv.opts.MessageLimit, r.lowest); {
	case r.lowest == 0:
	case r.code == "":
		r.code, r.text = code, textLimit
	default:
		c.enc.Status("", "NO", code, textLimit)
	}
}

// limit leaves the messages with the highest UIDs to be fetched, from the highest on, if
// there are too many, and returns the lowest of these UIDs, else zero. What PARTIAL asks
// for is had as a whole or not at all. RFC 9738 §3.1
func (f *fetcher) limit() (lowest uint32, err error) {
	if f.known.Len() <= f.c.srv.opts.MessageLimit {
		return 0, nil
	}
	var all []int
	for pos := range f.wanted() {
		all = append(all, pos)
	}
	l, limited := highest(f.c, all)
	if !limited {
		return 0, nil
	}
	if f.partial != nil {
		return 0, imap.No(limitCode(f.c.srv.opts.MessageLimit, 0), "too many messages at once, try fewer")
	}
	lowest = f.known.At(l[0]).UID
	slices.Reverse(l)
	f.limited = l
	return lowest, nil
}

// limitSearch narrows a search of too many messages, found or not, to those with the
// highest UIDs, and returns the lowest of these, else zero. RFC 9738 §3.1
func (s *selected) limitSearch(req *searchRequest) (lowest uint32) {
	if s.known.Len() <= s.c.srv.opts.MessageLimit || req.sort != nil {
		return 0
	}
	key := frozen(req.program.Key, s.known, s.saved)
	var uids []uint32
	for _, iv := range s.uidPositions(s.named(&key)) {
		uids = s.known.AppendUIDs(uids, iv.first, iv.end)
	}
	if _, lowest = s.limitUIDs(uids); lowest > 1 {
		after := imap.SearchKey{Op: imap.SearchUIDAfter, Number: uint64(lowest - 1)}
		req.program.Key = imap.SearchKey{Op: imap.SearchAnd, Keys: []imap.SearchKey{after, req.program.Key}}
	}
	return lowest
}

// named returns the UIDs of the messages that a search is about, as far as its keys name
// them.
func (s *selected) named(key *imap.SearchKey) imap.Ranges {
	uids := s.allUIDs()
	switch key.Op {
	case imap.SearchUID:
		uids = s.uids(key.Set)
	case imap.SearchUIDAfter, imap.SearchUIDBefore:
		uids = key.UIDs()
	case imap.SearchAnd:
		for i := range key.Keys {
			uids = uids.Intersect(s.named(&key.Keys[i]))
		}
	}
	return uids
}
