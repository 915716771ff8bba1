package store

import (
	"errors"
	"fmt"

	"mox/imap"
)

// check finds out before the first write whether a request can be stored.
func (tx *Tx) check(r *appendRequest) error {
	for _, p := range r.msgs {
		if !tx.a.ids.held(p.id) {
			return ErrReadOnly // The account was reopened meanwhile, and the file has been moved to lost/.
		}
		b, err := tx.target(p)
		if errors.Is(err, ErrNoMailbox) && p.MailboxID == 0 && p.Create {
			if _, err := imap.ParseMailboxName(p.Mailbox); err != nil {
				return fmt.Errorf("%w: %w", ErrMailboxName, err)
			}
			continue
		} else if err != nil {
			return err
		}
		if l := mergeKeywords(b.Keywords, p.Keywords); len(l) > imap.MaxMailboxKeywords || len(p.Keywords) > imap.MaxKeywords {
			return fmt.Errorf("%w: keywords", ErrLimit)
		}
	}
	return nil
}

func (tx *Tx) target(p *prepared) (*box, error) {
	if p.MailboxID != 0 {
		return tx.box(p.MailboxID)
	}
	return tx.boxByName(p.Mailbox)
}

// insert stores one message whose file is there.
func (tx *Tx) insert(p *prepared) (m Message, ct *content, err error) {
	b, err := tx.target(p)
	if errors.Is(err, ErrNoMailbox) && p.Create && p.MailboxID == 0 {
		if _, err = tx.CreateMailbox(p.Mailbox, 0); err == nil {
			b, err = tx.target(p)
		}
	}
	if err != nil {
		return m, nil, err
	}
	if err := tx.addKeywords(b, p.Keywords); err != nil {
		return m, nil, err
	}
	uid, err := tx.takeUIDs(b, 1)
	if err != nil {
		return m, nil, err
	}
	t, err := tx.assignThread(p.id, p.digest, p.Received)
	if err != nil {
		return m, nil, err
	}
	o, err := tx.newOrigin(p, b)
	if err != nil {
		return m, nil, err
	}
	ct = &content{ID: p.id, Size: p.size(), Prefix: p.Prefix, Digest: p.digest, Origin: o}
	if err := tx.btx.Insert(ct); err != nil {
		return m, nil, fmt.Errorf("insert content: %w", err)
	}
	tx.contents = true
	m = Message{ContentID: p.id, Flags: p.Flags, Keywords: p.Keywords, CreateSeq: tx.next(), Size: ct.Size, Received: p.Received, ThreadID: t.ID}
	if t.Muted {
		m.Flags |= imap.FlagSeen
	}
	if o != nil {
		if m.Flags, err = tx.arrivalFlags(nil, b, &m); err != nil {
			return m, nil, err
		}
	}
	tx.state.Messages++
	tx.state.Size += m.Size
	if err := tx.place(b, &m, uid); err != nil {
		return m, nil, err
	}
	if err := tx.noteSent(b, &m, p.digest); err != nil {
		return m, nil, err
	}
	return m, ct, tx.judge(&m, 0)
}

// newOrigin returns the origin of a new message, with the mailbox it is meant for.
func (tx *Tx) newOrigin(p *prepared, b *box) (*Origin, error) {
	if p.Origin == nil {
		return nil, nil
	}
	o := *p.Origin
	o.Destined = b.ID
	if p.Destined == "" {
		return &o, nil
	}
	d, err := tx.boxByName(p.Destined)
	if errors.Is(err, ErrNoMailbox) {
		if _, err = tx.CreateMailbox(p.Destined, 0); err == nil {
			d, err = tx.boxByName(p.Destined)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox the message is meant for: %w", err)
	}
	o.Destined = d.ID
	return &o, nil
}
