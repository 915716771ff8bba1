package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mjl-/bstore"

	"mox/imap"
)

// verifier checks the invariants of docs/storage.md for one account. It reads
// everything in one transaction, then looks at the files.
type verifier struct {
	a         *Account
	skipFiles bool

	problems []problem
	state    state
	boxes    map[int64]*Mailbox
	counted  map[int64]*Counts // By mailbox, from the messages.
	total    Counts
	contents map[int64]contentFacts
	erases   map[int64]erase
	refs     map[int64]int32 // Messages by content.
	tombs    int64
	strays   []string // Files without a record.

	annotationCount, annotationBytes int64
}

type contentFacts struct{ size, prefix int64 }

type problem struct {
	text    string
	fixable bool
}

func newVerifier(a *Account) *verifier {
	return &verifier{a: a, boxes: map[int64]*Mailbox{}, counted: map[int64]*Counts{}, contents: map[int64]contentFacts{}, erases: map[int64]erase{}, refs: map[int64]int32{}}
}

func (v *verifier) errorf(format string, args ...any) {
	if len(v.problems) < maxProblems {
		v.problems = append(v.problems, problem{text: fmt.Sprintf(format, args...)})
	}
}

// fixable is errorf for what fix corrects.
func (v *verifier) fixable(format string, args ...any) {
	n := len(v.problems)
	v.errorf(format, args...)
	if len(v.problems) > n {
		v.problems[n].fixable = true
	}
}

func (v *verifier) run(ctx context.Context) error {
	steps := []func(*bstore.Tx) error{v.readState, v.mailboxes, v.readContents, v.messages, v.references, v.tombstones, v.annotations, v.judgements, v.others, v.sums}
	err := v.a.read(ctx, func(tx *bstore.Tx) error {
		for _, step := range steps {
			if err := step(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	if err := v.indexFiles(ctx); err != nil || v.skipFiles {
		return err
	}
	return v.files()
}

func (v *verifier) readState(tx *bstore.Tx) error {
	v.state.ID = 1
	if err := tx.Get(&v.state); errors.Is(err, bstore.ErrAbsent) {
		// A crash between creating the file and the first commit leaves this; opening
		// the account finishes it.
		return nil
	} else if err != nil {
		return err
	}
	if v.state.Version > formatVersion {
		v.errorf("storage format is version %d, this mox knows up to %d", v.state.Version, formatVersion)
	}
	if v.state.ContentLow > v.state.ContentHigh || v.state.ContentHigh-v.state.ContentLow > 100*idBlock {
		v.errorf("reserved message ids from %d to %d", v.state.ContentLow, v.state.ContentHigh)
	}
	return nil
}

func (v *verifier) mailboxes(tx *bstore.Tx) error {
	err := bstore.QueryTx[Mailbox](tx).ForEach(func(mb Mailbox) error {
		v.boxes[mb.ID], v.counted[mb.ID] = &mb, &Counts{}
		return nil
	})
	if err != nil {
		return err
	}
	var used SpecialUse
	inbox := false
	for _, mb := range v.boxes {
		inbox = inbox || mb.Name == imap.Inbox
		if _, err := imap.ParseMailboxName(mb.Name); err != nil && !isHidden(mb.Name) {
			v.errorf("mailbox %q has an invalid name", mb.Name)
		}
		var parent string
		if p := v.boxes[mb.ParentID]; p != nil {
			parent = p.Name
		}
		if parent != imap.MailboxParent(mb.Name) && !isHidden(mb.Name) {
			v.errorf("mailbox %q has parent %d named %q", mb.Name, mb.ParentID, parent)
		}
		if mb.UIDValidity >= v.state.NextUIDValidity {
			v.errorf("mailbox %q has uidvalidity %d, next one is %d", mb.Name, mb.UIDValidity, v.state.NextUIDValidity)
		}
		if mb.ModSeq > v.state.ModSeq || mb.CreateSeq > mb.ModSeq || mb.CreateSeq <= 0 {
			v.errorf("mailbox %q has modseq %d and createseq %d, account %d", mb.Name, mb.ModSeq, mb.CreateSeq, v.state.ModSeq)
		}
		if !slices.IsSorted(mb.Keywords) {
			v.errorf("mailbox %q has unsorted keywords", mb.Name)
		}
		if used&mb.SpecialUse != 0 {
			v.errorf("special use of mailbox %q is that of another one too", mb.Name)
		}
		used |= mb.SpecialUse
	}
	if !inbox && v.state.ModSeq > 0 {
		v.errorf("there is no Inbox")
	}
	return nil
}

func (v *verifier) readContents(tx *bstore.Tx) error {
	err := bstore.QueryTx[content](tx).ForEach(func(c content) error {
		v.contents[c.ID] = contentFacts{c.Size, int64(len(c.Prefix))}
		if err := c.Digest.Valid(); err != nil {
			v.errorf("message content %d: %v", c.ID, err)
		} else if c.Digest.Size() != c.Size {
			v.errorf("message content %d has size %d, parsed as %d", c.ID, c.Size, c.Digest.Size())
		}
		if c.ID >= v.state.ContentHigh {
			v.errorf("message content %d is beyond the reserved ids", c.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return bstore.QueryTx[erase](tx).ForEach(func(e erase) error {
		v.erases[e.ContentID] = e
		c, ok := v.contents[e.ContentID]
		if ok != (e.ModSeq != 0) {
			v.errorf("erased content %d has modseq %d, has a record: %v", e.ContentID, e.ModSeq, ok)
		} else if ok && c.size != e.Size {
			v.errorf("erased content %d has size %d, recorded as %d", e.ContentID, c.size, e.Size)
		}
		return nil
	})
}

func (v *verifier) messages(tx *bstore.Tx) error {
	return bstore.QueryTx[Message](tx).ForEach(func(m Message) error {
		v.refs[m.ContentID]++
		v.total.count(m.Flags, m.Size, 1)
		mb := v.boxes[m.MailboxID]
		if mb == nil {
			v.errorf("message %d is in mailbox %d, which does not exist", m.ID, m.MailboxID)
			return nil
		}
		v.counted[mb.ID].count(m.Flags, m.Size, 1)
		where := fmt.Sprintf("message %d (%q uid %d)", m.ID, mb.Name, m.UID)
		if m.UID >= mb.UIDNext {
			v.errorf("%s: uidnext of the mailbox is %d", where, mb.UIDNext)
		}
		if m.ModSeq > mb.ModSeq || m.CreateSeq > m.ModSeq || m.CreateSeq <= 0 {
			v.errorf("%s: modseq %d, createseq %d, mailbox %d", where, m.ModSeq, m.CreateSeq, mb.ModSeq)
		}
		if c, ok := v.contents[m.ContentID]; !ok {
			v.errorf("%s: content %d does not exist", where, m.ContentID)
		} else if c.size != m.Size {
			v.errorf("%s: size %d, its content %d has %d", where, m.Size, m.ContentID, c.size)
		}
		if m.ThreadID <= 0 || m.ThreadID >= v.state.ContentHigh {
			v.errorf("%s: thread %d is beyond the reserved ids", where, m.ThreadID)
		}
		if !slices.IsSorted(m.Keywords) || len(mergeKeywords(mb.Keywords, m.Keywords)) != len(mb.Keywords) {
			v.errorf("%s: keywords %q, mailbox %q", where, m.Keywords, mb.Keywords)
		}
		return nil
	})
}

// references checks that contents are shared by as many messages as recorded, and
// erased when there are none.
func (v *verifier) references(tx *bstore.Tx) error {
	shares := map[int64]int32{}
	err := bstore.QueryTx[share](tx).ForEach(func(s share) error { shares[s.ContentID] = s.Extra; return nil })
	if err != nil {
		return err
	}
	for id := range v.contents {
		n := v.refs[id]
		if _, erased := v.erases[id]; erased != (n == 0) {
			v.errorf("content %d is used by %d messages, waits to be erased: %v", id, n, erased)
		}
		if n > 0 && shares[id] != n-1 {
			v.errorf("content %d is used by %d messages, recorded are %d", id, n, shares[id]+1)
		}
		delete(shares, id)
	}
	for id := range shares {
		v.errorf("shared content %d does not exist", id)
	}
	return nil
}

func (v *verifier) tombstones(tx *bstore.Tx) error {
	return eachTombstone(tx, func(t tombstone) error {
		if t.ModSeq == 0 { // Only for undelete, possibly from before its mailbox got new UIDs.
			return nil
		}
		v.tombs++
		if t.ModSeq > v.state.ModSeq || t.ModSeq < t.CreateSeq {
			v.errorf("expunged message %d has modseq %d, account %d", t.MessageID, t.ModSeq, v.state.ModSeq)
		}
		mb := v.boxes[t.MailboxID]
		if mb == nil {
			return nil
		}
		if t.UID >= mb.UIDNext {
			v.errorf("expunged message of %q has uid %d, uidnext is %d", mb.Name, t.UID, mb.UIDNext)
		}
		exists, err := bstore.QueryTx[Message](tx).FilterNonzero(Message{MailboxID: t.MailboxID, UID: t.UID}).Exists()
		if exists {
			v.errorf("uid %d in %q is both a message and expunged", t.UID, mb.Name)
		}
		return err
	})
}

// judgements checks that what is known of senders is of messages that are there.
func (v *verifier) judgements(tx *bstore.Tx) error {
	junk := map[int64]bool{}
	err := bstore.QueryTx[judged](tx).ForEach(func(j judged) error {
		junk[j.ContentID] = j.Junk
		if _, ok := v.contents[j.ContentID]; !ok {
			v.errorf("judged content %d does not exist", j.ContentID)
		}
		if j.Round > v.state.LessonRound+1 {
			v.errorf("judged content %d was learned in round %d, which is to come", j.ContentID, j.Round)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = bstore.QueryTx[lesson](tx).FilterGreater("Row", v.state.LessonRow).ForEach(func(l lesson) error {
		v.errorf("lesson %d is after the last, %d", l.Row, v.state.LessonRow)
		return nil
	})
	if err != nil {
		return err
	}
	return bstore.QueryTx[reputation](tx).ForEach(func(r reputation) error {
		id, _, _ := strings.Cut(r.Key, "/")
		if n, err := strconv.ParseInt(id, 10, 64); err != nil || v.boxes[n] == nil {
			v.errorf("reputation %q is for a mailbox that does not exist", r.Key)
		}
		if len(r.Outcomes) == 0 || len(r.Outcomes) > maxOutcomes {
			v.errorf("reputation %q has %d outcomes", r.Key, len(r.Outcomes))
		}
		for i, o := range r.Outcomes {
			if i > 0 && o.Received > r.Outcomes[i-1].Received {
				v.errorf("reputation %q is not in order", r.Key)
			}
			if isJunk, ok := junk[o.ContentID]; !ok || isJunk != o.Junk || v.refs[o.ContentID] == 0 {
				v.errorf("reputation %q has content %d, junk %v, of which that is not known", r.Key, o.ContentID, o.Junk)
			}
		}
		return nil
	})
}

// others reads the records that have no invariants beyond being readable.
func (v *verifier) others(tx *bstore.Tx) error {
	return errors.Join(
		bstore.QueryTx[thread](tx).ForEach(func(thread) error { return nil }),
		bstore.QueryTx[threadKey](tx).ForEach(func(threadKey) error { return nil }),
		bstore.QueryTx[formerMailbox](tx).ForEach(func(formerMailbox) error { return nil }),
		bstore.QueryTx[subscription](tx).ForEach(func(subscription) error { return nil }),
		bstore.QueryTx[lesson](tx).ForEach(func(lesson) error { return nil }),
		bstore.QueryTx[contact](tx).ForEach(func(contact) error { return nil }),
		bstore.QueryTx[senderRule](tx).ForEach(func(senderRule) error { return nil }),
		bstore.QueryTx[subjectPass](tx).ForEach(func(subjectPass) error { return nil }),
		bstore.QueryTx[note](tx).ForEach(func(note) error { return nil }),
		bstore.QueryTx[credentials](tx).ForEach(func(credentials) error { return nil }),
	)
}

func (v *verifier) sums(*bstore.Tx) error {
	for id, mb := range v.boxes {
		if *v.counted[id] != mb.Counts {
			v.fixable("mailbox %q has counts %+v, its messages make %+v", mb.Name, mb.Counts, *v.counted[id])
		}
	}
	if got := v.wantState(); got != v.state {
		v.fixable("account totals are %+v, should be %+v", v.state, got)
	}
	return nil
}

// wantState returns the state with the totals that the records make.
func (v *verifier) wantState() state {
	st := v.state
	st.Messages, st.Size, st.Tombstones, st.EraseSize = v.total.Messages, v.total.Size, v.tombs, 0
	st.Annotations, st.AnnotationBytes = v.annotationCount, v.annotationBytes
	for _, e := range v.erases {
		if e.ModSeq != 0 {
			st.EraseSize += e.Size
		}
	}
	return st
}

// files checks that each content has a file of the right size, and that there are
// no others, apart from those that a crash may leave behind.
func (v *verifier) files() error {
	msgDir := filepath.Join(v.a.dir, "msg")
	dirs, err := v.a.store.fs.ReadDir(msgDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	missing := maps.Clone(v.contents)
	for _, d := range dirs {
		entries, err := v.a.store.fs.ReadDir(filepath.Join(msgDir, d.Name()))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := v.file(filepath.Join(msgDir, d.Name(), e.Name()), e, missing); err != nil {
				return err
			}
		}
	}
	for id := range missing {
		v.errorf("file of content %d is missing: %s", id, v.a.contentPath(id))
	}
	return nil
}

func (v *verifier) file(path string, e fs.DirEntry, missing map[int64]contentFacts) error {
	id, err := strconv.ParseInt(e.Name(), 10, 64)
	if err != nil || v.a.contentPath(id) != path {
		v.strays = append(v.strays, path)
		v.fixable("stray file %s", path)
		return nil
	}
	c, ok := v.contents[id]
	if _, erased := v.erases[id]; !ok && (erased || id >= v.state.ContentLow && id < v.state.ContentHigh) {
		return nil // Being removed, or of a message that was never acknowledged.
	} else if !ok {
		v.strays = append(v.strays, path)
		v.fixable("file %s has no record", path)
		return nil
	}
	delete(missing, id)
	fi, err := e.Info()
	if err != nil {
		return err
	}
	if fi.Size()+c.prefix != c.size {
		v.errorf("file %s has %d octets, should have %d", path, fi.Size(), c.size-c.prefix)
	}
	return nil
}

// readErases reads what waits to be erased, for sums.
func (v *verifier) readErases(tx *bstore.Tx) error {
	return bstore.QueryTx[erase](tx).ForEach(func(e erase) error { v.erases[e.ContentID] = e; return nil })
}

// fix corrects counts and totals, and moves stray files to lost/.
func (v *verifier) fix(ctx context.Context) (fixed bool, err error) {
	if v.state.ModSeq == 0 {
		return false, nil
	}
	err = v.a.db.Write(ctx, func(tx *bstore.Tx) error {
		for id, mb := range v.boxes {
			mb.Counts = *v.counted[id]
			if err := tx.Update(mb); err != nil {
				return err
			}
		}
		st := v.wantState()
		return tx.Update(&st)
	})
	if err != nil {
		return false, err
	}
	for _, path := range v.strays {
		if err := v.a.toLost(path); err != nil {
			return false, err
		}
	}
	return true, nil
}
