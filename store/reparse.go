package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/mjl-/bstore"

	"mox/message"
)

// reparseBatch is how many contents are parsed for one commit.
const reparseBatch = 100

// reparse reads files of messages again, and corrects what is recorded of them: sizes, and
// what was parsed. UIDs and UIDVALIDITY stay.
func (a *Account) reparse(ctx context.Context, kind RepairKind) (string, error) {
	var after int64
	var parsed, missing int
	for {
		var l []content
		err := a.read(ctx, func(tx *bstore.Tx) (err error) {
			l, err = bstore.QueryTx[content](tx).FilterGreater("ID", after).SortAsc("ID").Limit(reparseBatch).List()
			return err
		})
		if err != nil {
			return "", err
		}
		if len(l) == 0 {
			break
		}
		after = l[len(l)-1].ID
		var changed []content
		for i := range l {
			ok, err := a.parseAgain(&l[i], kind)
			if errors.Is(err, fs.ErrNotExist) {
				missing++
			} else if err != nil {
				return "", fmt.Errorf("message content %d: %w", l[i].ID, err)
			} else if ok {
				changed = append(changed, l[i])
			}
		}
		if err := a.replaceContents(ctx, changed); err != nil {
			return "", err
		}
		parsed += len(changed)
	}
	sizes := 0
	err := a.Update(ctx, func(tx *Tx) (err error) { sizes, err = tx.correctSizes(); return err })
	if err != nil {
		return "", err
	}
	result := fmt.Sprintf("%d messages parsed with another result, sizes of %d messages corrected", parsed, sizes)
	if missing > 0 {
		result += fmt.Sprintf(", %d files are missing", missing)
	}
	return result, nil
}

// parseAgain corrects a content, and reports whether it changed.
func (a *Account) parseAgain(ct *content, kind RepairKind) (changed bool, rerr error) {
	f, err := a.store.fs.OpenFile(a.contentPath(ct.ID), 0, 0)
	if err != nil {
		return false, err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	info, err := a.store.fs.Stat(a.contentPath(ct.ID))
	if err != nil {
		return false, err
	}
	size := int64(len(ct.Prefix)) + info.Size()
	good := size == ct.Size && (kind == RepairSizes || ct.Digest.Valid() == nil)
	if good && ct.Digest.Valid() == nil {
		good = ct.Digest.Size() == size
	}
	if good && kind != RepairReparse {
		return false, nil
	}
	d, err := message.NewDigest(prefixed{ct.Prefix, f}, size, message.Limits{})
	if err != nil {
		return false, fmt.Errorf("parse: %w", err)
	}
	changed = size != ct.Size || !bytes.Equal(d, ct.Digest)
	ct.Size, ct.Digest = size, d
	return changed, nil
}

// replaceContents writes corrected contents, unless they have been erased meanwhile.
func (a *Account) replaceContents(ctx context.Context, l []content) error {
	if len(l) == 0 {
		return nil
	}
	err := a.Update(ctx, func(tx *Tx) error {
		tx.written = true
		for i := range l {
			if err := tx.btx.Update(&l[i]); err != nil && !errors.Is(err, bstore.ErrAbsent) {
				return fmt.Errorf("update content: %w", err)
			}
		}
		return nil
	})
	for _, ct := range l {
		a.store.cache.dropContent(a, ct.ID)
	}
	return errors.Join(err, a.forgetDerived())
}

// correctSizes gives messages the size of their content, and returns how many had another
// one.
func (tx *Tx) correctSizes() (n int, err error) {
	sizes := map[int64]int64{}
	err = bstore.QueryTx[content](tx.btx).ForEach(func(ct content) error { sizes[ct.ID] = ct.Size; return nil })
	if err != nil {
		return 0, err
	}
	var msgs []Message
	err = bstore.QueryTx[Message](tx.btx).ForEach(func(m Message) error {
		if size, ok := sizes[m.ContentID]; ok && size != m.Size {
			msgs = append(msgs, m)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i := range msgs {
		m := &msgs[i]
		b, err := tx.box(m.MailboxID)
		if err != nil {
			return 0, err
		}
		b.Counts.count(m.Flags, m.Size, -1)
		tx.state.Size += sizes[m.ContentID] - m.Size
		m.Size, m.ModSeq = sizes[m.ContentID], tx.next()
		b.Counts.count(m.Flags, m.Size, 1)
		tx.touch(b)
		tx.messageSet(m)
		if err := tx.btx.Update(m); err != nil {
			return 0, err
		}
	}
	return len(msgs), tx.correctExpungedSizes(sizes)
}

// correctExpungedSizes is correctSizes for what was expunged.
func (tx *Tx) correctExpungedSizes(sizes map[int64]int64) error {
	erases, err := bstore.QueryTx[erase](tx.btx).FilterNotEqual("ModSeq", ModSeq(0)).List()
	if err != nil {
		return err
	}
	for i := range erases {
		e := &erases[i]
		if size, ok := sizes[e.ContentID]; ok && size != e.Size {
			tx.written = true
			tx.state.EraseSize += size - e.Size
			e.Size = size
			if err := tx.btx.Update(e); err != nil {
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
		t := &tombs[i]
		if size, ok := sizes[t.ContentID]; ok && size != t.Size {
			tx.written = true
			t.Size = size
			if err := tx.btx.Update(t); err != nil {
				return err
			}
		}
	}
	return nil
}
