package imapclient

import (
	"context"

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
