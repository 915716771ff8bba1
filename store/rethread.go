package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mjl-/bstore"
)

// rethreader assigns all contents of an account to threads anew, as if they arrived in the
// order of their ids. It has all in memory.
type rethreader struct {
	high     int64               // Ids of threads are below it.
	old      map[int64]int64     // Thread of each content, as it is.
	received map[int64]time.Time // Of each content.
	ids      map[string]keyOwner
	subjects map[string]keyOwner
	groups   [][]int64 // Contents of each new thread, ascending.
	group    map[int64]int
}

// keyOwner is a thread key with the group that has it.
type keyOwner struct {
	group    int
	hash     uint64
	received time.Time
}

// reassignThreads makes threads anew. A thread that comes out as it was keeps its id. The
// mailboxes with messages whose thread has another id get a new UIDVALIDITY before that, so
// that no client sees a THREADID change (RFC 8474 §5.2). Nobody else has the account.
func (a *Account) reassignThreads(ctx context.Context) (string, error) {
	r := rethreader{old: map[int64]int64{}, received: map[int64]time.Time{}, ids: map[string]keyOwner{}, subjects: map[string]keyOwner{}, group: map[int64]int{}}
	if err := a.read(ctx, r.read); err != nil {
		return "", fmt.Errorf("read threads: %w", err)
	}
	names := r.names()
	thread := func(contentID int64) int64 { return names[r.group[contentID]] }
	boxes, changed := 0, 0
	err := a.Update(ctx, func(tx *Tx) error {
		var msgs []Message
		moved := map[int64]bool{}
		err := bstore.QueryTx[Message](tx.btx).ForEach(func(m Message) error {
			if _, ok := r.group[m.ContentID]; ok && m.ThreadID != thread(m.ContentID) {
				m.ThreadID = thread(m.ContentID)
				msgs = append(msgs, m)
				moved[m.MailboxID] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(moved)) {
			if err := tx.BumpUIDValidity(id); err != nil {
				return err
			}
		}
		for i := range msgs {
			msgs[i].ModSeq = tx.next()
			if err := tx.btx.Update(&msgs[i]); err != nil {
				return err
			}
		}
		boxes, changed = len(moved), len(msgs)
		return tx.replaceThreads(&r, names)
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d threads, %d messages are in another one, %d mailboxes have a new uidvalidity", len(r.groups), changed, boxes), nil
}

// read reads all contents and groups them.
func (r *rethreader) read(tx *bstore.Tx) error {
	note := func(contentID, threadID int64, received time.Time) {
		if _, ok := r.old[contentID]; !ok && contentID != 0 {
			r.old[contentID], r.received[contentID] = threadID, received
		}
	}
	st := state{ID: 1}
	if err := tx.Get(&st); err != nil {
		return err
	}
	r.high = st.ContentHigh
	err := bstore.QueryTx[Message](tx).ForEach(func(m Message) error { note(m.ContentID, m.ThreadID, m.Received); return nil })
	if err != nil {
		return err
	}
	if err := eachTombstone(tx, func(t tombstone) error { note(t.ContentID, t.ThreadID, t.Received); return nil }); err != nil {
		return err
	}
	if err := bstore.QueryTx[erase](tx).ForEach(func(e erase) error { note(e.ContentID, e.ThreadID, e.Since); return nil }); err != nil {
		return err
	}
	return bstore.QueryTx[content](tx).SortAsc("ID").ForEach(func(ct content) error {
		if ct.Digest.Valid() == nil {
			r.add(&ct)
		}
		return nil
	})
}

// add assigns a content, as assignThread does.
func (r *rethreader) add(ct *content) {
	k, received := keysOf(ct.Digest), r.received[ct.ID]
	g := -1
	for _, key := range k.ids() {
		if o, ok := r.ids[key]; ok && (key == k.own || ct.Digest.IsDSN() || o.hash == k.hash) {
			g = o.group
			break
		}
	}
	if g < 0 && len(k.refs) == 0 && ct.Digest.IsReply() && k.subject != "" {
		if o, ok := r.subjects[k.subject]; ok {
			if d := received.Sub(o.received); d <= subjectAge && d >= -subjectAhead {
				g = o.group
			}
		}
	}
	if g < 0 {
		g = len(r.groups)
		r.groups = append(r.groups, nil)
	}
	r.groups[g] = append(r.groups[g], ct.ID)
	r.group[ct.ID] = g
	for _, key := range k.ids() {
		if _, ok := r.ids[key]; !ok {
			r.ids[key] = keyOwner{group: g, hash: k.hash}
		}
	}
	if o, ok := r.subjects[k.subject]; k.subject != "" && (!ok || o.received.Before(received)) {
		r.subjects[k.subject] = keyOwner{group: g, received: received}
	}
}

// names returns the thread id of each group: that which its first content has, or else that
// content's own, or that of a later one.
func (r *rethreader) names() []int64 {
	used := map[int64]bool{}
	names := make([]int64, len(r.groups))
	valid := func(id int64) bool { return id > 0 && id < r.high && !used[id] }
	for g, l := range r.groups {
		for _, id := range append([]int64{r.old[l[0]]}, l...) {
			if valid(id) {
				names[g] = id
				break
			}
		}
		if names[g] == 0 {
			names[g] = l[0] // Threads that cannot be told apart by id stay together.
		}
		used[names[g]] = true
	}
	return names
}

// replaceThreads writes all that is kept of threads, but for messages.
func (tx *Tx) replaceThreads(r *rethreader, names []int64) error {
	tx.written = true
	if err := tx.rethreadExpunged(r, names); err != nil {
		return err
	}
	if _, err := bstore.QueryTx[threadKey](tx.btx).Delete(); err != nil {
		return err
	}
	for key, o := range r.ids {
		if err := tx.btx.Insert(&threadKey{Key: key, ThreadID: names[o.group], Subject: o.hash}); err != nil {
			return err
		}
	}
	for key, o := range r.subjects {
		if err := tx.btx.Insert(&threadKey{Key: key, ThreadID: names[o.group], Received: o.received}); err != nil {
			return err
		}
	}
	// Muted and collapsed is what the first message of a thread was.
	was := map[int64]thread{}
	if err := bstore.QueryTx[thread](tx.btx).ForEach(func(t thread) error { was[t.ID] = t; return nil }); err != nil {
		return err
	}
	if _, err := bstore.QueryTx[thread](tx.btx).Delete(); err != nil {
		return err
	}
	for g, l := range r.groups {
		if t, ok := was[r.old[l[0]]]; ok {
			t.ID = names[g]
			if err := tx.btx.Insert(&t); err != nil {
				return err
			}
		}
	}
	return nil
}

// rethreadExpunged changes the threads of what was expunged.
func (tx *Tx) rethreadExpunged(r *rethreader, names []int64) error {
	erases, err := bstore.QueryTx[erase](tx.btx).List()
	if err != nil {
		return err
	}
	for i := range erases {
		if g, ok := r.group[erases[i].ContentID]; ok && erases[i].ThreadID != names[g] {
			erases[i].ThreadID = names[g]
			if err := tx.btx.Update(&erases[i]); err != nil {
				return err
			}
		}
	}
	if err := tx.unpackAllTombstones(0); err != nil {
		return err
	}
	tombs, err := bstore.QueryTx[tombstone](tx.btx).FilterNotEqual("ContentID", int64(0)).List()
	if err != nil {
		return err
	}
	for i := range tombs {
		if g, ok := r.group[tombs[i].ContentID]; ok && tombs[i].ThreadID != names[g] {
			tombs[i].ThreadID = names[g]
			if err := tx.btx.Update(&tombs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
