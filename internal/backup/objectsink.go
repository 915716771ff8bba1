package backup

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mox/internal/safefile"
)

// Names of files in StateDir begin with the id of the place. The manifest of the last
// snapshot is kept there, because with encryption it cannot be read from the place.
const (
	manifestSuffix    = ".manifest"
	partialSuffix     = ".partial"     // Of the run in progress.
	interruptedSuffix = ".interrupted" // Of one that was interrupted.
)

func (o *objects) manifest(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := o.root(ctx, name)
	if err != nil {
		return nil, err
	}
	src := newVerifyReader(o.reader(ctx, r.Manifest.Objects, o.marker.Encrypted), Entry{Path: "manifest", Size: r.Manifest.Size, SHA256: r.Manifest.SHA256})
	zr, err := gzip.NewReader(bufio.NewReader(src))
	if err != nil {
		return nil, err
	}
	return zr, nil
}

func (o *objects) begin(ctx context.Context, name, dataDir string) (sink, error) {
	if o.marker.Encrypted && len(o.recipients) == 0 {
		return nil, fmt.Errorf("%w: what is here is encrypted, recipients are needed", ErrEncryption)
	}
	dir, err := stateDir(dataDir)
	if err != nil {
		return nil, err
	}
	s := &objectSink{o: o, name: name, state: filepath.Join(dir, o.marker.ID)}
	if err := s.keepInterrupted(); err != nil {
		return nil, err
	}
	return s, o.bucket.replace(ctx, incompletePrefix+name, nil)
}

// objectSink is a snapshot in the making.
type objectSink struct {
	o     *objects
	name  string
	state string // Path of files in the data directory, without suffix.
}

func (s *objectSink) manifestPath() string { return s.state + partialSuffix }
func (s *objectSink) close() error         { return nil }

func (s *objectSink) dir() string {
	if b, ok := s.o.bucket.(*dirBucket); ok {
		return b.dir
	}
	return ""
}

// keepInterrupted puts the manifest of a run that was interrupted aside, unless there is
// one that got further.
func (s *objectSink) keepInterrupted() error {
	partial, err := os.Stat(s.manifestPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	other, err := os.Stat(s.state + interruptedSuffix)
	if err == nil && other.Size() >= partial.Size() {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(s.manifestPath(), s.state+interruptedSuffix)
}

func (s *objectSink) olds(ctx context.Context) ([]*old, error) {
	var olds []*old
	complete, err := s.last(ctx)
	if err != nil {
		return nil, err
	} else if complete != nil {
		olds = append(olds, complete)
	}
	interrupted, err := openOld(s.state+interruptedSuffix, "", false)
	switch {
	case err == nil:
		olds = append(olds, interrupted)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged):
		return nil, err
	}
	return olds, nil
}

// last returns the manifest of the last complete snapshot, if it can be read.
func (s *objectSink) last(ctx context.Context) (*old, error) {
	l, err := s.o.list(ctx)
	if err != nil {
		return nil, err
	}
	i := len(l) - 1
	for i >= 0 && !l[i].Complete {
		i--
	}
	if i < 0 {
		return nil, nil
	}
	local, err := openOld(s.state+manifestSuffix, "", true)
	if err == nil {
		if slices.ContainsFunc(l, func(i Info) bool { return i.Complete && i.Name == local.r.header.Name }) {
			return local, nil
		}
		err = local.close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	if s.o.marker.Encrypted && len(s.o.identities) == 0 {
		return nil, nil // All is copied again.
	}
	r, err := s.o.manifest(ctx, l[i].Name)
	if err != nil {
		return nil, err
	}
	c, err := newCursor(r)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &old{cursor: c, closer: r, complete: true}, nil
}

// store copies a file, in chunks.
func (s *objectSink) store(ctx context.Context, it item) (e Entry, copied bool, rerr error) {
	f, err := os.Open(it.file)
	if err != nil {
		return e, false, sourceError{err}
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return e, false, sourceError{err}
	}
	if it.size >= 0 && info.Size() != it.size {
		return e, false, sourceError{fmt.Errorf("has %d octets, not %d as its record says", info.Size(), it.size)}
	}
	e = Entry{Path: it.path, Size: info.Size(), Mode: info.Mode().Perm(), Time: info.ModTime().UnixNano()}
	if it.kind == fixed {
		for _, o := range it.olds {
			if !o.same(info) {
				continue
			}
			ok, err := s.kept(ctx, o)
			if err != nil {
				return e, false, err
			} else if ok {
				e.SHA256, e.Objects, e.Chunks = o.SHA256, o.Objects, o.Chunks
				return e, false, nil
			}
		}
	}
	copied, err = s.chunks(ctx, &e, f, it.olds)
	return e, copied, err
}

// kept reports whether the objects of a file that was kept before are there. They are if
// the snapshot is complete: what removes objects leaves those.
func (s *objectSink) kept(ctx context.Context, o oldEntry) (bool, error) {
	if o.from.complete {
		return true, nil
	}
	for _, name := range o.Objects {
		if ok, err := s.o.bucket.exists(ctx, objectName(name)); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// chunks stores a file in chunks, without those that were kept of it before.
func (s *objectSink) chunks(ctx context.Context, e *Entry, r io.Reader, olds []oldEntry) (copied bool, err error) {
	have := map[string]string{} // Objects by the hash of what is in them.
	for _, o := range olds {
		ok, err := s.kept(ctx, o)
		if err != nil {
			return false, err
		}
		for i, name := range o.Objects {
			if !ok {
				break
			}
			switch {
			case !s.o.marker.Encrypted:
				have[name] = name
			case len(o.Objects) == 1:
				have[o.SHA256] = name
			case len(o.Chunks) == len(o.Objects):
				have[o.Chunks[i]] = name
			}
		}
	}
	w := chunkWriter{s: s, ctx: ctx, encrypt: s.o.marker.Encrypted, have: have, hash: sha256.New()}
	n, rerr, werr := copyBoth(ctx, &w, r)
	if rerr != nil && ctx.Err() == nil {
		return false, sourceError{rerr}
	}
	if err := errors.Join(rerr, werr); err != nil {
		return false, err
	}
	if err := w.flush(); err != nil {
		return false, err
	}
	e.Size, e.SHA256, e.Objects = n, hex.EncodeToString(w.hash.Sum(nil)), w.names
	if s.o.marker.Encrypted && len(w.names) > 1 {
		e.Chunks = w.sums
	}
	return w.copied || n == 0, nil
}

// chunkWriter stores what is written to it in chunks.
type chunkWriter struct {
	s       *objectSink
	ctx     context.Context
	encrypt bool
	have    map[string]string
	hash    hash.Hash
	buf     []byte
	names   []string // Of the objects.
	sums    []string // Of what is in them.
	copied  bool
}

func (w *chunkWriter) Write(p []byte) (int, error) {
	_, _ = w.hash.Write(p)
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), chunkSize-len(w.buf))
		w.buf = append(w.buf, p[:k]...)
		p = p[k:]
		if len(w.buf) == chunkSize {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// flush stores what was written since the last chunk.
func (w *chunkWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	b := sha256.Sum256(w.buf)
	sum := hex.EncodeToString(b[:])
	name, ok := w.have[sum]
	if !ok {
		var err error
		if name, err = w.s.o.save(w.ctx, w.buf, w.encrypt); err != nil {
			return err
		}
		w.copied = true
	}
	w.names, w.sums, w.buf = append(w.names, name), append(w.sums, sum), w.buf[:0]
	return nil
}

// put stores what fn writes.
func (s *objectSink) put(ctx context.Context, encrypt bool, fn func(w io.Writer) error) (stored, error) {
	w := &chunkWriter{s: s, ctx: ctx, encrypt: encrypt, hash: sha256.New()}
	var size countWriter
	if err := fn(io.MultiWriter(w, &size)); err != nil {
		return stored{}, err
	}
	if err := w.flush(); err != nil {
		return stored{}, err
	}
	return stored{int64(size), hex.EncodeToString(w.hash.Sum(nil)), w.names}, nil
}

// countWriter counts octets.
type countWriter int64

func (w *countWriter) Write(p []byte) (int, error) {
	*w += countWriter(len(p))
	return len(p), nil
}

// finish stores the manifest, and then what makes the snapshot one.
func (s *objectSink) finish(ctx context.Context, f Footer) error {
	r := root{Info: Info{Name: s.name, Complete: true, Footer: f}}
	r.Started, _ = time.Parse(nameFormat, s.name)
	if s.o.marker.Encrypted {
		r.Footer.Failures = nil // Names of accounts are nobody's business.
	}
	var err error
	r.Manifest, err = s.put(ctx, s.o.marker.Encrypted, func(w io.Writer) (rerr error) {
		in, err := os.Open(s.manifestPath())
		if err != nil {
			return err
		}
		defer func() { rerr = errors.Join(rerr, in.Close()) }()
		zw := gzip.NewWriter(w)
		if _, err := io.Copy(zw, in); err != nil {
			return err
		}
		return zw.Close()
	})
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if r.Refs, err = s.put(ctx, false, s.refs); err != nil {
		return fmt.Errorf("write names of objects: %w", err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := s.o.bucket.replace(ctx, snapshotPrefix+s.name, data); err != nil {
		return err
	}
	return errors.Join(s.remember(), s.forgetIncomplete(ctx))
}

// refs writes the names of the objects of all files.
func (s *objectSink) refs(w io.Writer) (rerr error) {
	in, err := os.Open(s.manifestPath())
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, in.Close()) }()
	m, err := newManifestReader(in)
	if err != nil {
		return err
	}
	bw := bufio.NewWriter(w)
	for {
		e, err := m.next()
		if errors.Is(err, io.EOF) {
			return bw.Flush()
		} else if err != nil {
			return err
		}
		for _, name := range e.Objects {
			b, err := hex.DecodeString(name)
			if err != nil {
				return err
			}
			if _, err := bw.Write(b); err != nil {
				return err
			}
		}
	}
}

// remember keeps the manifest for the next run.
func (s *objectSink) remember() error {
	if err := os.Rename(s.manifestPath(), s.state+manifestSuffix); err != nil {
		return err
	}
	if err := os.Remove(s.state + interruptedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return safefile.SyncDir(filepath.Dir(s.state))
}

// forgetIncomplete removes the signs of runs that were begun before, and of this one.
func (s *objectSink) forgetIncomplete(ctx context.Context) error {
	var names []string
	err := s.o.bucket.list(ctx, incompletePrefix, func(name string, _ time.Time) error {
		if name <= incompletePrefix+s.name {
			names = append(names, name)
		}
		return nil
	})
	for _, name := range names {
		err = errors.Join(err, s.o.bucket.remove(ctx, name))
	}
	return err
}
