package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/mjl-/bstore"

	"mox/imap"
)

// What the user says is junk, and what follows from it: lessons for the junk filter,
// and the reputation of senders. Both are written in the transaction that changes the
// flags.

// Policy is what the configuration says of flags for junk in an account.
type Policy struct {
	RejectsMailbox string // With copies of refused messages. Empty for none.
	Introbox       string // For mail of people who are not known yet. Empty for none.
	// JunkFlags returns what messages in a mailbox are, by its name: at most one of the
	// results is true. Nil if names say nothing.
	JunkFlags func(mailbox string) (junk, notJunk bool)
	// Train says that there is a junk filter that learns.
	Train bool
}

// policy returns the policy of the account.
func (a *Account) policy() Policy {
	if a.store.opts.Policy == nil {
		return Policy{}
	}
	return a.store.opts.Policy(a.name)
}

const judgement = imap.FlagJunk | imap.FlagNotJunk

// judgementOf returns the one of the two flags for junk that a message has, or neither.
func judgementOf(f Flags) Flags {
	if j := f & judgement; j != judgement {
		return j
	}
	return 0
}

// arrivalFlags returns the flags of a message that comes into a mailbox, from another
// one unless that is nil: the name and the use of the mailbox tell whether it is junk. A
// message that is taken out of the copies of refused messages, or to where it was meant
// to go from those of unknown people, is not.
func (tx *Tx) arrivalFlags(src, dst *box, m *Message) (Flags, error) {
	f := m.Flags &^ judgement
	if dst.SpecialUse&UseJunk != 0 {
		return f | imap.FlagJunk, nil
	}
	if dst.SpecialUse&(UseTrash|UseDrafts) != 0 {
		return m.Flags, nil // People throw away both.
	}
	p := tx.a.policy()
	if p.JunkFlags != nil {
		junk, notJunk := p.JunkFlags(dst.Name)
		switch {
		case junk:
			return f | imap.FlagJunk, nil
		case notJunk:
			return f | imap.FlagNotJunk, nil
		}
	}
	if src == nil || src.ID == dst.ID {
		return m.Flags, nil
	}
	switch src.Name {
	case p.RejectsMailbox:
		return f | imap.FlagNotJunk, nil
	case p.Introbox:
		o, err := tx.origin(m.ContentID)
		if err != nil {
			return 0, err
		}
		if o != nil && o.Destined == dst.ID {
			return f | imap.FlagNotJunk, nil
		}
	}
	if p.JunkFlags != nil || src.SpecialUse&UseJunk != 0 {
		return f, nil // A mailbox of which nothing is said.
	}
	return m.Flags, nil
}

// origin returns where a content came from, nil if it did not come by SMTP.
func (tx *Tx) origin(contentID int64) (*Origin, error) {
	ct := content{ID: contentID}
	if err := tx.btx.Get(&ct); err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	return ct.Origin, nil
}

// judge takes note of the flags of a message, if they are a judgement or before were
// one.
func (tx *Tx) judge(m *Message, before Flags) error {
	now := judgementOf(m.Flags)
	if now == judgementOf(before) {
		return nil
	}
	j := judged{ContentID: m.ContentID}
	err := tx.btx.Get(&j)
	known := err == nil
	if err != nil && !errors.Is(err, bstore.ErrAbsent) {
		return fmt.Errorf("read judgement: %w", err)
	}
	o, err := tx.origin(m.ContentID)
	if err != nil {
		return err
	}
	tx.written = true
	junk := now == imap.FlagJunk
	var out *outcome
	if now != 0 {
		out = &outcome{ContentID: m.ContentID, Received: m.Received.Unix(), Junk: junk}
		if o != nil {
			out.Author = AuthorHash(o.MsgFrom)
		}
	}
	if err := tx.setOutcome(o, m.ContentID, out); err != nil {
		return err
	}
	if known && now != 0 && j.Junk == junk {
		return nil // Of another copy, or before it was expunged.
	}
	if known && j.Round == tx.lessonRound() {
		if err := tx.addLesson(lesson{ContentID: m.ContentID, Junk: j.Junk, Undo: true}); err != nil {
			return err
		}
	}
	if now == 0 {
		if !known {
			return nil
		}
		return tx.btx.Delete(&j)
	}
	j.Junk, j.Round = junk, 0
	if tx.a.policy().Train {
		j.Round = tx.lessonRound()
		if err := tx.addLesson(lesson{ContentID: m.ContentID, Junk: junk}); err != nil {
			return err
		}
	}
	if known {
		return tx.btx.Update(&j)
	}
	return tx.btx.Insert(&j)
}

// unjudge takes note that no message uses a content any more. What was learned of it
// stays.
func (tx *Tx) unjudge(m *Message) error {
	if err := tx.btx.Get(&judged{ContentID: m.ContentID}); errors.Is(err, bstore.ErrAbsent) {
		return nil
	} else if err != nil {
		return fmt.Errorf("read judgement: %w", err)
	}
	o, err := tx.origin(m.ContentID)
	if err != nil {
		return err
	}
	return tx.setOutcome(o, m.ContentID, nil)
}

// forgetJudgement is for content that is erased.
func (tx *Tx) forgetJudgement(contentID int64) error {
	err := tx.btx.Delete(&judged{ContentID: contentID})
	if err != nil && !errors.Is(err, bstore.ErrAbsent) {
		return fmt.Errorf("delete judgement: %w", err)
	}
	return nil
}

func (tx *Tx) addLesson(l lesson) error {
	if err := tx.btx.Insert(&l); err != nil {
		return fmt.Errorf("insert lesson: %w", err)
	}
	tx.state.LessonRow = l.Row
	tx.lessons, tx.written = true, true
	return nil
}

// lessonRound returns the round of lessons, which is not zero.
func (tx *Tx) lessonRound() int64 { return tx.state.LessonRound + 1 }

// Lesson is a row of the journal for the junk filter.
type Lesson struct {
	Row       int64 // Ascending, never used again.
	ContentID int64 // To read with [Account.Content]; it may be gone.
	Junk      bool  // Else it is not.
	Undo      bool  // Take back an earlier lesson that said so.
}

// Lessons returns the rows of the journal, at most n, oldest first.
func (a *Account) Lessons(ctx context.Context, n int) (l []Lesson, err error) {
	err = a.read(ctx, func(tx *bstore.Tx) error {
		return bstore.QueryTx[lesson](tx).SortAsc("Row").Limit(n).ForEach(func(r lesson) error {
			l = append(l, Lesson(r))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read lessons: %w", err)
	}
	return l, nil
}

// ForgetLessons removes the rows of the journal up to and including one, which have
// been learned.
func (a *Account) ForgetLessons(ctx context.Context, upto int64) error {
	for {
		n := 0
		err := a.Update(ctx, func(tx *Tx) (err error) {
			n, err = bstore.QueryTx[lesson](tx.btx).FilterLessEqual("Row", upto).Limit(pruneBatch).Delete()
			tx.written = tx.written || n > 0
			return err
		})
		if err != nil || n < pruneBatch {
			return err
		}
	}
}

// LastLesson returns the number of the newest row that the journal has ever had. A
// filter that has taken a later one is not of this account, or of its future.
func (a *Account) LastLesson() int64 { return a.Tree().state.LessonRow }

// Relearn writes the journal anew, with one lesson for each content that is judged
// now, for a filter that has forgotten everything. It returns how many there are.
// Changes to the account go on meanwhile, and their lessons count once.
func (a *Account) Relearn(ctx context.Context) (int, error) {
	err := a.Update(ctx, func(tx *Tx) error {
		// All lessons that there were are of an earlier round from here on.
		tx.state.LessonRound++
		tx.written = true
		if _, err := bstore.QueryTx[lesson](tx.btx).Delete(); err != nil {
			return fmt.Errorf("delete lessons: %w", err)
		}
		return nil
	})
	total, last := 0, int64(0)
	for last >= 0 && err == nil {
		var n int
		n, last, err = a.relearn(ctx, last)
		total += n
	}
	return total, err
}

// relearn writes lessons about some of the contents that come after one. Last is the
// last of them, or negative when there are no more.
func (a *Account) relearn(ctx context.Context, after int64) (n int, last int64, err error) {
	err = a.Update(ctx, func(tx *Tx) error {
		n, last = 0, -1
		l, err := bstore.QueryTx[judged](tx.btx).FilterGreater("ContentID", after).SortAsc("ContentID").Limit(readBatch).List()
		if err != nil {
			return fmt.Errorf("read judgements: %w", err)
		}
		for _, j := range l {
			last = j.ContentID
			if j.Round == tx.lessonRound() {
				continue // It was judged meanwhile.
			}
			j.Round = tx.lessonRound()
			if err := tx.btx.Update(&j); err != nil {
				return fmt.Errorf("write judgement: %w", err)
			}
			if err := tx.addLesson(lesson{ContentID: j.ContentID, Junk: j.Junk}); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, last, err
}
