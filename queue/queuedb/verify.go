package queuedb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"

	"github.com/mjl-/bstore"
)

// A Problem is something that must not be: a finding of Verify.
type Problem struct {
	kind problemKind
	id   int64 // Of a content, for those about files.
	text string
}

type problemKind int

const (
	problemDerived problemKind = iota // A count or flow that does not follow from the messages.
	problemRecord                     // A record that cannot be right.
	problemMissing                    // A content without file, or with one of the wrong size.
	problemOrphan                     // A file without record.
)

// String returns a sentence for the operator.
func (p Problem) String() string { return p.text }

func problemf(kind problemKind, id int64, format string, args ...any) Problem {
	return Problem{kind, id, fmt.Sprintf(format, args...)}
}

// Verify checks all that docs/storage.md says of the queue: that files and
// contents agree, that each message has its content, and that flows, usage and
// totals follow from the messages. It can be called while the queue is in use.
func (d *DB) Verify(ctx context.Context) ([]Problem, error) {
	return d.verify(ctx, false)
}

// verify is Verify, also for a database that is opened for checking only, in which
// no id is in use.
func (d *DB) verify(ctx context.Context, offline bool) ([]Problem, error) {
	v := verifier{d: d, offline: offline, contents: map[int64]contentCheck{}, flows: map[string]flow{}, usages: map[string]*usage{}}
	if err := d.read(ctx, v.records); err != nil {
		return nil, fmt.Errorf("verify queue: %w", err)
	}
	if err := v.files(ctx); err != nil {
		return nil, fmt.Errorf("verify queue: %w", err)
	}
	sort.Slice(v.problems, func(i, j int) bool { return v.problems[i].text < v.problems[j].text })
	return v.problems, nil
}

type contentCheck struct {
	size     int64 // Of the file.
	account  string
	messages int
}

// verifier collects what the records say in one transaction.
type verifier struct {
	d        *DB
	offline  bool
	problems []Problem
	contents map[int64]contentCheck
	erased   map[int64]bool
	flows    map[string]flow
	usages   map[string]*usage
	state    state
}

func (v *verifier) add(kind problemKind, id int64, format string, args ...any) {
	v.problems = append(v.problems, problemf(kind, id, format, args...))
}

func (v *verifier) usage(account string) *usage {
	u := v.usages[account]
	if u == nil {
		u = &usage{Account: account}
		v.usages[account] = u
	}
	return u
}

func (v *verifier) records(tx *bstore.Tx) error {
	v.state = state{ID: 1}
	if err := tx.Get(&v.state); err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	for c, err := range bstore.QueryTx[Base](tx).All() {
		if err != nil {
			return err
		}
		v.contents[c.ID] = contentCheck{size: c.Size - int64(len(c.Prefix))}
		if c.ID >= v.state.ContentHigh {
			v.add(problemRecord, 0, "content %d is beyond the reserved ids, which end at %d", c.ID, v.state.ContentHigh)
		}
	}
	total := state{}
	for m, err := range bstore.QueryTx[Message](tx).All() {
		if err != nil {
			return err
		}
		v.message(m, &total)
	}
	for id, c := range v.contents {
		if c.messages == 0 {
			v.add(problemRecord, id, "content %d has no message", id)
			continue
		}
		var base = Base{ID: id}
		if err := tx.Get(&base); err != nil {
			return err
		}
		v.usage(c.account).Size += base.Size
		total.Size += base.Size
	}
	v.totals(total)
	return v.derived(tx)
}

func (v *verifier) message(m Message, total *state) {
	c, ok := v.contents[m.ContentID]
	if !ok {
		v.add(problemRecord, 0, "message %d has no content %d", m.ID, m.ContentID)
	} else {
		if c.messages > 0 && c.account != m.Account {
			v.add(problemRecord, 0, "message %d shares content %d with account %s", m.ID, m.ContentID, c.account)
		}
		c.messages++
		c.account = m.Account
		v.contents[m.ContentID] = c
	}
	if m.Lane != m.lane() || m.Flow != m.flow() {
		v.add(problemRecord, 0, "message %d is in flow %q of lane %q, not %q of %q", m.ID, m.Flow, m.Lane, m.flow(), m.lane())
	}
	total.Messages++
	if m.Hold {
		total.Held++
	}
	if m.Failed {
		total.Failed++
	}
	v.usage(m.Account).Messages++
	if m.Hold {
		return
	}
	if f, ok := v.flows[m.Flow]; !ok || m.NextAttempt.Before(f.NextAttempt) {
		v.flows[m.Flow] = flow{m.Flow, m.Lane, m.Account, m.bulk(), m.NextAttempt}
	}
}

func (v *verifier) totals(want state) {
	s := v.state
	if s.Messages != want.Messages || s.Held != want.Held || s.Failed != want.Failed || s.Size != want.Size {
		v.add(problemDerived, 0, "totals are %d messages, %d held, %d failed, %d octets; the messages say %d, %d, %d, %d",
			s.Messages, s.Held, s.Failed, s.Size, want.Messages, want.Held, want.Failed, want.Size)
	}
}

// derived compares flows and usages with those computed, and reads erase rows.
func (v *verifier) derived(tx *bstore.Tx) error {
	n := 0
	for f, err := range bstore.QueryTx[flow](tx).All() {
		if err != nil {
			return err
		}
		n++
		want, ok := v.flows[f.Name]
		if !ok || !want.NextAttempt.Equal(f.NextAttempt) || f.Lane != want.Lane || f.Account != want.Account || f.Bulk != want.Bulk {
			v.add(problemDerived, 0, "flow %q has its next attempt at %v; the messages say %v", f.Name, f.NextAttempt, want.NextAttempt)
		}
	}
	if n != len(v.flows) {
		v.add(problemDerived, 0, "there are %d flows; the messages say %d", n, len(v.flows))
	}
	n = 0
	for u, err := range bstore.QueryTx[usage](tx).All() {
		if err != nil {
			return err
		}
		n++
		if want := v.usage(u.Account); *want != u {
			v.add(problemDerived, 0, "account %q uses %d messages and %d octets; the messages say %d and %d", u.Account, u.Messages, u.Size, want.Messages, want.Size)
		}
	}
	if n != len(v.usages) {
		v.add(problemDerived, 0, "%d accounts use the queue; the messages say %d", n, len(v.usages))
	}
	v.erased = map[int64]bool{}
	for e, err := range bstore.QueryTx[erase](tx).All() {
		if err != nil {
			return err
		}
		v.erased[e.ContentID] = true
		if _, ok := v.contents[e.ContentID]; ok {
			v.add(problemRecord, 0, "content %d has an erase row", e.ContentID)
		}
	}
	return nil
}

// files compares the files with the contents. Both change meanwhile, so what
// looks wrong is looked at once more.
func (v *verifier) files(ctx context.Context) error {
	d := v.d
	seen := map[int64]bool{}
	dirs, err := d.fs.ReadDir(d.contentDir())
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		entries, err := d.fs.ReadDir(filepath.Join(d.contentDir(), dir.Name()))
		if err != nil {
			return err
		}
		for _, e := range entries {
			id, ok := parseName(e.Name())
			if !ok || dirName(id) != dir.Name() {
				v.add(problemRecord, 0, "file %s is not of the queue", filepath.Join(d.contentDir(), dir.Name(), e.Name()))
				continue
			}
			seen[id] = true
			if err := v.file(ctx, id); err != nil {
				return err
			}
		}
	}
	for id := range v.contents {
		if seen[id] {
			continue
		}
		if err := v.missing(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// file checks a file that is there.
func (v *verifier) file(ctx context.Context, id int64) error {
	d := v.d
	if c, ok := v.contents[id]; ok {
		fi, err := d.fs.Stat(d.pathOf(id))
		if errors.Is(err, fs.ErrNotExist) {
			return v.missing(ctx, id)
		} else if err != nil {
			return err
		}
		if fi.Size() != c.size {
			v.add(problemMissing, id, "file of content %d has %d octets, not %d", id, fi.Size(), c.size)
		}
		return nil
	}
	// The order matters: an id that is not in flight has a record, an erase row, or no
	// file; a record is followed by an erase row, and that by the end of the file.
	if v.erased[id] || !v.offline && d.ids.inFlight(id) || v.offline && id >= v.state.ContentLow && id < v.state.ContentHigh {
		return nil
	}
	known, err := d.known(ctx, id)
	if err != nil || known {
		return err
	}
	_, err = d.fs.Stat(d.pathOf(id))
	if err == nil {
		v.add(problemOrphan, id, "file %s has no record", d.pathOf(id))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// known reports whether a content has a record or an erase row.
func (d *DB) known(ctx context.Context, id int64) (bool, error) {
	known := false
	err := d.read(ctx, func(tx *bstore.Tx) error {
		for _, r := range []any{&Base{ID: id}, &erase{id}} {
			err := tx.Get(r)
			if err != nil && err != bstore.ErrAbsent {
				return err
			}
			known = known || err == nil
		}
		return nil
	})
	return known, err
}

// missing checks a content whose file is not there.
func (v *verifier) missing(ctx context.Context, id int64) error {
	return v.d.read(ctx, func(tx *bstore.Tx) error {
		err := tx.Get(&Base{ID: id})
		if err == nil {
			v.add(problemMissing, id, "content %d has no file", id)
		} else if err == bstore.ErrAbsent {
			err = nil
		}
		return err
	})
}
