package store

import (
	"sort"
	"sync/atomic"
)

// chunkSize is how many messages one chunk of an Index holds at most. A change
// copies the chunks it touches, so it bounds what a flag change costs.
const chunkSize = 512

// chunk is a run of messages. Slices only ever grow by append while a newer
// version shares them, so versions read their own prefix without a lock.
//
// One from a file has its entries as they are there until somebody asks for one.
type chunk struct {
	flags  []Flags
	last   uint32 // UID of the last message.
	modSeq ModSeq // At least the highest of the entries.
	list   atomic.Pointer[[]Entry]
	packed atomic.Pointer[packedChunk] // Nil if list is not.
}

func (c *chunk) len() int { return len(c.flags) }

// entries returns the entries, which must not be changed.
func (c *chunk) entries() []Entry {
	if l := c.list.Load(); l != nil {
		return *l
	}
	return c.unpack()
}

// unpack makes the entries. If others do so at the same time, all get the same.
func (c *chunk) unpack() []Entry {
	if p := c.packed.Load(); p != nil {
		l := p.entries(c.len())
		c.list.CompareAndSwap(nil, &l)
		c.packed.Store(nil)
	}
	return *c.list.Load()
}

// find returns the offset of the first message with at least a UID.
func (c *chunk) find(uid uint32) int {
	l := c.entries()
	return sort.Search(len(l), func(i int) bool { return l[i].UID >= uid })
}

// chunkWriter makes a chunk.
type chunkWriter struct {
	flags   []Flags
	entries []Entry
	modSeq  ModSeq
}

// newChunkWriter returns one for so many messages.
func newChunkWriter(n int) *chunkWriter {
	return &chunkWriter{flags: make([]Flags, 0, n), entries: make([]Entry, 0, n)}
}

// add adds a message.
func (w *chunkWriter) add(f Flags, e *Entry) {
	w.flags, w.entries, w.modSeq = append(w.flags, f), append(w.entries, *e), max(w.modSeq, e.ModSeq)
}

// addFrom adds messages of a chunk.
func (w *chunkWriter) addFrom(c *chunk, from, to int) {
	w.flags, w.entries = append(w.flags, c.flags[from:to]...), append(w.entries, c.entries()[from:to]...)
}

// chunk returns what was added, at least one message.
func (w *chunkWriter) chunk() *chunk {
	l := w.entries
	c := &chunk{flags: w.flags, last: l[len(l)-1].UID, modSeq: w.modSeq}
	c.list.Store(&l)
	return c
}

// appendEntries adds messages behind all that are there. The last chunk is
// extended in place: older versions do not look beyond their own length.
func appendEntries(chunks []*chunk, muts []mutation) []*chunk {
	w := &chunkWriter{}
	if n := len(chunks); n > 0 && chunks[n-1].len() < chunkSize {
		last := chunks[n-1]
		w, chunks = &chunkWriter{last.flags, last.entries(), last.modSeq}, chunks[:n-1]
	}
	for i, m := range muts {
		if m.removed || i+1 < len(muts) && muts[i+1].uid == m.uid {
			continue
		}
		if len(w.flags) == chunkSize {
			chunks, w = append(chunks, w.chunk()), &chunkWriter{}
		}
		w.add(m.flags, &m.entry)
	}
	if len(w.flags) > 0 {
		chunks = append(chunks, w.chunk())
	}
	return chunks
}

// merge returns copies of the chunk with mutations applied, as chunks of at most
// chunkSize, none if no message is left.
func (c *chunk) merge(muts []mutation) []*chunk {
	w := newChunkWriter(c.len() + len(muts))
	w.modSeq = c.modSeq
	l := c.entries()
	i := 0
	for mi, m := range muts {
		first := i
		for i < len(l) && l[i].UID < m.uid {
			i++
		}
		w.addFrom(c, first, i)
		if mi+1 < len(muts) && muts[mi+1].uid == m.uid {
			continue
		}
		if i < len(l) && l[i].UID == m.uid {
			i++
		}
		if !m.removed {
			w.add(m.flags, &m.entry)
		}
	}
	w.addFrom(c, i, len(l))
	return w.split()
}

// split returns what was added as chunks of at most chunkSize.
func (w *chunkWriter) split() []*chunk {
	var l []*chunk
	for len(w.flags) > 0 {
		n := min(len(w.flags), chunkSize)
		part := &chunkWriter{w.flags[:n:n], w.entries[:n:n], w.modSeq}
		if n == len(w.flags) { // May be extended in place.
			part = &chunkWriter{w.flags, w.entries, w.modSeq}
		}
		l = append(l, part.chunk())
		w = &chunkWriter{w.flags[n:], w.entries[n:], w.modSeq}
	}
	return l
}
