package imapclient

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
)

// GetQuota asks for usage and limits of a quota root. RFC 9208 §4.1.1
func (c *Client) GetQuota(ctx context.Context, root string) (Quota, error) {
	resp, err := c.do(ctx, "GETQUOTA", func(e *wire.Encoder) {
		e.SP()
		e.AString(root)
	})
	return last[Quota](resp, err, "QUOTA")
}

// GetQuotaRoot asks for the quota roots of a mailbox, and usage and limits of each.
// RFC 9208 §4.1.2
func (c *Client) GetQuotaRoot(ctx context.Context, mailbox string) (QuotaRoot, []Quota, error) {
	resp, err := c.doMailbox(ctx, "GETQUOTAROOT", mailbox)
	roots, err := last[QuotaRoot](resp, err, "QUOTAROOT")
	return roots, All[Quota](resp), err
}

// GetMetadata asks for entries of a mailbox, or of the server if mailbox is empty. Entries
// without value are left out by the server. RFC 5464 §4.2
func (c *Client) GetMetadata(ctx context.Context, mailbox string, names ...string) ([]MetadataEntry, error) {
	resp, err := c.do(ctx, "GETMETADATA", func(e *wire.Encoder) {
		e.SP()
		e.Mailbox(mailbox)
		e.SP()
		e.Open()
		for _, name := range names {
			e.Item()
			e.AString(name)
		}
		e.Close()
	})
	var entries []MetadataEntry
	for _, m := range All[Metadata](resp) {
		if m.Mailbox == imap.CanonicalInbox(mailbox) {
			entries = append(entries, m.Entries...)
		}
	}
	return entries, err
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
