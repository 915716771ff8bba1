package imapserver

import (
	"context"
	"errors"
	"strconv"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/search"
)

// SEARCH, UID SEARCH. RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 4731, RFC 5182

// searchRequest has the arguments of SEARCH.
type searchRequest struct {
	uid     bool
	ret     imap.SearchReturn
	program imap.SearchProgram
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
		if req.ret.Partial != nil {
			d.Fail("unknown search return option") // PARTIAL is not announced.
		}
		d.NeedSP()
	}
	req.program = d.NeedSearchProgram()
	if req.program.Key.Any(func(k *imap.SearchKey) bool { return k.Op == imap.SearchModSeq }) {
		d.Fail("unknown search key") // CONDSTORE is not announced.
	}
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
	res, err := s.search(ctx, req)
	if err != nil {
		var e *imap.Error
		if req.ret.Save && (!errors.As(err, &e) || e.Type == imap.TypeNO) {
			s.saved = nil
		}
		return reply{}, err
	}
	if req.ret.Save {
		s.saved = res.saved(s, req.ret)
	}
	switch {
	case !req.ret.Given && !s.rev2:
		s.writeSearch(res, req.uid)
	case res.any(req.ret):
		s.writeESearch(res, req)
	}
	return reply{}, nil
}

// searchResult has the positions of messages that match, as far as they were asked for.
type searchResult struct {
	all      []int // Ascending. Nil if only the first and last were asked for.
	min, max int   // -1 if there is none.
}

// search runs the program. Where only the first or last match is wanted, it ends there.
func (s *selected) search(ctx context.Context, req *searchRequest) (searchResult, error) {
	res := searchResult{min: -1, max: -1}
	p, err := search.Compile(&req.program.Key, search.Scope{Index: s.known, Saved: s.saved, Now: s.c.srv.opts.Now()})
	if err != nil {
		return res, err
	}
	ret := req.ret
	ends := (ret.Min || ret.Max) && !ret.All && !ret.Count
	opts := search.Options{Unreadable: func(pos int, err error) {
		s.c.log.Error("message cannot be searched", "err", err, "content", s.known.At(pos).ContentID)
	}}
	if !ends {
		err = p.Run(ctx, s.account, opts, func(pos int) bool {
			res.all = append(res.all, pos)
			return true
		})
		if n := len(res.all); n > 0 {
			res.min, res.max = res.all[0], res.all[n-1]
		}
		return res, err
	}
	if ret.Min {
		err = p.Run(ctx, s.account, opts, func(pos int) bool { res.min = pos; return false })
	}
	if ret.Max && err == nil {
		opts.Descending = true
		err = p.Run(ctx, s.account, opts, func(pos int) bool { res.max = pos; return false })
	}
	return res, err
}

// saved returns the UIDs that "$" is to stand for. RFC 9051 §6.4.4.1, table 4
func (r *searchResult) saved(s *selected, ret imap.SearchReturn) imap.Ranges {
	var uids imap.Ranges
	if !(ret.Min || ret.Max) || ret.All || ret.Count {
		return s.numbers(r.all, true)
	}
	for _, pos := range []int{r.min, r.max} {
		if pos >= 0 {
			uids.Add(s.known.At(pos).UID)
		}
	}
	return uids
}

// any reports whether a response is asked for: SAVE alone suppresses it.
func (r *searchResult) any(ret imap.SearchReturn) bool {
	return !ret.Save || ret.Min || ret.Max || ret.All || ret.Count
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
// RFC 3501 §7.2.5
func (s *selected) writeSearch(res searchResult, uid bool) {
	line := append(make([]byte, 0, searchLine*len(" 4294967295")+len("* SEARCH\r\n")), "* SEARCH"...)
	for i, pos := range res.all {
		if i > 0 && i%searchLine == 0 {
			s.c.enc.RawBytes(append(line, "\r\n"...))
			line = line[:len("* SEARCH")]
		}
		line = append(line, ' ')
		line = strconv.AppendUint(line, uint64(s.number(pos, uid)), 10)
	}
	s.c.enc.RawBytes(append(line, "\r\n"...))
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
	enc.CRLF()
}
