package imapserver

import "mox/imap"

// UIDONLY. RFC 9586
//
// Commands with message sequence numbers have the flag usesSeqs, and are refused; responses
// are made by selected.openFetch and selected.tellVanished.

// errUIDRequired is for message sequence numbers of clients that wanted UIDs only. RFC 9586
// §3
var errUIDRequired = imap.Bad(imap.CodeUIDRequired, "uids are required")

// needsUIDs refuses message sequence numbers in search keys. "$" has none.
func (s *session) needsUIDs(key *imap.SearchKey) error {
	seqs := func(k *imap.SearchKey) bool { return k.Op == imap.SearchSeq && !k.Set.Saved }
	if s.uidOnly && key.Any(seqs) {
		return errUIDRequired
	}
	return nil
}
