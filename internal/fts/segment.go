package fts

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// segment is the trigrams of messages that are next to each other.
type segment struct {
	number      uint32
	first, last int64 // Content ids.
	messages    int64 // When it was written.
	removed     int64 // Of them, since then.
}

func (s *segment) key() []byte { return binary.BigEndian.AppendUint32(nil, s.number) }

func (s *segment) put(tx *bolt.Tx) error {
	var b []byte
	for _, v := range []int64{s.first, s.last, s.messages, s.removed} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return tx.Bucket(bucketSegments).Put(s.key(), b)
}

// segments returns all segments in the order of their messages.
func segments(tx *bolt.Tx) (l []segment, err error) {
	err = tx.Bucket(bucketSegments).ForEach(func(k, v []byte) error {
		r := reader{b: v}
		s := segment{first: r.number(), last: r.number(), messages: r.number(), removed: r.number()}
		if len(k) != 4 || r.end("segment") != nil || s.first > s.last {
			return fmt.Errorf("%w: segment cannot be read", ErrDamaged)
		}
		s.number = binary.BigEndian.Uint32(k)
		// Of two that were written out of order only by a merge, the later one has a higher
		// number and older messages.
		i := len(l)
		for i > 0 && l[i-1].first > s.first {
			i--
		}
		l = append(l, segment{})
		copy(l[i+1:], l[i:])
		l[i] = s
		return nil
	})
	return l, err
}

// Postings of a segment are kept in blocks of lists, by the first trigram that they are
// of. A list is: the trigram in three octets, the number of messages, the number of octets
// that follow, and for each message the distance of its content id from the one before,
// or for the first from the first one of the segment.

// listKey returns the key of a block of lists.
func listKey(number, tri uint32) []byte {
	return append(binary.BigEndian.AppendUint32(nil, number), byte(tri>>16), byte(tri>>8), byte(tri))
}

// listWriter writes the lists of a segment, in the order of trigrams.
type listWriter struct {
	lists   *bolt.Bucket
	number  uint32
	first   uint32 // Trigram of the block.
	block   []byte
	written int
}

func (w *listWriter) add(tri uint32, n int64, list []byte) error {
	if len(w.block) > 0 && len(w.block)+len(list) > listBlock {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(w.block) == 0 {
		w.first = tri
	}
	w.block = append(w.block, byte(tri>>16), byte(tri>>8), byte(tri))
	w.block = binary.AppendUvarint(w.block, uint64(n))
	w.block = binary.AppendUvarint(w.block, uint64(len(list)))
	w.block = append(w.block, list...)
	return nil
}

func (w *listWriter) flush() error {
	if len(w.block) == 0 {
		return nil
	}
	w.written += len(w.block)
	// The library keeps the value until the commit.
	err := w.lists.Put(listKey(w.number, w.first), append([]byte(nil), w.block...))
	w.block = w.block[:0]
	return err
}

// listReader reads the lists of a segment, in the order of trigrams. What it returns is
// valid during the transaction.
type listReader struct {
	cursor *bolt.Cursor
	number uint32
	block  reader

	tri  uint32
	n    int64
	list []byte
	done bool
}

// seek goes to the first list of a trigram or a later one.
func (r *listReader) seek(tri uint32) error {
	want := listKey(r.number, tri)
	k, v := r.cursor.Seek(want)
	if string(k) != string(want) {
		// It may be in the block before.
		if pk, pv := r.cursor.Prev(); pk != nil && len(pk) == len(want) && string(pk[:4]) == string(want[:4]) {
			k, v = pk, pv
		} else {
			k, v = r.cursor.Seek(want)
		}
	}
	r.enter(k, v)
	for {
		if err := r.next(); err != nil || r.done || r.tri >= tri {
			return err
		}
	}
}

// enter goes to the beginning of a block.
func (r *listReader) enter(k, v []byte) {
	r.done = len(k) != 7 || binary.BigEndian.Uint32(k) != r.number
	r.block = reader{b: v}
}

// next goes to the next list.
func (r *listReader) next() error {
	for !r.done && len(r.block.b) == 0 {
		r.enter(r.cursor.Next())
	}
	if r.done {
		return nil
	}
	if b := r.block.take(3); b != nil {
		r.tri = uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	}
	r.n = r.block.number()
	r.list = r.block.take(r.block.number())
	if r.block.bad {
		return fmt.Errorf("%w: postings cannot be read", ErrDamaged)
	}
	return nil
}

// appendIDs appends the content ids of a list.
func appendIDs(ids []int64, first int64, list []byte) ([]int64, error) {
	r := reader{b: list}
	for id := first; len(r.b) > 0; {
		id += r.number()
		ids = append(ids, id)
	}
	return ids, r.end("list of messages")
}
