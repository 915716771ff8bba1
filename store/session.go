package store

import "sync"

// sessionQueue is how many changes wait for a session at most. A session that
// falls behind further is told so, and looks at the store instead.
const sessionQueue = 1000

// ChangeKind says what changed.
type ChangeKind int

const (
	// ChangeMessages: messages, flags or counts of mailbox MailboxID. Several become
	// one; Index and Tree tell what it is now.
	ChangeMessages ChangeKind = iota
	ChangeMailboxAdded
	ChangeMailboxRemoved
	ChangeMailboxRenamed // From OldName to Name.
	ChangeSpecialUse
	ChangeSubscribed // Name, of a mailbox that exists or not.
	ChangeUnsubscribed
	ChangeThread   // Muted or collapsed; MailboxID is zero.
	ChangeMetadata // Entry of the mailbox, or of the account with MailboxID zero.
)

// Change is something that happened in an account.
type Change struct {
	Kind      ChangeKind
	ModSeq    ModSeq
	MailboxID int64
	Name      string // Of the mailbox or subscription, now.
	OldName   string // For ChangeMailboxRenamed.
	ThreadID  int64  // For ChangeThread.
	Entry     string // For ChangeMetadata.
}

// sessions are those who watch an account.
type sessions struct {
	mu   sync.Mutex // Guards list and the fields of sessions.
	list map[*Session]struct{}

	ended bool // By end.
}

// Session is a client that is shown an account's mail: it is told of changes, and
// it can keep the files of messages that its client does not know to be expunged.
type Session struct {
	a        *Account
	wake     chan struct{}
	queue    []Change
	pending  map[int64]bool // Mailboxes with a ChangeMessages in queue.
	overflow bool
	onEnd    func()
	pinned   bool
	pin      ModSeq
}

// Session starts watching the account. The caller must Close it.
func (a *Account) Session() *Session {
	s := &Session{a: a, wake: make(chan struct{}, 1), pending: map[int64]bool{}}
	a.sessions.mu.Lock()
	defer a.sessions.mu.Unlock()
	a.sessions.list[s] = struct{}{}
	return s
}

// Close ends the session. It may be called more than once.
func (s *Session) Close() {
	s.a.sessions.mu.Lock()
	defer s.a.sessions.mu.Unlock()
	delete(s.a.sessions.list, s)
}

// OnEnd has fn called when the account is taken away from its users, because it is
// renamed or removed: the session should end. It must not wait, nor call the store.
func (s *Session) OnEnd(fn func()) {
	s.a.sessions.mu.Lock()
	defer s.a.sessions.mu.Unlock()
	s.onEnd = fn
	if s.a.sessions.ended {
		fn()
	}
}

// Wait returns a channel that receives when there is something to Take.
func (s *Session) Wait() <-chan struct{} { return s.wake }

// Take returns what happened since the last Take, in order, also what the session
// did itself. With overflow, more happened than could be kept: the caller must
// take the mailboxes from Tree, and messages from Index, as if seen anew.
func (s *Session) Take() (changes []Change, overflow bool) {
	s.a.sessions.mu.Lock()
	defer s.a.sessions.mu.Unlock()
	changes, overflow = s.queue, s.overflow
	s.queue, s.overflow = nil, false
	clear(s.pending)
	return changes, overflow
}

// Pin keeps the messages readable that were expunged after a change.
func (s *Session) Pin(after ModSeq) {
	s.a.sessions.mu.Lock()
	defer s.a.sessions.mu.Unlock()
	s.pinned, s.pin = true, after
}

// Unpin ends Pin.
func (s *Session) Unpin() {
	s.a.sessions.mu.Lock()
	defer s.a.sessions.mu.Unlock()
	s.pinned = false
}

// publish queues changes for all sessions, in the order of calls. The caller
// holds the account's mu.
func (ss *sessions) publish(changes []Change) {
	if len(changes) == 0 {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.list {
		for _, c := range changes {
			s.add(c)
		}
		s.signal()
	}
}

// resync tells all sessions to look at the store anew.
func (ss *sessions) resync() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.list {
		s.drop()
		s.signal()
	}
}

// end tells all sessions that they should end.
func (ss *sessions) end() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.ended = true
	for s := range ss.list {
		if s.onEnd != nil {
			s.onEnd()
		}
	}
}

func (s *Session) add(c Change) {
	if s.overflow || c.Kind == ChangeMessages && s.pending[c.MailboxID] {
		return
	}
	if len(s.queue) >= sessionQueue {
		s.drop()
		return
	}
	if c.Kind == ChangeMessages {
		s.pending[c.MailboxID] = true
	}
	s.queue = append(s.queue, c)
}

func (s *Session) drop() {
	s.queue, s.overflow = nil, true
	clear(s.pending)
}

func (s *Session) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// oldestPin returns the change after which expunged messages may still be shown,
// false if no session shows any.
func (ss *sessions) oldestPin() (pin ModSeq, ok bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.list {
		if s.pinned && (!ok || s.pin < pin) {
			pin, ok = s.pin, true
		}
	}
	return pin, ok
}
