package transfer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mox/imap"
	"mox/store"
)

// notePrefix is in front of the names of notes about imports.
const notePrefix = "import/"

// State is how far an import is.
type State struct {
	ID      string    `json:"id"`
	Mailbox string    `json:"mailbox"`
	Source  string    `json:"source"`
	Started time.Time `json:"started"`
	Updated time.Time `json:"updated"`
	Done    int       `json:"done"` // Messages of the source that were looked at.
	Hash    []byte    `json:"hash"` // Of them.
	Stored  int       `json:"stored"`
	Octets  int64     `json:"octets"` // Of those stored.
	Skipped int       `json:"skipped"`

	Aborting bool `json:"aborting,omitempty"`
}

// journal is what is noted of an import.
type journal struct {
	State
	Boxes []journalBox `json:"boxes"`
}

// journalBox is a mailbox that messages go to.
type journalBox struct {
	Path   string      `json:"path"` // In the source.
	Name   string      `json:"name"`
	ID     int64       `json:"id"`
	Hidden bool        `json:"hidden,omitempty"` // It was made for the import.
	UIDs   imap.Ranges `json:"uids,omitempty"`   // Of the messages, for a mailbox that is not hidden.
}

// ErrNoImport: there is no import of that id.
var ErrNoImport = errors.New("no such import")

func newID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // Never fails.
	return hex.EncodeToString(b[:])
}

func (j journal) clone() journal {
	j.Boxes = slices.Clone(j.Boxes)
	for i := range j.Boxes {
		j.Boxes[i].UIDs = slices.Clone(j.Boxes[i].UIDs)
	}
	return j
}

func (j journal) write(tx *store.Tx) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return tx.SetNote(notePrefix+j.ID, b)
}

func readJournal(ctx context.Context, a *store.Account, id string) (j journal, err error) {
	b, err := a.Note(ctx, notePrefix+id)
	if err == nil && b == nil {
		err = fmt.Errorf("%w: %q", ErrNoImport, id)
	}
	if err != nil {
		return j, err
	}
	return j, json.Unmarshal(b, &j)
}

// Imports returns the imports of an account that are not complete.
func (t *Transfers) Imports(ctx context.Context, a *store.Account) (l []State, err error) {
	names, err := a.Notes(ctx, notePrefix)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		j, err := readJournal(ctx, a, strings.TrimPrefix(n, notePrefix))
		if errors.Is(err, ErrNoImport) {
			continue // It was completed meanwhile.
		} else if err != nil {
			return nil, err
		}
		l = append(l, j.State)
	}
	return l, nil
}

// abortBatch is how many messages one commit of Abort removes.
const abortBatch = 200

// Abort removes all that an import has stored, and forgets it. Messages of new mailboxes,
// which nobody has seen, go at once; those in other mailboxes are expunged, where they are
// still there.
func (t *Transfers) Abort(ctx context.Context, a *store.Account, id string) (State, error) {
	return t.abort(ctx, a, id, func(j *journal) bool { return true })
}

// Expire ends the imports of an account that can no longer go on, and aborts that were
// interrupted. Of an import, what nobody has seen is removed; messages that it has added to
// mailboxes that were there before stay, because people may use them.
func (t *Transfers) Expire(ctx context.Context, a *store.Account) error {
	l, err := t.Imports(ctx, a)
	if err != nil {
		return err
	}
	var errs []error
	for _, st := range l {
		_, err := t.abort(ctx, a, st.ID, func(j *journal) bool {
			if j.Aborting {
				return true
			}
			j.Boxes = slices.DeleteFunc(j.Boxes, func(b journalBox) bool { return !b.Hidden })
			return time.Since(j.Updated) > Lifetime
		})
		if err != nil && !errors.Is(err, ErrRunning) && !errors.Is(err, ErrNoImport) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// abort removes what the journal of an import says, and forgets it. Unwanted can change
// the journal first, and says whether the import is to end.
func (t *Transfers) abort(ctx context.Context, a *store.Account, id string, unwanted func(*journal) bool) (State, error) {
	release, err := t.alone(a.Name(), notePrefix+id)
	if err != nil {
		return State{}, fmt.Errorf("import %s: %w", id, err)
	}
	defer release()
	j, err := readJournal(ctx, a, id)
	if err != nil || !unwanted(&j) {
		return j.State, err
	}
	j.Aborting = true
	if err := a.Update(ctx, j.write); err != nil {
		return j.State, err
	}
	for _, b := range j.Boxes {
		if b.Hidden {
			err = a.DiscardHidden(ctx, b.ID)
		} else {
			err = expunge(ctx, a, b.ID, b.UIDs)
		}
		if err != nil && !errors.Is(err, store.ErrNoMailbox) {
			return j.State, err
		}
	}
	t.opts.Log.InfoContext(ctx, "import was aborted", "account", a.Name(), "import", id, "source", j.Source, "messages", j.Stored, "updated", j.Updated)
	return j.State, a.Update(ctx, func(tx *store.Tx) error { return tx.SetNote(notePrefix+id, nil) })
}

// expunge removes messages, some at a time.
func expunge(ctx context.Context, a *store.Account, mailboxID int64, uids imap.Ranges) error {
	var l []uint32
	for uid := range uids.All() {
		l = append(l, uid)
	}
	for batch := range slices.Chunk(l, abortBatch) {
		err := a.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.ExpungeForGood(mailboxID, batch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
