package dbformat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mjl-/bstore"
	bolt "go.etcd.io/bbolt"

	"mox/internal/boltpages"
	"mox/internal/safefile"
)

// KeepSnapshots is for how long a database as it was before is kept, from when it was
// first opened with the new format: no longer than the files of messages that were
// expunged since.
const KeepSnapshots = 7 * 24 * time.Hour

// ErrNewer: the database was written by a newer version of the program.
var ErrNewer = errors.New("written by a newer version of mox")

// bucketName is a bucket that is none of a type of records. The record is at recordKey.
var bucketName, recordKey = []byte("_format"), []byte("format")

// record is what a database says about its format. One without is of format 0.
type record struct {
	Format    int       // Of the records.
	Upgrading int       `json:",omitzero"` // To which format a change was begun. There is a copy of what was before.
	From      int       `json:",omitzero"` // The format before.
	Since     time.Time `json:",omitzero"` // When the change to Format was done. Zero for a new database.
	Commit    int       `json:",omitzero"` // The last one of the change.
}

// Open is [bstore.Open] for a database whose records have a format, a number above zero.
// The error matches ErrNewer if the file has a higher one.
func Open(ctx context.Context, path string, format int, opts *bstore.Options, types ...any) (*bstore.DB, error) {
	o := bstore.Options{}
	if opts != nil {
		o = *opts
	}
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !o.MustExist {
		// With its format before the first record, so that it is never taken for an old one.
		if err := write(path, &o, record{Format: format}); err != nil {
			return nil, err
		}
		return bstore.Open(ctx, path, &o, types...)
	} else if err != nil {
		return nil, err
	}
	r, empty, _, err := read(path, o.Timeout)
	switch {
	case err != nil:
		return nil, err
	case empty: // Of a crash while it was made.
		if err := write(path, &o, record{Format: format}); err != nil {
			return nil, err
		}
	case r.Format > format || r.Upgrading > format:
		return nil, fmt.Errorf("database %s has format %d and this version of mox knows %d: %w; install that version again, or go back with its command \"mox upgrade back\"", path, max(r.Format, r.Upgrading), format, ErrNewer)
	case r.Format < format:
		return upgrade(ctx, path, r, format, &o, types)
	case !r.Since.IsZero() && time.Since(r.Since) > KeepSnapshots:
		if err := remove(SnapshotPath(path, format)); err != nil {
			return nil, fmt.Errorf("remove snapshot that is not needed any more: %w", err)
		}
	}
	return bstore.Open(ctx, path, &o, types...)
}

// SnapshotPath returns the path of the copy of a database before it was changed to a
// format.
func SnapshotPath(path string, format int) string { return fmt.Sprintf("%s.before-%d", path, format) }

// upgrade changes a database to a new format. A crash in it is followed by another
// upgrade, of which the copy is still the one from before the first.
func upgrade(ctx context.Context, path string, r record, format int, o *bstore.Options, types []any) (*bstore.DB, error) {
	if r.Upgrading != format {
		if err := snapshot(path, format); err != nil {
			return nil, fmt.Errorf("keep database as it is before it is upgraded: %w", err)
		}
		if err := write(path, o, record{Format: r.Format, Upgrading: format, From: r.Format}); err != nil {
			return nil, err
		}
	}
	db, err := bstore.Open(ctx, path, o, types...)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	_, _, commit, err := read(path, o.Timeout)
	if err != nil {
		return nil, err
	}
	// Plus the one that writes this, and the one of opening it.
	if err := write(path, o, record{Format: format, From: r.Format, Since: time.Now().UTC(), Commit: commit + 2}); err != nil {
		return nil, err
	}
	return bstore.Open(ctx, path, o, types...)
}

// snapshot makes a checked copy, in the place of one that is not complete.
func snapshot(path string, format int) error {
	if err := boltpages.Check(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	dst := SnapshotPath(path, format)
	tmp := dst + ".tmp"
	if err := remove(tmp); err != nil {
		return err
	}
	if err := boltpages.Copy(tmp, path); err != nil {
		return err
	}
	if err := errors.Join(boltpages.Check(tmp), os.Chmod(tmp, info.Mode().Perm())); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if err := os.Rename(tmp, dst); err != nil {
		return err
	}
	return safefile.SyncDir(filepath.Dir(path))
}

func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// read returns what a database says about its format, whether it has nothing at all, and
// the number of its last commit.
func read(path string, timeout time.Duration) (r record, empty bool, commit int, rerr error) {
	defer func() {
		// The library panics on some broken files.
		if x := recover(); x != nil {
			rerr = fmt.Errorf("database file %s is damaged: %v", path, x)
		}
	}()
	// It cannot be opened for reading only before it has its first pages.
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return r, true, 0, err
	}
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: timeout})
	if err != nil {
		return r, false, 0, fmt.Errorf("database file %s: %w", path, err)
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	err = db.View(func(tx *bolt.Tx) error {
		commit = tx.ID()
		if k, _ := tx.Cursor().First(); k == nil {
			empty = true
		}
		b := tx.Bucket(bucketName)
		if b == nil {
			return nil
		}
		if err := json.Unmarshal(b.Get(recordKey), &r); err != nil {
			return fmt.Errorf("format of database %s: %w", path, err)
		}
		return nil
	})
	return r, empty, commit, err
}

// write writes what a database says about its format, and makes the file if there is
// none.
func write(path string, o *bstore.Options, r record) (rerr error) {
	mode := o.Perm
	if mode == 0 {
		mode = 0600
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	db, err := bolt.Open(path, mode, &bolt.Options{Timeout: o.Timeout})
	if err != nil {
		return fmt.Errorf("database file %s: %w", path, err)
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketName)
		if err != nil {
			return err
		}
		return b.Put(recordKey, data)
	})
}
