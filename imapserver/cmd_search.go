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
	"mox/internal/search/textindex"
	"mox/store"
)

// SEARCH, UID SEARCH, and what SORT (cmd_sort.go) and ESEARCH (cmd_esearch.go) share with
// them. RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 4731, RFC 5182, with MODSEQ of
// RFC 7162 §3.1.5 and PARTIAL of RFC 9394.

// searchRequest has the arguments of SEARCH.
type searchRequest struct {
	uid     bool
	ret     imap.SearchReturn
	program imap.SearchProgram
	modSeq  bool // A key is MODSEQ, so that mod-sequences are told.

	sort []imap.SortCriterion // Nil but for SORT.
}

func (r *searchRequest) setUID() { r.uid = true }

// parseSearch parses result options, charset and keys.
//
//	search = "SEARCH" [search-return-opts] SP search-program
func parseSearch(d *wire.Decoder) *searchRequest {
	req := &searchRequest{}
	d.NeedSP()
	req.parseReturn(d)
	req.setProgram(d.NeedSearchProgram())
	return req
}

// parseReturn parses result options, if there are any, and the space after them.
func (r *searchRequest) parseReturn(d *wire.Decoder) {
	if d.TryName("RETURN") {
		d.NeedSP()
		r.ret = d.NeedSearchReturn()
		d.NeedSP()
	}
}

func (r *searchRequest) setProgram(p imap.SearchProgram) {
	r.program = p
	r.modSeq = p.Key.Any(func(k *imap.SearchKey) bool { return k.Op == imap.SearchModSeq })
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
	if err := s.checkProgram(&req.program, req.sort != nil); err != nil {
		return reply{}, err
	}
	if err := s.checkUpdate(req.ret); err != nil {
		return reply{}, err
	}
	if req.modSeq {
		s.enableCondStore()
	}
	saved, lowest := s.saved, s.limitSearch(req)
	res, err := s.searchSelected(ctx, req)
	if err != nil {
		var e *imap.Error
		if req.ret.Save && (!errors.As(err, &e) || e.Type == imap.TypeNO) {
			s.saved = nil
		}
		return reply{}, err
	}
	if req.ret.Save {
		s.saved = res.uids(res.positions(req.ret))
	}
	switch {
	case !req.ret.Given && req.sort != nil:
		s.writeSort(res, req)
	case !req.ret.Given && !s.rev2:
		s.writeSearch(res, req)
	case res.any(req.ret):
		s.writeESearch(res, req, nil)
	}
	s.openContext(req, res, saved, false)
	return reply{keepsSeqs: req.program.Key.UsesSeqs(), lowest: lowest}, nil
}

// checkProgram refuses what a client has enabled not to be right. Commands other than
// SEARCH always have a charset.
func (s *session) checkProgram(p *imap.SearchProgram, charset bool) error {
	if s.utf8Accept && !s.rev2 { // RFC 9755 §3
		if charset && p.Charset != "UTF-8" {
			return imap.Bad("", "all is utf-8, no other charset can be given")
		} else if !charset && p.Charset != "" {
			return imap.Bad("", "all is utf-8, no charset can be given")
		}
	}
	return s.needsUIDs(&p.Key)
}

// searchResult has the positions of messages that match, as far as they were asked for.
type searchResult struct {
	all      []int // Ascending. Nil unless they all had to be found.
	sorted   []int // All in the order of SORT; else the same as all.
	partial  []int // In order.
	min, max int   // The first and last, in order. -1 if there is none.

	index *store.Index // That was searched.
}

// needsAll reports whether all matches must be found.
func needsAll(ret imap.SearchReturn) bool {
	return ret.All || ret.Count || !ret.Min && !ret.Max && ret.Partial == nil
}

// searchSelected searches the selected mailbox as the client knows it. Flags may have
// changed, also by the client, since it was told what messages there are.
func (s *selected) searchSelected(ctx context.Context, req *searchRequest) (searchResult, error) {
	latest, err := s.latest(ctx)
	if err != nil {
		return searchResult{}, err
	}
	return s.search(ctx, req, search.Scope{Index: s.known.With(latest), Saved: s.saved})
}

// search runs the program. Where only the first or last matches are wanted, it ends there.
func (s *session) search(ctx context.Context, req *searchRequest, scope search.Scope) (searchResult, error) {
	res := searchResult{min: -1, max: -1, index: scope.Index}
	scope.Now = s.c.srv.opts.Now()
	p, err := search.Compile(&req.program.Key, scope)
	if err != nil {
		return res, err
	}
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	ctx, stop := s.c.whileConnected(ctx)
	defer stop()
	var texts *textindex.Reader
	if p.AsksTexts() {
		texts = s.texts(ctx)
		defer texts.Close()
	}
	// find returns at most n matches, ascending, the last ones if that is wanted.
	find := func(n int64, last bool) (l []int) {
		if err != nil {
			return nil
		}
		opts := search.Options{Descending: last, Texts: texts, Keys: s.c.srv.keys, Limited: n < math.MaxInt64, Progress: s.c.progress(res.index.Len()), Unreadable: func(pos int, err error) {
			s.c.log.Error("message cannot be searched", "err", err, "content", res.index.At(pos).ContentID)
		}}
		opts.Mailbox = s.searchMailbox(res)
		opts.Mailbox.Texts = texts
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
	if ret.Update || req.sort != nil || needsAll(ret) {
		if res.all = find(math.MaxInt64, false); err != nil {
			return res, err
		}
		if res.sorted, err = s.sort(ctx, res, req.sort); err != nil {
			return res, err
		}
		if n := len(res.sorted); n > 0 {
			res.min, res.max = res.sorted[0], res.sorted[n-1]
		}
		if ret.Partial != nil {
			first, end := partialOf(len(res.sorted), *ret.Partial)
			res.partial = res.sorted[first:max(first, end)]
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

// ends returns the first and last match, as far as they are asked for and there are any.
func (r *searchResult) ends(ret imap.SearchReturn) (l []int) {
	if ret.Min && r.min >= 0 {
		l = append(l, r.min)
	}
	if ret.Max && r.max >= 0 && (!ret.Min || r.max != r.min) {
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
	l := append(r.ends(ret), r.partial...)
	slices.Sort(l)
	return slices.Compact(l)
}

// any reports whether a response is asked for: SAVE alone suppresses it.
func (r *searchResult) any(ret imap.SearchReturn) bool {
	return !ret.Save || ret.Min || ret.Max || ret.All || ret.Count || ret.Partial != nil
}

// number returns the UID or message sequence number of a position.
func (r *searchResult) number(pos int, uid bool) uint32 {
	if uid {
		return r.index.At(pos).UID
	}
	return uint32(pos + 1)
}

// uids returns the UIDs of ascending positions.
func (r *searchResult) uids(positions []int) imap.Ranges {
	var l imap.Ranges
	for _, pos := range positions {
		l.Add(r.index.At(pos).UID)
	}
	return l
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
		line = strconv.AppendUint(line, uint64(res.number(pos, req.uid)), 10)
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

// writeESearch writes the result options that were asked for. With a mailbox, that is told,
// as for the command ESEARCH. RFC 9051 §7.3.4, RFC 5267 §3.1, RFC 7377 §2.1
func (s *session) writeESearch(res searchResult, req *searchRequest, mb *store.Mailbox) {
	enc, ret := s.c.enc, req.ret
	s.openESearch(s.c.tag, req.uid, mb)
	if ret.Min && res.min >= 0 {
		enc.Raw(" MIN ")
		enc.Number(uint64(res.number(res.min, req.uid)))
	}
	if ret.Max && res.max >= 0 {
		enc.Raw(" MAX ")
		enc.Number(uint64(res.number(res.max, req.uid)))
	}
	if (ret.All || !ret.Given) && len(res.all) > 0 {
		enc.Raw(" ALL ")
		s.writeNumbers(len(res.sorted), func(i int) uint32 { return res.number(res.sorted[i], req.uid) })
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
			s.writeNumbers(len(res.partial), func(i int) uint32 { return res.number(res.partial[i], req.uid) })
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

// openESearch begins an ESEARCH response.
//
//	search-correlator = SP "(" one-correlator *(SP one-correlator) ")"
func (s *session) openESearch(tag string, uid bool, mb *store.Mailbox) {
	enc := s.c.enc
	enc.Raw("* ESEARCH (TAG ")
	enc.String(tag)
	if mb != nil {
		enc.Raw(" MAILBOX ")
		enc.Mailbox(mb.Name)
		enc.Raw(" UIDVALIDITY ")
		enc.Number(uint64(mb.UIDValidity))
	}
	enc.Raw(")")
	if uid {
		enc.Raw(" UID")
	}
}

// writeNumbers writes n numbers in their order. Those that ascend without a gap are written
// as ranges. RFC 5267 §3.2
func (s *session) writeNumbers(n int, number func(i int) uint32) {
	line := make([]byte, 0, 4096)
	for i := 0; i < n; {
		if len(line) > cap(line)-32 {
			s.c.enc.RawBytes(line)
			line = line[:0]
		}
		if i > 0 {
			line = append(line, ',')
		}
		first := number(i)
		last := first
		for i++; i < n && number(i) == last+1; i++ {
			last++
		}
		line = strconv.AppendUint(line, uint64(first), 10)
		if last > first {
			line = strconv.AppendUint(append(line, ':'), uint64(last), 10)
		}
	}
	s.c.enc.RawBytes(line)
}
