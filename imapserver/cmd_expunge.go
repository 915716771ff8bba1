package imapserver

import (
	"context"
	"errors"

	"mox/imap"
	"mox/imap/wire"
	"mox/store"
)

// EXPUNGE, UID EXPUNGE. RFC 9051 §6.4.3, §6.4.9, RFC 4315 §2.1

// runExpunge removes the messages marked \Deleted that the client knows of.
func runExpunge(ctx context.Context, s *selected, _ struct{}) (reply, error) {
	if err := s.writable(); err != nil {
		return reply{}, err
	}
	_, err := s.expunge(ctx, s.deleted())
	return reply{}, err
}

// parseUIDExpunge parses the UIDs.
//
//	uid-expunge = "UID" SP "EXPUNGE" SP sequence-set
func parseUIDExpunge(d *wire.Decoder) imap.NumSet {
	d.NeedSP()
	return d.NeedNumSet()
}

// runUIDExpunge removes those of the messages that are marked \Deleted.
func runUIDExpunge(ctx context.Context, s *selected, set imap.NumSet) (reply, error) {
	if err := s.writable(); err != nil {
		return reply{}, err
	}
	uids, err := s.uidList(set, true)
	if err == nil {
		_, err = s.expunge(ctx, uids)
	}
	return reply{}, err
}

// deleted returns the UIDs of all messages that the client knows of. Which of them are
// marked \Deleted is looked up when they are removed: another session may have marked
// one, or changed its mind.
func (s *selected) deleted() []uint32 {
	return s.known.AppendUIDs(nil, 0, s.known.Len())
}

// expunge removes those of the messages that are marked \Deleted. A mailbox that is gone
// has none.
func (s *selected) expunge(ctx context.Context, uids []uint32) (expunged []uint32, err error) {
	if len(uids) == 0 {
		return nil, nil
	}
	err = s.update(ctx, func(tx *store.Tx) (err error) {
		expunged, err = tx.Expunge(s.id, uids, true)
		return err
	})
	if errors.Is(err, store.ErrNoMailbox) {
		return nil, nil
	}
	return expunged, err
}
