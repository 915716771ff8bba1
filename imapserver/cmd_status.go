package imapserver

import (
	"context"
	"slices"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// STATUS, RFC 9051 §6.3.11, and quota, RFC 9208. All of it stands in the records of
// mailboxes and account: no message is looked at.

// statusRequest has the arguments of STATUS.
type statusRequest struct {
	name  string
	items []imap.StatusItem
}

// parseStatus parses a mailbox and items.
//
//	status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
func parseStatus(d *wire.Decoder) statusRequest {
	req := statusRequest{name: parseMailbox(d)}
	d.NeedSP()
	req.items = d.NeedStatusItems()
	return req
}

func runStatus(_ context.Context, s *session, req statusRequest) (reply, error) {
	mb, err := s.mailbox(req.name)
	if err != nil {
		return reply{}, err
	}
	s.enableByStatus(req.items)
	s.writeStatus(mb, req.items)
	return reply{}, nil
}

// enableByStatus does what asking for items has as an effect. RFC 7162 §3.1
func (s *session) enableByStatus(items []imap.StatusItem) {
	if slices.Contains(items, imap.StatusHighestModSeq) {
		s.enableCondStore()
	}
}

// writeStatus writes a STATUS response. RFC 9051 §7.3.3
func (s *session) writeStatus(mb store.Mailbox, items []imap.StatusItem) {
	enc := s.c.enc
	enc.Raw("* STATUS ")
	enc.Mailbox(mb.Name)
	enc.SP()
	enc.Open()
	for _, item := range items {
		enc.Name(string(item))
		switch item {
		case imap.StatusMessages:
			enc.Number(uint64(mb.Messages))
		case imap.StatusUIDNext:
			enc.Number(uint64(mb.UIDNext))
		case imap.StatusUIDValidity:
			enc.Number(uint64(mb.UIDValidity))
		case imap.StatusUnseen:
			enc.Number(uint64(mb.Unseen))
		case imap.StatusDeleted:
			enc.Number(uint64(mb.Deleted))
		case imap.StatusSize:
			enc.Number(uint64(mb.Size))
		case imap.StatusDeletedStorage:
			enc.Number(uint64(storageUnits(mb.DeletedSize)))
		case imap.StatusAppendLimit:
			enc.Number(uint64(s.c.opts.MaxMessageSize))
		case imap.StatusHighestModSeq:
			enc.Number(uint64(mb.ModSeq))
		case imap.StatusMailboxID:
			enc.Raw("(" + mailboxID(mb.ID) + ")")
		default: // RECENT
			enc.Number(0)
		}
	}
	enc.Close()
	enc.CRLF()
}

// storageUnits returns octets in units of 1024, rounded up, as STORAGE counts. RFC 9208
// §5.1
func storageUnits(n int64) int64 { return (n + 1023) / 1024 }

// quotaRoot is the name of the one quota root, of the account.
const quotaRoot = ""

// parseQuotaRoot parses the name of a quota root.
//
//	getquota = "GETQUOTA" SP quota-root-name
func parseQuotaRoot(d *wire.Decoder) string {
	d.NeedSP()
	return d.NeedAString()
}

func runGetQuota(_ context.Context, s *session, root string) (reply, error) {
	if root != quotaRoot {
		return reply{}, imap.No(imap.CodeNonExistent, "no such quota root")
	}
	s.writeQuota()
	return reply{}, nil
}

// runGetQuotaRoot answers for all names: "the mailbox name parameter doesn't have to
// reference an existing mailbox". RFC 9208 §4.1.2
func runGetQuotaRoot(_ context.Context, s *session, name string) (reply, error) {
	if mb, err := s.mailbox(name); err == nil {
		name = mb.Name
	}
	s.c.enc.Raw("* QUOTAROOT ")
	s.c.enc.Mailbox(name)
	s.c.enc.Raw(` ""` + "\r\n")
	s.writeQuota()
	return reply{}, nil
}

// writeQuota writes what is used and allowed, if there are limits. RFC 9208 §4.2.1, §5.1,
// §5.2
func (s *session) writeQuota() {
	t, size, messages := s.account.Tree(), s.account.QuotaLimit(), s.account.QuotaMessages()
	if size == 0 && messages == 0 {
		return
	}
	enc := s.c.enc
	enc.Raw(`* QUOTA "" `)
	enc.Open()
	if size > 0 {
		enc.Name("STORAGE")
		enc.Number(uint64(storageUnits(t.Size())))
		enc.SP()
		enc.Number(uint64(size / 1024))
	}
	if messages > 0 {
		enc.Name("MESSAGE")
		enc.Number(uint64(t.Messages()))
		enc.SP()
		enc.Number(uint64(messages))
	}
	enc.Close()
	enc.CRLF()
}
