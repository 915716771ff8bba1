package tracedb

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/mjl-/bstore"

	"mox/internal/dbformat"
)

// Verify checks the database in a data directory that no server runs on, and returns
// what is wrong. There need not be one. An error is about checking.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	open := func() (*DB, error) { return Open(ctx, Options{Dir: dir}) }
	return dbformat.Verify(filepath.Join(dir, FileName), open, func(d *DB, add func(format string, args ...any)) {
		if err := d.bdb.Read(ctx, func(tx *bstore.Tx) error { return verify(tx, add) }); err != nil {
			add("reading: %v", err)
		}
	})
}

// verify checks that sums are those of the steps, and that each message has its chunks
// and keys, and there are no others.
func verify(tx *bstore.Tx, add func(format string, args ...any)) error {
	have := state{ID: 1}
	chunks, keys := 0, 0
	err := bstore.QueryTx[message](tx).ForEach(func(m message) error {
		sum := message{}
		for _, id := range m.Chunks {
			c := chunk{ID: id}
			if err := tx.Get(&c); err != nil || c.Message != m.ID {
				add("message %d does not have its chunk of steps %d: %v", m.ID, id, err)
				continue
			}
			chunks++
			sum.Steps += int32(len(c.Steps))
			for _, s := range c.Steps {
				sum.Size += s.size()
			}
		}
		for _, n := range m.Names {
			if err := tx.Get(&key{keyOf(n, m.ID)}); err != nil {
				add("message %d is not found by %q: %v", m.ID, n, err)
				continue
			}
			keys++
		}
		if sum.Steps != m.Steps || sum.Size != m.Size || sum.Steps > MaxMessageSteps {
			add("message %d has %d steps of %d octets, and its record says %d of %d", m.ID, sum.Steps, sum.Size, m.Steps, m.Size)
		}
		have.Messages++
		have.Steps += int64(sum.Steps)
		have.Size += sum.Size
		return nil
	})
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	if n, err := bstore.QueryTx[chunk](tx).Count(); err != nil {
		return fmt.Errorf("steps: %w", err)
	} else if n != chunks {
		add("there are %d chunks of steps, and messages have %d", n, chunks)
	}
	if n, err := bstore.QueryTx[key](tx).Count(); err != nil {
		return fmt.Errorf("keys: %w", err)
	} else if n != keys {
		add("there are %d keys, and messages have %d", n, keys)
	}
	want := state{ID: 1}
	if err := tx.Get(&want); err != nil && err != bstore.ErrAbsent {
		return fmt.Errorf("sums: %w", err)
	}
	if have != want {
		add("there are %d messages, %d steps of %d octets, and the sums say %d, %d, %d", have.Messages, have.Steps, have.Size, want.Messages, want.Steps, want.Size)
	}
	return nil
}
