package imapserver

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/search"
	"mox/store"
)

// SEARCH, UID SEARCH. RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 4731, RFC 5182, with MODSEQ of
// RFC 7162 §3.1.5 and PARTIAL of RFC 9394.

// searchRequest has the arguments of SEARCH.
type searchRequest struct {
	uid     bool
	ret     imap.SearchReturn
	program imap.SearchProgram
	modSeq  bool // A key is MODSEQ, so that mod-sequences are told.
}

func (r *searchRequest) setUID() { r.uid = true }

// parseSearch parses result options, charset and keys.
//
//	search = "SEARCH" [search-return-opts] SP search-program
func parseSearch(d *wire.Decoder) *searchRequest {
	req := &searchRequest{}
	d.NeedSP()
	if d.TryName("RETURN") {
		d.NeedSP()
		req.ret = d.NeedSearchReturn()
		d.NeedSP()
	}
	req.program = d.NeedSearchProgram()
	req.modSeq = req.program.Key.Any(func(k *imap.SearchKey) bool { return k.Op == imap.SearchModSeq })
	return req
}

// refused is called when the request was refused while it was parsed: "A SEARCH command
// with the SAVE result option that caused the server to return the NO tagged response
// sets the value of the search result variable to the empty sequence." RFC 9051 §6.4.4.1
func (r *searchRequest) refused(c *conn, err error) {
	var e *imap.Error
	if r.ret.Save && c.sess.sel != nil && errors.As(err, &e) && e.Type == imap.TypeNO {
		c.sess.sel.saved = nil
	}
}

func runSearch(ctx context.Context, s *selected, req *searchRequest) (reply, error) {
	if s.utf8Accept && !s.rev2 && req.program.Charset != "" {
		return reply{}, imap.Bad("", "all is utf-8, no charset can be given") // RFC 6855 §3
	}
	if err := s.needsUIDs(&req.program.Key); err != nil {
		return reply{}, err
	}
	if req.modSeq {
		s.enableCondStore()
	}
	res, err := s.search(ctx, req)
	if err != nil {
		var e *imap.Error
		if req.ret.Save && (!errors.As(err, &e) || e.Type == imap.TypeNO) {
			s.saved = nil
		}
		return reply{}, err
	}
	if req.ret.Save {
		s.saved = s.numbers(res.positions(req.ret), true)
	}
	switch {
	case !req.ret.Given && !s.rev2:
		s.writeSearch(res, req)
	case res.any(req.ret):
		s.writeESearch(res, req)
	}
	return reply{keepsSeqs: req.program.Key.UsesSeqs()}, nil
}

// searchResult has the positions of messages that match, as far as they were asked for.
type searchResult struct {
	all      []int // Ascending. Nil unless they all had to be found.
	partial  []int // Ascending.
	min, max int   // -1 if there is none.

	index *store.Index // That was searched.
}

// needsAll reports whether all matches must be found.
func needsAll(ret imap.SearchReturn) bool {
	return ret.All || ret.Count || !ret.Min && !ret.Max && ret.Partial == nil
}

// search runs the program. Where only the first or last matches are wanted, it ends there.
func (s *selected) search(ctx context.Context, req *searchRequest) (searchResult, error) {
	res := searchResult{min: -1, max: -1}
	// Flags may have changed, also by the client, since it was told what messages there are.
	latest, err := s.latest(ctx)
	if err != nil {
		return res, err
	}
	res.index = s.known.With(latest)
	p, err := search.Compile(&req.program.Key, search.Scope{Index: res.index, Saved: s.saved, Now: s.c.srv.opts.Now()})
	if err != nil {
		return res, err
	}
	// find returns at most n matches, ascending, the last ones if that is wanted.
	find := func(n int64, last bool) (l []int) {
		if err != nil {
			return nil
		}
		opts := search.Options{Descending: last, Progress: s.c.progress(s.known.Len()), Unreadable: func(pos int, err error) {
			s.c.log.Error("message cannot be searched", "err", err, "content", s.known.At(pos).ContentID)
		}}
		err = p.Run(ctx, s.account, opts, func(pos int) bool {
			l = append(l, pos)
			return int64(len(l)) < n
		})
		if last {
			slices.Reverse(l)
		}
		return l
	}
	ret := req.ret
	if needsAll(ret) {
		res.all = find(math.MaxInt64, false)
		if n := len(res.all); n > 0 {
			res.min, res.max = res.all[0], res.all[n-1]
		}
		if ret.Partial != nil {
			first, end := partialOf(len(res.all), *ret.Partial)
			res.partial = res.all[first:max(first, end)]
		}
		return res, err
	}
	if ret.Partial != nil {
		last := ret.Partial.First < 0
		l := find(max(ret.Partial.Last, -ret.Partial.Last), last)
		first, end := partialOf(len(l), *ret.Partial)
		res.partial = l[first:max(first, end)]
	}
	if ret.Min {
		res.min = one(find(1, false))
	}
	if ret.Max {
		res.max = one(find(1, true))
	}
	return res, err
}

// one returns the one position in a list, -1 if there is none.
func one(l []int) int {
	if len(l) == 0 {
		return -1
	}
	return l[0]
}

// ends returns the first and last match, as far as there are any.
func (r *searchResult) ends() (l []int) {
	if r.min >= 0 {
		l = append(l, r.min)
	}
	if r.max >= 0 && r.max != r.min {
		l = append(l, r.max)
	}
	return l
}

// positions returns the positions that the result is about: "$" stands for them, and the
// mod-sequence is the highest of theirs. They ascend. RFC 9051 §6.4.4.1, table 4, RFC 9394
// §3.2, RFC 4731 §3.2
func (r *searchResult) positions(ret imap.SearchReturn) []int {
	if needsAll(ret) {
		return r.all
	}
	l := append(r.ends(), r.partial...)
	slices.Sort(l)
	return slices.Compact(l)
}

// any reports whether a response is asked for: SAVE alone suppresses it.
func (r *searchResult) any(ret imap.SearchReturn) bool {
	return !ret.Save || ret.Min || ret.Max || ret.All || ret.Count || ret.Partial != nil
}

// number returns the UID or message sequence number of a position.
func (s *selected) number(pos int, uid bool) uint32 {
	if uid {
		return s.known.At(pos).UID
	}
	return uint32(pos + 1)
}

// numbers returns the UIDs or message sequence numbers of ascending positions.
func (s *selected) numbers(positions []int, uid bool) imap.Ranges {
	var r imap.Ranges
	for _, pos := range positions {
		r.Add(s.number(pos, uid))
	}
	return r
}

// writeSearch writes the result for IMAP4rev1 clients, in lines that are not too long.
// RFC 3501 §7.2.5, RFC 7162 §3.1.6
func (s *selected) writeSearch(res searchResult, req *searchRequest) {
	line := append(make([]byte, 0, searchLine*len(" 4294967295")+len("* SEARCH\r\n")), "* SEARCH"...)
	modSeq := res.modSeq(req, res.all)
	for i, pos := range res.all {
		if i > 0 && i%searchLine == 0 {
			s.c.enc.RawBytes(append(appendModSeq(line, modSeq), "\r\n"...))
			line = line[:len("* SEARCH")]
		}
		line = append(line, ' ')
		line = strconv.AppendUint(line, uint64(s.number(pos, req.uid)), 10)
	}
	s.c.enc.RawBytes(append(appendModSeq(line, modSeq), "\r\n"...))
}

// modSeq returns the highest mod-sequence of messages if it is to be told, else 0.
func (r *searchResult) modSeq(req *searchRequest, positions []int) (m store.ModSeq) {
	if !req.modSeq {
		return 0
	}
	for _, pos := range positions {
		m = max(m, r.index.At(pos).ModSeq)
	}
	return m
}

// appendModSeq appends a search-sort-mod-seq.
func appendModSeq(line []byte, modSeq store.ModSeq) []byte {
	if modSeq == 0 {
		return line
	}
	line = strconv.AppendUint(append(line, " (MODSEQ "...), uint64(modSeq), 10)
	return append(line, ')')
}

// writeESearch writes the result options that were asked for. RFC 9051 §7.3.4
func (s *selected) writeESearch(res searchResult, req *searchRequest) {
	enc, ret := s.c.enc, req.ret
	enc.Raw("* ESEARCH (TAG ")
	enc.String(s.c.tag)
	enc.Raw(")")
	if req.uid {
		enc.Raw(" UID")
	}
	if ret.Min && res.min >= 0 {
		enc.Raw(" MIN ")
		enc.Number(uint64(s.number(res.min, req.uid)))
	}
	if ret.Max && res.max >= 0 {
		enc.Raw(" MAX ")
		enc.Number(uint64(s.number(res.max, req.uid)))
	}
	if (ret.All || !ret.Given) && len(res.all) > 0 {
		enc.Raw(" ALL ")
		enc.Ranges(s.numbers(res.all, req.uid))
	}
	if ret.Count {
		enc.Raw(" COUNT ")
		enc.Number(uint64(len(res.all)))
	}
	if ret.Partial != nil {
		enc.Raw(" PARTIAL (")
		enc.PartialRange(ret.Partial)
		enc.SP()
		if len(res.partial) > 0 {
			enc.Ranges(s.numbers(res.partial, req.uid))
		} else {
			enc.NIL()
		}
		enc.Raw(")")
	}
	if m := res.modSeq(req, res.positions(ret)); m > 0 {
		enc.Raw(" MODSEQ ")
		enc.Number(uint64(m))
	}
	enc.CRLF()
}
