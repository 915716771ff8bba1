package imapserver

import (
	"context"
	"slices"

	"mox/imap"
	"mox/store"
)

// sync tells the client what has changed since it was last told: mailboxes, and the
// messages of the selected mailbox. Without expunge, and if messages were expunged,
// nothing is told about messages, so that sequence numbers stay. An error means that the
// connection ends.
func (c *conn) sync(ctx context.Context, expunge bool) error {
	s := c.sess
	if s == nil {
		return nil
	}
	s.tellMailboxes()
	if s.sel == nil {
		return nil
	}
	return s.sel.sync(ctx, expunge)
}

// sync tells what has changed in the selected mailbox.
func (s *selected) sync(ctx context.Context, expunge bool) error {
	wanted := s.wantsSelected()
	if wanted == 0 && !s.expunged {
		return nil
	}
	// Read before the index: what was expunged after it is in the index.
	t := s.account.Tree()
	latest, err := s.latest(ctx)
	if err == errGone {
		return s.gone()
	} else if err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.c.log.Error("read mailbox to tell changes", "err", err)
		return nil
	}
	var added []uint32
	if latest != s.known {
		d := s.known.Diff(latest)
		if len(d.Expunged) > 0 && !expunge {
			return nil
		}
		updates := s.beginUpdates(ctx, d, latest)
		s.tellDiff(d, latest, wanted)
		s.known = latest
		added = d.Added
		s.endUpdates(ctx, updates, added)
	}
	s.told, s.expunged = nil, false
	if mb, ok := t.ByID(s.id); ok {
		s.modSeq = mb.ModSeq
	}
	if wanted != 0 {
		s.watch.Pin(t.ModSeq)
	}
	return s.tellNew(ctx, added)
}

// tellDiff writes what happened between what the client knows and a newer version, but for
// what new messages are.
func (s *selected) tellDiff(d store.Diff, latest *store.Index, wanted events) {
	enc := s.c.enc
	if s.usesVanished() {
		s.tellVanished(imap.NewRanges(d.Expunged...), false)
		d.Expunged = nil
	}
	for i, uid := range d.Expunged {
		pos, _ := s.known.Find(uid)
		enc.Raw("* ")
		enc.Number(uint64(pos + 1 - i)) // Each one makes those after it smaller.
		enc.Raw(" EXPUNGE\r\n")
	}
	if len(d.Added) > 0 {
		s.tellExists(latest.Len())
	}
	if len(d.Changed)+len(d.Added) > 0 {
		s.tellKeywords()
	}
	if wanted&flagChange == 0 {
		return
	}
	for _, uid := range d.Changed {
		pos, _ := latest.Find(uid)
		s.tellFlags(latest, pos)
	}
}

// tellExists writes how many messages there are. RFC 9051 §7.4.1
func (s *selected) tellExists(n int) {
	enc := s.c.enc
	enc.Raw("* ")
	enc.Number(uint64(n))
	enc.Raw(" EXISTS\r\n")
	if !s.rev2 {
		enc.Raw("* 0 RECENT\r\n") // RFC 3501 §7.3.2
	}
}

// tellFlags writes the flags of a message, unless the client was told them already.
func (s *selected) tellFlags(ix *store.Index, pos int) {
	e, flags := ix.At(pos), ix.Flags(pos)
	told, ok := s.told[e.UID]
	if ok && told.equal(toldFlags{flags: flags, keywords: e.Keywords()}) && (!s.condStore || told.modSeq == e.ModSeq) {
		return
	}
	s.writeFlags(pos, store.Item{Entry: e, Flags: flags}, true)
}

// openFetch begins a FETCH response for the message at a position: with UIDONLY, a
// UIDFETCH response. RFC 9051 §7.5.2, RFC 9586 §3.3
func (s *selected) openFetch(pos int, uid uint32) {
	enc := s.c.enc
	enc.Raw("* ")
	if s.uidOnly {
		enc.Number(uint64(uid))
		enc.Raw(" UIDFETCH ")
	} else {
		enc.Number(uint64(pos + 1))
		enc.Raw(" FETCH ")
	}
	enc.Open()
}

// closeFetch ends a FETCH response.
func (s *selected) closeFetch() {
	s.c.enc.Close()
	s.c.enc.CRLF()
}

// writeFlags writes a FETCH response with flags. One that was not asked for must have the
// UID (RFC 9051 §7.5.2), and so must all with mod-sequences (RFC 7162 §3.2.4).
func (s *selected) writeFlags(pos int, it store.Item, withUID bool) {
	s.openFetch(pos, it.UID)
	s.itemUID(it.UID, withUID)
	s.itemFlags(it)
	s.itemModSeq(it.ModSeq)
	s.closeFetch()
}

// itemUID writes the UID if it is wanted or must be there.
func (s *selected) itemUID(uid uint32, wanted bool) {
	if (wanted || s.condStore) && !s.uidOnly {
		s.c.enc.Name("UID")
		s.c.enc.Number(uint64(uid))
	}
}

func (s *selected) itemFlags(it store.Item) {
	s.c.enc.Name("FLAGS")
	s.c.enc.Flags(it.Flags, it.Keywords())
}

// itemModSeq writes the mod-sequence, if the client wants it.
func (s *selected) itemModSeq(modSeq store.ModSeq) {
	if s.condStore {
		s.c.enc.Name("MODSEQ")
		s.c.enc.Raw("(")
		s.c.enc.Number(uint64(modSeq))
		s.c.enc.Raw(")")
	}
}

// tellKeywords writes the flags that the mailbox knows, if there are new ones.
// RFC 9051 §7.3.5
func (s *selected) tellKeywords() {
	mb, ok := s.account.Tree().ByID(s.id)
	if !ok || slices.Equal(mb.Keywords, s.keywords) {
		return
	}
	s.keywords = mb.Keywords
	s.c.enc.Raw("* FLAGS ")
	s.c.enc.Flags(imap.FlagsAll, mb.Keywords)
	s.c.enc.CRLF()
}

// gone ends the selected state after the mailbox was deleted by someone else. An
// IMAP4rev2 client knows the CLOSED code for that (RFC 9051 §3), others are disconnected
// (RFC 2180 §3.3).
func (s *selected) gone() error {
	if !s.rev2 {
		return errGone
	}
	s.closed()
	return nil
}

// closed ends the selected state and tells so.
func (s *selected) closed() {
	s.deselect()
	s.c.enc.Status("", "OK", imap.CodeClosed, "mailbox is closed")
}

// tellMailboxes tells what has changed about mailboxes. After an overflow, clients see it
// when they list them.
func (s *session) tellMailboxes() {
	changes, overflow := s.watch.Take()
	switch {
	case s.notify != nil:
		s.tellEvents(changes, overflow)
	case !overflow:
		for _, ch := range changes {
			s.tellMailbox(ch)
		}
	}
	s.own = s.own[:0]
}

// isOwn reports whether the command that runs has made a change.
func (s *session) isOwn(ch store.Change) bool {
	i := slices.IndexFunc(s.own, func(o store.Change) bool {
		return o.Kind == ch.Kind && o.Name == ch.Name && o.Entry == ch.Entry
	})
	if i < 0 {
		return false
	}
	s.own = slices.Delete(s.own, i, i+1)
	return true
}

// tellMailbox writes a LIST response for a change to mailboxes that this session did not
// make. What IMAP4rev1 has no form for is only told to IMAP4rev2 clients. RFC 9051
// §6.3.9.7, §7.3.1
func (s *session) tellMailbox(ch store.Change) {
	if s.isOwn(ch) {
		return
	}
	if ch.Kind == store.ChangeMetadata {
		if s.metadata {
			s.tellMetadata(ch)
		}
		return
	}
	t := s.account.Tree()
	e := listEntry{name: ch.Name}
	mb, exists := t.ByName(ch.Name)
	switch ch.Kind {
	case store.ChangeMailboxAdded, store.ChangeMailboxRenamed:
		if !exists {
			return // Gone again, which is told next.
		}
		e.attrs = mailboxAttrs(t, mb)
		if s.rev2 {
			e.oldName = ch.OldName
		}
	case store.ChangeMailboxRemoved:
		if exists || !s.rev2 {
			return
		}
		e.attrs = []string{imap.AttrNonExistent}
	case store.ChangeSubscribed, store.ChangeUnsubscribed:
		if !s.rev2 {
			return
		}
		if exists {
			e.attrs = mailboxAttrs(t, mb)
		} else {
			e.attrs = []string{imap.AttrNonExistent}
		}
		if t.Subscribed(ch.Name) {
			e.attrs = append(e.attrs, imap.AttrSubscribed)
		}
	default:
		return
	}
	s.writeList("LIST", e)
}
