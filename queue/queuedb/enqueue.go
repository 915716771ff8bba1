package queuedb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
	"mox/smtp"
)

// Submission is a message for one or more recipients.
type Submission struct {
	Account    string
	Recipients []Recipient // One to MaxRecipients.
	Spool      *safefile.Spool
	Base       Base // ID and Size are set by Enqueue.

	NextAttempt time.Time // Zero is now.
	MaxAttempts int32
	Hold        bool
	Bulk        bool  // Waits with bulk mail, also if it does not look like it.
	JumpFloor   int64 // Of the account instead of that of Options, if it is higher. Negative: not something that the account sends.
	RequireTLS  *bool
	Transport   string

	Limits *Limits // Of a user. Nil is none.
}

// Limits are how much a user can send in a day. They are checked and what is sent is
// counted in the commit that queues it. The hour is the unit of counting: the day begins
// with a whole hour, 23 to 24 hours ago, so that nobody is held back for something longer
// ago than a day.
type Limits struct {
	Recipients int64 // Negative: no limit.
	FirstTime  int64 // Recipients that the account has not sent to before. Negative: no limit.
	New        int64 // How many recipients of the submission are such.
}

// Recipient is one recipient of a submission, with its reverse-path, which may
// differ between recipients when it carries a fromid.
type Recipient struct {
	Sender smtp.Path // Zero is the null reverse-path.
	To     smtp.Path
	FromID string

	Notify   smtp.Notify            // RFC 3461 §4.1
	Original smtp.OriginalRecipient // RFC 3461 §4.2
}

// Enqueue stores a submission, for all recipients or for none, and returns its
// messages in the order of the recipients once they are on stable storage. The
// caller closes the spool. Errors match ErrNoSpace, ErrAccountLimit,
// ErrDayLimit, ErrFirstTimeLimit, ErrFromIDUsed, ErrTooLarge, ErrReadOnly, ErrClosed, or
// are internal.
//
// If ctx ends while the submission waits for its turn, nothing is stored and the
// error is that of ctx.
func (d *DB) Enqueue(ctx context.Context, s Submission) ([]Message, error) {
	l, err := s.messages()
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	l, err = d.enqueue(ctx, &s, l)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	return l, nil
}

// messages checks the submission and returns its messages, without content.
func (s *Submission) messages() ([]Message, error) {
	extra := 0
	for k, v := range s.Base.Extra {
		extra += len(k) + len(v)
	}
	switch {
	case s.Account == "":
		return nil, errors.New("no account")
	case len(s.Recipients) == 0:
		return nil, errors.New("no recipients")
	case len(s.Recipients) > MaxRecipients:
		return nil, fmt.Errorf("%w: %d recipients, at most %d", ErrTooLarge, len(s.Recipients), MaxRecipients)
	case len(s.Base.Prefix) > MaxPrefix:
		return nil, fmt.Errorf("%w: header prefix of %d octets, at most %d", ErrTooLarge, len(s.Base.Prefix), MaxPrefix)
	case extra > MaxExtra:
		return nil, fmt.Errorf("%w: extra data of %d octets, at most %d", ErrTooLarge, extra, MaxExtra)
	}
	at := now()
	next := s.NextAttempt
	if next.IsZero() {
		next = at
	}
	l := make([]Message, len(s.Recipients))
	s.Transport = clipTo(s.Transport, maxKey)
	for i, r := range s.Recipients {
		m := Message{
			Hold:        s.Hold,
			Account:     s.Account,
			Queued:      at,
			FromID:      r.FromID,
			MaxAttempts: s.MaxAttempts,
			NextAttempt: next,
			RequireTLS:  s.RequireTLS,
			Transport:   s.Transport,

			Notify:            uint8(r.Notify),
			OriginalType:      r.Original.AddrType,
			OriginalRecipient: r.Original.Address,
		}
		m.SenderLocalpart, m.SenderDomain = splitPath(r.Sender)
		m.RecipientLocalpart, m.RecipientDomain = splitPath(r.To)
		if m.RecipientDomain == "" {
			return nil, fmt.Errorf("recipient %q without domain", r.To)
		}
		l[i] = m
	}
	s.Base.Subject = clip(s.Base.Subject)
	s.Base.MessageID = clipTo(s.Base.MessageID, maxKey)
	s.Base.EnvID = clipTo(s.Base.EnvID, maxKey)
	return l, nil
}

func (d *DB) enqueue(ctx context.Context, s *Submission, l []Message) ([]Message, error) {
	base := s.Base
	base.Size = int64(len(base.Prefix)) + s.Spool.Size()
	if err := d.ReadOnly(); err != nil {
		return nil, err
	}
	if d.opts.Floor != nil {
		if err := d.opts.Floor.Check(base.Size); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoSpace, err)
		}
	}
	// Known before the work of writing the file; checked again in the commit.
	err := d.read(ctx, func(tx *bstore.Tx) error {
		u := usage{Account: s.Account}
		if err := tx.Get(&u); err != nil && err != bstore.ErrAbsent {
			return err
		}
		if err := d.checkUsage(u, len(l), base.Size); err != nil || s.Limits == nil {
			return err
		}
		h := sending{Account: s.Account}
		if err := tx.Get(&h); err != nil && err != bstore.ErrAbsent {
			return err
		}
		return h.checkLimits(s.Limits, len(l), l[0].Queued)
	})
	if err != nil {
		return nil, err
	}
	id, dir, err := d.create(ctx, s.Spool)
	if err != nil {
		return nil, err
	}
	base.ID = id.id
	stored := make([]Message, len(l))
	err = d.committer.do(ctx, &change{
		check: func(b *batch) error {
			if !d.ids.current(id) {
				return ErrReadOnly // The database was reopened meanwhile; the file may have been moved.
			}
			return b.checkSubmission(l, base.Size, s.Limits)
		},
		apply: func(b *batch) error {
			copy(stored, l)
			return b.submit(base, stored, s)
		},
		dirs: []string{dir},
	})
	if err == nil {
		d.ids.release(id.id)
		return stored, nil
	}
	// After a failed commit the record may exist, and the file must stay.
	if d.ReadOnly() == nil || !d.ids.current(id) {
		d.abandon(id.id)
	}
	return nil, err
}

// checkUsage checks whether an account can queue more.
func (d *DB) checkUsage(u usage, messages int, size int64) error {
	if max := d.opts.AccountMessages; max > 0 && u.Messages+int64(messages) > max {
		return fmt.Errorf("%w: %d messages, at most %d", ErrAccountLimit, u.Messages, max)
	}
	if max := d.opts.AccountSize; max > 0 && u.Size+size > max {
		return fmt.Errorf("%w: %d octets, at most %d", ErrAccountLimit, u.Size, max)
	}
	return nil
}

// checkSubmission checks what others may have changed, or taken.
func (b *batch) checkSubmission(l []Message, size int64, limits *Limits) error {
	if known := b.d.opts.Known; known != nil && !known(l[0].Account) {
		return fmt.Errorf("account %q is not in the configuration any more", l[0].Account)
	}
	u, err := b.account(l[0].Account)
	if err != nil {
		return err
	}
	if err := b.d.checkUsage(*u, len(l), size); err != nil {
		return err
	}
	if limits != nil {
		s, err := b.sending(l[0].Account)
		if err != nil {
			return err
		}
		if err := s.checkLimits(limits, len(l), l[0].Queued); err != nil {
			return err
		}
	}
	for _, m := range l {
		if m.FromID == "" {
			continue
		}
		queued, err := bstore.QueryTx[Message](b.tx).FilterEqual("FromID", m.FromID).Exists()
		if err != nil {
			return fmt.Errorf("look for fromid: %w", err)
		}
		old, err := bstore.QueryTx[retired](b.tx).FilterEqual("FromID", m.FromID).Exists()
		if err != nil {
			return fmt.Errorf("look for fromid: %w", err)
		}
		if queued || old {
			return ErrFromIDUsed
		}
	}
	return nil
}

// submit inserts a content and its messages.
func (b *batch) submit(base Base, l []Message, s *Submission) error {
	if err := b.classify(l, s); err != nil {
		return err
	}
	if err := b.tx.Insert(&base); err != nil {
		return fmt.Errorf("insert content: %w", err)
	}
	u, err := b.account(l[0].Account)
	if err != nil {
		return err
	}
	u.Size += base.Size
	b.state.Size += base.Size
	for i := range l {
		l[i].ContentID = base.ID
		if err := b.insert(&l[i]); err != nil {
			return err
		}
	}
	b.extendIDs()
	return nil
}

// clip keeps a text that someone else has written at a size fit for a record.
func clip(s string) string { return clipTo(s, MaxErrorText) }

func clipTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 { // Not in the middle of a UTF-8 sequence.
		n--
	}
	return s[:n]
}
