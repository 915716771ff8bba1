package queuedb

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
)

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

// Status returns the state of the queue. It takes time with the number of
// flows.
func (d *DB) Status(ctx context.Context) (Status, error) {
	var s Status
	err := d.read(ctx, func(tx *bstore.Tx) error {
		st := state{ID: 1}
		if err := tx.Get(&st); err != nil {
			return err
		}
		s = Status{Messages: st.Messages, Held: st.Held, Failed: st.Failed, Size: st.Size}
		lane := "" // Flows are in the order of their names, which begin with the lane.
		for f, err := range bstore.QueryTx[flow](tx).All() {
			if err != nil {
				return err
			}
			if f.Lane != lane {
				lane = f.Lane
				s.Lanes++
			}
			if s.Next.IsZero() || f.NextAttempt.Before(s.Next) {
				s.Next = f.NextAttempt
			}
		}
		return nil
	})
	if err != nil {
		return Status{}, fmt.Errorf("queue status: %w", err)
	}
	return s, nil
}

// Totals returns the state of the queue without Lanes and Next, which takes no time.
func (d *DB) Totals(ctx context.Context) (Status, error) {
	st := state{ID: 1}
	err := d.read(ctx, func(tx *bstore.Tx) error { return tx.Get(&st) })
	if err != nil {
		return Status{}, fmt.Errorf("queue totals: %w", err)
	}
	return Status{Messages: st.Messages, Held: st.Held, Failed: st.Failed, Size: st.Size}, nil
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
