package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mox/internal/boltpages"
	"mox/internal/safefile"
	"mox/internal/search/textindex"
	"mox/internal/training"
	"mox/queue/queuedb"
	"mox/store"
)

// A Source is what backups are made of: the data of a running server, or that of one that
// is stopped, see [Stopped].
type Source struct {
	DataDir   string
	ConfigDir string   // Directory of mox.conf. Empty: no configuration.
	External  []string // Files outside of both that the configuration names.

	Hold     func() (release func(), err error)                                // Keeps the files of messages in place.
	Accounts func() ([]string, error)                                          // Names, sorted.
	Account  func(ctx context.Context, name, path string) error                // Copies the database of an account to a new file.
	Filter   func(ctx context.Context, name, path string) (ok bool, err error) // Copies a junk filter, if there is one.
	Queue    func(ctx context.Context, path string) error                      // Copies the database of the queue.
	Others   map[string]func(ctx context.Context, path string) error           // Copies other databases, by their name in the data directory.
}

// Stopped returns a source for the data directory of a server that is stopped. The caller
// must have the lock of the directory.
func Stopped(dataDir string) (Source, error) {
	src := Source{
		DataDir:  dataDir,
		Hold:     func() (func(), error) { return func() {}, nil },
		Accounts: func() ([]string, error) { return store.Names(dataDir) },
		Account: func(_ context.Context, name, path string) error {
			return boltpages.Copy(path, filepath.Join(dataDir, "accounts", name, store.DatabaseName))
		},
		Filter: func(_ context.Context, name, path string) (bool, error) {
			return copyIfThere(path, filepath.Join(dataDir, "accounts", name, training.FileName))
		},
		Others: map[string]func(context.Context, string) error{},
	}
	queue := filepath.Join(dataDir, filepath.FromSlash(queuedb.DatabaseName))
	if _, err := os.Stat(queue); err == nil {
		src.Queue = func(_ context.Context, path string) error { return boltpages.Copy(path, queue) }
	} else if !errors.Is(err, fs.ErrNotExist) {
		return src, err
	}
	files, err := filepath.Glob(filepath.Join(escapeGlob(dataDir), "*.db"))
	if err != nil {
		return src, err
	}
	for _, file := range files {
		src.Others[filepath.Base(file)] = func(_ context.Context, path string) error { return boltpages.Copy(path, file) }
	}
	return src, nil
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

func copyIfThere(dst, src string) (bool, error) {
	if _, err := os.Stat(src); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, boltpages.Copy(dst, src)
}

// Names in the data directory of what is not for a backup, besides databases and messages.
const (
	// StateDir is what this package keeps in the data directory.
	StateDir   = "backup"
	tempDir    = "tmp"
	socketName = "ctl"
	// RestoreDir is where a data directory is restored to before it becomes one.
	RestoreDir = "restore.incomplete"
)

// plainFile is a file that is no database and no message.
type plainFile struct {
	path string // In the manifest.
	file string // On disk.
}

// finder collects plain files, and what is wrong with them.
type finder struct {
	src     Source
	exclude []string // Directories that are not looked at.
	files   []plainFile
	failed  func(path string, err error)
}

// find collects the files of the data directory, the configuration, and those outside of
// both, in the order of the manifest.
func (f *finder) find() error {
	if err := f.walk(dataSection, f.src.DataDir, f.isPlain); err != nil {
		return err
	}
	if f.src.ConfigDir != "" {
		all := func(string) bool { return true }
		f.exclude = append(f.exclude, f.src.DataDir)
		if err := f.walk(configSection, f.src.ConfigDir, all); err != nil {
			return err
		}
	}
	for _, file := range f.src.External {
		f.add(externalSection+"/"+strings.TrimPrefix(filepath.ToSlash(file), "/"), file)
	}
	slices.SortFunc(f.files, func(a, b plainFile) int { return comparePaths(a.path, b.path) })
	f.files = slices.CompactFunc(f.files, func(a, b plainFile) bool { return a.path == b.path })
	return nil
}

// isPlain reports whether a path in the data directory is that of a file, or a directory
// with files, that are no databases or messages, or what stands in for one for a while.
func (f *finder) isPlain(rel string) bool {
	parts := strings.Split(rel, "/")
	switch {
	case len(parts) == 1:
		_, database := f.src.Others[rel]
		return !database && !slices.Contains([]string{safefile.LockName, StateDir, tempDir, socketName, RestoreDir}, rel)
	case parts[0] == "queue" && len(parts) == 2:
		return parts[1] != "msg" && !strings.HasPrefix(parts[1], "index.db")
	case parts[0] == "accounts" && len(parts) == 3:
		return parts[2] != "msg" && !strings.HasPrefix(parts[2], store.DatabaseName) && !strings.HasPrefix(parts[2], training.FileName) &&
			parts[2] != textindex.FileName // It is large, and made again from the messages.
	}
	return true
}

// walk adds the files below dir for which take returns true, and for all directories
// above them.
func (f *finder) walk(section, dir string, take func(rel string) bool) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(dir, file)
		if rerr != nil {
			return rerr
		}
		rel = filepath.ToSlash(rel)
		switch {
		case err != nil && file == dir:
			return err
		case errors.Is(err, fs.ErrNotExist): // Removed meanwhile.
			return nil
		case err != nil:
			f.failed(section+"/"+rel, err)
			return nil
		case file == dir:
			return nil
		case slices.Contains(f.exclude, file), !take(rel):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.IsDir():
			f.add(section+"/"+rel, file)
		}
		return nil
	})
}

// add adds a file, or what a symbolic link leads to.
func (f *finder) add(path, file string) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && section(path) == dataSection: // Removed meanwhile.
	case err != nil:
		f.failed(path, err)
	case info.Mode()&fs.ModeSocket != 0:
	case !info.Mode().IsRegular():
		f.failed(path, errors.New("neither a file nor a directory"))
	case section(path) == dataSection && strings.HasSuffix(path, ".db"):
		f.failed(path, errors.New("unknown database, which may be in use"))
	case (Entry{Path: path, SHA256: zeroHash}).check() != nil:
		f.failed(path, fmt.Errorf("name %q cannot be kept", file))
	default:
		f.files = append(f.files, plainFile{path, file})
	}
}

var zeroHash = strings.Repeat("0", 64)
