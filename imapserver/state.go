package imapserver

import (
	"context"
	"errors"
	"slices"

	"mox/imap"
	"mox/internal/identity"
	"mox/store"
)

// session is what a connection has after authentication.
type session struct {
	c       *conn
	account *store.Account
	watch   *store.Session
	login   string // Address that was logged in with.
	unwatch func() // Ends the look at the credentials.

	rev2       bool // IMAP4rev2 was enabled.
	utf8Accept bool // UTF8=ACCEPT was enabled.
	condStore  bool // Mod-sequences are told. RFC 7162 §3.1
	qresync    bool // QRESYNC was enabled.
	uidOnly    bool // UIDONLY was enabled.
	metadata   bool // METADATA was enabled, so that changes of it are told.

	notify *notifier // Nil if NOTIFY was never used.

	sel *selected      // Nil unless a mailbox is selected.
	own []store.Change // What the current command did itself, which it need not be told.
}

// selected is a selected mailbox as the client knows it.
type selected struct {
	*session
	id       int64
	readOnly bool
	keywords []string // Of the mailbox, as last told.

	// known is what the client knows: message sequence numbers are positions in it,
	// counted from 1.
	known *store.Index
	// modSeq is the change up to which the client has been told of all.
	modSeq store.ModSeq
	// told has flags that the client was told, by replies to its own commands, and that
	// are not in known yet. It is empty after each sync.
	told map[uint32]toldFlags
	// own are the UIDs of messages that the client has added, and has not been told of.
	own imap.Ranges
	// expunged is set if a command of the client has removed messages: that is told even if
	// the client does not want to know what others do.
	expunged bool
	// saved are the UIDs of "$", perhaps of messages that are gone. RFC 5182 §2
	saved imap.Ranges
	// contexts are searches of which changes of the result are told. RFC 5267 §4.3
	contexts []*searchContext
}

// toldFlags are flags as the client was told them.
type toldFlags struct {
	flags    imap.Flags
	keywords []string
	modSeq   store.ModSeq // Zero if it was not told.
}

func (t toldFlags) equal(o toldFlags) bool {
	return t.flags == o.flags && slices.Equal(t.keywords, o.keywords)
}

// newSession makes a session for the account, which it releases when closed.
func newSession(c *conn, account *store.Account, res identity.Result) *session {
	s := &session{c: c, account: account, watch: account.Session(), login: res.LoginAddress}
	s.unwatch = c.auth().Watch(c.ctx, res, c.endSession)
	s.watch.OnEnd(c.endSession)
	account.Expect(imap.Inbox) // What nearly all clients select.
	return s
}

// close gives back the account.
func (s *session) close() {
	s.unwatch()
	s.watch.Close()
	s.account.Release()
}

// deselect leaves the selected state, if that is the state.
func (s *session) deselect() {
	if s.sel != nil {
		s.sel = nil
		s.watch.Unpin()
	}
}

// mailbox returns a mailbox by the name that a client gave.
func (s *session) mailbox(name string) (store.Mailbox, error) {
	mb, ok := s.account.Tree().ByName(name)
	if !ok {
		return mb, store.ErrNoMailbox
	}
	return mb, nil
}

// did notes that the command made a change that its session need not be told.
func (s *session) did(kind store.ChangeKind, name string) {
	s.own = append(s.own, store.Change{Kind: kind, Name: name})
}

// errReadOnly is for changes to a mailbox that was selected with EXAMINE.
var errReadOnly = imap.No(imap.CodeReadOnly, "mailbox was opened read-only, with examine")

// writable returns an error if the mailbox was opened read-only.
func (s *selected) writable() error {
	if s.readOnly {
		return errReadOnly
	}
	return nil
}

// interval is the positions from first up to, but not including, end.
type interval struct{ first, end int }

// errSequence is for message sequence numbers that no message has. "The server should
// respond with a tagged BAD response to a command that uses a message sequence number
// greater than the number of messages in the selected mailbox." RFC 9051 §9, seq-number
var errSequence = imap.Bad("", "message sequence number is larger than the number of messages")

// positions returns where the messages of a number set are, ascending. UIDs that no
// message has are left out. In an empty mailbox, "*" is no message.
func (s *selected) positions(set imap.NumSet, uid bool) ([]interval, error) {
	n := s.known.Len()
	if uid || set.Saved {
		return s.uidPositions(s.uids(set)), nil
	}
	ranges := set.Resolve(uint32(n))
	if int64(ranges.Max()) > int64(n) {
		return nil, errSequence
	}
	l := make([]interval, 0, len(ranges))
	for _, r := range ranges {
		l = append(l, interval{int(r.First) - 1, int(r.Last)})
	}
	return l, nil
}

// uids returns the UIDs of a set of UIDs, or of "$".
func (s *selected) uids(set imap.NumSet) imap.Ranges {
	if set.Saved {
		return s.saved
	}
	var largest uint32
	if n := s.known.Len(); n > 0 {
		largest = s.known.At(n - 1).UID
	}
	return set.Resolve(largest)
}

func (s *selected) uidPositions(ranges imap.Ranges) []interval {
	l := make([]interval, 0, len(ranges))
	for _, r := range ranges {
		first, _ := s.known.Find(r.First)
		end, ok := s.known.Find(r.Last)
		if ok {
			end++
		}
		if first < end {
			l = append(l, interval{first, end})
		}
	}
	return l
}

// uidList returns the UIDs of the messages of a number set, ascending.
func (s *selected) uidList(set imap.NumSet, uid bool) ([]uint32, error) {
	l, err := s.positions(set, uid)
	if err != nil {
		return nil, err
	}
	var uids []uint32
	for _, iv := range l {
		uids = s.known.AppendUIDs(uids, iv.first, iv.end)
	}
	return uids, nil
}

// tell notes which flags the client was told.
func (s *selected) tell(uid uint32, t toldFlags) {
	if s.told == nil {
		s.told = map[uint32]toldFlags{}
	}
	s.told[uid] = t
}

// latest returns the latest version of the mailbox. If the mailbox is gone, so is the
// selected state.
func (s *selected) latest(ctx context.Context) (*store.Index, error) {
	ix, err := s.account.Index(ctx, s.id)
	if errors.Is(err, store.ErrNoMailbox) || err == nil && ix.UIDValidity() != s.known.UIDValidity() {
		return nil, errGone
	}
	return ix, err
}

// errGone is for a selected mailbox that was deleted, or renumbered, by someone else.
var errGone = imap.Bye(imap.CodeUnavailable, "selected mailbox was deleted")
