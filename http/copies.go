package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"mox/internal/safefile"
	"mox/mlog"
)

// CopiesDir is the usual name of the directory for Options.CopiesDir.
const CopiesDir = "httpstaticcompresscache"

// copies keeps compressed copies of static files in a directory, so that a file is not
// compressed again for each request. The name of a copy is a hash of all that tells one
// state of a file from another, so that a copy is never changed, and never that of what a
// file was before. Those that were not used for longest go first. It is safe for
// concurrent use. All that goes wrong with a copy is logged, and the response is
// compressed as if there were none.
type copies struct {
	dir   string
	floor *safefile.Floor
	log   *slog.Logger
	max   int64            // maxCopiesSize, unless a test says otherwise.
	now   func() time.Time // time.Now

	mu     sync.Mutex // Guards what follows.
	loaded bool
	kept   map[string]*keptCopy // By file name.
	size   int64                // Of all.
	making map[string]struct{}  // Copies that are being made.
}

// keptCopy is a copy in the directory.
type keptCopy struct {
	size int64
	used time.Time // Also the modification time of the file, but for copyUse.
}

func newCopies(opts Options) *copies {
	if opts.CopiesDir == "" {
		return nil
	}
	return &copies{dir: opts.CopiesDir, floor: opts.Floor, log: opts.Log, max: maxCopiesSize, now: time.Now, kept: map[string]*keptCopy{}, making: map[string]struct{}{}}
}

var copyName = regexp.MustCompile(`^[0-9a-f]{64}\.gz$`)

// nameOf returns the name of the copy of a file, in the state that info tells of.
func nameOf(path string, info fs.FileInfo) string {
	return fmt.Sprintf("%x.gz", sha256.Sum256(fmt.Appendf(nil, "%s\x00%d %d %s", path, info.ModTime().UnixNano(), info.Size(), inode(info))))
}

// copyOf returns the copy of a file, and its size, or nil if there is none and none can be
// made now. The caller closes it.
func (k *copies) copyOf(f *os.File, info fs.FileInfo) (io.ReadCloser, int64) {
	name := nameOf(f.Name(), info)
	if r, size := k.open(name); r != nil {
		metricCopies.WithLabelValues("kept").Inc()
		return r, size
	}
	// What changes twice within the resolution of its times cannot be told apart.
	if k.now().Sub(changed(info)) < copySettle {
		metricCopies.WithLabelValues("unsettled").Inc()
		return nil, 0
	}
	if !k.begin(name) {
		metricCopies.WithLabelValues("busy").Inc()
		return nil, 0
	}
	defer k.end(name)
	data, err := k.make(name, f, info)
	if err != nil {
		metricCopies.WithLabelValues("error").Inc()
		level := slog.LevelWarn
		if safefile.IsNoSpace(err) {
			level = slog.LevelDebug // Operators hear of that from others.
		}
		k.log.Log(context.Background(), level, "keeping compressed copy of static file", mlog.Err(err), slog.String("path", f.Name()))
		return nil, 0
	}
	metricCopies.WithLabelValues("made").Inc()
	return io.NopCloser(bytes.NewReader(data)), int64(len(data))
}

// open opens a copy. It returns nil if there is none.
func (k *copies) open(name string) (io.ReadCloser, int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(); err != nil {
		k.log.Warn("reading directory of compressed copies", mlog.Err(err))
	}
	c := k.kept[name]
	if c == nil {
		return nil, 0
	}
	path := filepath.Join(k.dir, name)
	f, err := os.Open(path)
	if err != nil { // The directory may be emptied at any time.
		k.forget(name)
		return nil, 0
	}
	if now := k.now(); now.Sub(c.used) >= copyUse {
		c.used = now
		_ = os.Chtimes(path, now, now) // For the order after the next start only.
	}
	return f, c.size
}

// load finds out which copies are there, the first time. What is no copy, such as a file that
// was being written when the server was killed, is removed.
func (k *copies) load() error {
	if k.loaded {
		return nil
	}
	k.loaded = true
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && copyName.MatchString(e.Name()) {
			k.add(e.Name(), keptCopy{info.Size(), info.ModTime()})
			continue
		}
		errs = append(errs, os.Remove(filepath.Join(k.dir, e.Name())))
	}
	return errors.Join(append(errs, k.evict())...)
}

// add adds a copy that is in the directory.
func (k *copies) add(name string, c keptCopy) {
	k.forget(name)
	k.kept[name] = &c
	k.size += c.size
}

// forget removes a copy that is not in the directory any more.
func (k *copies) forget(name string) {
	if c := k.kept[name]; c != nil {
		k.size -= c.size
		delete(k.kept, name)
	}
}

// evict removes copies until the others stay within the limits. What a response has open can
// still be read.
func (k *copies) evict() error {
	for k.size > k.max || len(k.kept) > maxCopies {
		var oldest string
		for name, c := range k.kept {
			if oldest == "" || c.used.Before(k.kept[oldest].used) {
				oldest = name
			}
		}
		k.forget(oldest)
		if err := os.Remove(filepath.Join(k.dir, oldest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// begin reports whether a copy is to be made by who asks: nobody else makes it, and not too
// many others are being made.
func (k *copies) begin(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.making[name]; ok || len(k.making) >= maxMaking || k.kept[name] != nil {
		return false
	}
	k.making[name] = struct{}{}
	return true
}

func (k *copies) end(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.making, name)
}

// make compresses a file and keeps the result.
func (k *copies) make(name string, f *os.File, info fs.FileInfo) ([]byte, error) {
	var b bytes.Buffer
	gz := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(gz)
	gz.Reset(&b)
	n, err := io.Copy(gz, io.NewSectionReader(f, 0, info.Size()))
	if err := errors.Join(err, gz.Close()); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if now, err := f.Stat(); err != nil {
		return nil, err
	} else if n != info.Size() || nameOf(f.Name(), now) != name {
		return nil, errors.New("file has changed while it was compressed")
	}
	if k.floor != nil {
		if err := k.floor.Check(int64(b.Len())); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(k.dir, 0700); err != nil {
		return nil, err
	}
	if err := safefile.WriteFile(filepath.Join(k.dir, name), b.Bytes(), 0600); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.add(name, keptCopy{int64(b.Len()), k.now()})
	if err := k.evict(); err != nil {
		return nil, fmt.Errorf("remove old copy: %w", err)
	}
	return b.Bytes(), nil
}
