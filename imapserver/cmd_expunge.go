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
	n, err := s.expungeAll(ctx)
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
	uids, err := s.expungeable(ctx, s.uids(set).Contains)
	if err != nil {
		return reply{}, err
	}
	uids, lowest := s.limitUIDs(uids)
	n, err := s.expunge(ctx, uids)
	return reply{expunged: n > 0, lowest: lowest}, err
}

// expungeAll removes all messages marked \Deleted that the client knows of, of which it
// returns the number: "the server MUST NOT impose any message limit when processing
// EXPUNGE", nor CLOSE. RFC 9738 §3.1
func (s *selected) expungeAll(ctx context.Context) (n int, err error) {
	uids, err := s.expungeable(ctx, func(uint32) bool { return true })
	if err != nil {
		return 0, err
	}
	return s.expunge(ctx, uids)
}

// expungeable returns the UIDs of the wanted messages marked \Deleted, without those that
// the client has not been told of.
func (s *selected) expungeable(ctx context.Context, wanted func(uid uint32) bool) (uids []uint32, err error) {
	latest, err := s.latest(ctx)
	if err != nil {
		return nil, err
	}
	for pos := range latest.MatchFlags(imap.FlagDeleted, imap.FlagDeleted) {
		uid := latest.At(pos).UID
		if uid < s.known.UIDNext() && wanted(uid) {
			uids = append(uids, uid)
		}
	}
	return uids, nil
}

// expunge removes those of the messages that are marked \Deleted. It returns how many.
func (s *selected) expunge(ctx context.Context, uids []uint32) (n int, err error) {
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
