package search

import (
	"container/list"
	"context"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"time"
	"weak"

	"mox/internal/parallel"
	"mox/internal/search/textindex"
	"mox/message"
	"mox/store"
)

// Keys keeps, in bounded memory, what messages are sorted and threaded by (RFC 5256), and
// texts that they are searched for: the digests of a mailbox are read the first time, and
// then those of new messages only. It is safe for concurrent use.
type Keys struct {
	max  int64
	seed maphash.Seed // For hashes of Message-IDs.

	mu     sync.Mutex // Guards what follows, and the fields of slots but for their mu and table.
	slots  map[slotKey]*slot
	recent list.List // Of *slot, the last used first.
	size   int64
	timer  *time.Timer // Of sweep, nil when there are no slots.
	closed bool

	saving  sync.WaitGroup // Goroutines that write columns to files.
	buildMu sync.Mutex     // Held by those who read many digests: one at a time, by all processors.
}

// Close waits for what is being written.
func (k *Keys) Close() {
	k.mu.Lock()
	k.closed = true
	if k.timer != nil {
		k.timer.Stop()
	}
	k.mu.Unlock()
	k.saving.Wait()
}

// NewKeys returns Keys that use at most max bytes of memory between commands, and give back
// what nobody has used for some minutes. They must be closed.
func NewKeys(max int64) *Keys {
	return &Keys{max: max, seed: maphash.MakeSeed(), slots: map[slotKey]*slot{}}
}

// Mailbox is a version of a mailbox whose messages are sorted or threaded.
type Mailbox struct {
	Mail  Mail
	Owner *store.Account // The account that Index is of.
	Index *store.Index
	Texts *textindex.Reader // Nil if there is no text index. Sorting needs none.
}

func (mb *Mailbox) slotKey() slotKey {
	return slotKey{weak.Make(mb.Owner), mb.Index.Mailbox(), mb.Index.UIDValidity(), mb.Owner.DigestEpoch()}
}

// slotKey says which mailbox a table is of. What UIDs stand for never changes in it, nor,
// until the epoch does, what is known of that.
type slotKey struct {
	owner       weak.Pointer[store.Account]
	mailbox     int64
	uidValidity uint32
	epoch       int64 // Of digests.
}

// slot holds the table of a mailbox.
type slot struct {
	key  slotKey
	elem *list.Element // Nil once dropped.
	size int64
	last time.Time // When it was last asked for.

	mu      sync.Mutex // Held while the table is extended.
	table   *table
	used    map[columnID]time.Time // When a column of the table was last asked for.
	refused map[textKey]bool       // Texts that are too much.
	asked   map[textKey]bool       // Data that was asked for.

	saveMu  sync.Mutex     // Held while columns are written to files. Guards what follows.
	written map[string]int // Files that were written, and of how many messages.
}

// save writes columns to files.
func (s *slot) save(t *table, mb Mailbox) {
	s.saveMu.Lock()
	defer s.saveMu.Unlock()
	if s.written == nil {
		s.written = map[string]int{}
	}
	t.save(mb, s.written)
}

// table has columns of messages, the rows, in the order of their UIDs. It is immutable.
type table struct {
	uids    []uint32
	columns [columnKinds]*column
	links   *links
	texts   map[textKey]*textColumn
}

// needs says which columns are needed.
type needs struct {
	columns [columnKinds]bool
	links   bool
	texts   []textKey
}

// has reports whether the table has the columns.
func (t *table) has(n needs) bool {
	for k, needed := range n.columns {
		if needed && t.columns[k] == nil {
			return false
		}
	}
	for _, key := range n.texts {
		if t.texts[key] == nil {
			return false
		}
	}
	return !n.links || t.links != nil
}

func (t *table) memory() int64 {
	size := 4*int64(len(t.uids)) + 256
	for _, c := range t.columns {
		if c != nil {
			size += 4*int64(len(c.ranks)) + c.values.size()
		}
	}
	if t.links != nil {
		size += t.links.size()
	}
	for _, c := range t.texts {
		size += c.size()
	}
	return size
}

// few is how small a part of a mailbox is sorted without making a table of all of it.
const few = 8

// get returns a table that has the columns of the messages at positions, ascending, and
// which rows are theirs.
func (k *Keys) get(ctx context.Context, mb Mailbox, positions []int, n needs) (*table, []int, error) {
	s := k.slot(mb.slotKey())
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table
	if len(positions) < mb.Index.Len()/few && (!t.has(n) || len(t.uids) == 0) {
		t, err := (&table{}).extend(ctx, k, mb, positions, n)
		if err != nil {
			return nil, nil, err
		}
		return t, t.rows(mb.Index, positions), nil
	}
	if len(t.uids) > 2*mb.Index.Len()+1000 {
		t = &table{} // Most of it is of messages that are gone.
	}
	all := make([]int, mb.Index.Len())
	for i := range all {
		all[i] = i
	}
	loaded, err := k.load(ctx, t, mb, all, n)
	if err != nil {
		return nil, nil, err
	}
	t, err = loaded.extend(ctx, k, mb, all, n)
	if err != nil {
		return nil, nil, err
	}
	if t != loaded {
		k.saving.Go(func() { s.save(t, mb) })
	}
	s.use(n)
	if t != s.table {
		s.table = s.fit(t, n, k.max)
		k.keep(s)
	}
	return t, t.rows(mb.Index, positions), nil
}

// slot returns the slot of a mailbox, and notes that it is used.
func (k *Keys) slot(key slotKey) *slot {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.slots[key]
	if s == nil {
		s = &slot{key: key, table: &table{}}
		s.elem = k.recent.PushFront(s)
		k.slots[key] = s
		k.resize(s, s.table.memory())
		if k.timer == nil && !k.closed {
			k.timer = time.AfterFunc(sweepInterval, k.sweep)
		}
	} else {
		k.recent.MoveToFront(s.elem)
	}
	s.last = time.Now()
	return s
}

// keep notes the size of a slot's table. The caller holds the slot.
func (k *Keys) keep(s *slot) {
	size := s.table.memory()
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.elem != nil { // Not dropped meanwhile.
		k.resize(s, size)
	}
}

// resize notes the size of a slot, and drops those that were not used for longest.
func (k *Keys) resize(s *slot, size int64) {
	k.size += size - s.size
	s.size = size
	for k.size > k.max {
		k.drop(k.recent.Back().Value.(*slot))
	}
}

// drop forgets a slot. The caller holds mu.
func (k *Keys) drop(s *slot) {
	k.recent.Remove(s.elem)
	delete(k.slots, s.key)
	k.size -= s.size
	s.elem, s.size = nil, 0
}

// rows returns which rows the messages at positions, ascending, are.
func (t *table) rows(ix *store.Index, positions []int) []int {
	rows := make([]int, len(positions))
	same := len(t.uids) == ix.Len()
	row := 0
	for i, pos := range positions {
		uid := ix.At(pos).UID
		if same && t.uids[pos] == uid {
			rows[i] = pos
			continue
		}
		for n := 0; t.uids[row] < uid; n++ {
			if row++; n == 8 {
				found, _ := slices.BinarySearch(t.uids[row:], uid)
				row += found
			}
		}
		rows[i] = row
	}
	return rows
}

// extend returns a table that has columns, of all messages that t has rows of, and of
// those at positions, ascending.
func (t *table) extend(ctx context.Context, k *Keys, mb Mailbox, positions []int, n needs) (*table, error) {
	var missing []int // Positions.
	row := 0
	for _, pos := range positions {
		uid := mb.Index.At(pos).UID
		for row < len(t.uids) && t.uids[row] < uid {
			row++
		}
		if row == len(t.uids) || t.uids[row] != uid {
			missing = append(missing, pos)
		}
	}
	if len(missing) == 0 && t.has(n) {
		return t, nil
	}
	if t.links != nil && t.links.names == nil && len(missing) > 0 {
		o := *t
		o.links = nil // They are from a file, and cannot be extended.
		t = &o
	}
	if len(t.uids) > 0 && !t.has(n) {
		return t.addColumns(ctx, k, mb, positions, n)
	}
	for kind, c := range t.columns {
		n.columns[kind] = n.columns[kind] || c != nil
	}
	n.links = n.links || t.links != nil
	for key := range t.texts {
		if !slices.Contains(n.texts, key) {
			n.texts = append(slices.Clip(n.texts), key)
		}
	}
	read, err := k.read(ctx, mb, missing, n)
	if err != nil {
		return nil, err
	}
	return t.merge(mb.Index, missing, read, n), nil
}

// addColumns makes the table anew, with columns that it has not: those that it has are
// kept if it has rows of the same messages.
func (t *table) addColumns(ctx context.Context, k *Keys, mb Mailbox, positions []int, n needs) (*table, error) {
	lacks := n
	for kind, c := range t.columns {
		lacks.columns[kind] = lacks.columns[kind] && c == nil
	}
	lacks.links = lacks.links && t.links == nil
	lacks.texts = slices.DeleteFunc(slices.Clone(n.texts), func(key textKey) bool { return t.texts[key] != nil })
	// First the new messages, for the columns that there are, then the new columns.
	t, err := t.extend(ctx, k, mb, positions, needs{})
	if err != nil {
		return nil, err
	}
	if len(t.uids) != len(positions) { // It has rows of messages that are gone.
		lacks = n
		t = &table{}
	}
	o, err := (&table{}).extend(ctx, k, mb, positions, lacks)
	if err != nil {
		return nil, err
	}
	o.adopt(t)
	return o, nil
}

// merge returns the table with rows for the messages at positions.
func (t *table) merge(ix *store.Index, positions []int, read *columnsRead, n needs) *table {
	o := &table{uids: make([]uint32, 0, len(t.uids)+len(positions)), texts: map[textKey]*textColumn{}}
	places, addedPlaces := make([]int, len(t.uids)), make([]int, len(positions))
	for i, j := 0, 0; i < len(t.uids) || j < len(positions); {
		if j == len(positions) || i < len(t.uids) && t.uids[i] < ix.At(positions[j]).UID {
			places[i] = len(o.uids)
			o.uids = append(o.uids, t.uids[i])
			i++
		} else {
			addedPlaces[j] = len(o.uids)
			o.uids = append(o.uids, ix.At(positions[j]).UID)
			j++
		}
	}
	for kind, needed := range n.columns {
		if !needed {
			continue
		}
		c := t.columns[kind]
		if c == nil {
			c = &column{}
		}
		o.columns[kind] = c.extend(len(o.uids), places, addedPlaces, &read.values[kind])
	}
	if n.links {
		l := t.links
		if l == nil {
			l = &links{names: names{}}
		}
		o.links = l.extend(len(o.uids), places, addedPlaces, &read.links)
	}
	for _, key := range n.texts {
		c := t.texts[key]
		if c == nil {
			c = &textColumn{}
		}
		o.texts[key] = c.extend(len(o.uids), places, addedPlaces, read.texts[key])
	}
	return o
}

// columnsRead has what was read of some messages.
type columnsRead struct {
	values [columnKinds]values
	links  linksRead
	texts  map[textKey]*textColumn
}

func newColumnsRead(n needs) *columnsRead {
	r := &columnsRead{texts: map[textKey]*textColumn{}}
	for _, key := range n.texts {
		r.texts[key] = &textColumn{}
	}
	return r
}

// readPart is how many digests one goroutine reads at a time.
const readPart = 4096

// read reads the columns of the messages at positions.
func (k *Keys) read(ctx context.Context, mb Mailbox, positions []int, n needs) (*columnsRead, error) {
	if len(positions) <= readPart {
		return k.readPart(ctx, mb, positions, n)
	}
	k.buildMu.Lock()
	defer k.buildMu.Unlock()
	parts := make([]*columnsRead, (len(positions)+readPart-1)/readPart)
	errs := make([]error, len(parts))
	parallel.Do(len(parts), runtime.GOMAXPROCS(0), func(i int) {
		parts[i], errs[i] = k.readPart(ctx, mb, positions[i*readPart:min((i+1)*readPart, len(positions))], n)
	})
	all := newColumnsRead(n)
	for i, p := range parts {
		if errs[i] != nil {
			return nil, errs[i]
		}
		for kind := range p.values {
			v := &p.values[kind]
			for j := range v.len() {
				all.values[kind].add(v.at(j))
			}
		}
		all.links.append(&p.links)
		for key, c := range p.texts {
			all.texts[key].append(c)
			if all.texts[key].size() > k.max/2 {
				return nil, errTooMuchText
			}
		}
	}
	return all, nil
}

func (k *Keys) readPart(ctx context.Context, mb Mailbox, positions []int, n needs) (*columnsRead, error) {
	ids := make([]int64, len(positions))
	for i, pos := range positions {
		ids[i] = mb.Index.At(pos).ContentID
	}
	r := newColumnsRead(n)
	err := mb.Mail.Digests(ctx, ids, func(i int, d message.Digest) error {
		if i%batchSize == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e := mb.Index.At(positions[i])
		for kind, needed := range n.columns {
			if needed {
				v := &r.values[kind]
				v.text = columnKind(kind).appendValue(v.text, e, d)
				v.end()
			}
		}
		if n.links {
			r.links.add(k.seed, d)
		}
		for key, c := range r.texts {
			c.addDigest(key, d)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for key, c := range r.texts {
		if err := c.addValues(ctx, mb.Texts, key, ids); err != nil {
			return nil, err
		}
	}
	return r, nil
}
