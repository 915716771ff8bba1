package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/mjl-/bstore"
)

// Limits of annotations.
const (
	MaxAnnotations        = 1000      // In an account.
	MaxAnnotationBytes    = 1_000_000 // Octets of names and values in an account.
	MaxAnnotationSize     = 64 << 10  // Octets of a value.
	MaxAnnotationNameSize = 1024      // Octets of a name.
)

// annotation is a metadata entry of a mailbox or of the account (RFC 5464).
type annotation struct {
	ID        int64  `bstore:"typename Annotation"`
	MailboxID int64  `bstore:"unique MailboxID+Name"` // Zero for the account.
	Name      string `bstore:"nonzero"`               // Lower-case.
	Value     []byte
	ModSeq    ModSeq
}

func (an *annotation) size() int64 { return int64(len(an.Name) + len(an.Value)) }

// Annotation is a metadata entry with its value (RFC 5464 §3).
type Annotation struct {
	Name  string // Lower-case ASCII, such as "/private/comment".
	Value []byte
}

// AnnotationChange sets an entry, or removes it.
type AnnotationChange struct {
	Annotation
	Remove bool
}

// SetAnnotations sets or removes entries of a mailbox, or with id 0 of the account. What
// does not change anything is not a change. Errors: ErrNoMailbox, ErrTooLarge for a value,
// ErrLimit for their number or sum, ErrOverQuota.
func (tx *Tx) SetAnnotations(mailboxID int64, changes []AnnotationChange) error {
	var name string
	if mailboxID != 0 {
		b, err := tx.box(mailboxID)
		if err != nil {
			return err
		}
		name = b.Name
	}
	for _, c := range changes {
		changed, err := tx.setAnnotation(mailboxID, c)
		if err != nil {
			return err
		}
		if changed {
			tx.changes = append(tx.changes, Change{Kind: ChangeMetadata, ModSeq: tx.next(), MailboxID: mailboxID, Name: name, Entry: c.Name})
		}
	}
	return nil
}

// setAnnotation sets or removes one entry, and reports whether that changed something.
func (tx *Tx) setAnnotation(mailboxID int64, c AnnotationChange) (bool, error) {
	if len(c.Value) > MaxAnnotationSize || len(c.Name) > MaxAnnotationNameSize {
		return false, fmt.Errorf("%w: annotation of %d octets", ErrTooLarge, len(c.Value))
	}
	q := bstore.QueryTx[annotation](tx.btx).FilterEqual("MailboxID", mailboxID).FilterEqual("Name", c.Name)
	l, err := q.List()
	if err != nil {
		return false, fmt.Errorf("read annotation: %w", err)
	}
	an := annotation{MailboxID: mailboxID, Name: c.Name}
	if len(l) > 0 {
		an = l[0]
	}
	switch {
	case c.Remove && an.ID == 0, !c.Remove && an.ID != 0 && string(an.Value) == string(c.Value):
		return false, nil
	case c.Remove:
		return true, tx.dropAnnotation(&an)
	}
	if an.ID != 0 {
		tx.state.AnnotationBytes -= an.size()
	} else {
		tx.state.Annotations++
	}
	an.Value, an.ModSeq = c.Value, tx.next()
	tx.state.AnnotationBytes += an.size()
	if tx.state.Annotations > MaxAnnotations || tx.state.AnnotationBytes > MaxAnnotationBytes {
		return false, fmt.Errorf("%w: %d annotations with %d octets", ErrLimit, MaxAnnotations, MaxAnnotationBytes)
	}
	if err := tx.checkQuota(Usage{Size: tx.state.AnnotationBytes}); err != nil {
		return false, err
	}
	if an.ID != 0 {
		err = tx.btx.Update(&an)
	} else {
		err = tx.btx.Insert(&an)
	}
	if err != nil {
		return false, fmt.Errorf("write annotation: %w", err)
	}
	return true, nil
}

func (tx *Tx) dropAnnotation(an *annotation) error {
	tx.state.Annotations--
	tx.state.AnnotationBytes -= an.size()
	tx.next()
	if err := tx.btx.Delete(an); err != nil {
		return fmt.Errorf("delete annotation: %w", err)
	}
	return nil
}

// dropAnnotations removes the entries of a mailbox that is removed.
func (tx *Tx) dropAnnotations(mailboxID int64) error {
	l, err := bstore.QueryTx[annotation](tx.btx).FilterEqual("MailboxID", mailboxID).List()
	if err != nil {
		return fmt.Errorf("read annotations: %w", err)
	}
	for i := range l {
		if err := tx.dropAnnotation(&l[i]); err != nil {
			return err
		}
	}
	return nil
}

// copyAnnotations copies the entries of a mailbox to a new one.
func (tx *Tx) copyAnnotations(srcID, dstID int64) error {
	l, err := bstore.QueryTx[annotation](tx.btx).FilterEqual("MailboxID", srcID).List()
	if err != nil {
		return fmt.Errorf("read annotations: %w", err)
	}
	for _, an := range l {
		if _, err := tx.setAnnotation(dstID, AnnotationChange{Annotation: Annotation{an.Name, an.Value}}); err != nil {
			return err
		}
	}
	return nil
}

// Annotations returns the entries of a mailbox, or with id 0 of the account, by name. They
// are at most MaxAnnotations with MaxAnnotationBytes.
func (a *Account) Annotations(ctx context.Context, mailboxID int64) (l []Annotation, err error) {
	if a.Tree().state.Annotations == 0 {
		return nil, nil
	}
	err = a.read(ctx, func(tx *bstore.Tx) error {
		q := bstore.QueryTx[annotation](tx).FilterEqual("MailboxID", mailboxID).SortAsc("Name")
		return q.ForEach(func(an annotation) error {
			l = append(l, Annotation{an.Name, an.Value})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read annotations: %w", err)
	}
	return l, nil
}

// annotations checks entries.
func (v *verifier) annotations(tx *bstore.Tx) error {
	return bstore.QueryTx[annotation](tx).ForEach(func(an annotation) error {
		v.annotationCount++
		v.annotationBytes += an.size()
		if an.MailboxID != 0 && v.boxes[an.MailboxID] == nil {
			v.errorf("annotation %q is of mailbox %d, which does not exist", an.Name, an.MailboxID)
		}
		if an.Name != strings.ToLower(an.Name) || an.ModSeq <= 0 || an.ModSeq > v.state.ModSeq {
			v.errorf("annotation %q of mailbox %d has modseq %d", an.Name, an.MailboxID, an.ModSeq)
		}
		return nil
	})
}
