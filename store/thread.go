package store

import (
	"crypto/sha256"
	"encoding/binary"
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

// keyOf returns a Message-ID ("i:") or base subject ("s:") as it is used for a key
// in the database, empty for an empty one.
func keyOf(kind string, b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case len(b) <= maxThreadKey:
		return kind + string(b)
	}
	sum := sha256.Sum256(b)
	return kind + "sha256:" + hex.EncodeToString(sum[:])
}

// threadKeys are the keys of a message.
type threadKeys struct {
	own     string   // Of its Message-ID; empty if it has none.
	refs    []string // Of what it refers to, closest first.
	subject string   // Of its base subject; empty if it has none.
	hash    uint64   // Of its base subject.
}

func keysOf(d message.Digest) threadKeys {
	k := threadKeys{own: keyOf("i:", d.MessageID()), subject: keyOf("s:", d.BaseSubject())}
	sum := sha256.Sum256(d.BaseSubject())
	k.hash = binary.LittleEndian.Uint64(sum[:])
	var refs []string
	for ref := range d.References() {
		refs = append(refs, keyOf("i:", ref))
	}
	for i := len(refs) - 1; i >= 0 && len(k.refs) < maxThreadRefs; i-- {
		k.refs = append(k.refs, refs[i])
	}
	return k
}

// ids returns the keys of Message-IDs, its own first.
func (k threadKeys) ids() []string {
	if k.own == "" {
		return k.refs
	}
	return append([]string{k.own}, k.refs...)
}

// assignThread returns the thread for a new message. A message with a Message-ID
// that was seen before, as one's own or in references of another message, joins
// that thread; else it joins the thread of its closest known reference, if the
// subject is the same; else, if it is a reply without references, that of its
// subject. Otherwise it starts a thread, with the id of its content. What it refers
// to is remembered, so that parents that arrive later join. A thread's id never
// changes.
func (tx *Tx) assignThread(contentID int64, d message.Digest, received time.Time) (t thread, err error) {
	k := keysOf(d)
	id, known, err := tx.findThread(k, d.IsDSN())
	if err == nil && id == 0 && len(k.refs) == 0 && d.IsReply() {
		id, err = tx.subjectThread(k.subject, received)
	}
	if err != nil {
		return t, fmt.Errorf("find thread: %w", err)
	}
	if id == 0 {
		t.ID = contentID
	} else if t, err = tx.threadState(id); err != nil {
		return t, err
	}
	for _, key := range k.ids() {
		if known[key] {
			continue
		}
		known[key] = true
		if err := tx.btx.Insert(&threadKey{Key: key, ThreadID: t.ID, Subject: k.hash}); err != nil {
			return t, fmt.Errorf("insert thread key: %w", err)
		}
	}
	return t, tx.noteSubject(k.subject, t.ID, received)
}

// findThread returns the thread of the first Message-ID that has one, zero if none
// has, and which have one. References only count with the same subject.
func (tx *Tx) findThread(k threadKeys, dsn bool) (id int64, known map[string]bool, err error) {
	known = map[string]bool{}
	for _, key := range k.ids() {
		ref := threadKey{Key: key}
		if err := tx.btx.Get(&ref); errors.Is(err, bstore.ErrAbsent) {
			continue
		} else if err != nil {
			return 0, nil, err
		}
		known[key] = true
		if id == 0 && (key == k.own || dsn || ref.Subject == k.hash) {
			id = ref.ThreadID
		}
	}
	return id, known, nil
}

func (tx *Tx) subjectThread(subject string, received time.Time) (int64, error) {
	s := threadKey{Key: subject}
	if subject == "" {
		return 0, nil
	}
	if err := tx.btx.Get(&s); errors.Is(err, bstore.ErrAbsent) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if d := received.Sub(s.Received); d > subjectAge || d < -subjectAhead {
		return 0, nil
	}
	return s.ThreadID, nil
}

// noteSubject remembers the thread that was newest for a subject.
func (tx *Tx) noteSubject(subject string, threadID int64, received time.Time) error {
	if subject == "" {
		return nil
	}
	s := threadKey{Key: subject}
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

// threadState returns whether a thread is muted or collapsed.
func (tx *Tx) threadState(id int64) (thread, error) {
	t := thread{ID: id}
	if err := tx.btx.Get(&t); err != nil && !errors.Is(err, bstore.ErrAbsent) {
		return t, fmt.Errorf("read thread: %w", err)
	}
	return t, nil
}

// setThreadState replaces the state of a thread.
func (tx *Tx) setThreadState(old, new thread) error {
	tx.written = true
	has := func(t thread) bool { return t.Muted || t.Collapsed }
	switch {
	case !has(new):
		return tx.btx.Delete(&new)
	case !has(old):
		return tx.btx.Insert(&new)
	}
	return tx.btx.Update(&new)
}

// forgetThread deletes what is kept of a thread when the last content of which it
// has a message is erased. What was known of contents that were erased before, and
// that this one does not refer to, stays.
func (tx *Tx) forgetThread(id int64, d message.Digest) error {
	if ok, err := bstore.QueryTx[Message](tx.btx).FilterNonzero(Message{ThreadID: id}).Exists(); err != nil || ok {
		return err
	}
	k := keysOf(d)
	for _, key := range append(k.ids(), k.subject) {
		r := threadKey{Key: key}
		if key == "" {
			continue
		}
		if err := tx.btx.Get(&r); err == nil && r.ThreadID == id {
			if err := tx.btx.Delete(&r); err != nil {
				return fmt.Errorf("delete thread key: %w", err)
			}
		} else if err != nil && !errors.Is(err, bstore.ErrAbsent) {
			return fmt.Errorf("read thread key: %w", err)
		}
	}
	if err := tx.btx.Delete(&thread{ID: id}); err != nil && !errors.Is(err, bstore.ErrAbsent) {
		return fmt.Errorf("delete thread: %w", err)
	}
	return nil
}
