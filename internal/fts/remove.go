package fts

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// IDs returns the content ids of messages that the index has, or has skipped, from one
// on: at least n of them, ascending, unless there are no more.
func (x *Index) IDs(from int64, n int) (ids []int64, err error) {
	err = x.view(func(tx *bolt.Tx) error {
		var b block
		c := tx.Bucket(bucketTexts).Cursor()
		for k, v := seekText(c, from); k != nil && len(ids) < n; k, v = c.Next() {
			if err := parseBlock(&b, k, v); err != nil {
				return err
			}
			for _, d := range b.docs {
				if d.id >= from {
					ids = append(ids, d.id)
				}
			}
		}
		last, whole := int64(0), len(ids) < n
		if !whole {
			last = ids[len(ids)-1]
		}
		s := tx.Bucket(bucketSkipped).Cursor()
		for k, _ := s.Seek(idKey(from)); k != nil; k, _ = s.Next() {
			id, err := keyID(k)
			if err != nil {
				return err
			}
			if !whole && id > last {
				break
			}
			ids = append(ids, id)
		}
		slices.Sort(ids)
		return nil
	})
	return ids, err
}

// textIDs returns the content ids of all texts from first to last, ascending.
func (x *Index) textIDs(first, last int64) (ids []int64, err error) {
	err = x.view(func(tx *bolt.Tx) error {
		var b block
		c := tx.Bucket(bucketTexts).Cursor()
		for k, v := seekText(c, first); k != nil; k, v = c.Next() {
			if err := parseBlock(&b, k, v); err != nil {
				return err
			}
			for _, d := range b.docs {
				if d.id > last {
					return nil
				}
				if d.id >= first {
					ids = append(ids, d.id)
				}
			}
		}
		return nil
	})
	return ids, err
}

// removeBatch is how many messages one commit removes.
const removeBatch = 500

// Remove removes messages, whose ids ascend. Those that the index does not have are
// ignored.
func (x *Index) Remove(ctx context.Context, ids []int64) error {
	x.write.Lock()
	defer x.write.Unlock()
	for part := range slices.Chunk(ids, removeBatch) {
		err := x.update(ctx, func(tx *bolt.Tx, st *state) error { return x.remove(tx, st, part) })
		if err != nil {
			return fmt.Errorf("remove messages: %w", err)
		}
	}
	return nil
}

func (x *Index) remove(tx *bolt.Tx, st *state, ids []int64) error {
	segs, err := segments(tx)
	if err != nil {
		return err
	}
	changed := map[int]bool{}
	gone := func(id int64) {
		i, _ := slices.BinarySearchFunc(segs, id, func(s segment, id int64) int { return int(s.last - id) })
		if i < len(segs) && id >= segs[i].first {
			segs[i].removed++
			changed[i] = true
		}
	}
	for len(ids) > 0 {
		n, err := x.removeFromBlock(tx, st, ids, gone)
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	for i := range changed {
		if err := segs[i].put(tx); err != nil {
			return err
		}
	}
	return nil
}

// removeFromBlock removes the messages that are in the same block as the first one, and
// returns how many ids are done.
func (x *Index) removeFromBlock(tx *bolt.Tx, st *state, ids []int64, gone func(id int64)) (n int, err error) {
	texts := tx.Bucket(bucketTexts)
	k, v := seekText(texts.Cursor(), ids[0])
	var b block
	if k != nil {
		if err := parseBlock(&b, k, v); err != nil {
			return 0, err
		}
	}
	if _, ok := slices.BinarySearchFunc(b.docs, ids[0], func(d blockDoc, id int64) int { return int(d.id - id) }); !ok {
		return 1, tx.Bucket(bucketSkipped).Delete(idKey(ids[0]))
	}
	text, err := x.unpack(&b, nil)
	if err != nil {
		return 0, err
	}
	var keep []document
	for _, d := range b.documents(nil, text) {
		for n < len(ids) && ids[n] < d.id {
			if err := tx.Bucket(bucketSkipped).Delete(idKey(ids[n])); err != nil {
				return 0, err
			}
			n++
		}
		if n == len(ids) || ids[n] != d.id {
			keep = append(keep, d)
			continue
		}
		st.messages--
		st.text -= int64(d.size())
		gone(d.id)
		n++
	}
	st.packed -= int64(len(v))
	if err := texts.Delete(bytes.Clone(k)); err != nil || len(keep) == 0 {
		return n, err
	}
	return n, x.writeBlock(tx, st, keep)
}
