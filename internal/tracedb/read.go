package tracedb

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mjl-/bstore"

	libmessage "mox/message"
	"mox/smtp"
)

// Query selects messages. Of Find and Queue at most one is set; with none, all
// messages match.
type Query struct {
	// Find is a Message-ID, with or without brackets, or an address in the envelope. If
	// it can be both, messages that match either way are found.
	Find  string
	Queue int64     // Id of a message in the queue.
	Since time.Time // Only messages that came at this time or later.

	// Before is the ID of the last message of a previous page. Zero is the first page.
	Before int64
	Limit  int // How many messages. Zero or more than MaxPage is MaxPage.
}

// Message is a message with its steps.
type Message struct {
	ID      int64
	Time    time.Time // Of the first step that was known.
	Steps   []Step    // In the order of time.
	Skipped int       // Further steps that were not kept.
}

// List returns messages, the latest first, with all their steps, also those that were
// recorded just now.
func (d *DB) List(ctx context.Context, q Query) ([]Message, error) {
	if err := d.Flush(ctx); err != nil {
		return nil, err
	}
	if q.Limit <= 0 || q.Limit > MaxPage {
		q.Limit = MaxPage
	}
	if q.Before == 0 {
		q.Before = math.MaxInt64
	}
	since := int64(0)
	if !q.Since.IsZero() {
		since = q.Since.UnixNano()
	}
	var l []Message
	err := d.bdb.Read(ctx, func(tx *bstore.Tx) error {
		ids, err := q.ids(tx, since)
		if err != nil {
			return err
		}
		names, err := renames(tx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			m, err := read(tx, id, names)
			if err != nil {
				return err
			}
			l = append(l, m)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read message traces: %w", err)
	}
	return l, nil
}

// ids returns the ids of messages, the latest first.
func (q Query) ids(tx *bstore.Tx, since int64) ([]int64, error) {
	var names []string
	switch {
	case q.Queue != 0:
		names = []string{queueName(q.Queue)}
	case q.Find != "":
		names = findNames(q.Find)
	default:
		var ids []int64
		err := bstore.QueryTx[message](tx).FilterLess("ID", q.Before).FilterGreaterEqual("ID", since).SortDesc("ID").Limit(q.Limit).IDs(&ids)
		return ids, err
	}
	var ids []int64
	for _, s := range names {
		l, err := find(tx, s, since, q.Before, q.Limit)
		if err != nil {
			return nil, err
		}
		ids = append(ids, l...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	slices.Reverse(ids)
	return ids[:min(len(ids), q.Limit)], nil
}

// read returns a message with its steps.
func read(tx *bstore.Tx, id int64, names []renamed) (Message, error) {
	m := message{ID: id}
	if err := tx.Get(&m); err != nil {
		return Message{}, err
	}
	var steps []Step
	for _, id := range m.Chunks {
		c := chunk{ID: id}
		if err := tx.Get(&c); err != nil {
			return Message{}, err
		}
		c.rename(names)
		steps = append(steps, c.Steps...)
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.Time.Compare(b.Time) })
	return Message{ID: id, Time: time.Unix(0, id), Steps: steps, Skipped: int(m.Skipped)}, nil
}

// MessageID returns the Message-ID, empty if it is not known.
func (m Message) MessageID() string {
	for _, s := range m.Steps {
		if s.MessageID != "" {
			return s.MessageID
		}
	}
	return ""
}

// findNames returns the names for what somebody looks for.
func findNames(s string) []string {
	names := []string{messageIDName(clip(libmessage.CanonicalMessageID(s)))}
	addr := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "<"), ">")
	if p, err := smtp.ParseMailbox(addr, smtp.Lenient); err == nil {
		addr = Address(p)
	}
	return append(names, addressName(clip(addr)))
}

func messageIDName(s string) string { return "m:" + s }

// addressName does not tell upper from lower case: people do not either.
func addressName(s string) string { return "a:" + strings.ToLower(s) }

func queueName(id int64) string { return "q:" + strconv.FormatInt(id, 10) }

// keyOf returns the key of a name for a message. There are no line ends in names, so
// that the keys of a name are together, in the order of messages.
func keyOf(name string, id int64) string { return fmt.Sprintf("%s\n%016x", name, id) }

// find returns messages with a name, from since until before, the latest first.
func find(tx *bstore.Tx, name string, since, before int64, n int) ([]int64, error) {
	var keys []string
	err := bstore.QueryTx[key](tx).FilterGreaterEqual("Key", keyOf(name, max(0, since))).FilterLess("Key", keyOf(name, before)).
		SortDesc("Key").Limit(n).IDs(&keys)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(keys))
	for i, k := range keys {
		if ids[i], err = idOf(k); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// idOf returns the message of a key.
func idOf(k string) (int64, error) {
	_, s, _ := strings.Cut(k, "\n")
	id, err := strconv.ParseInt(s, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("key %q: %w", k, err)
	}
	return id, nil
}
