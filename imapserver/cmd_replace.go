package imapserver

import (
	"context"
	"strconv"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// REPLACE, UID REPLACE. RFC 8508

// replaceRequest has the arguments of REPLACE in front of the message.
type replaceRequest struct {
	uid  bool
	set  imap.NumSet // One number.
	name string
}

func (r *replaceRequest) setUID() { r.uid = true }

// parseReplace parses the number of a message and a mailbox.
//
//	replace = "REPLACE" SP seq-number SP mailbox append-message
func parseReplace(d *wire.Decoder) *replaceRequest {
	req := &replaceRequest{}
	d.NeedSP()
	text := "*"
	if !d.TryByte('*') {
		text = strconv.FormatUint(uint64(d.NeedNZNumber()), 10)
	}
	req.set, _ = imap.ParseNumSet(text, 1) // Of one number it always is one.
	d.NeedSP()
	req.name = d.NeedMailbox()
	return req
}

// runReplace stores a message and expunges another one at once. The new message is told
// before the other is gone, and its UID before both. RFC 8508 §4.3
func runReplace(ctx context.Context, s *selected, req *replaceRequest) (reply, error) {
	if err := s.writable(); err != nil {
		return reply{}, err
	}
	uids, err := s.uidList(req.set, req.uid)
	if err != nil {
		return reply{}, err
	}
	latest, err := s.latest(ctx)
	if err != nil {
		return reply{}, err
	}
	if len(uids) == 0 {
		return reply{}, imap.No(imap.CodeNonExistent, "no such message")
	}
	pos, ok := latest.Find(uids[0])
	if !ok {
		return reply{}, store.ErrNoMessage
	}
	a := appending{session: s.session, name: req.name, replaced: 1, more: store.Usage{Size: -latest.At(pos).Size}}
	defer a.close()
	if err := a.message(); err != nil {
		return reply{}, err
	}
	if err := s.c.endCommand(); err != nil {
		return reply{}, err
	}
	var stored store.Message
	err = s.c.working(func() (err error) {
		stored, err = s.account.Replace(ctx, s.id, uids[0], a.msgs[0])
		return err
	})
	if err != nil {
		return reply{}, tryCreate(err)
	}
	var added imap.Ranges
	added.Add(stored.UID)
	s.noteAppend(a.mailbox.ID, added)
	s.c.enc.Status("", "OK", imap.AppendUIDCode(a.mailbox.UIDValidity, added), "replacement message ready")
	s.expunged = true
	return reply{expunged: true}, nil
}
