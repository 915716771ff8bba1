package imapserver

import (
	"context"

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
	n, err := s.expunge(ctx, anyUID)
	return reply{expunged: n > 0}, err
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
	n, err := s.expunge(ctx, s.uids(set).Contains)
	return reply{expunged: n > 0}, err
}

func anyUID(uint32) bool { return true }

// expunge removes the wanted messages marked \Deleted, but not those that the client has
// not been told of. It returns how many.
func (s *selected) expunge(ctx context.Context, wanted func(uid uint32) bool) (n int, err error) {
	latest, err := s.latest(ctx)
	if err != nil {
		return 0, err
	}
	var uids []uint32
	for pos := range latest.MatchFlags(imap.FlagDeleted, imap.FlagDeleted) {
		uid := latest.At(pos).UID
		if uid < s.known.UIDNext() && wanted(uid) {
			uids = append(uids, uid)
		}
	}
	if len(uids) == 0 {
		return 0, nil
	}
	err = s.update(ctx, func(tx *store.Tx) error {
		gone, err := tx.Expunge(s.id, uids, true)
		n = len(gone)
		return err
	})
	s.expunged = err == nil
	return n, err
}
