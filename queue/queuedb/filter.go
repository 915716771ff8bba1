package queuedb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mjl-/bstore"
)

// Filter selects messages; zero fields select all.
type Filter struct {
	IDs             []int64 // At most MaxList.
	Account         string
	SenderDomain    string // As stored: ASCII, or an address literal in brackets.
	RecipientDomain string // As stored.
	FromID          string
	Hold            *bool
	Failed          *bool
	Due             time.Time // Only messages with NextAttempt at or before this.

	// From and To are in the address of the sender and of the recipient, as text in
	// any case of letters. With an @ as the first character it is all of the domain, in
	// the stored form. "<>" as From is the null reverse-path.
	From, To string

	QueuedBefore, QueuedAfter time.Time // Exclusive.
	NextBefore, NextAfter     time.Time // About NextAttempt, exclusive.
	Transport                 *string   // Explicitly chosen, empty for none.
}

// check keeps lists of ids bounded.
func (f Filter) check() error {
	if len(f.IDs) > MaxList {
		return fmt.Errorf("%w: %d ids, at most %d", ErrTooLarge, len(f.IDs), MaxList)
	}
	return nil
}

// query returns a query for the filter, which the caller must finish.
func (f Filter) query(tx *bstore.Tx) *bstore.Query[Message] {
	q := bstore.QueryTx[Message](tx)
	if f.IDs != nil {
		q.FilterIDs(f.IDs)
	}
	equal := func(field, value string) {
		if value != "" {
			q.FilterEqual(field, value)
		}
	}
	equal("Account", f.Account)
	equal("SenderDomain", f.SenderDomain)
	equal("RecipientDomain", f.RecipientDomain)
	equal("FromID", f.FromID)
	if d, ok := strings.CutPrefix(f.From, "@"); ok {
		equal("SenderDomain", strings.ToLower(d))
	} else if f.From != "" {
		q.FilterFn(func(m Message) bool { return addressHas(m.SenderLocalpart, m.SenderDomain, f.From) })
	}
	if d, ok := strings.CutPrefix(f.To, "@"); ok {
		equal("RecipientDomain", strings.ToLower(d))
	} else if f.To != "" {
		q.FilterFn(func(m Message) bool { return addressHas(m.RecipientLocalpart, m.RecipientDomain, f.To) })
	}
	if f.Hold != nil {
		q.FilterEqual("Hold", *f.Hold)
	}
	if f.Failed != nil {
		q.FilterEqual("Failed", *f.Failed)
	}
	if f.Transport != nil {
		q.FilterEqual("Transport", *f.Transport)
	}
	f.times(q)
	return q
}

// times adds what the filter says of times.
func (f Filter) times(q *bstore.Query[Message]) {
	if !f.Due.IsZero() {
		q.FilterLessEqual("NextAttempt", f.Due)
	}
	if !f.QueuedBefore.IsZero() {
		q.FilterLess("Queued", f.QueuedBefore)
	}
	if !f.QueuedAfter.IsZero() {
		q.FilterGreater("Queued", f.QueuedAfter)
	}
	if !f.NextBefore.IsZero() {
		q.FilterLess("NextAttempt", f.NextBefore)
	}
	if !f.NextAfter.IsZero() {
		q.FilterGreater("NextAttempt", f.NextAfter)
	}
}

// addressHas reports whether an address has a text in it, in any case of letters.
func addressHas(localpart, domain, text string) bool {
	if localpart == "" && domain == "" {
		return text == "<>"
	}
	return strings.Contains(strings.ToLower(localpart+"@"+domain), strings.ToLower(text))
}

// Sort is an order of messages.
type Sort int

const (
	// ByID is the order in which they were queued.
	ByID Sort = iota
	// ByNextAttempt is the order in which they are due.
	ByNextAttempt
)

// Page selects a part of a list. The next page begins after the last message of the
// one before, whatever has come and gone meanwhile.
type Page struct {
	Sort Sort
	Desc bool // The other way round.

	AfterID   int64     // Of the last message before this page. Zero is from the beginning.
	AfterNext time.Time // For ByNextAttempt: when that message is due.
	Max       int       // At most this many. Zero, and more than MaxList, is MaxList.
}

// List returns a page of messages. Where the filter has neither ids, an account nor a
// recipient domain, it reads no more than it returns and passes over.
func (d *DB) List(ctx context.Context, f Filter, p Page) ([]Message, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("list queue: %w", err)
	}
	var l []Message
	err := d.read(ctx, func(tx *bstore.Tx) error {
		q := f.query(tx)
		if p.AfterID > 0 {
			p.after(q)
		}
		var err error
		l, err = p.sort(q).Limit(listMax(p.Max)).List()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list queue: %w", err)
	}
	return l, nil
}

// after adds to q that messages come after the last one of the page before.
func (p Page) after(q *bstore.Query[Message]) {
	switch {
	case p.Sort == ByID && p.Desc:
		q.FilterLess("ID", p.AfterID)
	case p.Sort == ByID:
		q.FilterGreater("ID", p.AfterID)
	case p.Desc:
		q.FilterLessEqual("NextAttempt", p.AfterNext)
		q.FilterFn(func(m Message) bool { return m.NextAttempt.Before(p.AfterNext) || m.ID < p.AfterID })
	default:
		q.FilterGreaterEqual("NextAttempt", p.AfterNext)
		q.FilterFn(func(m Message) bool { return m.NextAttempt.After(p.AfterNext) || m.ID > p.AfterID })
	}
}

func (p Page) sort(q *bstore.Query[Message]) *bstore.Query[Message] {
	fields := []string{"ID"}
	if p.Sort == ByNextAttempt {
		fields = []string{"NextAttempt", "ID"}
	}
	if p.Desc {
		return q.SortDesc(fields...)
	}
	return q.SortAsc(fields...)
}

// ListDue returns messages by next attempt, the first max of them.
func (d *DB) ListDue(ctx context.Context, f Filter, max int) ([]Message, error) {
	return d.List(ctx, f, Page{Sort: ByNextAttempt, Max: max})
}

// chunk returns the first MaxList ids of the filter from after on, ascending.
func (d *DB) chunk(ctx context.Context, f Filter, after int64) ([]int64, error) {
	var ids []int64
	err := d.read(ctx, func(tx *bstore.Tx) error {
		return f.query(tx).FilterGreater("ID", after).SortAsc("ID").Limit(MaxList).IDs(&ids)
	})
	slices.Sort(ids)
	return ids, err
}
