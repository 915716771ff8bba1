package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mox/internal/safefile"
	"mox/store"
)

// RestoreOptions are for [Snapshot.Restore].
type RestoreOptions struct {
	DataDir   string       // Must be empty, or not exist.
	ConfigDir string       // The same. Empty: the configuration is not restored.
	Parallel  int          // Files copied at a time. Zero is DefaultParallel.
	Progress  func(string) // Nil: nobody is told.

	// AsIs restores accounts as they were: for moving to another machine, when nothing has
	// changed since the snapshot was made. See [store.Restored].
	AsIs bool
}

// Restored is what was restored.
type Restored struct {
	Files    int64
	Size     int64
	Skipped  int64    // Files of the configuration, if that was not to be restored.
	External []string // Where files are now that were outside of both directories.
}

// Restore writes all of a snapshot to an empty data directory, and another one for the
// configuration. All files are verified. The directories have what was restored only when
// that was complete; what is left of an attempt that failed is in a directory [RestoreDir].
func (s *Snapshot) Restore(ctx context.Context, o RestoreOptions) (res Restored, rerr error) {
	w := &restorer{s: s, opts: o, parallel: min(max(o.Parallel, 0), MaxParallel), made: map[string]bool{}}
	if w.parallel == 0 {
		w.parallel = DefaultParallel
	}
	dirs := []string{o.DataDir}
	if o.ConfigDir != "" {
		dirs = append(dirs, o.ConfigDir)
	}
	for _, dir := range dirs {
		if err := emptyDir(dir); err != nil {
			return res, err
		}
	}
	lock, err := safefile.LockDir(o.DataDir)
	if err != nil {
		return res, fmt.Errorf("lock data directory %s: %w", o.DataDir, err)
	}
	defer func() { rerr = errors.Join(rerr, lock.Close()) }()
	for _, dir := range dirs {
		if err := os.Mkdir(filepath.Join(dir, RestoreDir), 0700); err != nil {
			return res, err
		}
	}
	if w.owner, err = ownerOf(o.DataDir); err != nil {
		return res, err
	}
	if err := w.owner.set(filepath.Join(o.DataDir, safefile.LockName)); err != nil {
		return res, err
	}
	w.told = time.Now()
	if err := w.all(ctx); err != nil {
		return w.res, err
	}
	for _, dir := range slices.Backward(dirs) { // The data last: with it the server can start.
		if err := w.reveal(dir); err != nil {
			return w.res, err
		}
	}
	return w.res, nil
}

// emptyDir makes a directory, or checks that there is nothing in one.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0750); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case "lost+found":
		case safefile.LockName:
			lock, err := safefile.LockDir(dir) // Left behind, or that of a running server.
			if err != nil {
				return fmt.Errorf("lock data directory %s (stop the server first): %w", dir, err)
			}
			if err := lock.Close(); err != nil {
				return err
			}
		case RestoreDir:
			return fmt.Errorf("restoring to %s was interrupted before: make it empty and try again", dir)
		default:
			return fmt.Errorf("directory %s is not empty, it has %s: restoring never replaces anything", dir, e.Name())
		}
	}
	return nil
}

// restorer writes files.
type restorer struct {
	s        *Snapshot
	opts     RestoreOptions
	parallel int
	owner    owner
	accounts []string // Whose databases are to be prepared.

	mu   sync.Mutex // Guards what follows.
	made map[string]bool
	res  Restored
	told time.Time
}

// place returns where a file goes: a directory that is made complete before it is
// shown, and a path in it.
func (w *restorer) place(p string) (dir, rel string) {
	rel = p[len(section(p))+1:]
	switch {
	case section(p) == dataSection:
		return w.opts.DataDir, rel
	case w.opts.ConfigDir == "":
		return "", ""
	case section(p) == externalSection:
		return w.opts.ConfigDir, p
	}
	return w.opts.ConfigDir, rel
}

// all writes all files, several at a time.
func (w *restorer) all(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(w.parallel)
	err := w.s.Entries(ctx, func(e Entry) error {
		dir, rel := w.place(e.Path)
		if dir == "" {
			w.res.Skipped++
			return nil
		}
		if path.Base(rel) == store.DatabaseName { // Of an account or the queue, with or without messages.
			if err := w.mkdir(filepath.Join(dir, RestoreDir, path.Dir(rel), "msg")); err != nil {
				return err
			}
		}
		if k := keyOf(e.Path); k.rank == 1 && k.part == 0 && !w.opts.AsIs {
			w.accounts = append(w.accounts, k.name)
		}
		if section(e.Path) == externalSection {
			w.res.External = append(w.res.External, filepath.Join(dir, filepath.FromSlash(rel)))
		}
		g.Go(func() error {
			if err := w.file(gctx, e, filepath.Join(dir, RestoreDir, filepath.FromSlash(rel))); err != nil {
				return fmt.Errorf("%s: %w", e.Path, err)
			}
			return nil
		})
		return gctx.Err()
	})
	if gerr := g.Wait(); gerr != nil {
		return gerr
	}
	if err != nil {
		return err
	}
	for _, name := range w.accounts {
		path := filepath.Join(w.opts.DataDir, RestoreDir, "accounts", name, store.DatabaseName)
		if err := store.Restored(ctx, path, time.Now()); err != nil {
			return fmt.Errorf("account %s: %w", name, err)
		}
	}
	for dir := range w.made {
		if err := safefile.SyncDir(dir); err != nil {
			return fmt.Errorf("sync directory: %w", err)
		}
	}
	return nil
}

// file writes one file.
func (w *restorer) file(ctx context.Context, e Entry, dst string) (rerr error) {
	if err := w.mkdir(filepath.Dir(dst)); err != nil {
		return err
	}
	if err := restoreFile(ctx, w.s, e, dst, w.owner); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.res.Files++
	w.res.Size += e.Size
	if now := time.Now(); w.opts.Progress != nil && now.Sub(w.told) >= progressTime {
		w.told = now
		w.opts.Progress(fmt.Sprintf("%d files, %d octets", w.res.Files, w.res.Size))
	}
	return nil
}

// restoreFile writes a file of a snapshot to a new one, verifies and syncs it. On failure
// there is no file.
func restoreFile(ctx context.Context, s *Snapshot, e Entry, dst string, own owner) (rerr error) {
	r, err := s.Open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, r.Close()) }()
	f, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0600)
	if err != nil {
		return err
	}
	err = writeRestored(ctx, f, r, e, own)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(dst))
	}
	t := time.Unix(0, e.Time)
	return os.Chtimes(dst, t, t) // So that the next backup knows it.
}

func writeRestored(ctx context.Context, f *os.File, r io.Reader, e Entry, own owner) error {
	if _, rerr, werr := copyBoth(ctx, f, r); rerr != nil || werr != nil {
		return errors.Join(rerr, werr)
	}
	return errors.Join(f.Chmod(e.Mode), own.set(f.Name()), f.Sync())
}

// mkdir makes a directory for files that are restored, and those above it.
func (w *restorer) mkdir(dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var missing []string
	for d := dir; !w.made[d] && filepath.Base(d) != RestoreDir; d = filepath.Dir(d) {
		missing = append(missing, d)
	}
	for _, d := range slices.Backward(missing) {
		if err := os.Mkdir(d, 0770); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := w.owner.set(d); err != nil {
			return err
		}
		w.made[d] = true
	}
	return nil
}

// reveal moves what was restored from its hidden place to the directory itself.
func (w *restorer) reveal(dir string) error {
	hidden := filepath.Join(dir, RestoreDir)
	entries, err := os.ReadDir(hidden)
	if err != nil {
		return err
	}
	if err := safefile.SyncDir(hidden); err != nil {
		return err
	}
	// The accounts last: a server that is started too early does not take it for all there is.
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		if (a.Name() == "accounts") != (b.Name() == "accounts") {
			if a.Name() == "accounts" {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Name(), b.Name())
	})
	for _, e := range entries {
		if err := os.Rename(filepath.Join(hidden, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if err := safefile.SyncDir(dir); err != nil {
		return err
	}
	if err := os.Remove(hidden); err != nil {
		return err
	}
	return safefile.SyncDir(dir)
}

// RestoreAccount writes an account to a new directory, for [store.Store.Adopt]. All files
// are verified. Unless asIs is set, it is prepared for clients that know of what happened
// after the snapshot was made, see [store.Restored].
func (s *Snapshot) RestoreAccount(ctx context.Context, name, dir string, asIs bool) (rerr error) {
	own, err := ownerOf(filepath.Dir(dir))
	if err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(dir, 0770), own.set(dir)); err != nil {
		return err
	}
	defer func() {
		if rerr != nil {
			rerr = errors.Join(rerr, os.RemoveAll(dir))
		}
	}()
	w := &restorer{s: s, parallel: DefaultParallel, owner: own, made: map[string]bool{dir: true}}
	if err := w.mkdir(filepath.Join(dir, "msg")); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(w.parallel)
	found := false
	prefix := accountsPrefix + name + "/"
	err = s.Entries(ctx, func(e Entry) error {
		rel, ok := strings.CutPrefix(e.Path, prefix)
		if !ok {
			return gctx.Err()
		}
		found = found || rel == store.DatabaseName
		g.Go(func() error { return w.file(gctx, e, filepath.Join(dir, filepath.FromSlash(rel))) })
		return gctx.Err()
	})
	if err := errors.Join(g.Wait(), err); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: %q", ErrNoAccount, name)
	}
	if !asIs {
		if err := store.Restored(ctx, filepath.Join(dir, store.DatabaseName), time.Now()); err != nil {
			return err
		}
	}
	for d := range w.made {
		if err := safefile.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}
