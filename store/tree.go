package store

import (
	"slices"
	"strings"

	"mox/imap"
)

// Tree is an immutable snapshot of an account's mailboxes with their counts, its
// subscriptions and its totals, as of a commit.
type Tree struct {
	ModSeq ModSeq // Of the last commit.

	shape *treeShape
	boxes []*Mailbox // By name, Inbox first, hidden ones last; same order as shape.
	state state
}

// treeShape is what only changes when mailboxes or subscriptions come, go or are
// renamed. Versions of a tree share it.
type treeShape struct {
	byName map[string]int
	byID   map[int64]int
	shown  int      // How many mailboxes there are that are not hidden.
	subs   []string // Sorted.
}

func newTree(st state, boxes []*Mailbox, subs []string) *Tree {
	slices.SortFunc(boxes, func(a, b *Mailbox) int {
		if h := isHidden(a.Name); h != isHidden(b.Name) {
			if h {
				return 1
			}
			return -1
		}
		return compareNames(a.Name, b.Name)
	})
	slices.SortFunc(subs, compareNames)
	sh := &treeShape{byName: make(map[string]int, len(boxes)), byID: make(map[int64]int, len(boxes)), subs: subs}
	for i, mb := range boxes {
		if !isHidden(mb.Name) {
			sh.byName[mb.Name] = i
			sh.shown++
		}
		sh.byID[mb.ID] = i
	}
	return &Tree{ModSeq: st.ModSeq, shape: sh, boxes: boxes, state: st}
}

// compareNames orders mailbox names, Inbox first and children right behind their
// parent.
func compareNames(a, b string) int {
	if ai, bi := a == imap.Inbox, b == imap.Inbox; ai != bi {
		if ai {
			return -1
		}
		return 1
	}
	for a != "" && b != "" {
		ah, at, _ := strings.Cut(a, "/")
		bh, bt, _ := strings.Cut(b, "/")
		if c := strings.Compare(ah, bh); c != 0 {
			return c
		}
		a, b = at, bt
	}
	return len(a) - len(b)
}

// Mailboxes returns all mailboxes by name, Inbox first, children right behind
// their parent.
func (t *Tree) Mailboxes() []Mailbox {
	l := make([]Mailbox, t.shape.shown)
	for i, mb := range t.boxes[:len(l)] {
		l[i] = *mb
	}
	return l
}

// ByName returns the mailbox of a normalised name (imap.ParseMailboxName).
func (t *Tree) ByName(name string) (Mailbox, bool) {
	if i, ok := t.shape.byName[name]; ok {
		return *t.boxes[i], true
	}
	return Mailbox{}, false
}

// ByID returns a mailbox by its id.
func (t *Tree) ByID(id int64) (Mailbox, bool) {
	if i, ok := t.shape.byID[id]; ok {
		return *t.boxes[i], true
	}
	return Mailbox{}, false
}

// HasChildren reports whether mailboxes exist below a name.
func (t *Tree) HasChildren(name string) bool {
	// Children directly follow their parent; a parent always exists.
	i, ok := t.shape.byName[name]
	if !ok {
		return slices.ContainsFunc(t.boxes, func(mb *Mailbox) bool { return strings.HasPrefix(mb.Name, name+"/") })
	}
	if name == imap.Inbox {
		return slices.ContainsFunc(t.boxes, func(mb *Mailbox) bool { return strings.HasPrefix(mb.Name, imap.Inbox+"/") })
	}
	return i+1 < len(t.boxes) && strings.HasPrefix(t.boxes[i+1].Name, name+"/")
}

// Subscribed reports whether a name is subscribed to, existing or not.
func (t *Tree) Subscribed(name string) bool {
	_, ok := slices.BinarySearchFunc(t.shape.subs, name, compareNames)
	return ok
}

// Subscriptions returns all subscribed names, sorted as Mailboxes is. The slice
// is shared and must not be changed.
func (t *Tree) Subscriptions() []string { return t.shape.subs }

// Messages returns the number of messages in the account.
func (t *Tree) Messages() int64 { return t.state.Messages }

// usage returns what is used of the quota.
func (t *Tree) usage() Usage { return t.state.usage() }

// Size returns the sum of message sizes in octets, which is what quota counts.
func (t *Tree) Size() int64 { return t.state.Size }
