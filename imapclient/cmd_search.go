package imapclient

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
)

// SearchOptions are the options of [Client.Search]. All may be zero.
type SearchOptions struct {
	Return imap.SearchReturn // Sent if Given is set.
}

// SearchResult has what was found: Nums and ModSeq of a SEARCH response, or an ESEARCH
// response, which servers send if asked with RETURN, and always after IMAP4rev2 was enabled.
type SearchResult struct {
	Response *Response
	Nums     []uint32 // Of SEARCH, or All of ESEARCH.
	ModSeq   uint64
	ESearch  *ESearch // Nil if the server sent SEARCH.
}

// maxSearchNums is the most numbers that a result is expanded to.
const maxSearchNums = 1 << 24

// Search searches the selected mailbox. RFC 9051 §6.4.4
func (c *Client) Search(ctx context.Context, kind NumKind, program imap.SearchProgram, opts SearchOptions) (*SearchResult, error) {
	var tag string
	resp, err := c.do(ctx, kind.command("SEARCH"), func(e *wire.Encoder) {
		tag = c.lastTag()
		if opts.Return.Given {
			e.Raw(" RETURN ")
			e.SearchReturn(&opts.Return)
		}
		e.SP()
		e.SearchProgram(&program)
	})
	return newSearchResult(resp, tag), err
}

func newSearchResult(resp *Response, tag string) *SearchResult {
	res := &SearchResult{Response: resp}
	for _, u := range resp.Untagged {
		switch u := u.(type) {
		case Search:
			res.Nums = append(res.Nums, u.Nums...)
			res.ModSeq = max(res.ModSeq, u.ModSeq)
		case ESearch:
			if u.Tag == tag {
				res.ESearch = &u
				res.ModSeq = u.ModSeq
			}
		}
	}
	if res.ESearch != nil {
		all := res.ESearch.All.Resolve(0)
		if all.Count() <= maxSearchNums {
			for n := range all.All() {
				res.Nums = append(res.Nums, n)
			}
		}
	}
	return res
}
