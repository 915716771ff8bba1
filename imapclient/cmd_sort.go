package imapclient

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
)

// Sort searches the selected mailbox and gets results in the order of the criteria, of
// which there is at least one. Without options the server answers with SORT, else with
// ESEARCH; Nums has the results, in order, of both. The charset is UTF-8 if the program has
// none. RFC 5256 §3, RFC 5267 §3
func (c *Client) Sort(ctx context.Context, kind NumKind, criteria []imap.SortCriterion, program imap.SearchProgram, opts SearchOptions) (*SearchResult, error) {
	var tag string
	resp, err := c.do(ctx, kind.command("SORT"), func(e *wire.Encoder) {
		tag = c.lastTag()
		encodeReturn(e, opts)
		e.SP()
		e.SortCriteria(criteria)
		e.SP()
		e.SearchCriteria(&program)
	})
	return newSearchResult(resp, tag, true), err
}

// encodeReturn appends result options, if there are any.
func encodeReturn(e *wire.Encoder, opts SearchOptions) {
	if opts.Return.Given {
		e.Raw(" RETURN ")
		e.SearchReturn(&opts.Return)
	}
}

// numbers returns the numbers of a set in the order in which they are written, nil if they
// are too many.
func numbers(set imap.NumSet) (l []uint32) {
	for _, r := range set.Ranges {
		first, last := min(r.First, r.Last), max(r.First, r.Last) // RFC 5267 §3.2
		if int64(last)-int64(first)+int64(len(l)) >= maxSearchNums {
			return nil
		}
		for n := uint64(first); n <= uint64(last); n++ {
			l = append(l, uint32(n))
		}
	}
	return l
}
