package store

import (
	"iter"
	"slices"
	"sort"
	"time"

	"mox/imap"
)

// Entry is what the index knows of a message, besides its flags.
type Entry struct {
	UID       uint32
	zone      int16 // Of received, minutes east of UTC.
	MessageID int64
	ContentID int64
	ThreadID  int64
	ModSeq    ModSeq
	CreateSeq ModSeq
	Size      int64 // Octets.
	received  int64 // Unix seconds.
	saved     int64 // Unix seconds, zero for unknown.
	keywords  *[]string
}

// Keywords returns the sorted keywords beyond those that are Flags. The slice
// is shared and must not be changed.
func (e *Entry) Keywords() []string {
	if e.keywords == nil {
		return nil
	}
	return *e.keywords
}

// keywordsField returns a list of keywords as an Entry has it.
func keywordsField(kw []string) *[]string {
	if len(kw) == 0 {
		return nil
	}
	return &kw
}

// Received returns the IMAP internal date, to the second, in its own zone.
func (e *Entry) Received() time.Time {
	t := time.Unix(e.received, 0)
	if e.zone == 0 {
		return t.UTC()
	}
	return t.In(time.FixedZone("", int(e.zone)*60))
}

// ReceivedUnix returns the IMAP internal date in Unix seconds.
func (e *Entry) ReceivedUnix() int64 { return e.received }

// SaveDate returns when the message came into this mailbox (RFC 8514 §3), or
// the zero time when that is not known.
func (e *Entry) SaveDate() time.Time {
	if e.saved == 0 {
		return time.Time{}
	}
	return time.Unix(e.saved, 0).UTC()
}

func entryOf(m *Message) Entry {
	_, off := m.Received.Zone()
	e := Entry{
		UID:       m.UID,
		zone:      int16(off / 60),
		MessageID: m.ID,
		ContentID: m.ContentID,
		ThreadID:  m.ThreadID,
		ModSeq:    m.ModSeq,
		CreateSeq: m.CreateSeq,
		Size:      m.Size,
		received:  m.Received.Unix(),
		keywords:  keywordsField(m.Keywords),
	}
	if !m.SaveDate.IsZero() {
		e.saved = m.SaveDate.Unix()
	}
	return e
}

// Index is an immutable version of a mailbox's messages, in UID order. Versions
// share the chunks in which nothing changed.
type Index struct {
	mailboxID   int64
	uidValidity uint32
	uidNext     uint32
	modSeq      ModSeq
	chunks      []*chunk
	starts      []int // Position of each chunk's first message; one more than chunks, the last is Len.
}

// Mailbox returns the id of the mailbox.
func (ix *Index) Mailbox() int64 { return ix.mailboxID }

// UIDValidity returns the mailbox's UIDVALIDITY (RFC 9051 §2.3.1.1).
func (ix *Index) UIDValidity() uint32 { return ix.uidValidity }

// UIDNext returns the next UID as of this version.
func (ix *Index) UIDNext() uint32 { return ix.uidNext }

// ModSeq returns the account's modseq this version is current for.
func (ix *Index) ModSeq() ModSeq { return ix.modSeq }

// Len returns the number of messages.
func (ix *Index) Len() int { return ix.starts[len(ix.chunks)] }

// locate returns the chunk that holds position pos, and the offset in it.
func (ix *Index) locate(pos int) (*chunk, int) {
	// The chunk with the largest start that is at most pos.
	i := sort.Search(len(ix.chunks), func(i int) bool { return ix.starts[i+1] > pos })
	return ix.chunks[i], pos - ix.starts[i]
}

// At returns the message at a position from 0 to Len()-1. The entry is shared
// and must not be changed.
func (ix *Index) At(pos int) *Entry {
	c, i := ix.locate(pos)
	return &c.entries()[i]
}

// Flags returns the flags of the message at a position.
func (ix *Index) Flags(pos int) Flags {
	c, i := ix.locate(pos)
	return c.flags[i]
}

// chunkOf returns which chunk a UID is in, or would be in between others: their number if
// it is above all.
func chunkOf(chunks []*chunk, uid uint32) int {
	return sort.Search(len(chunks), func(i int) bool { return chunks[i].last >= uid })
}

// Find returns the position of a UID, or where it would be if it is not there.
func (ix *Index) Find(uid uint32) (pos int, ok bool) {
	ci := chunkOf(ix.chunks, uid)
	if ci == len(ix.chunks) {
		return ix.Len(), false
	}
	c := ix.chunks[ci]
	i := c.find(uid)
	return ix.starts[ci] + i, c.entries()[i].UID == uid
}

// Item is a message of an Index in an iteration: its entry and its flags.
type Item struct {
	*Entry
	Flags Flags
}

// Range iterates over positions from (inclusive) to to (exclusive).
func (ix *Index) Range(from, to int) iter.Seq2[int, Item] {
	return func(yield func(int, Item) bool) {
		if from >= to {
			return
		}
		ci := sort.Search(len(ix.chunks), func(i int) bool { return ix.starts[i+1] > from })
		pos := from
		for ; ci < len(ix.chunks) && pos < to; ci++ {
			c := ix.chunks[ci]
			entries := c.entries()
			for i := pos - ix.starts[ci]; i < c.len() && pos < to; i++ {
				if !yield(pos, Item{&entries[i], c.flags[i]}) {
					return
				}
				pos++
			}
		}
	}
}

// MatchFlags iterates over the positions, ascending, of messages of whose flags
// exactly those in want are set among those in mask.
func (ix *Index) MatchFlags(mask, want Flags) iter.Seq[int] {
	return func(yield func(int) bool) {
		for ci, c := range ix.chunks {
			for i, f := range c.flags {
				if f&mask == want && !yield(ix.starts[ci]+i) {
					return
				}
			}
		}
	}
}

// ChangedSince iterates over positions from (inclusive) to to (exclusive), ascending, of
// messages that changed after since. Chunks without any are not looked at.
func (ix *Index) ChangedSince(since ModSeq, from, to int) iter.Seq2[int, Item] {
	return func(yield func(int, Item) bool) {
		ci := sort.Search(len(ix.chunks), func(i int) bool { return ix.starts[i+1] > from })
		for ; ci < len(ix.chunks) && ix.starts[ci] < to; ci++ {
			first, end := max(from, ix.starts[ci]), min(to, ix.starts[ci+1])
			if ix.chunks[ci].modSeq <= since {
				continue
			}
			for pos, it := range ix.Range(first, end) {
				if it.ModSeq > since && !yield(pos, it) {
					return
				}
			}
		}
	}
}

// FirstUnseen returns the position of the first message without \Seen.
func (ix *Index) FirstUnseen() (pos int, ok bool) {
	for pos := range ix.MatchFlags(imap.FlagSeen, 0) {
		return pos, true
	}
	return 0, false
}

// AppendUIDs appends the UIDs of positions from (inclusive) to to (exclusive).
func (ix *Index) AppendUIDs(uids []uint32, from, to int) []uint32 {
	uids = slices.Grow(uids, max(0, to-from))
	for _, it := range ix.Range(from, to) {
		uids = append(uids, it.UID)
	}
	return uids
}

// newIndex makes a version from chunks.
func newIndex(mb *Mailbox, modSeq ModSeq, chunks []*chunk) *Index {
	ix := &Index{mailboxID: mb.ID, uidValidity: mb.UIDValidity, uidNext: mb.UIDNext, modSeq: modSeq, chunks: chunks}
	ix.starts = make([]int, 1, len(chunks)+1)
	for _, c := range chunks {
		ix.starts = append(ix.starts, ix.starts[len(ix.starts)-1]+c.len())
	}
	return ix
}

// mutation is the new state of one message for an index, or its removal. To
// apply one twice does no harm.
type mutation struct {
	uid     uint32
	removed bool
	flags   Flags
	entry   Entry
}

func mutationOf(m *Message) mutation {
	return mutation{uid: m.UID, flags: m.Flags, entry: entryOf(m)}
}

// apply returns the version after mutations, which it sorts by UID, the last
// one for a UID winning.
func (ix *Index) apply(mb *Mailbox, modSeq ModSeq, muts []mutation) *Index {
	slices.SortStableFunc(muts, func(a, b mutation) int { return int(int64(a.uid) - int64(b.uid)) })
	chunks := slices.Clone(ix.chunks)
	for len(muts) > 0 {
		// All mutations for one chunk at a time.
		ci := chunkOf(chunks, muts[0].uid)
		if ci == len(chunks) {
			chunks = appendEntries(chunks, muts)
			break
		}
		last := chunks[ci].last
		n := sort.Search(len(muts), func(i int) bool { return muts[i].uid > last })
		merged := chunks[ci].merge(muts[:n])
		muts = muts[n:]
		chunks = slices.Replace(chunks, ci, ci+1, merged...)
	}
	return newIndex(mb, modSeq, chunks)
}

// indexEntrySize is what one message costs in an index, for the bound on memory: its entry
// and flags, also as they are in a file.
const indexEntrySize = 96

func (ix *Index) memory() int64 {
	return int64(ix.Len())*indexEntrySize + int64(len(ix.chunks))*128 + 256
}

// Diff is what happened to a mailbox between two versions. UIDs are ascending.
type Diff struct {
	Expunged []uint32 // In the older version only.
	Changed  []uint32 // In both, with other flags or keywords.
	Added    []uint32 // In the newer version only.
}

// Empty reports whether nothing happened.
func (d Diff) Empty() bool { return len(d.Expunged)+len(d.Changed)+len(d.Added) == 0 }

// Diff returns what happened between this version and a newer one of the same
// mailbox. Chunks that both share are not looked at.
func (ix *Index) Diff(newer *Index) (d Diff) {
	a, b := cursor{ix: ix}, cursor{ix: newer}
	for {
		if a.atSame(&b) {
			a.nextChunk()
			b.nextChunk()
			continue
		}
		ea, fa, oka := a.get()
		eb, fb, okb := b.get()
		switch {
		case !oka && !okb:
			return d
		case !okb || oka && ea.UID < eb.UID:
			d.Expunged = append(d.Expunged, ea.UID)
			a.next()
		case !oka || eb.UID < ea.UID:
			d.Added = append(d.Added, eb.UID)
			b.next()
		default:
			if fa != fb || ea.ModSeq != eb.ModSeq {
				d.Changed = append(d.Changed, ea.UID)
			}
			a.next()
			b.next()
		}
	}
}

// With returns the messages of this version with flags and mod-sequences of a newer one,
// as far as they are in that.
func (ix *Index) With(newer *Index) *Index {
	var muts []mutation
	for _, uid := range ix.Diff(newer).Changed {
		pos, _ := newer.Find(uid)
		muts = append(muts, mutation{uid: uid, flags: newer.Flags(pos), entry: *newer.At(pos)})
	}
	if len(muts) == 0 {
		return ix
	}
	mb := Mailbox{ID: ix.mailboxID, UIDValidity: ix.uidValidity, UIDNext: ix.uidNext}
	return ix.apply(&mb, ix.modSeq, muts)
}

// cursor walks an Index.
type cursor struct {
	ix *Index
	c  int // Chunk.
	i  int // In the chunk.
}

func (c *cursor) atSame(o *cursor) bool {
	return c.i == 0 && o.i == 0 && c.c < len(c.ix.chunks) && o.c < len(o.ix.chunks) && c.ix.chunks[c.c] == o.ix.chunks[o.c]
}

func (c *cursor) get() (*Entry, Flags, bool) {
	if c.c >= len(c.ix.chunks) {
		return nil, 0, false
	}
	ch := c.ix.chunks[c.c]
	return &ch.entries()[c.i], ch.flags[c.i], true
}

func (c *cursor) next() {
	if c.i++; c.i == c.ix.chunks[c.c].len() {
		c.nextChunk()
	}
}

func (c *cursor) nextChunk() { c.c, c.i = c.c+1, 0 }
