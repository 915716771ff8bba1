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
	Tag      string   // Of the command.
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
		encodeReturn(e, opts)
		e.SP()
		e.SearchProgram(&program)
	})
	return newSearchResult(resp, tag, false), err
}

// newSearchResult collects the result of SEARCH or SORT.
func newSearchResult(resp *Response, tag string, sort bool) *SearchResult {
	res := &SearchResult{Response: resp, Tag: tag}
	for _, u := range resp.Untagged {
		switch u := u.(type) {
		case Search:
			if u.Sort != sort {
				continue
			}
			res.Nums = append(res.Nums, u.Nums...)
			res.ModSeq = max(res.ModSeq, u.ModSeq)
		case ESearch:
			if u.Tag == tag && len(u.Updates) == 0 {
				res.ESearch = &u
				res.ModSeq = u.ModSeq
			}
		}
	}
	if res.ESearch != nil {
		res.Nums = numbers(res.ESearch.All)
	}
	return res
}
