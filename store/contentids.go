package store

import (
	"context"
	"fmt"

	"github.com/mjl-/bstore"
)

// For what is kept of contents elsewhere, and made in the background: a text index.

// ContentMark returns an id below which no content will be added any more. It may be some
// seconds until that is above a content that was added. The error is ErrReadOnly after a
// disk failure, when it is not known.
func (a *Account) ContentMark() (int64, error) {
	a.spares.dropIdle() // They have ids below those of messages that came at once.
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return 0, ErrClosed
	case a.failed != nil:
		return 0, ErrReadOnly
	}
	return a.ids.settled(), nil
}

// settled returns the lowest id that may still become a record.
func (x *ids) settled() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	low := x.next
	for id, record := range x.active {
		if record {
			low = min(low, id)
		}
	}
	return low
}

// ContentIDs returns the ids of contents from one up to, but not including, another one,
// ascending, at most n: also of those that are only kept to be undeleted.
func (a *Account) ContentIDs(ctx context.Context, from, end int64, n int) (ids []int64, err error) {
	err = a.read(ctx, func(tx *bstore.Tx) error {
		q := bstore.QueryTx[content](tx).FilterGreaterEqual("ID", from).FilterLess("ID", end).SortAsc("ID").Limit(n)
		return q.IDs(&ids)
	})
	if err != nil {
		return nil, fmt.Errorf("read content ids: %w", err)
	}
	return ids, nil
}
