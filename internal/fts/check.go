package fts

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"

	"mox/internal/boltpages"
)

// Check checks a file that is not open as an index: its structure, that all texts can be
// read, that sums are right, and that each segment has the trigrams of its messages. The
// error matches ErrDamaged, or is about not being able to check.
func Check(path string) (rerr error) {
	defer noteDamage(&rerr)()
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if err := boltpages.Check(path); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	x, err := Open(path)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, x.Close()) }()
	return x.view(func(tx *bolt.Tx) error {
		c := checker{x: x, tx: tx}
		return c.run()
	})
}

type checker struct {
	x    *Index
	tx   *bolt.Tx
	sum  state
	segs []segment
}

func (c *checker) run() error {
	var err error
	if c.segs, err = segments(c.tx); err != nil {
		return err
	}
	for i, s := range c.segs {
		if i > 0 && s.first <= c.segs[i-1].last {
			return fmt.Errorf("%w: segments overlap", ErrDamaged)
		}
		if err := c.segment(&s); err != nil {
			return err
		}
	}
	want := c.x.state
	c.sum.mark, c.sum.next = want.mark, want.next
	if c.sum != want {
		return fmt.Errorf("%w: sums are %+v instead of %+v", ErrDamaged, c.sum, want)
	}
	return nil
}

// segment checks a segment, and the texts of its messages.
func (c *checker) segment(s *segment) error {
	var b Batch
	var text []byte
	pairs, messages := 0, int64(0)
	cur := c.tx.Bucket(bucketTexts).Cursor()
	for k, v := cur.Seek(idKey(s.first)); k != nil && bytes.Compare(k, idKey(s.last)) <= 0; k, v = cur.Next() {
		var bl block
		err := parseBlock(&bl, k, v)
		if err == nil {
			text, err = c.x.unpack(&bl, text)
		}
		if err != nil {
			return err
		}
		for _, d := range bl.documents(nil, text) {
			b.reset()
			b.last = 0
			if err := b.Add(d.id, d.Text); err != nil {
				return err
			}
			pairs += len(b.pairs)
			messages++
			if d.id > s.last || d.id >= c.x.state.mark {
				return fmt.Errorf("%w: message %d is beyond its segment", ErrDamaged, d.id)
			}
			c.sum.text += int64(d.size())
		}
		c.sum.packed += int64(len(v))
	}
	c.sum.messages += messages
	if messages != s.messages-s.removed {
		return fmt.Errorf("%w: segment has %d messages instead of %d", ErrDamaged, messages, s.messages-s.removed)
	}
	return c.lists(s, pairs)
}

// lists checks the lists of a segment, which should be of so many pairs of trigrams and
// messages, besides those of messages that are gone.
func (c *checker) lists(s *segment, pairs int) error {
	alive, err := c.x.textIDs(s.first, s.last)
	if err != nil {
		return err
	}
	r := listReader{cursor: c.tx.Bucket(bucketLists).Cursor(), number: s.number}
	if err := r.seek(0); err != nil {
		return err
	}
	for !r.done {
		ids, err := appendIDs(nil, s.first, r.list)
		if err != nil {
			return err
		}
		if int64(len(ids)) != r.n {
			return fmt.Errorf("%w: list has %d messages instead of %d", ErrDamaged, len(ids), r.n)
		}
		pairs -= len(intersect(ids, alive))
		if err := r.next(); err != nil {
			return err
		}
	}
	if pairs != 0 {
		return fmt.Errorf("%w: trigrams of messages are missing, or there are others", ErrDamaged)
	}
	return nil
}
