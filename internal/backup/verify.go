package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mox/queue/queuedb"
	"mox/store"
)

// VerifyOptions are for [Snapshot.Verify].
type VerifyOptions struct {
	// Databases returns what is wrong with the databases in a data directory that has some of
	// the databases of the snapshot, and no files of messages. They may be changed.
	Databases func(ctx context.Context, dataDir string) ([]string, error)

	TempDir  string // For a copy of one account's databases at a time. Empty is that of the system.
	Parallel int    // Files read at a time. Zero is DefaultParallel.
	Progress func(string)
}

// Verified is what was found.
type Verified struct {
	Files    int64
	Size     int64
	Accounts int
	Problems []string // At most maxFailures.
	Found    int      // How many problems.
}

// Verify reads all of a snapshot: each file must be what was written, each database in
// order, and have the files of the messages it names, and no others. Nothing is changed.
// The error is about not being able to check; what is wrong is in the result.
func (s *Snapshot) Verify(ctx context.Context, o VerifyOptions) (_ Verified, rerr error) {
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	tmp, err := os.MkdirTemp(o.TempDir, "mox-verify-")
	if err != nil {
		return Verified{}, err
	}
	defer func() { rerr = errors.Join(rerr, os.RemoveAll(tmp)) }()
	v := &snapshotVerifier{s: s, opts: o, tmp: tmp, told: time.Now()}
	for _, text := range s.Footer.Failures {
		v.problem("not in the backup: " + text)
	}
	var gctx context.Context
	v.group, gctx = errgroup.WithContext(ctx)
	v.group.SetLimit(min(o.Parallel, MaxParallel))
	if err := s.repo.check(ctx, s.Name); errors.Is(err, ErrDamaged) {
		v.problem(err.Error())
	} else if err != nil {
		return v.res, err
	}
	err = s.Entries(ctx, func(e Entry) error { return errors.Join(gctx.Err(), v.entry(gctx, e)) })
	if gerr := v.group.Wait(); gerr != nil {
		return v.res, gerr
	}
	switch {
	case errors.Is(err, ErrDamaged):
		v.problem(err.Error())
	case err != nil:
		return v.res, err
	default:
		if err := v.endOwner(ctx); err != nil {
			return v.res, err
		}
	}
	return v.res, nil
}

// snapshotVerifier verifies a snapshot.
type snapshotVerifier struct {
	s     *Snapshot
	opts  VerifyOptions
	tmp   string
	group *errgroup.Group

	owner    string // Directory of the account, or the queue, whose files are being read, as in the manifest.
	database bool   // Its database could be read.
	listed   *os.File
	list     *bufio.Writer // Of ids and sizes of its messages.

	mu   sync.Mutex // Guards what follows.
	res  Verified
	told time.Time
}

func (v *snapshotVerifier) problem(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.res.Found++
	if len(v.res.Problems) < maxFailures {
		v.res.Problems = append(v.res.Problems, text)
	}
}

// done counts a file, and notes what is wrong with it. Only an error that is not about
// the backup is returned.
func (v *snapshotVerifier) done(e Entry, err error) error {
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		v.problem(fmt.Sprintf("%s: %v", e.Path, err))
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.res.Files++
	v.res.Size += e.Size
	if now := time.Now(); v.opts.Progress != nil && now.Sub(v.told) >= progressTime {
		v.told = now
		v.opts.Progress(fmt.Sprintf("%d files, %d octets", v.res.Files, v.res.Size))
	}
	return nil
}

// ownerOfPath returns the directory of the account, or the queue, that a file is of.
func ownerOfPath(p string) string {
	switch k := keyOf(p); k.rank {
	case 0:
		return strings.TrimSuffix(queuePrefix, "/")
	case 1:
		return accountsPrefix + k.name
	}
	return ""
}

// entry verifies a file.
func (v *snapshotVerifier) entry(ctx context.Context, e Entry) error {
	if o := ownerOfPath(e.Path); o != v.owner {
		if err := errors.Join(v.endOwner(ctx), v.beginOwner(o)); err != nil {
			return err
		}
	}
	if section(e.Path) == dataSection && strings.HasSuffix(e.Path, ".db") {
		dst := filepath.Join(v.tmp, filepath.FromSlash(e.Path))
		if err := os.MkdirAll(filepath.Dir(dst), 0700); err != nil {
			return err
		}
		err := restoreFile(ctx, v.s, e, dst, owner{})
		v.database = v.database || err == nil && path.Base(e.Path) == store.DatabaseName
		return v.done(e, err)
	}
	if k := keyOf(e.Path); k.part == 2 {
		if _, err := fmt.Fprintln(v.list, k.id, e.Size); err != nil {
			return err
		}
	}
	v.group.Go(func() error { return v.done(e, readAll(ctx, v.s, e)) })
	return nil
}

// readAll reads a file to its end.
func readAll(ctx context.Context, s *Snapshot, e Entry) (rerr error) {
	r, err := s.Open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, r.Close()) }()
	_, err, _ = copyBoth(ctx, io.Discard, r)
	return err
}

// beginOwner prepares for the files of an account, or the queue.
func (v *snapshotVerifier) beginOwner(o string) (err error) {
	v.owner, v.database = o, false
	if o == "" {
		return nil
	}
	if v.listed, err = os.CreateTemp(v.tmp, "list"); err != nil {
		return err
	}
	v.list = bufio.NewWriter(v.listed)
	return nil
}

// endOwner verifies the databases that are in the directory for that, and removes them.
func (v *snapshotVerifier) endOwner(ctx context.Context) error {
	dir := filepath.Join(v.tmp, dataSection)
	if v.owner != "" {
		err := v.messages(ctx, filepath.Join(v.tmp, filepath.FromSlash(v.owner)))
		if err := errors.Join(err, v.listed.Close(), os.Remove(v.listed.Name())); err != nil {
			return err
		}
		if strings.HasPrefix(v.owner, accountsPrefix) {
			v.res.Accounts++
		}
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if v.opts.Databases != nil {
		problems, err := v.opts.Databases(ctx, dir)
		if err != nil {
			return err
		}
		for _, p := range problems {
			v.problem(p)
		}
	}
	return os.RemoveAll(dir)
}

// messages compares the files of messages in the manifest with those that the database in
// a directory names.
func (v *snapshotVerifier) messages(ctx context.Context, dir string) error {
	if err := v.list.Flush(); err != nil {
		return err
	}
	if _, err := v.listed.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if !v.database {
		v.problem(v.owner + ": has no database")
		return nil
	}
	br := bufio.NewReader(v.listed)
	var id, size int64 // Next in the manifest; zero at the end.
	next := func() error {
		id, size = 0, 0
		if _, err := fmt.Fscanln(br, &id, &size); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
	if err := next(); err != nil {
		return err
	}
	files := store.SnapshotFiles
	if v.owner+"/" == queuePrefix {
		files = queuedb.SnapshotFiles
	}
	file := filepath.Join(dir, store.DatabaseName)
	err := files(ctx, file, func(want, wantSize int64) error {
		for id != 0 && id < want {
			v.problem(fmt.Sprintf("%s: file of message content %d is not in the database", v.owner, id))
			if err := next(); err != nil {
				return err
			}
		}
		switch {
		case id != want:
			v.problem(fmt.Sprintf("%s: file of message content %d is missing", v.owner, want))
			return nil
		case size != wantSize:
			v.problem(fmt.Sprintf("%s: file of message content %d has %d octets, not %d", v.owner, id, size, wantSize))
		}
		return next()
	})
	if err != nil {
		v.problem(fmt.Sprintf("%s: %v", v.owner, err))
		return nil
	}
	for id != 0 {
		v.problem(fmt.Sprintf("%s: file of message content %d is not in the database", v.owner, id))
		if err := next(); err != nil {
			return err
		}
	}
	return nil
}
