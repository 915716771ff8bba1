package queuedb

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/mjl-/bstore"
)

// accountBatch is how many contents, or records of history, of an account one commit
// changes.
const accountBatch = 100

// RenameAccount gives all that the queue has of an account to another: messages, history,
// rules, suppressed addresses and how much it has sent. It may be called again after an
// error or a crash, and continues then. Nothing must be queued for the old account
// meanwhile, see Options.Known.
func (d *DB) RenameAccount(ctx context.Context, from, to string) error {
	for _, step := range []func(b *batch, from, to string) (int, error){
		(*batch).renameMessages, (*batch).renameRetired, (*batch).renameRest,
	} {
		if err := d.repeat(ctx, func(b *batch) (int, error) { return step(b, from, to) }); err != nil {
			return fmt.Errorf("rename account %q in queue: %w", from, err)
		}
	}
	return nil
}

// RemoveAccount removes all that the queue has of an account, also its messages, without
// telling anyone. It may be called again as RenameAccount.
func (d *DB) RemoveAccount(ctx context.Context, account string) error {
	for _, step := range []func(b *batch, account string) (int, error){
		(*batch).dropMessages,
		deleteRecords[retired], deleteRecords[HoldRule], deleteRecords[Suppression], deleteRecords[failures], deleteRecords[sending],
	} {
		if err := d.repeat(ctx, func(b *batch) (int, error) { return step(b, account) }); err != nil {
			return fmt.Errorf("remove account %q from queue: %w", account, err)
		}
	}
	return nil
}

// repeat commits what fn does until that was nothing.
func (d *DB) repeat(ctx context.Context, fn func(b *batch) (int, error)) error {
	for n := 1; n > 0; {
		err := d.committer.do(ctx, &change{apply: func(b *batch) (err error) {
			n, err = fn(b)
			return err
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// accountContents returns some of the contents of an account in the queue.
func (b *batch) accountContents(account string) (map[int64][]Message, error) {
	some, err := bstore.QueryTx[Message](b.tx).FilterEqual("Account", account).Limit(accountBatch).List()
	if err != nil {
		return nil, err
	}
	l := map[int64][]Message{}
	for _, m := range some {
		if l[m.ContentID] == nil {
			if l[m.ContentID], err = bstore.QueryTx[Message](b.tx).FilterEqual("ContentID", m.ContentID).List(); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// renameMessages moves messages, all of a content at once, so that usage is right after
// each commit.
func (b *batch) renameMessages(from, to string) (int, error) {
	contents, err := b.accountContents(from)
	if err != nil {
		return 0, err
	}
	old, err := b.account(from)
	if err != nil {
		return 0, err
	}
	now, err := b.account(to)
	if err != nil {
		return 0, err
	}
	for id, l := range contents {
		base := Base{ID: id}
		if err := b.tx.Get(&base); err != nil {
			return 0, fmt.Errorf("read content: %w", err)
		}
		old.Size -= base.Size
		now.Size += base.Size
		for _, m := range l {
			have := m
			m.Account = to
			if err := b.update(&have, &m); err != nil {
				return 0, err
			}
		}
	}
	return len(contents), nil
}

func (b *batch) dropMessages(account string) (int, error) {
	contents, err := b.accountContents(account)
	for _, l := range contents {
		for _, m := range l {
			if err := b.remove(&m, false, m.Queued, m.Queued); err != nil {
				return 0, err
			}
		}
	}
	return len(contents), err
}

func (b *batch) renameRetired(from, to string) (int, error) {
	l, err := bstore.QueryTx[retired](b.tx).FilterEqual("Account", from).Limit(accountBatch).List()
	for _, r := range l {
		v, err := r.decode()
		if err != nil {
			return 0, err
		}
		v.Message.Account, r.Account = to, to
		if r.Data, err = json.Marshal(retiredData{v.Message, v.Base}); err != nil {
			return 0, err
		}
		if err := b.tx.Update(&r); err != nil {
			return 0, err
		}
	}
	return len(l), err
}

// renameRest renames what there is not much of, in one commit.
func (b *batch) renameRest(from, to string) (int, error) {
	if _, err := bstore.QueryTx[HoldRule](b.tx).FilterEqual("Account", from).UpdateNonzero(HoldRule{Account: to}); err != nil {
		return 0, err
	}
	if _, err := bstore.QueryTx[Suppression](b.tx).FilterEqual("Account", from).UpdateNonzero(Suppression{Account: to}); err != nil {
		return 0, err
	}
	if _, err := bstore.QueryTx[failures](b.tx).FilterEqual("Account", from).UpdateNonzero(failures{Account: to}); err != nil {
		return 0, err
	}
	s := sending{Account: from}
	if err := b.tx.Get(&s); err == bstore.ErrAbsent {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if err := b.tx.Delete(&s); err != nil {
		return 0, err
	}
	s.Account = to
	return 0, b.flushSending(&s)
}

// deleteRecords deletes records of a type that belong to an account.
func deleteRecords[T any](b *batch, account string) (int, error) {
	n, err := bstore.QueryTx[T](b.tx).FilterEqual("Account", account).Limit(pruneBatch).Delete()
	if n < pruneBatch {
		n = 0
	}
	return n, err
}
