package imapserver

import (
	"context"
	"strconv"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/search"
)

// SORT, UID SORT. RFC 5256 §3, RFC 5957, with result options of RFC 5267 §3. It is a SEARCH
// whose results have another order, and runs as one.

// parseSort parses result options, criteria, charset and keys.
//
//	sort          = "SORT" SP sort-criteria SP search-criteria
//	extended-sort = "SORT" search-return-opts SP sort-criteria SP search-criteria
func parseSort(d *wire.Decoder) *searchRequest {
	req := &searchRequest{}
	d.NeedSP()
	req.parseReturn(d)
	req.sort = d.NeedSortCriteria()
	d.NeedSP()
	req.setProgram(d.NeedSearchCriteria())
	return req
}

// sort returns all results in the order that the criteria say. Without any, that is the
// order of the mailbox.
func (s *session) sort(ctx context.Context, res searchResult, criteria []imap.SortCriterion) (sorted []int, err error) {
	if criteria == nil {
		return res.all, nil
	}
	err = s.c.working(func() error {
		sorted, err = s.c.srv.keys.Sort(ctx, s.searchMailbox(res), res.all, criteria)
		return err
	})
	return sorted, err
}

func (s *session) searchMailbox(res searchResult) search.Mailbox {
	return search.Mailbox{Mail: s.account, Owner: s.account, Index: res.index}
}

// writeSort writes a SORT response. RFC 5256 §4, RFC 7162 §3.1.9
func (s *selected) writeSort(res searchResult, req *searchRequest) {
	line := append(make([]byte, 0, 4096), "* SORT"...)
	for _, pos := range res.sorted {
		if len(line) > cap(line)-16 {
			s.c.enc.RawBytes(line)
			line = line[:0]
		}
		line = strconv.AppendUint(append(line, ' '), uint64(res.number(pos, req.uid)), 10)
	}
	s.c.enc.RawBytes(append(appendModSeq(line, res.modSeq(req, res.all)), "\r\n"...))
}
