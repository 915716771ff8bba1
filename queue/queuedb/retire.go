package queuedb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mjl-/bstore"
)

// retire inserts the history record of a message that is about to be deleted.
func (b *batch) retire(m *Message, success bool, at, keepUntil time.Time) error {
	base := Base{ID: m.ContentID}
	if err := b.tx.Get(&base); err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	base.Prefix = nil // Of no use without the content.
	data, err := json.Marshal(retiredData{*m, base})
	if err != nil {
		return fmt.Errorf("encode retired message: %w", err)
	}
	r := retired{
		ID:              m.ID,
		Account:         m.Account,
		RecipientDomain: m.RecipientDomain,
		FromID:          m.FromID,
		MessageID:       base.MessageID,
		EnvID:           base.EnvID,
		LastActivity:    at,
		KeepUntil:       keepUntil,
		Success:         success,
		Data:            data,
	}
	if err := b.tx.Insert(&r); err != nil {
		return fmt.Errorf("insert retired message: %w", err)
	}
	return nil
}

func (r retired) decode() (Retired, error) {
	var d retiredData
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return Retired{}, fmt.Errorf("decode retired message %d: %w", r.ID, err)
	}
	return Retired{d.Message, d.Base, r.LastActivity, r.KeepUntil, r.Success}, nil
}

// RetiredFilter selects retired messages; zero fields select all.
type RetiredFilter struct {
	Account         string
	RecipientDomain string // As stored: ASCII, or an address literal in brackets.
	FromID          string
	Success         *bool
	BeforeID        int64 // Only messages with a lower id, for the next page.
	Max             int   // At most this many. Zero, and more than MaxList, is MaxList.
}

// ListRetired returns retired messages, the highest id first.
func (d *DB) ListRetired(ctx context.Context, f RetiredFilter) ([]Retired, error) {
	var l []Retired
	err := d.read(ctx, func(tx *bstore.Tx) error {
		q := bstore.QueryTx[retired](tx)
		if f.Account != "" {
			q.FilterEqual("Account", f.Account)
		}
		if f.RecipientDomain != "" {
			q.FilterEqual("RecipientDomain", f.RecipientDomain)
		}
		if f.FromID != "" {
			q.FilterEqual("FromID", f.FromID)
		}
		if f.Success != nil {
			q.FilterEqual("Success", *f.Success)
		}
		if f.BeforeID > 0 {
			q.FilterLess("ID", f.BeforeID)
		}
		for r, err := range q.SortDesc("ID").Limit(listMax(f.Max)).All() {
			if err != nil {
				return err
			}
			v, err := r.decode()
			if err != nil {
				return err
			}
			l = append(l, v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list retired messages: %w", err)
	}
	return l, nil
}

// pruneBatch is how many retired messages go in one commit.
const pruneBatch = 1000

// PruneRetired removes retired messages that were to be kept until before at, and
// returns how many.
func (d *DB) PruneRetired(ctx context.Context, at time.Time) (int, error) {
	total := 0
	for {
		n := 0
		err := d.committer.do(ctx, &change{apply: func(b *batch) error {
			var err error
			n, err = bstore.QueryTx[retired](b.tx).FilterLess("KeepUntil", at).SortAsc("KeepUntil").Limit(pruneBatch).Delete()
			return err
		}})
		if err != nil {
			return total, fmt.Errorf("prune retired messages: %w", err)
		}
		total += n
		if n < pruneBatch {
			return total, nil
		}
	}
}

func listMax(n int) int {
	if n <= 0 || n > MaxList {
		return MaxList
	}
	return n
}
