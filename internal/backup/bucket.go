package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mox/internal/safefile"
)

// bucket keeps objects by name. It is safe for concurrent use.
type bucket interface {
	// put stores an object, durably. Objects are named by what is in them: one that is there
	// may stay as it is.
	put(ctx context.Context, name string, data []byte) error
	// replace stores an object whether or not there is one.
	replace(ctx context.Context, name string, data []byte) error
	// get returns an object of at most maxObject octets. If there is none, the error matches
	// fs.ErrNotExist.
	get(ctx context.Context, name string) ([]byte, error)
	exists(ctx context.Context, name string) (bool, error)
	// list calls fn for each object whose name begins with prefix, in any order.
	list(ctx context.Context, prefix string, fn func(name string, modified time.Time) error) error
	// remove removes an object, if there is one.
	remove(ctx context.Context, name string) error
	close() error
}

// dirBucket is a directory with objects.
type dirBucket struct {
	dir  string
	lock *safefile.DirLock // Nil if it is only read.

	mu   sync.Mutex // Guards made.
	made map[string]bool
}

func (b *dirBucket) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

func (b *dirBucket) put(ctx context.Context, name string, data []byte) error {
	if info, err := os.Stat(b.path(name)); err == nil && info.Size() == int64(len(data)) {
		return nil
	}
	return b.replace(ctx, name, data)
}

func (b *dirBucket) replace(ctx context.Context, name string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.mkdir(path.Dir(name)); err != nil {
		return err
	}
	return safefile.WriteFile(b.path(name), data, 0600)
}

// mkdir makes a directory and those above it, durably.
func (b *dirBucket) mkdir(dir string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if dir == "." || b.made[dir] {
		return nil
	}
	if b.made == nil {
		b.made = map[string]bool{}
	}
	if err := os.MkdirAll(b.path(dir), 0700); err != nil {
		return err
	}
	for d := dir; d != "."; d = path.Dir(d) {
		if err := safefile.SyncDir(b.path(path.Dir(d))); err != nil {
			return err
		}
		b.made[d] = true
	}
	return nil
}

func (b *dirBucket) get(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := os.Stat(b.path(name))
	if err != nil {
		return nil, err
	}
	if info.Size() > maxObject {
		return nil, errTooLarge(name)
	}
	return os.ReadFile(b.path(name))
}

func (b *dirBucket) exists(_ context.Context, name string) (bool, error) {
	_, err := os.Stat(b.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (b *dirBucket) list(ctx context.Context, prefix string, fn func(name string, modified time.Time) error) error {
	return filepath.WalkDir(b.path(prefix), func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if d.IsDir() || strings.HasPrefix(d.Name(), ".") { // Hidden: being written, or left behind.
			return ctx.Err()
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(b.dir, file)
		if err != nil {
			return err
		}
		return fn(filepath.ToSlash(rel), info.ModTime())
	})
}

func (b *dirBucket) remove(_ context.Context, name string) error {
	if err := os.Remove(b.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (b *dirBucket) close() error {
	if b.lock == nil {
		return nil
	}
	return b.lock.Close()
}
