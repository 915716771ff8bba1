package imapclient

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
)

// A StoreAction says how STORE changes flags. RFC 9051 §6.4.6
type StoreAction string

// Store actions.
const (
	StoreSet    StoreAction = "FLAGS"
	StoreAdd    StoreAction = "+FLAGS"
	StoreRemove StoreAction = "-FLAGS"
)

// StoreOptions are the options of [Client.Store]. All may be zero.
type StoreOptions struct {
	Silent         bool
	UnchangedSince *uint64 // RFC 7162 §3.1.3
}

// Store changes flags of messages. Which were not changed because of UnchangedSince is in
// the MODIFIED code of the response. RFC 9051 §6.4.6
func (c *Client) Store(ctx context.Context, kind NumKind, set imap.NumSet, action StoreAction, flags []string, opts StoreOptions) ([]*FetchData, *Response, error) {
	resp, err := c.do(ctx, kind.command("STORE"), func(e *wire.Encoder) {
		e.SP()
		e.NumSet(set)
		e.SP()
		if opts.UnchangedSince != nil {
			e.Raw("(UNCHANGEDSINCE ")
			e.Number(*opts.UnchangedSince)
			e.Raw(") ")
		}
		e.Raw(string(action))
		if opts.Silent {
			e.Raw(".SILENT")
		}
		e.SP()
		e.Words(flags)
	})
	return All[*FetchData](resp), resp, err
}

// Copied tells where copied or moved messages are. It is zero if the server does not say.
// The n-th number of Source became the n-th number of UIDs. RFC 4315 §3
type Copied struct {
	UIDValidity  uint32
	Source, UIDs imap.NumSet
}

// Copy copies messages to a mailbox. RFC 9051 §6.4.7
func (c *Client) Copy(ctx context.Context, kind NumKind, set imap.NumSet, mailbox string) (Copied, *Response, error) {
	return c.copyOrMove(ctx, kind.command("COPY"), set, mailbox)
}

// Move moves messages to a mailbox. RFC 9051 §6.4.8
func (c *Client) Move(ctx context.Context, kind NumKind, set imap.NumSet, mailbox string) (Copied, *Response, error) {
	return c.copyOrMove(ctx, kind.command("MOVE"), set, mailbox)
}

func (c *Client) copyOrMove(ctx context.Context, name string, set imap.NumSet, mailbox string) (Copied, *Response, error) {
	resp, err := c.do(ctx, name, func(e *wire.Encoder) {
		e.SP()
		e.NumSet(set)
		e.SP()
		e.Mailbox(mailbox)
	})
	code, _ := resp.Code(imap.CodeCopyUID)
	return Copied{code.UIDValidity, code.Source, code.UIDs}, resp, err
}
