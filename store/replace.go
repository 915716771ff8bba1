package store

import "context"

// Replace stores a message, as Append does, and expunges another one in the same
// transaction; only the difference counts for the quota. The error is
// ErrNoMessage if there is none with that UID, besides those of Append. RFC 8508 §3.4
func (a *Account) Replace(ctx context.Context, mailboxID int64, uid uint32, m NewMessage) (Message, error) {
	ix, err := a.Index(ctx, mailboxID)
	if err != nil {
		return Message{}, err
	}
	pos, ok := ix.Find(uid)
	if !ok {
		return Message{}, ErrNoMessage
	}
	r := &appendRequest{more: Usage{-1, -ix.At(pos).Size}}
	r.then = func(tx *Tx, _ []Message) error {
		gone, err := tx.expungeReplaced(mailboxID, uid)
		if err == nil && len(gone) == 0 {
			err = ErrNoMessage
		}
		return err
	}
	l, err := a.appendAll(ctx, r, []NewMessage{m})
	if err != nil {
		return Message{}, err
	}
	return l[0], nil
}

// expungeReplaced expunges a message. A draft is not kept for undelete: mail programs
// replace one every minute while it is being written.
func (tx *Tx) expungeReplaced(mailboxID int64, uid uint32) (expunged []uint32, err error) {
	b, err := tx.box(mailboxID)
	if err != nil {
		return nil, err
	}
	if b.SpecialUse&UseDrafts != 0 {
		return tx.ExpungeForGood(mailboxID, []uint32{uid})
	}
	return tx.Expunge(mailboxID, []uint32{uid}, false)
}
