package dbformat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mjl-/bstore"

	"mox/internal/boltpages"
	"mox/internal/safefile"
)

// OpenIn opens or creates a database file in a directory, for this user only, see [Open].
// It waits a few seconds for another process that has it. The name of a new file is on
// disk when OpenIn returns.
func OpenIn(ctx context.Context, dir, name string, format int, types ...any) (*bstore.DB, error) {
	path := filepath.Join(dir, name)
	_, serr := os.Stat(path)
	db, err := Open(ctx, path, format, &bstore.Options{Timeout: openTimeout, Perm: 0600}, types...)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if errors.Is(serr, fs.ErrNotExist) {
		if err := safefile.OS.SyncDir(dir); err != nil {
			return nil, errors.Join(fmt.Errorf("sync directory: %w", err), db.Close())
		}
	}
	return db, nil
}

// Verify returns what is wrong with a database file that nobody has open: with its pages,
// or if they are good, what check adds about what is in it. There need not be a file. An
// error is about checking.
func Verify[D io.Closer](path string, open func() (D, error), check func(d D, add func(format string, args ...any))) (problems []string, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := boltpages.Check(path); err != nil {
		return []string{err.Error()}, nil
	}
	d, err := open()
	if err != nil {
		return nil, err
	}
	check(d, func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) })
	return problems, d.Close()
}

// Copy copies a database, as it is in one short read transaction, to a file that must not
// exist yet, and syncs that.
func Copy(ctx context.Context, db *bstore.DB, path string) error {
	return boltpages.Snapshot(path, func(w io.Writer) error {
		return db.Read(ctx, func(tx *bstore.Tx) error { _, err := tx.WriteTo(w); return err })
	})
}
