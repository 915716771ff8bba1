package e2e

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mox/imap"
	"mox/imapclient"
)

// A mirror is what a client knows of the selected mailbox from what it is told, and checks
// that it may be told so.
type mirror struct {
	messages []mirrored // By sequence number.
	validity uint32
	synced   uint64 // All changes up to this modification sequence were told.
	qresync  bool
	loose    bool   // NOTIFY SELECTED: EXPUNGE comes at any time.
	command  string // That is running, empty for none.
	err      error  // First broken rule.
}

// A mirrored is what is known of a message; zero values are not known.
type mirrored struct {
	uid    uint32
	flags  []string // Sorted, nil if not known.
	modseq uint64   // Of the flags.
}

// newMirror returns what is known after a SELECT with a cache, of which some UIDs were given.
func newMirror(box *imapclient.Mailbox, cache mirrorCache, qresync, some bool) (*mirror, error) {
	m := &mirror{validity: box.UIDValidity, synced: box.HighestModSeq, qresync: qresync, messages: make([]mirrored, box.Exists)}
	if !qresync || cache.validity == 0 {
		return m, nil
	}
	known := maps.Clone(cache.messages)
	for _, v := range box.Vanished {
		if !v.Earlier {
			return nil, errors.New("VANISHED without EARLIER in SELECT")
		}
		for uid := range v.UIDs.Resolve(^uint32(0)).All() {
			delete(known, uid)
		}
	}
	for _, f := range box.Changed {
		if f.UID == 0 || f.ModSeq <= cache.modseq || !f.Has(imap.FetchFlags) {
			return nil, fmt.Errorf("change %+v in SELECT since %d", f, cache.modseq)
		}
		known[f.UID] = mirrored{f.UID, sortedFlags(f.Flags), f.ModSeq}
	}
	// New ones are told only to who does not say what is known. RFC 7162 §3.2.5.1
	if some && len(known) > int(box.Exists) || !some && len(known) != int(box.Exists) {
		return nil, fmt.Errorf("%d messages after resynchronization from %d to %d, but EXISTS is %d", len(known), cache.modseq, box.HighestModSeq, box.Exists)
	}
	for i, uid := range slices.Sorted(maps.Keys(known)) {
		m.messages[i] = known[uid]
	}
	return m, nil
}

func sortedFlags(flags []string) []string {
	l := slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return strings.EqualFold(f, `\Recent`) })
	slices.Sort(l)
	if l == nil {
		l = []string{}
	}
	return l
}

func (m *mirror) begin(command string) { m.command = command }
func (m *mirror) end()                 { m.command = "" }

func (m *mirror) fail(format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf("during %q: "+format, append([]any{m.command}, args...)...)
	}
}

// tell takes an untagged response.
func (m *mirror) tell(u imapclient.Untagged) {
	switch u := u.(type) {
	case imapclient.Exists:
		if int(u) < len(m.messages) {
			m.fail("EXISTS %d after %d messages", u, len(m.messages))
			return
		}
		m.messages = append(m.messages, make([]mirrored, int(u)-len(m.messages))...)
	case imapclient.Expunge:
		m.mayShrink()
		if m.qresync {
			m.fail("EXPUNGE with QRESYNC")
		} else if u < 1 || int(u) > len(m.messages) {
			m.fail("EXPUNGE %d of %d messages", u, len(m.messages))
		} else {
			m.messages = slices.Delete(m.messages, int(u)-1, int(u))
		}
	case imapclient.Vanished:
		if u.Earlier {
			break
		}
		m.mayShrink()
		if !m.qresync {
			m.fail("VANISHED without QRESYNC")
		}
		for uid := range u.UIDs.Resolve(^uint32(0)).All() {
			m.vanish(uid)
		}
	case *imapclient.FetchData:
		m.fetched(u)
	case imapclient.Status:
		if u.Type == "BYE" && m.command != "LOGOUT" || u.Type == "BAD" {
			m.fail("%s %s", u.Type, u.Text)
		}
	}
}

// mayShrink checks that messages may be told to be gone. RFC 9051 §7.5.1, RFC 7162 §3.2.10
func (m *mirror) mayShrink() {
	switch m.command {
	case "", "FETCH", "STORE", "SEARCH":
		if !m.loose {
			m.fail("a message is told to be gone")
		}
	}
}

// vanish removes the message with a UID: one with this UID, or else one of unknown UID
// between those with smaller and larger ones.
func (m *mirror) vanish(uid uint32) {
	unknown := -1
	for i, e := range m.messages {
		if e.uid == uid {
			m.messages = slices.Delete(m.messages, i, i+1)
			return
		} else if e.uid > uid {
			break
		}
		unknown = -1
		if e.uid == 0 {
			unknown = i
		}
	}
	if unknown < 0 {
		m.fail("VANISHED %d, which is not in the mailbox", uid)
		return
	}
	m.messages = slices.Delete(m.messages, unknown, unknown+1)
}

// fetched takes a FETCH response.
func (m *mirror) fetched(f *imapclient.FetchData) {
	if f.Seq < 1 || int(f.Seq) > len(m.messages) {
		m.fail("FETCH of %d with %d messages", f.Seq, len(m.messages))
		return
	}
	e := &m.messages[f.Seq-1]
	if f.UID != 0 && f.UID != e.uid {
		if e.uid != 0 {
			m.fail("message %d has UID %d, and had %d", f.Seq, f.UID, e.uid)
		}
		e.uid = f.UID
		m.ascend(int(f.Seq) - 1)
	}
	if m.qresync && f.UID == 0 && m.command != "FETCH" {
		m.fail("FETCH without UID, with QRESYNC") // RFC 7162 §3.2.4
	}
	if !f.Has(imap.FetchFlags) {
		return
	}
	flags := sortedFlags(f.Flags)
	if f.ModSeq != 0 && f.ModSeq < e.modseq {
		m.fail("message %d (UID %d) has modification sequence %d, and had %d", f.Seq, e.uid, f.ModSeq, e.modseq)
	} else if f.ModSeq != 0 && f.ModSeq == e.modseq && e.flags != nil && !slices.Equal(flags, e.flags) {
		m.fail("message %d (UID %d) with modification sequence %d has flags %v, and had %v", f.Seq, e.uid, f.ModSeq, flags, e.flags)
	}
	if f.ModSeq == 0 && !slices.Equal(flags, e.flags) {
		e.modseq = 0
	}
	e.flags, e.modseq = flags, max(e.modseq, f.ModSeq)
}

// ascend checks a UID against its neighbours.
func (m *mirror) ascend(i int) {
	for j := i - 1; j >= 0; j-- {
		if uid := m.messages[j].uid; uid != 0 {
			if uid >= m.messages[i].uid {
				m.fail("UID %d of message %d, UID %d of message %d", uid, j+1, m.messages[i].uid, i+1)
			}
			break
		}
	}
	for j := i + 1; j < len(m.messages); j++ {
		if uid := m.messages[j].uid; uid != 0 {
			if uid <= m.messages[i].uid {
				m.fail("UID %d of message %d, UID %d of message %d", m.messages[i].uid, i+1, uid, j+1)
			}
			break
		}
	}
}

// settled is called when all changes were told.
func (m *mirror) settled() {
	for _, e := range m.messages {
		m.synced = max(m.synced, e.modseq)
	}
}

// byUID returns the messages with known UIDs.
func (m *mirror) byUID() map[uint32]mirrored {
	all := map[uint32]mirrored{}
	for _, e := range m.messages {
		if e.uid != 0 {
			all[e.uid] = e
		}
	}
	return all
}

// compare returns an error if what is known is not what is there.
func (m *mirror) compare(want map[uint32]mirrored) error {
	if len(want) != len(m.messages) {
		return fmt.Errorf("%d messages are known of %d", len(m.messages), len(want))
	}
	for _, e := range m.messages {
		if w, ok := want[e.uid]; !ok || !slices.Equal(w.flags, e.flags) || e.modseq != 0 && w.modseq != e.modseq {
			return fmt.Errorf("%+v is known of %+v", e, w)
		}
	}
	return nil
}
