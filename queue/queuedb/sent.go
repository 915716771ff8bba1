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

// Added is a result of a message, as a notification from elsewhere says.
type Added struct {
	ID            int64 // Of the message.
	Result        Result
	Undeliverable Undeliverable
}

// AddResults adds results to messages that are in the queue or were, and reports for
// each whether that has put the address on the suppression list. Nothing else about
// the messages changes. Those that are gone are passed over.
func (d *DB) AddResults(ctx context.Context, l []Added) ([]bool, error) {
	suppressed := make([]bool, len(l))
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		at := now()
		for i, a := range l {
			suppressed[i] = false
			m, err := b.addResult(a.ID, a.Result, at)
			if err == nil && a.Undeliverable != NotUndeliverable {
				suppressed[i], err = b.undeliverable(&m, SuppressionBase(m.Recipient()), a.Undeliverable, a.Result, at)
			}
			if err != nil && err != ErrNotFound {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return nil, fmt.Errorf("add results: %w", err)
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
