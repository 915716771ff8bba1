package imapserver

import (
	"context"
	"errors"
	"strconv"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/search"
	"mox/store"
)

// SELECT, EXAMINE, CLOSE, UNSELECT. RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2

// selectRequest has the arguments of SELECT and EXAMINE.
type selectRequest struct {
	name string
	selectParams
}

// parseSelect parses the name of a mailbox and parameters.
//
//	select = "SELECT" SP mailbox [select-params]
func parseSelect(d *wire.Decoder) selectRequest {
	return selectRequest{parseMailbox(d), parseSelectParams(d)}
}

func runSelect(ctx context.Context, s *session, req selectRequest) (reply, error) {
	return s.open(ctx, req, false)
}

func runExamine(ctx context.Context, s *session, req selectRequest) (reply, error) {
	return s.open(ctx, req, true)
}

// open selects a mailbox. If it fails, none is selected.
func (s *session) open(ctx context.Context, req selectRequest, readOnly bool) (reply, error) {
	if err := s.checkSelect(req.selectParams); err != nil {
		return reply{}, err
	}
	if s.sel != nil {
		s.sel.closed()
	}
	if req.condStore {
		s.enableCondStore()
	}
	s.tellMailboxes()
	t := s.account.Tree()
	mb, ok := t.ByName(req.name)
	if !ok {
		return reply{}, store.ErrNoMailbox
	}
	// Pinned before the index is read, so that what it has can be read.
	s.watch.Pin(t.ModSeq)
	ix, err := s.account.Index(ctx, mb.ID)
	if err != nil {
		s.watch.Unpin()
		return reply{}, err
	}
	s.sel = &selected{session: s, id: mb.ID, readOnly: readOnly, keywords: mb.Keywords, known: ix, modSeq: mb.ModSeq}
	if s.wantsSelected() == 0 {
		s.watch.Unpin() // As in setNotify.
	}
	s.sel.tellSelected(t, mb)
	if req.resync != nil {
		announce()
		if err := s.sel.resync(ctx, req.resync); err != nil {
			s.deselect()
			return reply{}, err
		}
	}
	code := imap.CodeReadWrite
	if readOnly {
		code = imap.CodeReadOnly
	}
	return reply{code: code}, nil
}

// tellSelected writes what a client must know of the mailbox it selects. RFC 9051 §6.3.2,
// and for IMAP4rev1 clients RFC 3501 §6.3.1
func (s *selected) tellSelected(t *store.Tree, mb store.Mailbox) {
	enc := s.c.enc
	enc.Raw("* FLAGS ")
	enc.Flags(imap.FlagsAll, s.keywords)
	enc.CRLF()
	s.tellExists(s.known.Len())
	if s.readOnly {
		enc.Status("", "OK", imap.CodePermanentFlags.List(), "no flags can be changed")
	} else {
		flags := append(imap.FlagsAll.Names(), s.keywords...)
		enc.Status("", "OK", imap.CodePermanentFlags.List(append(flags, imap.FlagNameAny)...), "flags that can be changed")
	}
	if !s.rev2 {
		if pos, ok := s.known.FirstUnseen(); ok {
			enc.Status("", "OK", imap.CodeUnseen.Num(uint64(pos+1)), "first unseen message")
		}
	}
	enc.Status("", "OK", imap.CodeUIDNext.Num(uint64(s.known.UIDNext())), "next uid")
	enc.Status("", "OK", imap.CodeUIDValidity.Num(uint64(s.known.UIDValidity())), "uids are valid")
	enc.Status("", "OK", mailboxIDCode(mb.ID), "mailbox id")
	if s.c.srv.opts.Owner != nil {
		enc.Status("", "OK", codeURLMech, "for urls of messages")
	}
	s.tellHighest() // Also to those who have not enabled anything. RFC 7162 §3.1.2.1
	s.writeList("LIST", listEntry{name: mb.Name, attrs: mailboxAttrs(t, mb)})
}

// mailboxIDCode returns the code with the object identifier of a mailbox. RFC 8474 §4.1
func mailboxIDCode(id int64) imap.Code { return imap.CodeMailboxID.List(mailboxID(id)) }

func mailboxID(id int64) string { return search.MailboxIDPrefix + strconv.FormatInt(id, 10) }

// runClose removes the messages marked \Deleted, without telling so, and closes the
// mailbox.
func runClose(ctx context.Context, s *selected, _ struct{}) (reply, error) {
	if !s.readOnly {
		_, err := s.expungeAll(ctx)
		if err != nil && err != errGone && !errors.Is(err, store.ErrNoMailbox) {
			return reply{}, err
		}
	}
	s.deselect()
	return reply{}, nil
}

// runUnselect closes the mailbox.
func runUnselect(_ context.Context, s *selected, _ struct{}) (reply, error) {
	s.deselect()
	return reply{}, nil
}
