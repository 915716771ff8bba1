package queuedb

import (
	"context"
	"fmt"
	"slices"

	"github.com/mjl-/bstore"
)

// Repair fixes what Verify finds as far as that can be done without guessing:
// totals, usages and flows are computed again, files without record go to the
// directory for lost files, and messages without their file fail, so that their
// senders are told. It returns the problems that remain. The queue must not be in
// use otherwise.
func (d *DB) Repair(ctx context.Context) ([]Problem, error) {
	problems, err := d.Verify(ctx)
	if err != nil || len(problems) == 0 {
		return problems, err
	}
	derived := false
	var missing, orphans []int64
	for _, p := range problems {
		switch p.kind {
		case problemDerived:
			derived = true
		case problemMissing:
			missing = append(missing, p.id)
		case problemOrphan:
			orphans = append(orphans, p.id)
		}
	}
	if derived {
		if err := d.committer.do(ctx, &change{apply: rebuild}); err != nil {
			return nil, fmt.Errorf("repair queue: %w", err)
		}
	}
	for _, id := range orphans {
		if err := d.moveLost(id); err != nil {
			return nil, fmt.Errorf("repair queue: %w", err)
		}
		if err := d.syncMoved([]string{d.dirOf(id)}); err != nil {
			return nil, fmt.Errorf("repair queue: %w", err)
		}
	}
	if err := d.failMissing(ctx, missing); err != nil {
		return nil, fmt.Errorf("repair queue: %w", err)
	}
	return d.Verify(ctx)
}

// failMissing makes the messages of contents without file fail.
func (d *DB) failMissing(ctx context.Context, contents []int64) error {
	if len(contents) == 0 {
		return nil
	}
	var ids []int64
	err := d.read(ctx, func(tx *bstore.Tx) error {
		q := bstore.QueryTx[Message](tx)
		return q.FilterFn(func(m Message) bool { return slices.Contains(contents, m.ContentID) }).IDs(&ids)
	})
	if err != nil {
		return err
	}
	for len(ids) > 0 {
		n := min(len(ids), MaxList)
		if _, err := d.Fail(ctx, Filter{IDs: ids[:n]}, "the message was lost from the queue's storage"); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// rebuild computes flows, usages and totals again.
func rebuild(b *batch) error {
	if _, err := bstore.QueryTx[flow](b.tx).Delete(); err != nil {
		return err
	}
	if _, err := bstore.QueryTx[usage](b.tx).Delete(); err != nil {
		return err
	}
	b.state.Messages, b.state.Held, b.state.Failed, b.state.Size = 0, 0, 0, 0
	owner := map[int64]string{}
	for m, err := range bstore.QueryTx[Message](b.tx).All() {
		if err != nil {
			return err
		}
		owner[m.ContentID] = m.Account
		if err := b.count(&m, 1); err != nil {
			return err
		}
	}
	for c, err := range bstore.QueryTx[Base](b.tx).All() {
		if err != nil {
			return err
		}
		if owner[c.ID] == "" {
			continue
		}
		u, err := b.account(owner[c.ID])
		if err != nil {
			return err
		}
		u.Size += c.Size
		b.state.Size += c.Size
	}
	return nil
}
