package backup

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"mox/internal/safefile"
)

// markerName is the name of the file that says that a place has backups, and how.
const markerName = "mox-backup.json"

// Kinds of places.
const (
	kindTree    = "tree"    // A directory with a tree of files for each snapshot.
	kindObjects = "objects" // Objects named by the hash of what is in them.
)

// marker describes a place.
type marker struct {
	Version   int    `json:"moxbackup"`
	Kind      string `json:"kind"`
	ID        string `json:"id"` // Random.
	Encrypted bool   `json:"encrypted"`
}

// Errors about places, to be matched with errors.Is.
var (
	// ErrNoBackup: there are no backups in a place.
	ErrNoBackup = errors.New("no backup there")
	// ErrNoSnapshot: there is no such snapshot.
	ErrNoSnapshot = errors.New("no such snapshot")
	// ErrEncryption: recipients or identities are missing, or not wanted.
	ErrEncryption = errors.New("encryption does not fit")
)

// PlaceOptions are for [OpenPlace].
type PlaceOptions struct {
	// Location is the path of a directory, or the URL of a bucket and a prefix in it:
	// s3:https://host:port/bucket/prefix.
	Location   string
	Write      bool            // For Run and Prune: a directory is locked.
	Create     bool            // If there is no place for backups there, it is made.
	Recipients []age.Recipient // Who can read what is written. None: everyone.
	Identities []age.Identity  // For reading what is encrypted.
	S3         S3Options       // For locations of that kind.
}

// A Place has snapshots. Its methods are not to be called concurrently with Run, Prune, or
// one another.
type Place struct {
	repo     repo
	marker   marker
	location string
}

// Info is about a snapshot.
type Info struct {
	Name     string    `json:"name"` // Of the time when it was begun, which sorts.
	Started  time.Time `json:"started"`
	Complete bool      `json:"complete"` // Otherwise it was interrupted, or goes on, and the rest is not known.
	Footer   Footer    `json:"footer"`   // Without hash.
}

// repo is how snapshots are kept.
type repo interface {
	// list returns the snapshots, oldest first.
	list(ctx context.Context) ([]Info, error)
	// manifest opens the manifest of a complete snapshot.
	manifest(ctx context.Context, name string) (io.ReadCloser, error)
	// open opens a file of a complete snapshot. The content is not verified.
	open(ctx context.Context, name string, e Entry) (io.ReadCloser, error)
	// check verifies what is kept of a complete snapshot besides its files and manifest.
	check(ctx context.Context, name string) error
	// begin begins a snapshot of a data directory.
	begin(ctx context.Context, name, dataDir string) (sink, error)
	// remove removes snapshots, and what only they need.
	remove(ctx context.Context, names []string, log func(string)) error
	close() error
}

// sink is a snapshot in the making.
type sink interface {
	// olds returns what was kept before, best first: the last complete snapshot, and what
	// was interrupted since.
	olds(ctx context.Context) ([]*old, error)
	// manifestPath returns where the manifest is written until it is complete.
	manifestPath() string
	// dir returns the directory that all is in, or nothing if it is not in one.
	dir() string
	// store copies a file, and reports whether that was needed. What it returned is durable,
	// but for its name. It is safe for concurrent use.
	store(ctx context.Context, it item) (e Entry, copied bool, err error)
	// finish makes the snapshot complete. Its manifest is.
	finish(ctx context.Context, f Footer) error
	close() error
}

// old is a manifest of files that were kept before.
type old struct {
	*cursor
	closer   io.Closer
	base     string // Directory with the files, of trees.
	complete bool   // Of a complete snapshot.
}

func (o *old) close() error { return o.closer.Close() }

// oldEntry is a file that was kept before.
type oldEntry struct {
	Entry
	from *old
}

// same reports whether a file that is never changed is the one that was kept.
func (o oldEntry) same(info fs.FileInfo) bool {
	return o.Size == info.Size() && o.Time == info.ModTime().UnixNano()
}

// OpenPlace opens a place. The caller closes it.
func OpenPlace(ctx context.Context, o PlaceOptions) (p *Place, rerr error) {
	if rest, ok := strings.CutPrefix(o.Location, "s3:"); ok {
		b, err := openS3(rest, o.S3)
		if err != nil {
			return nil, err
		}
		return openObjects(ctx, b, o)
	}
	dir, err := filepath.Abs(o.Location)
	if err != nil {
		return nil, err
	}
	m, err := readMarker(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if !o.Create {
			return nil, fmt.Errorf("%w: %s has no %s", ErrNoBackup, dir, markerName)
		}
		m, err = newPlace(dir, len(o.Recipients) > 0)
	}
	if err != nil {
		return nil, err
	}
	var lock *safefile.DirLock
	if o.Write {
		if lock, err = safefile.LockDir(dir); err != nil {
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
	}
	if m.Kind == kindObjects {
		return openObjects(ctx, &dirBucket{dir: dir, lock: lock}, o)
	}
	t := &tree{root: dir, lock: lock}
	if len(o.Recipients) > 0 {
		return nil, errors.Join(fmt.Errorf("%w: backups in %s are not encrypted, use another directory for those that are", ErrEncryption, dir), t.close())
	}
	return &Place{repo: t, marker: m, location: o.Location}, nil
}

// IsPlace reports whether a directory is one with backups.
func IsPlace(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, markerName))
	return err == nil
}

func readMarker(dir string) (marker, error) {
	data, err := os.ReadFile(filepath.Join(dir, markerName))
	if err != nil {
		return marker{}, err
	}
	return parseMarker(data)
}

func parseMarker(data []byte) (m marker, err error) {
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w: %s: %w", ErrDamaged, markerName, err)
	}
	if m.Version != manifestVersion || m.Kind != kindTree && m.Kind != kindObjects || m.ID == "" || m.ID != filepath.Base(m.ID) {
		return m, fmt.Errorf("%s: made by a newer mox, or damaged", markerName)
	}
	return m, nil
}

func newMarker(kind string, encrypted bool) (marker, []byte, error) {
	m := marker{manifestVersion, kind, strings.ToLower(rand.Text()), encrypted}
	data, err := json.MarshalIndent(m, "", "\t")
	return m, append(data, '\n'), err
}

// newPlace makes a directory one for backups. It must be empty, but for what an attempt
// at the same has left.
func newPlace(dir string, encrypted bool) (marker, error) {
	if err := os.MkdirAll(dir, 0700); err != nil {
		return marker{}, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return marker{}, err
	}
	for _, e := range entries {
		switch unfinished, err := filepath.Match("."+markerName+".*.tmp", e.Name()); {
		case err != nil:
			return marker{}, err
		case unfinished:
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return marker{}, err
			}
		case e.Name() != "lost+found":
			return marker{}, fmt.Errorf("directory %s has other files and no backups: use an empty one", dir)
		}
	}
	kind := kindTree
	if encrypted {
		kind = kindObjects
	}
	m, data, err := newMarker(kind, encrypted)
	if err != nil {
		return m, err
	}
	if err := safefile.WriteFile(filepath.Join(dir, markerName), data, 0600); err != nil {
		return m, err
	}
	return m, safefile.SyncDir(filepath.Dir(dir))
}

// Close closes the place.
func (p *Place) Close() error { return p.repo.close() }

// Encrypted reports whether what is kept is encrypted.
func (p *Place) Encrypted() bool { return p.marker.Encrypted }

// Snapshots returns the snapshots, oldest first, also those that are not complete.
func (p *Place) Snapshots(ctx context.Context) ([]Info, error) { return p.repo.list(ctx) }

// Snapshot is a complete snapshot.
type Snapshot struct {
	Info
	repo repo
}

// Snapshot returns a complete snapshot by name, or the last one for "latest" or no name.
func (p *Place) Snapshot(ctx context.Context, name string) (*Snapshot, error) {
	l, err := p.repo.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, info := range slices.Backward(l) {
		if name == info.Name && !info.Complete {
			return nil, fmt.Errorf("%w: %s is not complete", ErrNoSnapshot, name)
		}
		if info.Complete && (name == info.Name || name == "" || name == "latest") {
			return &Snapshot{info, p.repo}, nil
		}
	}
	return nil, fmt.Errorf("%w: %q in %s", ErrNoSnapshot, name, p.location)
}

// Entries calls fn for each file, in the order of the manifest. Without error, the
// manifest was complete and undamaged.
func (s *Snapshot) Entries(ctx context.Context, fn func(Entry) error) (rerr error) {
	r, err := s.repo.manifest(ctx, s.Name)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, r.Close()) }()
	m, err := newManifestReader(r)
	if err != nil {
		return err
	}
	if m.header.Name != s.Name {
		return fmt.Errorf("%w: manifest of %q is that of %q", ErrDamaged, s.Name, m.header.Name)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := m.next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
}

// Open opens a file. Reading it to its end returns an error that matches [ErrDamaged] if
// the content is not what was kept.
func (s *Snapshot) Open(ctx context.Context, e Entry) (io.ReadCloser, error) {
	r, err := s.repo.open(ctx, s.Name, e)
	if err != nil {
		return nil, err
	}
	return newVerifyReader(r, e), nil
}
