package dbformat

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"mox/internal/boltpages"
	"mox/internal/safefile"
)

// Snapshot is a copy of a database from before its format changed.
type Snapshot struct {
	Path     string
	Database string // Path of what it is a copy of.
	Format   int    // To which the database was changed.
	Size     int64
	Since    time.Time // When that was done. Zero if it was interrupted.

	// Commits is how many there were in the database since: what they have changed is
	// not in the copy. Opening it is one, which changes nothing.
	Commits int
}

var snapshotName = regexp.MustCompile(`^(.+\.db)\.before-([0-9]+)$`)

// Snapshots returns the copies in a data directory. Nobody must have the databases open.
func Snapshots(dataDir string) ([]Snapshot, error) {
	var l []Snapshot
	for _, pattern := range []string{"*", filepath.Join("queue", "*"), filepath.Join("accounts", "*", "*")} {
		paths, err := filepath.Glob(filepath.Join(dataDir, pattern))
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			m := snapshotName.FindStringSubmatch(filepath.Base(p))
			if m == nil {
				continue
			}
			s, err := newSnapshot(p, filepath.Join(filepath.Dir(p), m[1]), m[2])
			if err != nil {
				return nil, err
			}
			l = append(l, s)
		}
	}
	return l, nil
}

// openTimeout is how long to wait for another process that has a database.
const openTimeout = 5 * time.Second

func newSnapshot(path, database, format string) (s Snapshot, err error) {
	s = Snapshot{Path: path, Database: database}
	if s.Format, err = strconv.Atoi(format); err != nil {
		return s, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	s.Size = info.Size()
	r, _, commit, err := read(database, openTimeout)
	if err != nil {
		return s, err
	}
	if r.Format == s.Format {
		s.Since, s.Commits = r.Since, commit-r.Commit
	}
	return s, nil
}

// Forget removes a copy. There is no way back then.
func Forget(s Snapshot) error {
	if err := os.Remove(s.Path); err != nil {
		return err
	}
	return safefile.SyncDir(filepath.Dir(s.Path))
}

// AfterPath returns the path at which a database stays when its copy took its place.
func AfterPath(s Snapshot) string { return fmt.Sprintf("%s.after-%d", s.Database, s.Format) }

// Back puts a copy, which is checked again, in the place of its database. That stays
// beside it, see AfterPath. At each moment, the database is one or the other.
func Back(s Snapshot) error {
	if err := boltpages.Check(s.Path); err != nil {
		return err
	}
	// After a crash in here it may be there already: as another name of the same file.
	if err := os.Link(s.Database, AfterPath(s)); err != nil && !(errors.Is(err, fs.ErrExist) && sameFile(s.Database, AfterPath(s))) {
		return fmt.Errorf("keep database: %w", err)
	}
	if err := safefile.SyncDir(filepath.Dir(s.Path)); err != nil {
		return err
	}
	if err := os.Rename(s.Path, s.Database); err != nil {
		return err
	}
	return safefile.SyncDir(filepath.Dir(s.Path))
}

func sameFile(a, b string) bool {
	ia, erra := os.Stat(a)
	ib, errb := os.Stat(b)
	return erra == nil && errb == nil && os.SameFile(ia, ib)
}
