package tracedb

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/mjl-/bstore"
)

// recent remembers messages by what they are before they are in the queue. The oldest
// are forgotten.
type recent struct {
	ids   map[Ref]int64
	order []Ref
}

func (r *recent) add(ref Ref, id int64) {
	if _, ok := r.ids[ref]; !ok {
		r.order = append(r.order, ref)
	}
	r.ids[ref] = id
	for len(r.order) > maxRecent {
		delete(r.ids, r.order[0])
		r.order = r.order[1:]
	}
}

// writer writes batches. It belongs to one goroutine.
type writer struct {
	d      *DB
	recent recent
}

// batch is what a transaction has touched.
type batch struct {
	w        *writer
	tx       *bstore.Tx
	state    state
	messages map[int64]*touched
	refs     map[Ref]int64
}

// touched is a message with its new steps.
type touched struct {
	message
	steps []Step
	named map[string]bool // Nil until needed.
}

// write writes a batch. What cannot be written is lost: to keep it would take ever
// more memory.
func (w *writer) write(steps []*Step) error {
	if len(steps) == 0 {
		return nil
	}
	// What ties messages together goes first: the queue may have tried to deliver before
	// we were told that the message is there.
	slices.SortStableFunc(steps, func(a, b *Step) int { return cmp.Compare(a.order(), b.order()) })
	var b *batch
	err := w.d.bdb.Write(context.Background(), func(tx *bstore.Tx) error {
		b = &batch{w, tx, state{ID: 1}, map[int64]*touched{}, map[Ref]int64{}}
		if err := tx.Get(&b.state); err != nil && err != bstore.ErrAbsent {
			return fmt.Errorf("read sums: %w", err)
		} else if err == bstore.ErrAbsent {
			if err := tx.Insert(&b.state); err != nil {
				return fmt.Errorf("insert sums: %w", err)
			}
		}
		for _, s := range steps {
			if err := b.add(s); err != nil {
				return err
			}
		}
		return b.finish()
	})
	if err != nil {
		metricDropped.Add(float64(len(steps)))
		return err
	}
	for ref, id := range b.refs {
		w.recent.add(ref, id)
	}
	metricSteps.Add(float64(len(steps)))
	return w.d.evict(b.state)
}

// order is zero for steps that make a message known, or give it an id in the queue.
func (s *Step) order() int {
	switch s.Kind {
	case Received:
		return 0
	case Queued:
		return 1
	}
	return 2
}

// add adds a step to its message.
func (b *batch) add(s *Step) error {
	s.clip()
	m, err := b.message(s)
	if err != nil {
		return err
	}
	if m.Steps >= MaxMessageSteps {
		m.Skipped++
		return nil
	}
	size := s.size()
	m.Steps++
	m.Size += size
	b.state.Steps++
	b.state.Size += size
	m.steps = append(m.steps, *s)
	for _, n := range s.names() {
		if err := b.name(m, n); err != nil {
			return err
		}
	}
	return nil
}

// message returns the message of a step, which may be a new one.
func (b *batch) message(s *Step) (*touched, error) {
	id := b.refs[s.Ref] // Never anything for a zero Ref.
	if id == 0 {
		id = b.w.recent.ids[s.Ref]
	}
	if id == 0 && s.Ref.Queue != 0 {
		l, err := find(b.tx, queueName(s.Ref.Queue), 0, math.MaxInt64, 1)
		if err != nil {
			return nil, fmt.Errorf("look for message of queue: %w", err)
		}
		if len(l) > 0 {
			id = l[0]
		}
	}
	if id != 0 {
		m, err := b.get(id)
		if err != nil || m != nil {
			b.remember(s, id)
			return m, err
		}
	}
	id = max(1, s.Time.UnixNano())
	for {
		m, err := b.get(id)
		if err != nil {
			return nil, err
		}
		if m == nil {
			break
		}
		id++
	}
	m := &touched{message: message{ID: id}}
	if err := b.tx.Insert(&m.message); err != nil {
		return nil, fmt.Errorf("insert message: %w", err)
	}
	b.state.Messages++
	b.messages[id] = m
	b.remember(s, id)
	return m, nil
}

// remember notes what later steps of the message have.
func (b *batch) remember(s *Step, id int64) {
	if s.Ref != (Ref{}) {
		b.refs[s.Ref] = id
	}
	if s.Queue != 0 {
		b.refs[Ref{Queue: s.Queue}] = id
	}
}

// get returns a message, or nil if there is none.
func (b *batch) get(id int64) (*touched, error) {
	if m := b.messages[id]; m != nil {
		return m, nil
	}
	m := &touched{message: message{ID: id}}
	if err := b.tx.Get(&m.message); err == bstore.ErrAbsent {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	b.messages[id] = m
	return m, nil
}

// name makes a message be found by a name.
func (b *batch) name(m *touched, n string) error {
	if m.named == nil {
		m.named = make(map[string]bool, len(m.Names)+4)
		for _, have := range m.Names {
			m.named[have] = true
		}
	}
	if m.named[n] {
		return nil
	}
	if err := b.tx.Insert(&key{keyOf(n, m.ID)}); err != nil {
		return fmt.Errorf("insert key: %w", err)
	}
	m.named[n] = true
	m.Names = append(m.Names, n)
	return nil
}

// finish writes steps and sums.
func (b *batch) finish() error {
	// In their order, which is that of their keys, pages fill up.
	for _, id := range slices.Sorted(maps.Keys(b.messages)) {
		m := b.messages[id]
		if len(m.steps) > 0 {
			c := chunk{Message: m.ID, Steps: m.steps}
			if err := b.tx.Insert(&c); err != nil {
				return fmt.Errorf("insert steps: %w", err)
			}
			m.Chunks = append(m.Chunks, c.ID)
		}
		if err := b.tx.Update(&m.message); err != nil {
			return fmt.Errorf("update message: %w", err)
		}
	}
	if err := b.tx.Update(&b.state); err != nil {
		return fmt.Errorf("update sums: %w", err)
	}
	return nil
}

// evict removes the oldest messages when there is too much, and a little more, so that
// it is not for every batch.
func (d *DB) evict(st state) error {
	if st.Steps <= d.opts.maxSteps && st.Size <= d.opts.maxSize {
		return nil
	}
	steps, size := d.opts.maxSteps-d.opts.maxSteps/100, d.opts.maxSize-d.opts.maxSize/100
	for st.Steps > steps || st.Size > size {
		n, err := d.remove(func(st state, _ message) bool { return st.Steps > steps || st.Size > size }, &st)
		if err != nil {
			return err
		}
		metricEvicted.Add(float64(n))
		if n == 0 {
			break
		}
	}
	return nil
}

// clean removes messages that are older than Retention.
func (d *DB) clean(now time.Time) error {
	before := now.Add(-d.opts.Retention).UnixNano()
	for {
		var st state
		n, err := d.remove(func(_ state, m message) bool { return m.ID < before }, &st)
		if err != nil || n == 0 {
			return err
		}
	}
}

// remove removes the oldest messages for as long as old says so, but not many more
// than cleanBatch steps. It returns how many, and what is left.
func (d *DB) remove(old func(state, message) bool, left *state) (n int, rerr error) {
	err := d.bdb.Write(context.Background(), func(tx *bstore.Tx) error {
		n = 0
		st := state{ID: 1}
		if err := tx.Get(&st); err == bstore.ErrAbsent {
			return nil
		} else if err != nil {
			return fmt.Errorf("read sums: %w", err)
		}
		start := st.Steps
		for start-st.Steps < cleanBatch {
			l, err := bstore.QueryTx[message](tx).SortAsc("ID").Limit(1).List()
			if err != nil {
				return fmt.Errorf("look for oldest message: %w", err)
			}
			if len(l) == 0 || !old(st, l[0]) {
				break
			}
			if err := removeMessage(tx, l[0]); err != nil {
				return err
			}
			n++
			st.Messages--
			st.Steps -= int64(l[0].Steps)
			st.Size -= l[0].Size
		}
		*left = st
		if n == 0 {
			return nil
		}
		return tx.Update(&st)
	})
	if err != nil {
		return 0, fmt.Errorf("remove old messages: %w", err)
	}
	return n, nil
}

func removeMessage(tx *bstore.Tx, m message) error {
	for _, id := range m.Chunks {
		if err := tx.Delete(&chunk{ID: id}); err != nil {
			return fmt.Errorf("remove steps: %w", err)
		}
	}
	for _, n := range m.Names {
		if err := tx.Delete(&key{keyOf(n, m.ID)}); err != nil {
			return fmt.Errorf("remove key: %w", err)
		}
	}
	if err := tx.Delete(&m); err != nil {
		return fmt.Errorf("remove message: %w", err)
	}
	return nil
}
