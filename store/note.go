package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/mjl-/bstore"
)

// note is what an engine above remembers about an account, changed together with mail: how
// far an import is, and what was copied from another server.
type note struct {
	Name  string `bstore:"typename Note"`
	Value []byte
}

// SetNote writes a note, or removes it if value is nil.
func (tx *Tx) SetNote(name string, value []byte) error {
	tx.written = true
	n := note{name, value}
	var err error
	if value == nil {
		if err = tx.btx.Delete(&n); errors.Is(err, bstore.ErrAbsent) {
			err = nil
		}
	} else if err = tx.btx.Update(&n); errors.Is(err, bstore.ErrAbsent) {
		err = tx.btx.Insert(&n)
	}
	if err != nil {
		return fmt.Errorf("write note %q: %w", name, err)
	}
	return nil
}

// Note returns a note, nil if there is none.
func (a *Account) Note(ctx context.Context, name string) ([]byte, error) {
	n := note{Name: name}
	err := a.read(ctx, func(tx *bstore.Tx) error { return tx.Get(&n) })
	if errors.Is(err, bstore.ErrAbsent) {
		return nil, nil
	}
	return n.Value, err
}

// Notes returns the names, sorted, of all notes whose name begins with a prefix.
func (a *Account) Notes(ctx context.Context, prefix string) (names []string, err error) {
	err = a.read(ctx, func(tx *bstore.Tx) error {
		q := bstore.QueryTx[note](tx).FilterGreaterEqual("Name", prefix).FilterLess("Name", prefix+"\xff")
		return q.SortAsc("Name").IDs(&names)
	})
	return names, err
}
