package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"mox/internal/safefile"
)

const (
	manifestName = "manifest"
	partialName  = "manifest.partial" // Of a snapshot that is not complete.
	incomplete   = ".incomplete"      // After the name of its directory.
	latestName   = "latest"           // Symbolic link to the last snapshot.
	removedName  = ".removing"        // After the name of a directory that is being removed.
	maxTail      = 4 << 20            // Of a manifest that is read for its last line.
)

// tree is a directory with a directory for each snapshot.
type tree struct {
	root string
	lock *safefile.DirLock // Nil if it is only read.
}

func (t *tree) close() error {
	if t.lock == nil {
		return nil
	}
	return t.lock.Close()
}

func isName(s string) bool {
	_, err := time.Parse(nameFormat, s)
	return err == nil
}

func (t *tree) list(context.Context) ([]Info, error) {
	entries, err := os.ReadDir(t.root)
	if err != nil {
		return nil, err
	}
	var l []Info
	for _, e := range entries {
		name, partial := strings.CutSuffix(e.Name(), incomplete)
		if !e.IsDir() || !isName(name) {
			continue
		}
		info := Info{Name: name, Complete: !partial}
		info.Started, _ = time.Parse(nameFormat, name)
		if info.Complete {
			if info.Footer, err = readFooter(filepath.Join(t.root, name, manifestName)); errors.Is(err, ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
				info.Complete = false
			} else if err != nil {
				return nil, err
			}
		}
		l = append(l, info)
	}
	slices.SortFunc(l, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return l, nil
}

// readFooter reads the last line of a manifest.
func readFooter(file string) (foot Footer, rerr error) {
	f, err := os.Open(file)
	if err != nil {
		return foot, err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return foot, err
	}
	n := min(info.Size(), maxTail)
	tail := make([]byte, n)
	if _, err := f.ReadAt(tail, info.Size()-n); err != nil {
		return foot, err
	}
	return parseFooter(tail)
}

func (t *tree) manifest(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(t.root, name, manifestName))
}

func (t *tree) open(_ context.Context, name string, e Entry) (io.ReadCloser, error) {
	return os.Open(filepath.Join(t.root, name, filepath.FromSlash(e.Path)))
}

func (t *tree) check(context.Context, string) error { return nil }

// begin makes the directory of a snapshot.
func (t *tree) begin(_ context.Context, name, _ string) (sink, error) {
	s := &treeSink{t: t, name: name, work: filepath.Join(t.root, name+incomplete), made: map[string]bool{}}
	if _, err := os.Lstat(filepath.Join(t.root, name)); err == nil {
		return nil, fmt.Errorf("there is a snapshot %s already", name)
	}
	if err := os.Mkdir(s.work, 0700); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("there is an interrupted snapshot %s already, try again in a second", name)
	} else if err != nil {
		return nil, err
	}
	return s, nil
}

// treeSink is a snapshot in the making. Its directory stays if it is interrupted.
type treeSink struct {
	t    *tree
	name string
	work string

	mu   sync.Mutex // Guards made.
	made map[string]bool
}

func (s *treeSink) manifestPath() string { return filepath.Join(s.work, partialName) }
func (s *treeSink) dir() string          { return s.t.root }
func (s *treeSink) close() error         { return nil }

func (s *treeSink) olds(ctx context.Context) ([]*old, error) {
	l, err := s.t.list(ctx)
	if err != nil {
		return nil, err
	}
	var olds []*old
	complete := false
	for _, info := range slices.Backward(l) {
		if info.Name >= s.name || complete {
			continue
		}
		base, file := filepath.Join(s.t.root, info.Name), manifestName
		if !info.Complete {
			base, file = base+incomplete, partialName
		}
		complete = info.Complete
		o, err := openOld(filepath.Join(base, file), base, info.Complete)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
			continue // What cannot be used is copied again.
		} else if err != nil {
			return nil, err
		}
		olds = append(olds, o)
	}
	return olds, nil
}

// openOld opens a manifest to look for files in.
func openOld(file, base string, complete bool) (*old, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	c, err := newCursor(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &old{c, f, base, complete}, nil
}

// store makes the file of an item.
func (s *treeSink) store(ctx context.Context, it item) (e Entry, copied bool, err error) {
	dst := filepath.Join(s.work, filepath.FromSlash(it.path))
	if err := s.mkdir(filepath.Dir(dst)); err != nil {
		return e, false, err
	}
	info, err := os.Stat(it.file)
	if err != nil {
		return e, false, sourceError{err}
	}
	if it.size >= 0 && info.Size() != it.size {
		return e, false, sourceError{fmt.Errorf("has %d octets, not %d as its record says", info.Size(), it.size)}
	}
	e = Entry{Path: it.path, Size: info.Size(), Mode: info.Mode().Perm(), Time: info.ModTime().UnixNano()}
	switch it.kind {
	case fixed:
		return s.message(ctx, it, e, info, dst)
	case staged:
		return s.staged(ctx, it, e, dst)
	}
	err = s.copy(ctx, &e, it.file, dst)
	return e, true, err
}

// message links the file of a message, to what was kept before or else to the message, or
// copies it.
func (s *treeSink) message(ctx context.Context, it item, e Entry, info fs.FileInfo, dst string) (Entry, bool, error) {
	for _, o := range it.olds {
		if !o.same(info) {
			continue
		}
		ok, err := linkOld(o, dst)
		if err != nil {
			return e, false, err
		} else if ok {
			e.SHA256 = o.SHA256
			return e, false, nil
		}
	}
	err := os.Link(it.file, dst)
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, sourceError{err}
	}
	if err == nil {
		e.SHA256, e.Size, err = hashFile(ctx, dst)
		if err != nil {
			return e, false, sourceError{errors.Join(err, os.Remove(dst))}
		}
		return e, true, nil
	}
	err = s.copy(ctx, &e, it.file, dst) // Another file system, or one without links, or too many.
	return e, true, err
}

// linkOld makes dst a link to a file that was kept before, if that is still there.
func linkOld(o oldEntry, dst string) (bool, error) {
	src := filepath.Join(o.from.base, filepath.FromSlash(o.Path))
	info, err := os.Lstat(src)
	if err != nil || !info.Mode().IsRegular() || info.Size() != o.Size {
		return false, nil
	}
	err = os.Link(src, dst)
	for _, e := range []error{syscall.EMLINK, syscall.EPERM, syscall.ENOTSUP, syscall.ENOSYS, fs.ErrNotExist} {
		if errors.Is(err, e) {
			return false, nil
		}
	}
	return err == nil, err
}

// staged moves the copy of a database to its place. If it is the same as the one that was
// kept before, it is linked to that.
func (s *treeSink) staged(ctx context.Context, it item, e Entry, dst string) (Entry, bool, error) {
	var err error
	if e.SHA256, e.Size, err = hashFile(ctx, it.file); err != nil {
		return e, false, sourceError{err}
	}
	for _, o := range it.olds {
		if o.SHA256 != e.SHA256 || o.Size != e.Size {
			continue
		}
		if ok, err := linkOld(o, dst); err != nil {
			return e, false, err
		} else if ok {
			e.Time, e.Mode = o.Time, o.Mode
			return e, false, nil
		}
	}
	err = os.Rename(it.file, dst)
	if errors.Is(err, syscall.EXDEV) {
		err = s.copy(ctx, &e, it.file, dst)
	}
	return e, true, err
}

// copy copies a file, syncs the copy, and notes its size and hash.
func (s *treeSink) copy(ctx context.Context, e *Entry, src, dst string) (rerr error) {
	in, err := os.Open(src)
	if err != nil {
		return sourceError{err}
	}
	defer func() { rerr = errors.Join(rerr, in.Close()) }()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0600)
	if err != nil {
		return err
	}
	hash := sha256.New()
	n, rerr, werr := copyBoth(ctx, io.MultiWriter(out, hash), in)
	if err := errors.Join(rerr, werr); err != nil {
		err = errors.Join(err, out.Close(), os.Remove(dst))
		if werr == nil && ctx.Err() == nil {
			err = sourceError{err}
		}
		return err
	}
	e.Size, e.SHA256 = n, hex.EncodeToString(hash.Sum(nil))
	if err := errors.Join(out.Chmod(e.Mode), out.Sync()); err != nil {
		return errors.Join(err, out.Close(), os.Remove(dst))
	}
	if err := out.Close(); err != nil {
		return errors.Join(err, os.Remove(dst))
	}
	t := time.Unix(0, e.Time)
	return os.Chtimes(dst, t, t)
}

// mkdir makes a directory in that of the snapshot, and those above it.
func (s *treeSink) mkdir(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made[dir] {
		return nil
	}
	if err := os.MkdirAll(dir, 0750); err != nil {
		return err
	}
	for d := dir; len(d) >= len(s.work) && !s.made[d]; d = filepath.Dir(d) {
		s.made[d] = true
	}
	return nil
}

// finish syncs all directories, and only then gives the manifest and the directory the
// names of complete ones.
func (s *treeSink) finish(_ context.Context, _ Footer) error {
	s.made[s.work] = true
	for dir := range s.made {
		if err := safefile.SyncDir(dir); err != nil {
			return fmt.Errorf("sync directory: %w", err)
		}
	}
	if err := os.Rename(s.manifestPath(), filepath.Join(s.work, manifestName)); err != nil {
		return err
	}
	if err := safefile.SyncDir(s.work); err != nil {
		return err
	}
	if err := os.Rename(s.work, filepath.Join(s.t.root, s.name)); err != nil {
		return err
	}
	if err := safefile.SyncDir(s.t.root); err != nil {
		return err
	}
	if err := s.latest(); err != nil {
		return err
	}
	return s.t.removeIncomplete()
}

// latest makes the symbolic link lead to this snapshot, on file systems that have such.
func (s *treeSink) latest() error {
	tmp := filepath.Join(s.t.root, latestName+".new")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := os.Symlink(s.name, tmp)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	} else if err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(s.t.root, latestName)); err != nil {
		return err
	}
	return safefile.SyncDir(s.t.root)
}

// removeIncomplete removes what was interrupted, of which the last snapshot has all.
func (t *tree) removeIncomplete() error {
	entries, err := os.ReadDir(t.root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), incomplete)
		if !ok {
			name, ok = strings.CutSuffix(e.Name(), removedName)
		}
		if ok && isName(name) {
			if err := os.RemoveAll(filepath.Join(t.root, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes snapshots. One that is being removed is none any more.
func (t *tree) remove(ctx context.Context, names []string, log func(string)) error {
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		dir := filepath.Join(t.root, name)
		if err := os.Rename(dir, dir+removedName); err != nil {
			return err
		}
		if err := safefile.SyncDir(t.root); err != nil {
			return err
		}
		if err := os.RemoveAll(dir + removedName); err != nil {
			return err
		}
		log("removed snapshot " + name)
	}
	return safefile.SyncDir(t.root)
}
