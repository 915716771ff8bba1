package fts

import (
	"cmp"
	"context"
	"runtime"
	"slices"

	bolt "go.etcd.io/bbolt"

	"mox/internal/parallel"
)

// Pattern is a text that is looked for.
type Pattern struct {
	Text     []byte // Folded, valid UTF-8. Not empty, unless there is a Field.
	BodyOnly bool   // Not in header fields.
	Field    []byte // If not empty: in a field of this name, folded, in the header of the message.
}

// Answer is what the index knows of a message and a pattern.
type Answer uint8

// The answers.
const (
	Unknown Answer = iota // The index does not have the message.
	No
	Maybe // Its text must be looked at.
	Yes
)

// Search looks for patterns. It is about the index as it was when it began: messages
// that came later are not in it.
type Search struct {
	x        *Index
	patterns []Pattern
	mark     int64
	skipped  map[int64]bool
	lists    []candidates // By pattern.
}

// candidates are the messages that may have a pattern.
type candidates struct {
	all bool
	ids []int64 // Ascending, if not all.
}

// Search begins a search.
func (x *Index) Search(ctx context.Context, patterns []Pattern) (*Search, error) {
	s := &Search{x: x, patterns: patterns, lists: make([]candidates, len(patterns))}
	err := x.view(func(tx *bolt.Tx) error {
		var st state
		if err := st.unmarshal(tx.Bucket(bucketMeta).Get(keyState)); err != nil {
			return err
		}
		s.mark = st.mark
		err := tx.Bucket(bucketSkipped).ForEach(func(k, _ []byte) error {
			id, err := keyID(k)
			if s.skipped == nil {
				s.skipped = map[int64]bool{}
			}
			s.skipped[id] = true
			return err
		})
		if err != nil {
			return err
		}
		segs, err := segments(tx)
		if err != nil {
			return err
		}
		room := int64(maxCandidates)
		for i, p := range patterns {
			if err := ctx.Err(); err != nil {
				return err
			}
			// If more than half of all messages are left, to look for them saves nothing.
			q := query{tx: tx, room: min(room, st.messages/2)}
			if s.lists[i], err = q.run(segs, p.trigrams()); err != nil {
				return err
			}
			room -= int64(len(s.lists[i].ids))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// query finds candidates.
type query struct {
	tx   *bolt.Tx
	room int64 // How many candidates there may be.
}

func (q *query) run(segs []segment, tris []uint32) (c candidates, err error) {
	if len(tris) == 0 {
		return candidates{all: true}, nil
	}
	for i := range segs {
		ids, ok, err := q.segment(&segs[i], tris)
		if err != nil {
			return c, err
		}
		if c.ids = append(c.ids, ids...); !ok || int64(len(c.ids)) > q.room {
			return candidates{all: true}, nil
		}
	}
	return c, nil
}

// segment returns the messages of a segment that have all trigrams. Ok is false if there
// are too many.
func (q *query) segment(s *segment, tris []uint32) (ids []int64, ok bool, err error) {
	type list struct {
		n int64
		b []byte
	}
	lists := make([]list, len(tris))
	r := listReader{cursor: q.tx.Bucket(bucketLists).Cursor(), number: s.number}
	for i, tri := range tris {
		if err := r.seek(tri); err != nil {
			return nil, false, err
		}
		if r.done || r.tri != tri {
			return nil, true, nil
		}
		lists[i] = list{r.n, r.list}
	}
	slices.SortFunc(lists, func(a, b list) int { return cmp.Compare(a.n, b.n) })
	if lists[0].n > max(q.room, s.messages/2) {
		return nil, false, nil
	}
	if ids, err = appendIDs(nil, s.first, lists[0].b); err != nil {
		return nil, false, err
	}
	for _, l := range lists[1:] {
		if len(ids) == 0 {
			break
		}
		if ids, err = intersectList(ids, s.first, l.b); err != nil {
			return nil, false, err
		}
	}
	return ids, true, nil
}

// intersectList keeps of ascending ids those that are in a list, in place.
func intersectList(ids []int64, first int64, list []byte) ([]int64, error) {
	out := ids[:0]
	r := reader{b: list}
	id := first
	for len(ids) > 0 && len(r.b) > 0 {
		id += r.number()
		for len(ids) > 0 && ids[0] < id {
			ids = ids[1:]
		}
		if len(ids) > 0 && ids[0] == id {
			out = append(out, id)
			ids = ids[1:]
		}
	}
	if len(ids) > 0 {
		return out, r.end("list of messages")
	}
	return out, nil
}

// May returns what is known of a message and a pattern, by its index, without looking at
// texts: No, Maybe or Unknown.
func (s *Search) May(pattern int, id int64) Answer {
	if id >= s.mark || s.skipped != nil && s.skipped[id] {
		return Unknown
	}
	c := &s.lists[pattern]
	if c.all {
		return Maybe
	}
	if _, ok := slices.BinarySearch(c.ids, id); ok {
		return Maybe
	}
	return No
}

// matchShare is how many messages are worth another goroutine.
const matchShare = 32

// Match looks at the texts of messages, several at a time: found gets for each of the
// ids as many answers as there are patterns, Yes, No or Unknown.
func (s *Search) Match(ctx context.Context, ids []int64, found []Answer) error {
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(ids[a], ids[b]) })
	n := min(runtime.GOMAXPROCS(0), (len(ids)+matchShare-1)/matchShare)
	errs := make([]error, n)
	parallel.Do(n, n, func(w int) {
		errs[w] = s.matchPart(ctx, order[w*len(order)/n:(w+1)*len(order)/n], ids, found)
	})
	return cmp.Or(errs...)
}

// matchPart is Match for some of the messages, in the order of their ids.
func (s *Search) matchPart(ctx context.Context, order []int, ids []int64, found []Answer) error {
	return s.x.eachText(ctx, order, ids, func(i int, d *blockDoc, text []byte) {
		s.matchOne(d, text, found[i*len(s.patterns):(i+1)*len(s.patterns)])
	})
}

// matchOne looks for the patterns in one text. It may have come into the index after the
// search was begun: then nothing is known of it yet.
func (s *Search) matchOne(d *blockDoc, text []byte, found []Answer) {
	end := d.start + d.body
	body, fields := text[d.start:end], text[end:end+d.fields]
	for p := range s.patterns {
		found[p] = No
		if s.May(p, d.id) != No && s.patterns[p].in(body, fields) {
			found[p] = Yes
		}
	}
}
