package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mox/internal/safefile"
	"mox/mlog"
)

// staleAge is how old a file in the directory for temporary files is when it is
// removed at the start: of a server that was killed.
const staleAge = 7 * 24 * time.Hour

// prepareDataDir makes the data directory if there is none.
func prepareDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0750); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("data directory %s is not a directory", dir)
	}
	return nil
}

// adviseWritable adds to an error what to do about it, if it is that the data directory
// cannot be written.
func adviseWritable(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("data directory %s must be writable for the user that mox runs as, change its owner or mount it for writing: %w", dir, err)
	}
	return err
}

// removeStale removes old temporary files. Directories, and what cannot be removed,
// stay.
func removeStale(dir string, log *slog.Logger) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		log.Error("reading directory of temporary files", mlog.Err(err))
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.IsDir() || time.Since(info.ModTime()) < staleAge {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := os.Remove(path); err != nil {
			log.Error("removing old temporary file", mlog.Err(err))
			continue
		}
		log.Info("removed old temporary file", "path", path)
	}
}

// cidKeyName is the file with the key that hides connection ids from remotes.
const cidKeyName = "receivedid.key"

// cidCipher returns what makes ids for remote parties, with the key in the data
// directory. A key of another size is replaced: ids in messages that were sent
// with it cannot be traced any more.
func cidCipher(dir string) (*mlog.CidCipher, error) {
	path := filepath.Join(dir, cidKeyName)
	key, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if want := mlog.NewCidKey(); len(key) != len(want) {
		key = want
		if err := safefile.WriteFile(path, key, 0640); err != nil {
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
	}
	return mlog.NewCidCipher(key)
}

// CidCipher returns what reads the ids that a server with a data directory has given to
// remote parties.
func CidCipher(dir string) (*mlog.CidCipher, error) {
	key, err := os.ReadFile(filepath.Join(dir, cidKeyName))
	if err != nil {
		return nil, fmt.Errorf("key for connection ids: %w", err)
	}
	return mlog.NewCidCipher(key)
}
