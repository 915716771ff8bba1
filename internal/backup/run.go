package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mox/internal/training"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/store"
)

// HoldReason is the reason why messages of a restored queue are on hold.
const HoldReason = "restored from a backup: may have been delivered since that was made"

// nameFormat is that of the names of snapshots, which are the time when they were begun.
const nameFormat = "20060102T150405Z"

// Options are for [Run].
type Options struct {
	Source   Source
	Program  string       // Version of mox.
	Log      *slog.Logger // Nil logs nothing.
	Parallel int          // Files copied at a time. Zero is DefaultParallel.
	Full     bool         // Read all files again, also those that were in the last snapshot.
	Progress func(string) // Is told how far it is, from time to time. Nil: nobody.

	Now func() time.Time // Nil is time.Now.
}

// Result is what became of a run.
type Result struct {
	Name string // Of the snapshot.
	Footer
	Copied     int64 // Files that were not in the last snapshot.
	CopiedSize int64 // Octets of them.
}

// ErrFailures: some files could not be read. The snapshot has all others.
var ErrFailures = errors.New("not all files could be read")

// run is a backup in progress.
type run struct {
	opts  Options
	log   *slog.Logger
	sink  sink
	stage string // Directory for copies of databases.
	out   *manifestWriter
	buf   *bufio.Writer
	file  *os.File // The manifest.
	olds  []*old
	jobs  *pipeline

	accounts int

	mu       sync.Mutex // Guards failures, failed and what calls Progress.
	failures []string
	failed   int

	total    struct{ files, size, copied, copiedSize atomic.Int64 }
	told     time.Time
	synced   time.Time
	unsynced int
}

// Run makes a snapshot in a place. If the error matches [ErrFailures], it is there, but
// does not have all. Other errors leave what was done for the next run.
func Run(ctx context.Context, p *Place, opts Options) (res Result, rerr error) {
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Parallel == 0 {
		opts.Parallel = DefaultParallel
	}
	opts.Parallel = min(max(opts.Parallel, 1), MaxParallel)
	start := opts.Now()
	r := &run{opts: opts, log: opts.Log, told: start, synced: start}
	h, err := newHeader(ctx, p, opts)
	if err != nil {
		return res, err
	}
	if r.sink, err = p.repo.begin(ctx, h.Name, opts.Source.DataDir); err != nil {
		return res, fmt.Errorf("begin snapshot: %w", err)
	}
	defer func() { rerr = errors.Join(rerr, r.sink.close()) }()
	if !opts.Full {
		if r.olds, err = r.sink.olds(ctx); err != nil {
			return res, fmt.Errorf("read last snapshot: %w", err)
		}
		defer func() {
			for _, o := range r.olds {
				rerr = errors.Join(rerr, o.close())
			}
		}()
	}
	if err := r.prepare(h); err != nil {
		return res, err
	}
	defer func() { rerr = errors.Join(rerr, os.RemoveAll(r.stage)) }()
	err = r.all(ctx)
	if err != nil {
		return res, errors.Join(err, r.save(), r.file.Close())
	}
	res.Name, res.Copied, res.CopiedSize = h.Name, r.total.copied.Load(), r.total.copiedSize.Load()
	if res.Footer, err = r.finish(ctx); err != nil {
		return res, err
	}
	r.log.Info("backup made", "snapshot", res.Name, "files", res.Files, "size", res.Size, "copied", res.Copied, "copiedsize", res.CopiedSize,
		"failed", res.Failed, "duration", opts.Now().Sub(start))
	if res.Failed > 0 {
		return res, fmt.Errorf("%w: %d failed, the first: %s", ErrFailures, res.Failed, res.Failures[0])
	}
	return res, nil
}

// newHeader returns the header of a new snapshot. Its name sorts after all others, whatever
// the clock says.
func newHeader(ctx context.Context, p *Place, opts Options) (Header, error) {
	h := Header{Version: manifestVersion, Started: opts.Now().UTC().Truncate(time.Second), Program: opts.Program}
	l, err := p.repo.list(ctx)
	if err != nil {
		return h, fmt.Errorf("list snapshots: %w", err)
	}
	if n := len(l); n > 0 && !h.Started.After(l[n-1].Started) {
		h.Started = l[n-1].Started.Add(time.Second)
	}
	h.Name = h.Started.Format(nameFormat)
	if h.Host, err = os.Hostname(); err != nil {
		return h, fmt.Errorf("name of this host: %w", err)
	}
	return h, nil
}

// prepare makes what the run writes to.
func (r *run) prepare(h Header) error {
	tmp := filepath.Join(r.opts.Source.DataDir, tempDir)
	if err := os.MkdirAll(tmp, 0770); err != nil {
		return err
	}
	r.stage = filepath.Join(tmp, "backup")
	if err := os.RemoveAll(r.stage); err != nil { // Of a run that was killed.
		return err
	}
	if err := os.Mkdir(r.stage, 0700); err != nil {
		return err
	}
	// The server writes there, and this may be root.
	own, err := ownerOf(r.opts.Source.DataDir)
	if err != nil {
		return err
	}
	if err := errors.Join(own.set(tmp), own.set(r.stage)); err != nil {
		return err
	}
	if r.file, err = os.OpenFile(r.sink.manifestPath(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0600); err != nil {
		return fmt.Errorf("create manifest: %w", err)
	}
	if filepath.Dir(r.file.Name()) == filepath.Join(r.opts.Source.DataDir, StateDir) {
		if err := own.set(r.file.Name()); err != nil {
			return errors.Join(err, r.file.Close())
		}
	}
	r.buf = bufio.NewWriterSize(r.file, 64<<10)
	if r.out, err = newManifestWriter(r.buf, h); err != nil {
		return errors.Join(err, r.file.Close())
	}
	return nil
}

// all copies everything.
func (r *run) all(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.jobs = newPipeline(ctx, r.opts.Parallel, r.sink, r.written)
	err := r.parts(ctx)
	if err != nil {
		cancel()
	}
	if jerr := r.jobs.close(); err == nil { // Else it is the same, or follows from it.
		err = jerr
	}
	return err
}

func (r *run) parts(ctx context.Context) error {
	src := r.opts.Source
	if src.Queue != nil {
		if err := r.queue(ctx); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	names, err := src.Accounts()
	if err != nil {
		return fmt.Errorf("list accounts: %w", err)
	}
	slices.Sort(names)
	for i, name := range names {
		if err := r.account(ctx, name); err != nil {
			return fmt.Errorf("account %s: %w", name, err)
		}
		r.progress(fmt.Sprintf("account %d of %d", i+1, len(names)))
	}
	return r.plain(ctx)
}

// queue copies the queue. The messages in it are on hold in the copy.
func (r *run) queue(ctx context.Context) error {
	src := r.opts.Source
	release, err := src.Hold()
	if err != nil {
		return err
	}
	defer release()
	stage := filepath.Join(r.stage, "queue.db")
	if err := src.Queue(ctx, stage); err != nil {
		return err
	}
	if _, err := queuedb.HoldAll(ctx, stage, HoldReason); err != nil {
		return fmt.Errorf("put copy on hold: %w", err)
	}
	list := func(fn func(id, size int64) error) error { return queuedb.SnapshotFiles(ctx, stage, fn) }
	path := func(id int64) string { return queuedb.ContentPath(id) }
	if err := r.messages(ctx, dataSection+"/"+queuedb.DatabaseName, stage, "", list, path); err != nil {
		return err
	}
	return removeStaged(stage)
}

// removeStaged removes copies of databases that were not moved to the backup.
func removeStaged(files ...string) error {
	for _, file := range files {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// account copies an account.
func (r *run) account(ctx context.Context, name string) error {
	src := r.opts.Source
	release, err := src.Hold()
	if err != nil {
		return err
	}
	defer release()
	dir := filepath.Join("accounts", name)
	stage, filter := filepath.Join(r.stage, "index.db"), filepath.Join(r.stage, "junkfilter.db")
	err = src.Account(ctx, name, stage)
	if errors.Is(err, store.ErrNoAccount) {
		r.log.Info("account was removed while the backup was made", "account", name)
		return nil
	} else if err != nil {
		return err
	}
	ok, err := src.Filter(ctx, name, filter)
	if err != nil {
		// It can be made again from the messages.
		r.fail(accountsPrefix+name+"/"+training.FileName, err)
	}
	if !ok || err != nil {
		filter = ""
	}
	list := func(fn func(id, size int64) error) error { return store.SnapshotFiles(ctx, stage, fn) }
	path := func(id int64) string { return filepath.Join(dir, store.ContentPath(id)) }
	if err := r.messages(ctx, accountsPrefix+name+"/"+store.DatabaseName, stage, filter, list, path); err != nil {
		return err
	}
	r.accounts++
	return removeStaged(stage, filepath.Join(r.stage, "junkfilter.db"))
}

// messages ships a copy of a database, that of a junk filter if there is one, and the
// files that the database names, and waits until that is done.
func (r *run) messages(ctx context.Context, dbPath, stage, filter string, list func(fn func(id, size int64) error) error, path func(id int64) string) error {
	if err := r.verifyStage(stage); err != nil {
		return err
	}
	// The list is read while the file is shipped: reading it must change nothing then.
	ids, err := os.CreateTemp(r.stage, "list")
	if err != nil {
		return err
	}
	defer func() { _ = ids.Close() }()
	w := bufio.NewWriter(ids)
	if err := list(func(id, size int64) error { _, err := fmt.Fprintln(w, id, size); return err }); err != nil {
		return fmt.Errorf("list messages: %w", err)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if _, err := ids.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r.add(ctx, item{path: dbPath, file: stage, size: -1, kind: staged})
	if filter != "" {
		r.add(ctx, item{path: filepath.ToSlash(filepath.Join(filepath.Dir(dbPath), training.FileName)), file: filter, size: -1, kind: staged})
	}
	br := bufio.NewReader(ids)
	for {
		var id, size int64
		if _, err := fmt.Fscanln(br, &id, &size); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("list of messages: %w", err)
		}
		rel := path(id)
		r.add(ctx, item{path: dataSection + "/" + filepath.ToSlash(rel), file: filepath.Join(r.opts.Source.DataDir, rel), size: size, kind: fixed})
		r.progress("")
	}
	return errors.Join(r.jobs.flush(), os.Remove(ids.Name()))
}

// verifyStage makes sure that what comes from a disk that lies is noticed now.
func (r *run) verifyStage(file string) error {
	info, err := os.Stat(file)
	if err == nil && info.Size() == 0 {
		err = errors.New("copy of database is empty")
	}
	return err
}

// plain copies the other databases and all other files.
func (r *run) plain(ctx context.Context) error {
	src := r.opts.Source
	exclude := []string{}
	if dir := r.sink.dir(); dir != "" {
		exclude = append(exclude, dir)
	}
	f := finder{src: src, exclude: exclude, failed: r.fail}
	if err := f.find(); err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	for name, snapshot := range src.Others {
		stage := filepath.Join(r.stage, name)
		if err := snapshot(ctx, stage); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.files = append(f.files, plainFile{dataSection + "/" + name, stage})
	}
	slices.SortFunc(f.files, func(a, b plainFile) int { return comparePaths(a.path, b.path) })
	for _, file := range f.files {
		it := item{path: file.path, file: file.file, size: -1, kind: plain}
		if filepath.Dir(file.file) == r.stage {
			it.kind = staged
		}
		r.add(ctx, it)
	}
	return r.jobs.flush()
}

// add gives a file to those who copy, with what is known of it from before.
func (r *run) add(ctx context.Context, it item) {
	for _, o := range r.olds {
		if e, ok := o.find(it.path); ok {
			it.olds = append(it.olds, oldEntry{e, o})
		}
	}
	r.jobs.add(ctx, it)
}

// fail notes that a file could not be read.
func (r *run) fail(path string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed++
	r.log.Error("file is not in the backup", "path", path, mlog.Err(err))
	if len(r.failures) < maxFailures {
		r.failures = append(r.failures, path+": "+err.Error())
	}
	if r.opts.Progress != nil && len(r.failures) < maxFailures {
		r.opts.Progress("failed: " + path + ": " + err.Error())
	}
}

// written takes a file that was copied, in order. It is called by one goroutine.
func (r *run) written(it item, e Entry, copied bool, err error) error {
	var serr sourceError
	switch {
	case errors.As(err, &serr):
		r.fail(it.path, serr.error)
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", it.path, err)
	}
	r.total.files.Add(1)
	r.total.size.Add(e.Size)
	if copied {
		r.total.copied.Add(1)
		r.total.copiedSize.Add(e.Size)
	}
	if err := r.out.add(e); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	r.unsynced++
	if now := r.opts.Now(); r.unsynced >= checkpointFiles || now.Sub(r.synced) >= checkpointTime {
		r.unsynced, r.synced = 0, now
		return r.save()
	}
	return nil
}

// save makes what is in the manifest so far durable.
func (r *run) save() error {
	if err := errors.Join(r.buf.Flush(), r.file.Sync()); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// progress tells how far it is, if that was not done a moment ago.
func (r *run) progress(what string) {
	now := r.opts.Now()
	if r.opts.Progress == nil || now.Sub(r.told) < progressTime {
		return
	}
	r.told = now
	r.mu.Lock()
	defer r.mu.Unlock()
	if what != "" {
		what += ", "
	}
	r.opts.Progress(fmt.Sprintf("%s%d files, %d octets, of which %d files, %d octets are new", what,
		r.total.files.Load(), r.total.size.Load(), r.total.copied.Load(), r.total.copiedSize.Load()))
}

// finish writes the end of the manifest and makes the snapshot one.
func (r *run) finish(ctx context.Context) (Footer, error) {
	f, err := r.out.finish(Footer{Finished: r.opts.Now().UTC().Truncate(time.Second), Accounts: r.accounts, Failed: r.failed, Failures: r.failures})
	if err := errors.Join(err, r.save(), r.file.Close()); err != nil {
		return f, err
	}
	if err := r.sink.finish(ctx, f); err != nil {
		return f, fmt.Errorf("finish snapshot: %w", err)
	}
	return f, nil
}
