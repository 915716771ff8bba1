package queuedb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
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

// RetiredFilter selects retired messages; zero fields select all. Fields are as those
// of Filter where they have the same name.
type RetiredFilter struct {
	IDs             []int64
	Account         string
	RecipientDomain string
	FromID          string
	Success         *bool

	From, To                      string
	QueuedBefore, QueuedAfter     time.Time
	ActivityBefore, ActivityAfter time.Time // About LastActivity, exclusive.
	Transport                     *string   // Of the last attempt.
}

// RetiredPage selects a part of a list, as Page.
type RetiredPage struct {
	ByActivity bool // In the order of LastActivity, else of ids.
	Asc        bool // Oldest first, else newest first.

	AfterID       int64     // Of the last message before this page. Zero is from the beginning.
	AfterActivity time.Time // With ByActivity: LastActivity of that message.
	Max           int       // At most this many. Zero, and more than MaxList, is MaxList.
}

// query returns a query for the filter, without what is not in columns.
func (f RetiredFilter) query(tx *bstore.Tx) *bstore.Query[retired] {
	q := bstore.QueryTx[retired](tx)
	if f.IDs != nil {
		q.FilterIDs(f.IDs)
	}
	domain := f.RecipientDomain
	if d, ok := strings.CutPrefix(f.To, "@"); ok {
		domain = strings.ToLower(d)
	}
	for field, value := range map[string]string{"Account": f.Account, "RecipientDomain": domain, "FromID": f.FromID} {
		if value != "" {
			q.FilterEqual(field, value)
		}
	}
	if f.Success != nil {
		q.FilterEqual("Success", *f.Success)
	}
	if !f.ActivityBefore.IsZero() {
		q.FilterLess("LastActivity", f.ActivityBefore)
	}
	if !f.ActivityAfter.IsZero() {
		q.FilterGreater("LastActivity", f.ActivityAfter)
	}
	return q
}

// matches reports whether the rest of the filter is true of a message.
func (f RetiredFilter) matches(r Retired) bool {
	m := r.Message
	address := func(localpart, domain, want string) bool {
		if d, ok := strings.CutPrefix(want, "@"); ok {
			return strings.EqualFold(domain, d)
		}
		return want == "" || addressHas(localpart, domain, want)
	}
	last, _ := m.LastResult()
	return address(m.SenderLocalpart, m.SenderDomain, f.From) && address(m.RecipientLocalpart, m.RecipientDomain, f.To) &&
		(f.QueuedBefore.IsZero() || m.Queued.Before(f.QueuedBefore)) && (f.QueuedAfter.IsZero() || m.Queued.After(f.QueuedAfter)) &&
		(f.Transport == nil || last.Transport == *f.Transport)
}

// sorted returns q in order, from after the last message of the page before.
func (p RetiredPage) sorted(q *bstore.Query[retired]) *bstore.Query[retired] {
	fields := []string{"ID"}
	if p.ByActivity {
		fields = []string{"LastActivity", "ID"}
	}
	if p.AfterID > 0 {
		p.after(q)
	}
	if p.Asc {
		return q.SortAsc(fields...)
	}
	return q.SortDesc(fields...)
}

func (p RetiredPage) after(q *bstore.Query[retired]) {
	switch {
	case !p.ByActivity && p.Asc:
		q.FilterGreater("ID", p.AfterID)
	case !p.ByActivity:
		q.FilterLess("ID", p.AfterID)
	case p.Asc:
		q.FilterGreaterEqual("LastActivity", p.AfterActivity)
		q.FilterFn(func(r retired) bool { return r.LastActivity.After(p.AfterActivity) || r.ID > p.AfterID })
	default:
		q.FilterLessEqual("LastActivity", p.AfterActivity)
		q.FilterFn(func(r retired) bool { return r.LastActivity.Before(p.AfterActivity) || r.ID < p.AfterID })
	}
}

// ListRetired returns a page of retired messages.
func (d *DB) ListRetired(ctx context.Context, f RetiredFilter, p RetiredPage) ([]Retired, error) {
	var l []Retired
	err := d.read(ctx, func(tx *bstore.Tx) error {
		for r, err := range p.sorted(f.query(tx)).All() {
			if err != nil {
				return err
			}
			v, err := r.decode()
			if err != nil {
				return err
			}
			if f.matches(v) {
				l = append(l, v)
			}
			if len(l) == listMax(p.Max) {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list retired messages: %w", err)
	}
	return l, nil
}

// GetRetired returns a retired message, or an error that matches ErrNotFound.
func (d *DB) GetRetired(ctx context.Context, id int64) (Retired, error) {
	l, err := d.ListRetired(ctx, RetiredFilter{IDs: []int64{id}}, RetiredPage{})
	if err == nil && len(l) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Retired{}, fmt.Errorf("get retired message %d: %w", id, err)
	}
	return l[0], nil
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
