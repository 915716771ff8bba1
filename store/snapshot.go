package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
)

// DatabaseName is the name of the database in the directory of an account.
const DatabaseName = dbName

// HoldFiles keeps the files of messages in all accounts from being removed, so that the
// files stay that a snapshot names, until release is called.
func (s *Store) HoldFiles() (release func()) { return s.removals.Hold() }

// Names returns the names of the accounts on disk, sorted.
func (s *Store) Names() ([]string, error) { return Names(s.opts.Dir) }

// Names returns the names of the accounts in a data directory, sorted.
func Names(dataDir string) ([]string, error) {
	dir := filepath.Join(dataDir, "accounts")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var l []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), dbName)); err == nil {
			l = append(l, e.Name())
		} else if !errors.Is(err, fs.ErrNotExist) && e.IsDir() {
			return nil, err
		}
	}
	return l, nil
}

// Snapshot copies the database, as it is in one short read transaction, to a file that
// must not exist yet, and syncs that. The files it names are those of [SnapshotFiles];
// [Store.HoldFiles] keeps them in place.
func (a *Account) Snapshot(ctx context.Context, path string) error {
	return boltpages.Snapshot(path, func(w io.Writer) error {
		return a.read(ctx, func(tx *bstore.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}

// ContentPath returns the path of the file of a content, below the directory of the
// account.
func ContentPath(contentID int64) string {
	return filepath.Join("msg", contentDir(contentID), strconv.FormatInt(contentID, 10))
}

// SnapshotFiles calls fn for each content in a copy of a database, by ascending id, with
// the size of its file. Each is to have a file at [ContentPath].
func SnapshotFiles(ctx context.Context, path string, fn func(contentID, size int64) error) (rerr error) {
	db, err := openSnapshot(ctx, path)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return bstore.QueryDB[content](ctx, db).SortAsc("ID").ForEach(func(ct content) error {
		return fn(ct.ID, ct.Size-int64(len(ct.Prefix)))
	})
}
