package imapclient

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
)

// A MetadataDepth says how far below an entry others are wanted too. RFC 5464 §4.2.2
type MetadataDepth string

// Depths.
const (
	DepthZero     MetadataDepth = "" // The entry only.
	DepthOne      MetadataDepth = "1"
	DepthInfinity MetadataDepth = "infinity"
)

// MetadataOptions are the options of [Client.GetMetadata]. All may be zero.
type MetadataOptions struct {
	MaxSize imap.Number // Octets of the largest value that is wanted. RFC 5464 §4.2.1
	Depth   MetadataDepth
}

// GetMetadata asks for entries of a mailbox, or of the server if mailbox is empty. Entries
// without value are left out by the server. Longest is the size of the longest value that
// was left out because of MaxSize, 0 if there was none. RFC 5464 §4.2
func (c *Client) GetMetadata(ctx context.Context, mailbox string, names []string, opts MetadataOptions) (entries []MetadataEntry, longest uint64, err error) {
	resp, err := c.do(ctx, "GETMETADATA", func(e *wire.Encoder) {
		e.SP()
		opts.encode(e)
		e.Mailbox(mailbox)
		e.SP()
		e.Open()
		for _, name := range names {
			e.Item()
			e.AString(name)
		}
		e.Close()
	})
	for _, m := range All[Metadata](resp) {
		if m.Mailbox == imap.CanonicalInbox(mailbox) {
			entries = append(entries, m.Entries...)
		}
	}
	code, _ := resp.Code(imap.CodeMetadataLongEntries)
	return entries, code.Num, err
}

// encode appends options with a space behind, if there are any.
func (o *MetadataOptions) encode(e *wire.Encoder) {
	if !o.MaxSize.OK && o.Depth == DepthZero {
		return
	}
	e.Open()
	if o.MaxSize.OK {
		e.Name("MAXSIZE")
		e.Number(uint64(o.MaxSize.Value))
	}
	if o.Depth != DepthZero {
		e.Name("DEPTH")
		e.Raw(string(o.Depth))
	}
	e.Close()
	e.SP()
}

// SetMetadata sets entries of a mailbox, or of the server if mailbox is empty. A value of
// NIL removes the entry. RFC 5464 §4.3
func (c *Client) SetMetadata(ctx context.Context, mailbox string, entries ...MetadataEntry) (*Response, error) {
	return c.do(ctx, "SETMETADATA", func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(mailbox)
		e.SP()
		e.Open()
		for _, x := range entries {
			e.Item()
			e.AString(x.Name)
			e.SP()
			if x.Value.OK {
				e.Bytes(x.Value.Value)
			} else {
				e.NIL()
			}
		}
		e.Close()
	})
}
