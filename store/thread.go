package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/mjl-/bstore"

	"mox/message"
)

const (
	// maxThreadRefs is how many references of a message, the closest ones, join it to
	// a thread.
	maxThreadRefs = 50
	// maxThreadKey is the length of a Message-ID or subject that is kept as it is; of
	// longer ones a hash is kept.
	maxThreadKey = 200

	// A reply without references joins the newest thread of its subject when that
	// began to be quiet no longer ago than subjectAge, or is at most subjectAhead newer.
	subjectAge   = 4 * 7 * 24 * time.Hour
	subjectAhead = 24 * time.Hour
)

// threadKey returns a string as it is used for a key in the database.
func threadKey(b []byte) string {
	if len(b) <= maxThreadKey {
		return string(b)
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// assignThread returns the thread for a new message. A message with a Message-ID
// that was seen before, as one's own or in references of another message, joins
// that thread; else it joins the thread of its closest known reference, if the
// subject is the same; else, if it is a reply without references, that of its
// subject. Otherwise it starts a thread. What it refers to is remembered, so that
// parents that arrive later join. A thread's id never changes.
func (tx *Tx) assignThread(d message.Digest, received time.Time) (thread, error) {
	var keys []string // Own Message-ID, then references, closest first.
	if id := d.MessageID(); len(id) > 0 {
		keys = append(keys, threadKey(id))
	}
	own := len(keys)
	var refs []string
	for ref := range d.References() {
		refs = append(refs, threadKey(ref))
	}
	for i := len(refs) - 1; i >= 0 && len(keys) < own+maxThreadRefs; i-- {
		keys = append(keys, refs[i])
	}
	subject := threadKey(d.BaseSubject())

	t, known, err := tx.findThread(keys, own, subject, d.IsDSN())
	if err == nil && t.ID == 0 && len(refs) == 0 && d.IsReply() && subject != "" {
		t, err = tx.subjectThread(subject, received)
	}
	if err == nil && t.ID == 0 {
		t.BaseSubject = subject
		err = tx.btx.Insert(&t)
	}
	if err != nil {
		return t, fmt.Errorf("find thread: %w", err)
	}
	for _, k := range keys {
		if known[k] {
			continue
		}
		known[k] = true
		if err := tx.btx.Insert(&threadRef{k, t.ID}); err != nil {
			return t, fmt.Errorf("insert thread reference: %w", err)
		}
	}
	return t, tx.noteSubject(subject, t.ID, received)
}

// findThread returns the thread of the first key that has one, and which keys
// have one. Keys from own on are references, which only count with the same
// subject.
func (tx *Tx) findThread(keys []string, own int, subject string, dsn bool) (t thread, known map[string]bool, err error) {
	known = map[string]bool{}
	for i, k := range keys {
		ref := threadRef{MessageID: k}
		if err := tx.btx.Get(&ref); errors.Is(err, bstore.ErrAbsent) {
			continue
		} else if err != nil {
			return t, known, err
		}
		known[k] = true
		if t.ID != 0 {
			continue
		}
		c := thread{ID: ref.ThreadID}
		if err := tx.btx.Get(&c); err != nil {
			return t, known, err
		}
		if i < own || dsn || c.BaseSubject == subject {
			t = c
		}
	}
	return t, known, nil
}

func (tx *Tx) subjectThread(subject string, received time.Time) (t thread, err error) {
	s := subjectRef{BaseSubject: subject}
	if err := tx.btx.Get(&s); errors.Is(err, bstore.ErrAbsent) {
		return t, nil
	} else if err != nil {
		return t, err
	}
	if d := received.Sub(s.Received); d > subjectAge || d < -subjectAhead {
		return t, nil
	}
	t.ID = s.ThreadID
	return t, tx.btx.Get(&t)
}

// noteSubject remembers the thread that was newest for a subject.
func (tx *Tx) noteSubject(subject string, threadID int64, received time.Time) error {
	if subject == "" {
		return nil
	}
	s := subjectRef{BaseSubject: subject}
	err := tx.btx.Get(&s)
	switch {
	case errors.Is(err, bstore.ErrAbsent):
		s.ThreadID, s.Received = threadID, received
		err = tx.btx.Insert(&s)
	case err == nil && s.Received.Before(received):
		s.ThreadID, s.Received = threadID, received
		err = tx.btx.Update(&s)
	}
	if err != nil {
		return fmt.Errorf("note subject: %w", err)
	}
	return nil
}

// forgetThread deletes what is kept of a thread when its last content is erased.
func (tx *Tx) forgetThread(id int64) error {
	if ok, err := bstore.QueryTx[Message](tx.btx).FilterNonzero(Message{ThreadID: id}).Exists(); err != nil || ok {
		return err
	}
	if ok, err := bstore.QueryTx[erase](tx.btx).FilterGreater("ModSeq", ModSeq(0)).FilterEqual("ThreadID", id).Exists(); err != nil || ok {
		return err
	}
	t := thread{ID: id}
	if err := tx.btx.Get(&t); errors.Is(err, bstore.ErrAbsent) {
		return nil
	} else if err != nil {
		return err
	}
	s := subjectRef{BaseSubject: t.BaseSubject}
	if t.BaseSubject != "" {
		if err := tx.btx.Get(&s); err == nil && s.ThreadID == id {
			err = tx.btx.Delete(&s)
			if err != nil {
				return err
			}
		} else if err != nil && !errors.Is(err, bstore.ErrAbsent) {
			return err
		}
	}
	if _, err := bstore.QueryTx[threadRef](tx.btx).FilterNonzero(threadRef{ThreadID: id}).Delete(); err != nil {
		return err
	}
	return tx.btx.Delete(&t)
}
