package tracedb

import (
	"context"
	"fmt"

	"github.com/mjl-/bstore"
)

// renamed says that an account has another name. Steps that were written before, up to a
// chunk, have the old one, and are read with the new one: that is one record instead of all
// steps. It goes when there are no such steps any more.
type renamed struct {
	ID       int64  `bstore:"typename Renamed"` // In the order in which it was done.
	From, To string `bstore:"nonzero"`
	Chunk    int64  `bstore:"nonzero"` // The last one.
}

// RenameAccount has what was recorded of an account say its new name. If to is empty, because
// the account was removed, its name stays in what has become of messages. It may be called
// again. A nil DB has nothing to rename.
func (d *DB) RenameAccount(ctx context.Context, from, to string) error {
	if d == nil || to == "" {
		return nil
	}
	if err := d.Flush(ctx); err != nil {
		return err
	}
	err := d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		var ends [2]int64 // Of chunks, zero if there are none.
		for i, q := range []*bstore.Query[chunk]{bstore.QueryTx[chunk](tx).SortAsc("ID"), bstore.QueryTx[chunk](tx).SortDesc("ID")} {
			var ids []int64
			if err := q.Limit(1).IDs(&ids); err != nil {
				return err
			}
			for _, id := range ids {
				ends[i] = id
			}
		}
		if _, err := bstore.QueryTx[renamed](tx).FilterLess("Chunk", ends[0]).Delete(); err != nil {
			return err
		}
		if ends[1] == 0 {
			return nil
		}
		return tx.Insert(&renamed{From: from, To: to, Chunk: ends[1]})
	})
	if err != nil {
		return fmt.Errorf("rename account %q in message traces: %w", from, err)
	}
	return nil
}

// renames returns how accounts were renamed, in that order.
func renames(tx *bstore.Tx) ([]renamed, error) {
	return bstore.QueryTx[renamed](tx).SortAsc("ID").List()
}

// rename gives accounts in the steps of a chunk the names that they have now.
func (c chunk) rename(l []renamed) {
	for i := range c.Steps {
		for _, r := range l {
			if s := &c.Steps[i]; c.ID <= r.Chunk && s.Account == r.From {
				s.Account = r.To
			}
		}
	}
}
