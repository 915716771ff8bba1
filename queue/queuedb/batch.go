package queuedb

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mjl-/bstore"
)

// batch is the transaction of the changes that are committed together, with the
// derived records that are written once at its end: flows, usage and totals.
type batch struct {
	d  *DB
	tx *bstore.Tx

	state    state
	flows    map[string]Head // With messages added, removed or moved; Next is that after the commit.
	accounts map[string]*usage
	sendings map[string]*sending
	erased   []int64 // Contents whose file can be removed after the commit.
	low      int64   // New state.ContentLow if the range of ids is extended.
	extend   bool
	rules    []HoldRule // Read when first needed.
	hasRules bool
	ended    map[int64]bool // Messages whose attempt has ended.
	after    []func()       // Called after the commit, before the next one.
}

func newBatch(d *DB, tx *bstore.Tx) (*batch, error) {
	b := &batch{d: d, tx: tx, flows: map[string]Head{}, accounts: map[string]*usage{}, sendings: map[string]*sending{}, ended: map[int64]bool{}}
	b.state.ID = 1
	if err := tx.Get(&b.state); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return b, nil
}

// account returns the usage of an account, to be changed in place.
func (b *batch) account(name string) (*usage, error) {
	if u := b.accounts[name]; u != nil {
		return u, nil
	}
	u := &usage{Account: name}
	if err := b.tx.Get(u); err != nil && err != bstore.ErrAbsent {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	b.accounts[name] = u
	return u, nil
}

// count adds n times a message to the totals.
func (b *batch) count(m *Message, n int64) error {
	u, err := b.account(m.Account)
	if err != nil {
		return err
	}
	u.Messages += n
	b.state.Messages += n
	if m.Hold {
		b.state.Held += n
	}
	if m.Failed {
		b.state.Failed += n
	}
	b.flows[m.Flow] = Head{Flow: m.Flow, Lane: m.Lane, Account: m.Account, Bulk: m.bulk()}
	return nil
}

func (b *batch) insert(m *Message) error {
	m.Lane, m.Flow = m.lane(), m.flow()
	if err := b.tx.Insert(m); err != nil {
		return fmt.Errorf("insert message: %w", err)
	}
	return b.count(m, 1)
}

// get returns a message, or ErrNotFound.
func (b *batch) get(id int64) (Message, error) {
	m := Message{ID: id}
	err := b.tx.Get(&m)
	if err == bstore.ErrAbsent {
		err = ErrNotFound
	}
	return m, err
}

// update replaces old by m.
func (b *batch) update(old, m *Message) error {
	m.Lane, m.Flow = m.lane(), m.flow()
	if err := b.count(old, -1); err != nil {
		return err
	}
	if err := b.tx.Update(m); err != nil {
		return fmt.Errorf("update message: %w", err)
	}
	return b.count(m, 1)
}

// remove deletes a message, and its content if it was the last one. If keepUntil
// is after at, the message is retired.
func (b *batch) remove(m *Message, success bool, at, keepUntil time.Time) error {
	if keepUntil.After(at) {
		if err := b.retire(m, success, at, keepUntil); err != nil {
			return err
		}
	}
	if err := b.tx.Delete(m); err != nil {
		return fmt.Errorf("delete message: %w", err)
	}
	if err := b.count(m, -1); err != nil {
		return err
	}
	more, err := bstore.QueryTx[Message](b.tx).FilterEqual("ContentID", m.ContentID).Exists()
	if err != nil {
		return fmt.Errorf("look for messages of content: %w", err)
	}
	if more {
		return nil
	}
	return b.eraseContent(m)
}

// eraseContent replaces the record of the content of m by an erase row.
func (b *batch) eraseContent(m *Message) error {
	base := Base{ID: m.ContentID}
	if err := b.tx.Get(&base); err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	if err := b.tx.Delete(&base); err != nil {
		return fmt.Errorf("delete content: %w", err)
	}
	if err := b.tx.Insert(&erase{base.ID}); err != nil {
		return fmt.Errorf("insert erase row: %w", err)
	}
	u, err := b.account(m.Account)
	if err != nil {
		return err
	}
	u.Size -= base.Size
	b.state.Size -= base.Size
	b.erased = append(b.erased, base.ID)
	return nil
}

// flush writes the derived records.
func (b *batch) flush() error {
	for _, h := range b.flows {
		if err := b.flushFlow(h); err != nil {
			return fmt.Errorf("update flow: %w", err)
		}
	}
	for _, u := range b.accounts {
		if err := b.flushUsage(*u); err != nil {
			return fmt.Errorf("update usage: %w", err)
		}
	}
	for _, s := range b.sendings {
		if err := b.flushSending(s); err != nil {
			return fmt.Errorf("update history of sending: %w", err)
		}
	}
	if b.extend {
		b.state.ContentLow = b.low
		b.state.ContentHigh += idWindow
	}
	if err := b.tx.Update(&b.state); err != nil {
		return fmt.Errorf("update state: %w", err)
	}
	return nil
}

// head returns the message of a flow that is due first.
func head(tx *bstore.Tx, name string) (Message, error) {
	q := bstore.QueryTx[Message](tx)
	defer q.Close()
	return q.FilterEqual("Flow", name).FilterEqual("Hold", false).SortAsc("NextAttempt").Limit(1).Next()
}

func (b *batch) flushFlow(h Head) error {
	m, err := head(b.tx, h.Flow)
	if err != nil && err != bstore.ErrAbsent {
		return err
	}
	none := err == bstore.ErrAbsent
	if !none {
		h.Next = m.NextAttempt
	}
	b.flows[h.Flow] = h
	have := flow{Name: h.Flow}
	gerr := b.tx.Get(&have)
	want := flow{h.Flow, h.Lane, h.Account, h.Bulk, h.Next}
	switch {
	case gerr == bstore.ErrAbsent && none:
		return nil
	case gerr == bstore.ErrAbsent:
		return b.tx.Insert(&want)
	case gerr != nil:
		return gerr
	case none:
		return b.tx.Delete(&have)
	case have.NextAttempt.Equal(want.NextAttempt):
		return nil
	}
	return b.tx.Update(&want)
}

func (b *batch) flushUsage(u usage) error {
	have := usage{Account: u.Account}
	err := b.tx.Get(&have)
	empty := u.Messages == 0 && u.Size == 0
	switch {
	case err == bstore.ErrAbsent && empty:
		return nil
	case err == bstore.ErrAbsent:
		return b.tx.Insert(&u)
	case err != nil:
		return err
	case empty:
		return b.tx.Delete(&have)
	case have == u:
		return nil
	}
	return b.tx.Update(&u)
}

// committed makes known what the commit has made true.
func (b *batch) committed() {
	if b.extend {
		b.d.ids.extended(b.state.ContentHigh)
	}
	b.d.sweeper.add(b.erased)
	b.d.attempts.end(slices.Collect(maps.Keys(b.ended))...)
	for _, fn := range b.after {
		fn()
	}
	if watch := b.d.committer.watch; watch != nil && len(b.flows) > 0 {
		watch(slices.Collect(maps.Values(b.flows)), false)
	}
}
