package fts

import (
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Text is what is searched of a message: both folded, and valid UTF-8 but for [Separator]
// between texts, across which nothing matches.
type Text struct {
	Body   []byte
	Fields []byte // Header fields, also those of parts.
}

// Separator is no octet of UTF-8.
const Separator = 0xff

// Batch collects messages for one commit. It is not safe for concurrent use.
type Batch struct {
	last    int64
	texts   []document
	size    int
	skipped []int64
	pairs   []uint64 // Trigram in the high 32 bits, index in texts in the low ones.
	seen    []uint64 // One bit for each trigram.
}

// document is the text of a message.
type document struct {
	id int64
	Text
}

func (d *document) size() int { return len(d.Body) + len(d.Fields) }

// errOrder is a mistake of the caller.
var errOrder = errors.New("contents must be added in the order of their ids")

// Add adds a message. Its texts must not be changed until the batch is applied.
func (b *Batch) Add(id int64, t Text) error {
	if id <= b.last {
		return errOrder
	}
	d := document{id, t}
	if d.size() > MaxText {
		return b.Skip(id)
	}
	b.last = id
	b.size += d.size()
	b.collect(d.Body, len(b.texts))
	b.collect(d.Fields, len(b.texts))
	b.unsee(len(b.texts))
	b.texts = append(b.texts, d)
	return nil
}

// Skip notes that the text of a message is not in the index.
func (b *Batch) Skip(id int64) error {
	if id <= b.last {
		return errOrder
	}
	b.last = id
	b.skipped = append(b.skipped, id)
	return nil
}

// Len returns the number of messages, also of those that are skipped.
func (b *Batch) Len() int { return len(b.texts) + len(b.skipped) }

// Full says that the batch should be applied before more is added.
func (b *Batch) Full() bool { return b.size >= MaxBatchText || b.Len() >= MaxBatchMessages }

// reset empties the batch, for the next one.
func (b *Batch) reset() {
	clear(b.texts)
	b.texts, b.skipped, b.pairs, b.size = b.texts[:0], b.skipped[:0], b.pairs[:0], 0
}

// Apply adds a batch to the index, and moves the mark up to the given one, which must be
// above all contents of the batch, in one commit. The batch is empty then.
func (x *Index) Apply(ctx context.Context, b *Batch, mark int64) error {
	x.write.Lock()
	defer x.write.Unlock()
	err := x.update(ctx, func(tx *bolt.Tx, st *state) error {
		first := mark
		if len(b.texts) > 0 {
			first = b.texts[0].id
		}
		if len(b.skipped) > 0 {
			first = min(first, b.skipped[0])
		}
		if first < st.mark || mark < st.mark || b.Len() > 0 && b.last >= mark {
			return fmt.Errorf("%w: from %d to %d, mark %d to %d", errOrder, first, b.last, st.mark, mark)
		}
		st.mark = mark
		for _, id := range b.skipped {
			if err := tx.Bucket(bucketSkipped).Put(idKey(id), []byte{}); err != nil {
				return err
			}
		}
		if len(b.texts) == 0 {
			return nil
		}
		if err := x.writeTexts(tx, st, b.texts); err != nil {
			return err
		}
		return b.writeSegment(tx, st)
	})
	if err == nil {
		b.reset()
	}
	return err
}

// writeSegment writes the trigrams of a batch as a segment.
func (b *Batch) writeSegment(tx *bolt.Tx, st *state) error {
	seg := segment{number: st.next, first: b.texts[0].id, last: b.texts[len(b.texts)-1].id, messages: int64(len(b.texts))}
	st.next++
	w := listWriter{lists: tx.Bucket(bucketLists), number: seg.number}
	b.pairs = sortPairs(b.pairs)
	var list []byte
	for i := 0; i < len(b.pairs); {
		tri := uint32(b.pairs[i] >> 32)
		list = list[:0]
		n, prev := int64(0), seg.first
		for ; i < len(b.pairs) && uint32(b.pairs[i]>>32) == tri; i++ {
			id := b.texts[uint32(b.pairs[i])].id
			list = appendDelta(list, id-prev)
			prev = id
			n++
		}
		if err := w.add(tri, n, list); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	return seg.put(tx)
}
