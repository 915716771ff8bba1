package queuedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
	"mox/internal/dbformat"
)

// DatabaseName is the path of the database in the data directory.
const DatabaseName = "queue/index.db"

// HoldFiles keeps the files of messages from being removed, so that the files stay that
// a snapshot names, until release is called.
func (d *DB) HoldFiles() (release func()) {
	unlock := d.removals.Hold()
	return func() {
		unlock()
		d.sweeper.due()
	}
}

// Snapshot copies the database, as it is in one short read transaction, to a file that
// must not exist yet, and syncs that. The files it names are those of [SnapshotFiles];
// HoldFiles keeps them in place.
func (d *DB) Snapshot(ctx context.Context, path string) error {
	return boltpages.Snapshot(path, func(w io.Writer) error {
		return d.read(ctx, func(tx *bstore.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}

// ContentPath returns the path of the file of a content, below the data directory.
func ContentPath(contentID int64) string {
	return filepath.Join("queue", "msg", dirName(contentID), strconv.FormatInt(contentID, 10))
}

// SnapshotFiles calls fn for each content in a copy of the database, by ascending id,
// with the size of its file. Each is to have a file at [ContentPath].
func SnapshotFiles(ctx context.Context, path string, fn func(contentID, size int64) error) (rerr error) {
	bdb, err := dbformat.Open(ctx, path, recordFormat, &bstore.Options{Timeout: openTimeout, MustExist: true}, recordTypes()...)
	if err != nil {
		return fmt.Errorf("open snapshot: %w", err)
	}
	defer func() { rerr = errors.Join(rerr, bdb.Close()) }()
	return bstore.QueryDB[Base](ctx, bdb).SortAsc("ID").ForEach(func(b Base) error {
		return fn(b.ID, b.Size-int64(len(b.Prefix)))
	})
}

// HoldAll puts the messages in a copy of the database on hold, with a reason for the
// operator: by the time that the copy is used, they may have been delivered. Messages of
// which only the sender is still to be told stay as they are. It returns how many were
// put on hold.
func HoldAll(ctx context.Context, path, reason string) (n int, rerr error) {
	bdb, err := dbformat.Open(ctx, path, recordFormat, &bstore.Options{Timeout: openTimeout, MustExist: true}, recordTypes()...)
	if err != nil {
		return 0, fmt.Errorf("open snapshot: %w", err)
	}
	defer func() { rerr = errors.Join(rerr, bdb.Close()) }()
	err = bdb.Write(ctx, func(tx *bstore.Tx) error {
		st := state{ID: 1}
		if err := tx.Get(&st); err != nil {
			return fmt.Errorf("read state: %w", err)
		}
		n, err = bstore.QueryTx[Message](tx).FilterEqual("Hold", false).FilterEqual("Failed", false).UpdateFields(map[string]any{"Hold": true, "HoldReason": reason})
		if err != nil {
			return err
		}
		st.Held += int64(n)
		return errors.Join(tx.Update(&st), keepFlows(tx))
	})
	return n, err
}

// keepFlows makes flows those of the messages that are not on hold.
func keepFlows(tx *bstore.Tx) error {
	flows := map[string]flow{}
	err := bstore.QueryTx[Message](tx).FilterEqual("Hold", false).ForEach(func(m Message) error {
		if f, ok := flows[m.Flow]; !ok || m.NextAttempt.Before(f.NextAttempt) {
			flows[m.Flow] = flow{m.Flow, m.Lane, m.Account, m.bulk(), m.NextAttempt}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := bstore.QueryTx[flow](tx).Delete(); err != nil {
		return err
	}
	for _, f := range flows {
		if err := tx.Insert(&f); err != nil {
			return err
		}
	}
	return nil
}

// VerifySnapshot checks the records in a copy of the database as [VerifyDir] does, without
// looking for files.
func VerifySnapshot(ctx context.Context, path string) (problems []Problem, rerr error) {
	if err := boltpages.Check(path); err != nil {
		return []Problem{problemf(problemRecord, 0, "%v", err)}, nil
	}
	bdb, err := dbformat.Open(ctx, path, recordFormat, &bstore.Options{Timeout: openTimeout, MustExist: true}, recordTypes()...)
	if err != nil {
		return []Problem{problemf(problemRecord, 0, "opening database: %v", err)}, nil
	}
	defer func() { rerr = errors.Join(rerr, bdb.Close()) }()
	v := verifier{contents: map[int64]contentCheck{}, flows: map[string]flow{}, usages: map[string]*usage{}}
	err = bdb.Read(ctx, v.records)
	return v.problems, err
}
