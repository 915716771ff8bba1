package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"mox/imapclient"
)

// A place is where a message is. Without a mailbox it is nowhere: not there yet, or
// expunged.
type place struct {
	mailbox string
	uid     uint32 // 0: not known, any.
	flags   string // Sorted, with spaces between them.
}

func (p place) String() string {
	if p.mailbox == "" {
		return "nowhere"
	}
	return fmt.Sprintf("%s uid %d flags (%s)", p.mailbox, p.uid, p.flags)
}

// is reports whether a message at got is where it is expected.
func (p place) is(got place) bool {
	return p.mailbox == got.mailbox && p.flags == got.flags && (p.uid == 0 || p.uid == got.uid)
}

// A record is what is known of a message.
type record struct {
	content string
	trace   bool // The server adds a header in front.

	// may has where the message may be: one place once that was acknowledged, or that
	// before and that after a command that was not answered.
	may []place
}

// A model is what the server must have.
type model struct {
	mu       sync.Mutex // Guards what follows.
	records  map[string]*record
	inflight map[*operation]bool

	validity map[string]uint32 // UIDVALIDITY by mailbox.
	next     map[string]uint32 // UIDNEXT by mailbox, after the last check.

	unanswered, undone int // Commands without answer, and those that were not done.
}

// An operation is a change of some messages by one command, all or nothing.
type operation struct {
	ids []string
}

func newModel() *model {
	return &model{records: map[string]*record{}, inflight: map[*operation]bool{}, validity: map[string]uint32{}, next: map[string]uint32{}}
}

// begin notes that a command is sent that changes the places of messages.
func (m *model) begin(ids []string, change func(place) place) *operation {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		r := m.records[id]
		r.may = []place{r.may[0], change(r.may[0])}
	}
	op := &operation{ids}
	m.inflight[op] = true
	return op
}

// done notes that the command was acknowledged, with new UIDs if it gives any.
func (m *model) done(op *operation, uids map[string]uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range op.ids {
		r := m.records[id]
		if len(r.may) == 1 {
			continue // Seen by another already, and perhaps changed.
		}
		r.may = r.may[1:]
		if uid, ok := uids[id]; ok {
			r.may[0].uid = uid
		}
	}
	delete(m.inflight, op)
}

// saw notes that a session was shown a message.
func (m *model) saw(id string, at place) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.records[id]
	if r == nil || !slices.ContainsFunc(r.may, func(p place) bool { return p.is(at) }) {
		return fmt.Errorf("message %q is shown at %v, expected %+v", id, at, r)
	}
	r.may = []place{at}
	return nil
}

// add makes a message that is nowhere.
func (m *model) add(id, content string, trace bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[id] = &record{content: content, trace: trace, may: []place{{}}}
}

// in returns the messages that are known to be in a mailbox, sorted by UID.
func (m *model) in(mailbox string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var l []string
	for id, r := range m.records {
		if len(r.may) == 1 && r.may[0].mailbox == mailbox && r.may[0].uid != 0 {
			l = append(l, id)
		}
	}
	slices.SortFunc(l, func(a, b string) int { return int(m.records[a].may[0].uid) - int(m.records[b].may[0].uid) })
	return l
}

// uid returns the UID of a message in its mailbox.
func (m *model) uid(id string) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.records[id].may[0].uid
}

// A found is a message at the server.
type found struct {
	place
	content string
}

// check compares all messages at the server with what must be there, and takes over
// what came of commands that were not answered. It returns what is wrong.
func (m *model) check(have map[string][]found, boxes map[string]*imapclient.Mailbox) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var wrong []string
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	which := map[string]int{} // Of the places that a message may be at.
	for id, r := range m.records {
		at, n := place{}, len(have[id])
		if n > 0 {
			at = have[id][0].place
		}
		i := slices.IndexFunc(r.may, func(p place) bool { return p.is(at) })
		switch {
		case n > 1:
			fail("message %q is there %d times: %v", id, n, have[id])
		case i < 0:
			fail("message %q: %v, expected %v", id, at, r.may)
		case n == 1 && (have[id][0].content != r.content && !(r.trace && strings.HasSuffix(have[id][0].content, r.content))):
			fail("message %q has changed: %q", id, have[id][0].content)
		case n == 1 && r.may[i].uid == 0 && at.uid < m.next[at.mailbox]:
			fail("message %q has a UID that was used before: %v, UIDNEXT was %d", id, at, m.next[at.mailbox])
		}
		if len(r.may) > 1 && !r.may[0].is(r.may[1]) {
			which[id] = i
		}
		r.may = []place{at}
	}
	for id := range have {
		if m.records[id] == nil {
			fail("message %q was never sent: %v", id, have[id])
		}
	}
	for op := range m.inflight {
		m.unanswered++
		if i, ok := which[op.ids[0]]; ok && i == 0 {
			m.undone++
		}
		for _, id := range op.ids[1:] {
			a, ok := which[op.ids[0]]
			if b, ok2 := which[id]; ok && ok2 && a != b {
				fail("half of a command was done: messages %q and %q", op.ids[0], id)
			}
		}
	}
	clear(m.inflight)
	for name, mb := range boxes {
		if v := m.validity[name]; v != 0 && v != mb.UIDValidity {
			fail("UIDVALIDITY of %s was %d and is %d", name, v, mb.UIDValidity)
		}
		if mb.UIDNext < m.next[name] {
			fail("UIDNEXT of %s was %d and is %d", name, m.next[name], mb.UIDNext)
		}
		m.validity[name], m.next[name] = mb.UIDValidity, mb.UIDNext
	}
	for name := range m.validity {
		if boxes[name] == nil {
			fail("mailbox %s is gone", name)
		}
	}
	return wrong
}
