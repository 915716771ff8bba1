package queuedb

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
)

// Filter selects messages; zero fields select all.
type Filter struct {
	IDs             []int64 // At most MaxList.
	Account         string
	RecipientDomain string // As stored: ASCII, or an address literal in brackets.
	FromID          string
	Hold            *bool
	Failed          *bool
	Due             time.Time // Only messages with NextAttempt at or before this.
}

// query returns a query for the filter, which the caller must finish.
func (f Filter) query(tx *bstore.Tx) *bstore.Query[Message] {
	q := bstore.QueryTx[Message](tx)
	if f.IDs != nil {
		q.FilterIDs(f.IDs)
	}
	if f.Account != "" {
		q.FilterEqual("Account", f.Account)
	}
	if f.RecipientDomain != "" {
		q.FilterEqual("RecipientDomain", f.RecipientDomain)
	}
	if f.FromID != "" {
		q.FilterEqual("FromID", f.FromID)
	}
	if f.Hold != nil {
		q.FilterEqual("Hold", *f.Hold)
	}
	if f.Failed != nil {
		q.FilterEqual("Failed", *f.Failed)
	}
	if !f.Due.IsZero() {
		q.FilterLessEqual("NextAttempt", f.Due)
	}
	return q
}

// Page selects a part of a list.
type Page struct {
	AfterID int64 // Only messages with a higher id, for the next page.
	Max     int   // At most this many. Zero, and more than MaxList, is MaxList.
}

// List returns messages by id.
func (d *DB) List(ctx context.Context, f Filter, p Page) ([]Message, error) {
	var l []Message
	err := d.read(ctx, func(tx *bstore.Tx) error {
		q := f.query(tx)
		if p.AfterID > 0 {
			q.FilterGreater("ID", p.AfterID)
		}
		var err error
		l, err = q.SortAsc("ID").Limit(listMax(p.Max)).List()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list queue: %w", err)
	}
	return l, nil
}

// ListDue returns messages by next attempt, the first max of them.
func (d *DB) ListDue(ctx context.Context, f Filter, max int) ([]Message, error) {
	var l []Message
	err := d.read(ctx, func(tx *bstore.Tx) error {
		var err error
		l, err = f.query(tx).SortAsc("NextAttempt").Limit(listMax(max)).List()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list queue: %w", err)
	}
	return l, nil
}

// Get returns a message with what it shares with others, or an error that matches
// ErrNotFound.
func (d *DB) Get(ctx context.Context, id int64) (Message, Base, error) {
	m := Message{ID: id}
	var base Base
	err := d.read(ctx, func(tx *bstore.Tx) error {
		if err := tx.Get(&m); err == bstore.ErrAbsent {
			return ErrNotFound
		} else if err != nil {
			return err
		}
		base.ID = m.ContentID
		return tx.Get(&base)
	})
	if err != nil {
		return Message{}, Base{}, fmt.Errorf("get message %d: %w", id, err)
	}
	return m, base, nil
}

// Content reads prefix and file of a message. It must be closed. It can be read
// until then, also when the message leaves the queue meanwhile.
type Content struct {
	*io.SectionReader
	file safefile.File
}

// OpenContent opens the content of messages. The error matches fs.ErrNotExist if
// the file is gone.
func (d *DB) OpenContent(base Base) (*Content, error) {
	f, err := d.fs.OpenFile(d.pathOf(base.ID), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open queued message: %w", err)
	}
	r := prefixed{base.Prefix, f}
	return &Content{io.NewSectionReader(r, 0, base.Size), f}, nil
}

// Close closes the file.
func (c *Content) Close() error {
	return c.file.Close()
}

// prefixed reads a prefix and then a file.
type prefixed struct {
	prefix []byte
	file   io.ReaderAt
}

func (r prefixed) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if size := int64(len(r.prefix)); off < size {
		n = copy(p, r.prefix[off:])
		off += int64(n)
	}
	if n == len(p) {
		return n, nil
	}
	k, err := r.file.ReadAt(p[n:], off-int64(len(r.prefix)))
	return n + k, err
}

// Status is what is in the queue, for people and metrics.
type Status struct {
	Messages int64
	Held     int64
	Failed   int64 // Failed messages whose sender is still to be told.
	Size     int64 // Octets of contents.
	Lanes    int   // Domains, and accounts with notices, that have messages to attempt.
	Next     time.Time
}

// Status returns the state of the queue. It takes time with the number of lanes.
func (d *DB) Status(ctx context.Context) (Status, error) {
	var s Status
	err := d.read(ctx, func(tx *bstore.Tx) error {
		st := state{ID: 1}
		if err := tx.Get(&st); err != nil {
			return err
		}
		s = Status{Messages: st.Messages, Held: st.Held, Failed: st.Failed, Size: st.Size}
		for l, err := range bstore.QueryTx[lane](tx).All() {
			if err != nil {
				return err
			}
			s.Lanes++
			if s.Next.IsZero() || l.NextAttempt.Before(s.Next) {
				s.Next = l.NextAttempt
			}
		}
		return nil
	})
	if err != nil {
		return Status{}, fmt.Errorf("queue status: %w", err)
	}
	return s, nil
}

// Usage returns how many messages an account has in the queue, and the octets of
// their contents.
func (d *DB) Usage(ctx context.Context, account string) (messages, size int64, err error) {
	u := usage{Account: account}
	err = d.read(ctx, func(tx *bstore.Tx) error {
		if err := tx.Get(&u); err != nil && err != bstore.ErrAbsent {
			return err
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("queue usage: %w", err)
	}
	return u.Messages, u.Size, nil
}

// checkIDs keeps lists of ids bounded.
func (f Filter) check() error {
	if len(f.IDs) > MaxList {
		return fmt.Errorf("%w: %d ids, at most %d", ErrTooLarge, len(f.IDs), MaxList)
	}
	return nil
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
