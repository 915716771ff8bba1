package queuedb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mjl-/bstore"
)

// Sent is a message of an account that is in the queue, or was.
type Sent struct {
	Message Message
	Base    Base
	Retired bool
}

// SentKey is what a message is found by. One field is set.
type SentKey struct {
	FromID    string
	EnvID     string
	MessageID string // With brackets.
}

// maxSent is how many messages FindSent returns.
const maxSent = MaxRecipients

// FindSent returns messages of an account, those in the queue before those that have
// left it, and of these the newest first.
func (d *DB) FindSent(ctx context.Context, account string, k SentKey) ([]Sent, error) {
	var l []Sent
	err := d.read(ctx, func(tx *bstore.Tx) error {
		queued, err := findQueued(tx, k)
		if err != nil {
			return err
		}
		gone, err := findRetired(tx, k)
		if err != nil {
			return err
		}
		for _, s := range append(queued, gone...) {
			if s.Message.Account == account {
				l = append(l, s)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find sent message: %w", err)
	}
	return l, nil
}

func findQueued(tx *bstore.Tx, k SentKey) ([]Sent, error) {
	var messages []Message
	var err error
	if k.FromID != "" {
		messages, err = bstore.QueryTx[Message](tx).FilterEqual("FromID", k.FromID).Limit(maxSent).List()
	} else {
		q := bstore.QueryTx[Base](tx)
		if k.EnvID != "" {
			q.FilterEqual("EnvID", clipTo(k.EnvID, maxKey))
		} else {
			q.FilterEqual("MessageID", clipTo(k.MessageID, maxKey))
		}
		var ids []int64
		if err := q.Limit(maxSent).IDs(&ids); err != nil {
			return nil, err
		}
		for _, id := range ids {
			l, err := bstore.QueryTx[Message](tx).FilterEqual("ContentID", id).Limit(maxSent - len(messages)).List()
			if err != nil {
				return nil, err
			}
			if messages = append(messages, l...); len(messages) >= maxSent {
				break
			}
		}
	}
	var l []Sent
	for _, m := range messages {
		base := Base{ID: m.ContentID}
		if err := tx.Get(&base); err != nil {
			return nil, err
		}
		l = append(l, Sent{Message: m, Base: base})
	}
	return l, err
}

func findRetired(tx *bstore.Tx, k SentKey) ([]Sent, error) {
	q := bstore.QueryTx[retired](tx)
	switch {
	case k.FromID != "":
		q.FilterEqual("FromID", k.FromID)
	case k.EnvID != "":
		q.FilterEqual("EnvID", clipTo(k.EnvID, maxKey))
	default:
		q.FilterEqual("MessageID", clipTo(k.MessageID, maxKey))
	}
	var l []Sent
	for r, err := range q.SortDesc("ID").Limit(maxSent).All() {
		if err != nil {
			return nil, err
		}
		v, err := r.decode()
		if err != nil {
			return nil, err
		}
		l = append(l, Sent{v.Message, v.Base, true})
	}
	return l, nil
}

// AddResult adds a result to a message that is in the queue or was, as a notification
// from elsewhere says, and reports whether that has put the address on the
// suppression list. Nothing else about the message changes. The error matches
// ErrNotFound if there is no such message any more.
func (d *DB) AddResult(ctx context.Context, id int64, r Result, u Undeliverable) (suppressed bool, rerr error) {
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		suppressed = false
		at := now()
		m, err := b.addResult(id, r, at)
		if err != nil || u == NotUndeliverable {
			return err
		}
		suppressed, err = b.undeliverable(&m, SuppressionBase(m.Recipient()), u, r, at)
		return err
	}})
	if err != nil {
		return false, fmt.Errorf("add result: %w", err)
	}
	return suppressed, nil
}

func (b *batch) addResult(id int64, r Result, at time.Time) (Message, error) {
	if old, err := b.get(id); err == nil {
		m := old
		m.addResult(r)
		return m, b.update(&old, &m)
	} else if err != ErrNotFound {
		return Message{}, err
	}
	rec := retired{ID: id}
	if err := b.tx.Get(&rec); err == bstore.ErrAbsent {
		return Message{}, ErrNotFound
	} else if err != nil {
		return Message{}, err
	}
	v, err := rec.decode()
	if err != nil {
		return Message{}, err
	}
	v.Message.addResult(r)
	if rec.Data, err = json.Marshal(retiredData{v.Message, v.Base}); err != nil {
		return Message{}, fmt.Errorf("encode retired message: %w", err)
	}
	rec.LastActivity = at
	return v.Message, b.tx.Update(&rec)
}
