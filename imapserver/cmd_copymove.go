package imapserver

import (
	"context"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// COPY, MOVE and their UID forms. RFC 9051 §6.4.7, §6.4.8, RFC 6851, RFC 4315 §3

// copyRequest has the arguments of COPY and MOVE.
type copyRequest struct {
	uid  bool
	set  imap.NumSet
	name string
}

func (r *copyRequest) setUID() { r.uid = true }

// parseCopy parses a number set and a mailbox.
//
//	copy = "COPY" SP sequence-set SP mailbox
//	move = "MOVE" SP sequence-set SP mailbox
func parseCopy(d *wire.Decoder) *copyRequest {
	req := &copyRequest{}
	d.NeedSP()
	req.set = d.NeedNumSet()
	d.NeedSP()
	req.name = d.NeedMailbox()
	return req
}

// runCopy copies messages, all or none, to a mailbox, which may be the selected one.
func runCopy(ctx context.Context, s *selected, req *copyRequest) (reply, error) {
	uids, err := s.uidList(req.set, req.uid)
	if err != nil {
		return reply{}, err
	}
	if _, lowest := s.limitUIDs(uids); lowest > 0 {
		return reply{}, imap.No(limitCode(s.c.srv.opts.MessageLimit, lowest), "too many messages to copy at once, try fewer")
	}
	code, err := s.transfer(ctx, req.name, uids, (*store.Tx).Copy)
	return reply{code: code}, err
}

// runMove moves messages, all or none within the limit. COPYUID is told before the messages
// disappear: "servers are REQUIRED to send" it in an untagged OK. RFC 6851 §4.3
func runMove(ctx context.Context, s *selected, req *copyRequest) (reply, error) {
	if err := s.writable(); err != nil {
		return reply{}, err
	}
	uids, err := s.uidList(req.set, req.uid)
	if err != nil {
		return reply{}, err
	}
	uids, lowest := s.limitUIDs(uids)
	code, err := s.transfer(ctx, req.name, uids, (*store.Tx).Move)
	if err == nil && code != "" {
		s.c.enc.Status("", "OK", code, "moved")
		s.expunged = true
	}
	return reply{expunged: err == nil && code != "", lowest: lowest}, err
}

// transfer copies or moves messages, and returns the code that tells which UIDs they
// got. It is empty if there was none.
func (s *selected) transfer(ctx context.Context, name string, uids []uint32, op func(*store.Tx, int64, []uint32, int64) ([]store.Copied, error)) (imap.Code, error) {
	dst, err := s.mailbox(name)
	if err != nil {
		return "", tryCreate(err)
	}
	if len(uids) == 0 {
		return "", nil // "$" may be empty, and UIDs need not exist. RFC 9051 §6.4.4.1
	}
	var done []store.Copied
	err = s.update(ctx, func(tx *store.Tx) (err error) {
		done, err = op(tx, s.id, uids, dst.ID)
		return err
	})
	if err != nil {
		return "", tryCreate(err)
	}
	if len(done) == 0 {
		return "", nil
	}
	var from, to imap.Ranges
	for _, c := range done {
		from.Add(c.Src)
		to.Add(c.Dst)
	}
	if s.id == dst.ID {
		s.own = s.own.Union(to)
	}
	return imap.CopyUIDCode(dst.UIDValidity, from, to), nil
}
