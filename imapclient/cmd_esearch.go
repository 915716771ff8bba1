package imapclient

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
)

// NotifySubtreeOne is for a mailbox and those directly below it, in ESEARCH only. RFC 7377
// §2.2
const NotifySubtreeOne NotifyFilter = "SUBTREE-ONE"

// A SearchSource says in which mailboxes to search. RFC 7377 §2.2
type SearchSource struct {
	Filter    NotifyFilter
	Mailboxes []string // For NotifySubtree, NotifySubtreeOne and NotifyMailboxes.
}

// ESearch searches mailboxes, which need not be selected: without sources the selected one.
// There is a result for each with messages that match. RFC 7377 §2
func (c *Client) ESearch(ctx context.Context, sources []SearchSource, program imap.SearchProgram, opts SearchOptions) ([]ESearch, *Response, error) {
	var tag string
	resp, err := c.do(ctx, "ESEARCH", func(e *wire.Encoder) {
		tag = c.lastTag()
		if len(sources) > 0 {
			e.Raw(" IN ")
			e.Open()
			for _, s := range sources {
				e.Item()
				e.Raw(string(s.Filter))
				encodeMailboxes(e, s.Mailboxes)
			}
			e.Close()
		}
		encodeReturn(e, opts)
		e.SP()
		e.SearchProgram(&program)
	})
	var l []ESearch
	for _, u := range resp.Untagged {
		if s, ok := u.(ESearch); ok && s.Tag == tag && len(s.Updates) == 0 {
			l = append(l, s)
		}
	}
	return l, resp, err
}

// encodeMailboxes appends names in parentheses, if there are any.
func encodeMailboxes(e *wire.Encoder, names []string) {
	if len(names) == 0 {
		return
	}
	e.SP()
	e.Open()
	for _, name := range names {
		e.Item()
		e.Mailbox(name)
	}
	e.Close()
}
