package fts

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// A block of texts is: the number of messages, for each the distance of its content id
// from the one before, or for the first from that in the key, and the octets of its body
// and of its fields; and then all these, compressed.

// block is the head of a block of texts.
type block struct {
	docs   []blockDoc
	size   int // Octets of texts.
	packed []byte
}

type blockDoc struct {
	id                  int64
	start, body, fields int
}

// parseBlock reads the head of a block.
func parseBlock(b *block, k, v []byte) error {
	id, err := keyID(k)
	if err != nil {
		return err
	}
	r := reader{b: v}
	b.docs, b.size = b.docs[:0], 0
	for range r.number() {
		id += r.number()
		d := blockDoc{id: id, start: b.size, body: int(min(r.number(), maxBlockText+1)), fields: int(min(r.number(), maxBlockText+1))}
		b.size += d.body + d.fields
		if r.bad || b.size > maxBlockText {
			return fmt.Errorf("%w: block of texts cannot be read", ErrDamaged)
		}
		b.docs = append(b.docs, d)
	}
	if r.bad || len(b.docs) == 0 {
		return fmt.Errorf("%w: block of texts cannot be read", ErrDamaged)
	}
	b.packed = r.b
	return nil
}

// unpack returns the texts of a block, in dst if there is room.
func (x *Index) unpack(b *block, dst []byte) ([]byte, error) {
	text, err := x.dec.DecodeAll(b.packed, dst[:0])
	if err != nil {
		return nil, fmt.Errorf("%w: block of texts: %w", ErrDamaged, err)
	} else if len(text) != b.size {
		return nil, fmt.Errorf("%w: block of texts has %d of %d octets", ErrDamaged, len(text), b.size)
	}
	return text, nil
}

// documents appends the documents of a block, whose texts are in text.
func (b *block) documents(l []document, text []byte) []document {
	for _, d := range b.docs {
		body := text[d.start : d.start+d.body]
		l = append(l, document{d.id, Text{Body: body, Fields: text[d.start+d.body : d.start+d.body+d.fields]}})
	}
	return l
}

// writeTexts writes blocks with texts that the index does not have.
func (x *Index) writeTexts(tx *bolt.Tx, st *state, docs []document) error {
	for len(docs) > 0 {
		n, size := 1, docs[0].size()
		for n < len(docs) && size+docs[n].size() <= blockText {
			size += docs[n].size()
			n++
		}
		if err := x.writeBlock(tx, st, docs[:n]); err != nil {
			return err
		}
		st.messages += int64(n)
		st.text += int64(size)
		docs = docs[n:]
	}
	return nil
}

// writeBlock writes a block.
func (x *Index) writeBlock(tx *bolt.Tx, st *state, docs []document) error {
	head := binary.AppendUvarint(nil, uint64(len(docs)))
	id := docs[0].id
	var text []byte
	for _, d := range docs {
		head = binary.AppendUvarint(head, uint64(d.id-id))
		head = binary.AppendUvarint(head, uint64(len(d.Body)))
		head = binary.AppendUvarint(head, uint64(len(d.Fields)))
		text = append(append(text, d.Body...), d.Fields...)
		id = d.id
	}
	v := x.enc.EncodeAll(text, head)
	st.packed += int64(len(v))
	return tx.Bucket(bucketTexts).Put(idKey(docs[0].id), v)
}

// seekText goes to the block that has a content id, or if there is none to one near it.
func seekText(c *bolt.Cursor, id int64) (k, v []byte) {
	want := idKey(id)
	k, v = c.Seek(want)
	if bytes.Equal(k, want) {
		return k, v
	}
	if pk, pv := c.Prev(); pk != nil {
		return pk, pv
	}
	return c.Seek(want)
}

// packTexts puts texts of small blocks together, in blocks that begin from first to last,
// and returns where to go on, zero if that was all.
func (x *Index) packTexts(tx *bolt.Tx, st *state, first, last int64) (next int64, err error) {
	var group []block
	var keys [][]byte
	size, written := 0, 0
	flush := func() error {
		defer func() { group, keys, size = nil, nil, 0 }()
		if len(group) < 2 {
			return nil
		}
		var docs []document
		for i := range group {
			text, err := x.unpack(&group[i], nil)
			if err != nil {
				return err
			}
			docs = group[i].documents(docs, text)
			st.packed -= int64(len(tx.Bucket(bucketTexts).Get(keys[i])))
			if err := tx.Bucket(bucketTexts).Delete(keys[i]); err != nil {
				return err
			}
		}
		written += size
		return x.writeBlock(tx, st, docs)
	}
	// The cursor is moved by key, because blocks are changed below it.
	c := tx.Bucket(bucketTexts).Cursor()
	for k, v := c.Seek(idKey(first)); k != nil; k, v = c.Seek(idKey(next)) {
		var b block
		if err := parseBlock(&b, k, v); err != nil {
			return 0, err
		}
		if b.docs[0].id > last {
			break
		}
		if size+b.size > blockText {
			if err := flush(); err != nil {
				return 0, err
			}
			if written >= commitSize {
				return b.docs[0].id, nil
			}
			// The block may have been moved in memory.
			k, v = c.Seek(k)
			if err := parseBlock(&b, k, v); err != nil {
				return 0, err
			}
		}
		group, keys = append(group, b), append(keys, bytes.Clone(k))
		size += b.size
		next = b.docs[len(b.docs)-1].id + 1
	}
	return 0, flush()
}
