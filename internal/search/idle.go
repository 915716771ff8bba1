package search

import (
	"maps"
	"slices"
	"time"
)

// Columns that nobody asks for are given back, as a mailbox that was searched once may have
// many megabytes of them. Those of large mailboxes are in files, and soon there again.

const (
	// columnIdle is how long a column stays in memory after it was last asked for, and
	// sweepInterval how often that is looked at, while there are any.
	columnIdle    = 5 * time.Minute
	sweepInterval = time.Minute
)

// columnID says which column of a table is meant: of a kind, links, or a text.
type columnID struct {
	kind columnKind
	text textKey // For columnText.
}

// Kinds of columns that messages are not sorted by.
const (
	columnLinks = columnKinds + iota
	columnText
)

// ids returns what is needed.
func (n needs) ids() []columnID {
	var l []columnID
	for kind, needed := range n.columns {
		if needed {
			l = append(l, columnID{kind: columnKind(kind)})
		}
	}
	if n.links {
		l = append(l, columnID{kind: columnLinks})
	}
	for _, key := range n.texts {
		l = append(l, columnID{columnText, key})
	}
	return l
}

// all returns all columns of the table as needs.
func (t *table) all() (n needs) {
	for kind, c := range t.columns {
		n.columns[kind] = c != nil
	}
	n.links = t.links != nil
	for key := range t.texts {
		n.texts = append(n.texts, key)
	}
	return n
}

// without returns the table without a column.
func (t *table) without(id columnID) *table {
	o := *t
	switch id.kind {
	case columnLinks:
		o.links = nil
	case columnText:
		o.texts = maps.Clone(t.texts)
		delete(o.texts, id.text)
	default:
		o.columns[id.kind] = nil
	}
	return &o
}

// use notes that columns are asked for. The caller holds the slot.
func (s *slot) use(n needs) {
	if s.used == nil {
		s.used = map[columnID]time.Time{}
	}
	now := time.Now()
	for _, id := range n.ids() {
		s.used[id] = now
	}
}

// fit returns a table without the columns that were not used for longest, so that it takes
// at most max bytes, but always with those needed. The caller holds the slot.
func (s *slot) fit(t *table, n needs, max int64) *table {
	for t.memory() > max {
		var oldest columnID
		var since time.Time
		for _, id := range t.all().ids() {
			if at := s.used[id]; !n.has(id) && (since.IsZero() || at.Before(since)) {
				oldest, since = id, at
			}
		}
		if since.IsZero() {
			break
		}
		t = t.without(oldest)
		delete(s.used, oldest)
	}
	return t
}

// has reports whether a column is needed.
func (n needs) has(id columnID) bool {
	switch id.kind {
	case columnLinks:
		return n.links
	case columnText:
		return slices.Contains(n.texts, id.text)
	}
	return n.columns[id.kind]
}

// sweep gives back the columns that were not used of late, and looks again later if any
// are left.
func (k *Keys) sweep() {
	before := time.Now().Add(-columnIdle)
	k.mu.Lock()
	var left []*slot
	for _, s := range k.slots {
		if s.last.Before(before) {
			k.drop(s)
		} else {
			left = append(left, s)
		}
	}
	k.timer = nil
	if len(left) > 0 && !k.closed {
		k.timer = time.AfterFunc(sweepInterval, k.sweep)
	}
	k.mu.Unlock()
	for _, s := range left {
		k.sweepSlot(s, before)
	}
}

// sweepSlot gives back the columns of a slot that were last used before a time. One that is
// being used is left alone.
func (k *Keys) sweepSlot(s *slot, before time.Time) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	t := s.table
	for id, at := range s.used {
		if at.Before(before) {
			t = t.without(id)
			delete(s.used, id)
		}
	}
	if len(s.used) == 0 {
		t = &table{}
	}
	if t != s.table {
		s.table = t
		k.keep(s)
	}
}
