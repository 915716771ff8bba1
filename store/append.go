package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/message"
)

const (
	// parallelWrites is how many files of one Append are written and synced at a time.
	parallelWrites = 8
	// maxBatch is how many messages one transaction takes at most.
	maxBatch = 500
)

// pkg is the name of this package in the panic counter.
const pkg = "store"

// NewMessage is a message to be stored.
type NewMessage struct {
	MailboxID int64  // Where to; or else
	Mailbox   string // the name of where to,
	Create    bool   // which is created when it does not exist.

	Spool    *safefile.Spool // The message, with CRLF line ends. The caller still closes it.
	Prefix   []byte          // Header fields that we add in front.
	Flags    Flags
	Keywords []string       // Sorted, lower-case.
	Received time.Time      // IMAP internal date; zero is now.
	Origin   *Origin        // Nil when it did not come by SMTP. If it did, the mailbox can change Flags.
	Destined string         // Mailbox the message was meant for, if another; created when it does not exist.
	Digest   message.Digest // Of the message without the prefix; made here when nil.
}

// prepared is a new message whose file is written. Its content is on stable storage
// when wait has returned nil, its name when dir has been synced.
type prepared struct {
	NewMessage
	id     int64
	dir    string         // Of the file; empty if its name is on stable storage.
	digest message.Digest // Of prefix and message.

	finish  func() error  // Syncs the file. Called once, by sync.
	synced  chan struct{} // Closed when syncErr is set.
	syncErr error
}

func (p *prepared) sync() error {
	p.syncErr = p.finish()
	close(p.synced)
	return p.syncErr
}

// wait waits for the end of sync and returns its error.
func (p *prepared) wait() error {
	<-p.synced
	return p.syncErr
}

// Append stores all messages or none, and returns them when they are on stable
// storage. Callers that wait at the same time are committed together; a caller
// that is alone is committed at once. Errors: ErrNoMailbox, ErrOverQuota,
// ErrNoSpace, ErrTooLarge, ErrLimit, ErrReadOnly, ErrClosed.
func (a *Account) Append(ctx context.Context, msgs ...NewMessage) ([]Message, error) {
	return a.AppendThen(ctx, nil, msgs...)
}

// AppendThen is Append with more to do in the transaction that stores the messages: then
// is called with them, unless it is nil. It may be called again after it has returned an
// error.
func (a *Account) AppendThen(ctx context.Context, then func(tx *Tx, stored []Message) error, msgs ...NewMessage) ([]Message, error) {
	return a.appendAll(ctx, &appendRequest{then: then}, msgs)
}

// appendAll is AppendThen with a request that has what is special about it.
func (a *Account) appendAll(ctx context.Context, r *appendRequest, msgs []NewMessage) ([]Message, error) {
	if len(msgs) > maxBatch {
		return nil, fmt.Errorf("%w: %d messages at once", ErrTooLarge, len(msgs))
	}
	r.more.Messages += int64(len(msgs))
	for _, m := range msgs {
		r.more.Size += m.size()
	}
	if err := a.admit(msgs, r.more); err != nil {
		return nil, err
	}
	r.msgs, r.done = make([]*prepared, len(msgs)), make(chan struct{})
	if err := a.writeAll(ctx, msgs, r); err != nil {
		a.discard(r)
		return nil, noSpace(err)
	}
	// Once it waits, it will be committed: the caller must know how that ended.
	<-r.done
	if r.err != nil {
		if !errors.Is(r.err, errCommit) {
			a.discard(r)
		}
		return nil, r.err
	}
	for _, p := range r.msgs {
		a.ids.done(p.id)
	}
	return r.result, nil
}

// writeAll writes and syncs the files of a request, several at a time, and has it
// committed.
func (a *Account) writeAll(ctx context.Context, msgs []NewMessage, r *appendRequest) (err error) {
	if len(msgs) == 1 {
		return a.writeOne(ctx, msgs[0], r)
	}
	var g errgroup.Group
	g.SetLimit(parallelWrites)
	for i, m := range msgs {
		g.Go(func() (err error) {
			if r.msgs[i], err = a.prepare(ctx, m); err != nil {
				return err
			}
			return errors.Join(r.msgs[i].sync(), r.msgs[i].parse())
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	go a.commit.add(r)
	return nil
}

// writeOne is writeAll for one message. The disk is the slowest: it is given the
// file at once, by this goroutine and not another that would first have to be woken,
// and meanwhile the message is parsed and its records are written.
func (a *Account) writeOne(ctx context.Context, m NewMessage, r *appendRequest) (err error) {
	if r.msgs[0], err = a.prepare(ctx, m); err != nil {
		return err
	}
	go func() {
		if r.err = r.msgs[0].parse(); r.err != nil {
			close(r.done)
			return
		}
		a.commit.add(r)
	}()
	_ = r.msgs[0].sync() // Whoever commits will see the error.
	return nil
}

func (m *NewMessage) size() int64 { return int64(len(m.Prefix)) + m.Spool.Size() }

// CheckSpace reports early, before messages are received, that they would be refused.
// Errors: ErrNoSpace, ErrOverQuota.
func (a *Account) CheckSpace(more Usage) error {
	if floor := a.store.opts.Floor; floor != nil {
		if err := floor.Check(more.Size); err != nil {
			return fmt.Errorf("%w: %w", ErrNoSpace, err)
		}
	}
	return a.quota().allows(a.Tree().usage(), more)
}

// admit refuses early, before anything is written, what will be refused anyway.
func (a *Account) admit(msgs []NewMessage, more Usage) error {
	if err := a.CheckSpace(more); err != nil {
		return err
	}
	t := a.Tree()
	for _, m := range msgs {
		var ok bool
		if m.MailboxID != 0 {
			_, ok = t.ByID(m.MailboxID)
		} else {
			_, ok = t.ByName(m.Mailbox)
		}
		if !ok && (m.MailboxID != 0 || !m.Create) {
			return ErrNoMailbox
		}
	}
	return nil
}

func noSpace(err error) error {
	if safefile.IsNoSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// prepare writes the file of a message, without holding any lock. It must be synced
// then.
func (a *Account) prepare(ctx context.Context, m NewMessage) (*prepared, error) {
	p := &prepared{NewMessage: m, synced: make(chan struct{})}
	if p.Received.IsZero() {
		p.Received = a.store.opts.Now()
	}
	if err := a.writeFile(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

// parse sets the digest. It runs in a goroutine of its own, on what a stranger has
// written, so a panic is an error for this message alone.
func (p *prepared) parse() (err error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkg)
			err = fmt.Errorf("parse message: panic: %v\n%s", x, debug.Stack())
		}
	}()
	if p.digest, err = p.newDigest(); err != nil {
		return fmt.Errorf("parse message: %w", err)
	}
	return nil
}

// newDigest makes the digest of prefix and message.
func (m *NewMessage) newDigest() (message.Digest, error) {
	whole := prefixed{m.Prefix, m.Spool}
	switch {
	case m.Digest == nil:
		return message.NewDigest(whole, m.size(), message.Limits{})
	case len(m.Prefix) == 0:
		return m.Digest, nil
	}
	return m.Digest.Prepend(m.Prefix, whole)
}

// writeFile writes the file of a message under a new id.
func (a *Account) writeFile(ctx context.Context, p *prepared) error {
	if _, ok := p.Spool.Bytes(); ok {
		if sp, ok := a.spares.take(); ok {
			return a.writeSpare(p, sp)
		}
	}
	id, err := a.reserveID(ctx)
	if err != nil {
		return err
	}
	path := a.contentPath(id)
	dir := filepath.Dir(path)
	if err := a.ensureDir(dir); err != nil {
		a.ids.done(id)
		return fmt.Errorf("create message directory: %w", err)
	}
	finish, err := p.Spool.StartFileExcl(path)
	if err != nil {
		a.removeFiles(id) // What is there, if anything, has no record: it must not stay.
		return fmt.Errorf("write message file: %w", err)
	}
	p.id, p.dir, p.finish = id, dir, finish
	return nil
}

// writeSpare writes the message to a file that was made ahead of time.
func (a *Account) writeSpare(p *prepared, sp spare) error {
	finish, err := p.Spool.StartFile(sp.file, a.contentPath(sp.id))
	if err != nil {
		a.removeFiles(sp.id)
		return fmt.Errorf("write message file: %w", err)
	}
	p.id, p.finish = sp.id, finish
	return nil
}

// discard removes the files of messages that were not stored.
func (a *Account) discard(r *appendRequest) {
	for _, p := range r.msgs {
		if p != nil {
			_ = p.wait() // Only for the end of it: the file is not needed.
			a.removeFiles(p.id)
		}
	}
}

// removeFiles removes the files of messages that were not stored. An id whose file
// may still be there after a crash stays active, so that the file is found at the
// next open.
func (a *Account) removeFiles(l ...int64) {
	dirs := map[string][]int64{}
	for _, id := range l {
		path := a.contentPath(id)
		err := a.store.fs.Remove(path)
		switch {
		case err == nil:
			dirs[filepath.Dir(path)] = append(dirs[filepath.Dir(path)], id)
		case errors.Is(err, fs.ErrNotExist):
			a.ids.done(id)
		default:
			a.log.Error("remove file of message that was not stored", "id", id, "err", err)
		}
	}
	for dir, l := range dirs {
		if err := a.store.fs.SyncDir(dir); err != nil {
			a.log.Error("sync directory after removing files of messages that were not stored", "dir", dir, "err", err)
			continue
		}
		for _, id := range l {
			a.ids.done(id)
		}
	}
}

// appendRequest is an Append that waits for its commit.
type appendRequest struct {
	msgs   []*prepared
	more   Usage                                // Without what then removes.
	then   func(tx *Tx, stored []Message) error // Nil for nothing.
	result []Message
	err    error
	done   chan struct{} // Closed when result or err is set.
}

// committer commits the appends that wait together, in order, in one transaction
// at a time.
type committer struct {
	a       *Account
	mu      sync.Mutex
	waiting []*appendRequest
	running bool
	stopped bool
	idle    sync.WaitGroup
}

// add queues a request. If no one is committing, it commits it, and what comes
// meanwhile.
func (c *committer) add(r *appendRequest) {
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		r.err = ErrClosed
		close(r.done)
		return
	}
	c.waiting = append(c.waiting, r)
	lead := !c.running
	if lead {
		c.running = true
		c.idle.Add(1)
	}
	c.mu.Unlock()
	if lead {
		c.run()
	}
}

// stop waits for what is queued, and refuses more.
func (c *committer) stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.idle.Wait()
}

// take returns the requests for the next transaction, none when all are done.
func (c *committer) take() []*appendRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, messages := 0, 0
	for n < len(c.waiting) {
		messages += len(c.waiting[n].msgs)
		if n > 0 && messages > maxBatch {
			break
		}
		n++
	}
	batch := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if n == 0 {
		c.running, c.waiting = false, nil
	}
	return batch
}

// run commits until nothing waits.
func (c *committer) run() {
	defer c.idle.Done()
	for c.next() {
	}
}

// next commits what waits, and reports whether that was anything.
func (c *committer) next() bool {
	batch := c.take()
	if len(batch) == 0 {
		return false
	}
	c.commitBatch(batch)
	for _, r := range batch {
		close(r.done)
	}
	return true
}

// commitBatch sets the result or error of each request. While the files and their
// directories are being synced, the records are written; before the commit, all
// must be synced.
func (c *committer) commitBatch(batch []*appendRequest) {
	synced := sync.OnceValue(func() error { return c.syncDirs(batch) })
	if len(batch) > 1 || len(batch[0].msgs) > 1 { // Else it would begin later than here.
		go func() { _ = synced() }()
	}
	err := c.commitTogether(batch, synced)
	if err == nil {
		_ = synced() // If there was nothing to commit, only for the end of it.
		return
	}
	if errors.Is(err, errCommit) || errors.Is(err, ErrReadOnly) || errors.Is(err, ErrClosed) || synced() != nil {
		for _, r := range batch {
			r.err = cmp.Or(r.err, noSpace(err))
		}
		return
	}
	// A failed write spoils the transaction for all: each for itself, so that only
	// the one that is to blame fails.
	if len(batch) > 1 {
		c.a.log.Warn("commit of several messages failed, trying each on its own", "messages", len(batch), "err", err)
	}
	for _, r := range batch {
		switch {
		case r.err != nil: // It is to blame.
		case len(batch) == 1:
			r.err = err
		default:
			err := c.commitTogether([]*appendRequest{r}, synced)
			r.err = cmp.Or(r.err, err)
		}
		r.err = noSpace(r.err)
	}
}

// syncDirs makes the names of the new files durable, each directory once.
func (c *committer) syncDirs(batch []*appendRequest) error {
	var dirs []string
	for _, r := range batch {
		for _, p := range r.msgs {
			if p.dir != "" && !slices.Contains(dirs, p.dir) {
				dirs = append(dirs, p.dir)
			}
		}
	}
	for _, dir := range dirs {
		if err := c.a.store.fs.SyncDir(dir); err != nil {
			return fmt.Errorf("sync message directory: %w", err)
		}
	}
	return nil
}

// wait waits until the files of the request are synced.
func (r *appendRequest) wait() error {
	for _, p := range r.msgs {
		if err := p.wait(); err != nil {
			return fmt.Errorf("write message file: %w", err)
		}
	}
	return nil
}

// commitTogether stores all requests in one transaction, except those it finds
// must be refused, for which it sets the error before anything is written. Synced
// waits for the directories.
func (c *committer) commitTogether(batch []*appendRequest, synced func() error) error {
	var contents []*content
	results := make([][]Message, len(batch))
	// Whoever waits has been promised an answer: no caller's context ends this.
	err := c.a.Update(context.Background(), func(tx *Tx) error {
		used, quota := tx.state.usage(), c.a.quota()
		for _, r := range batch {
			if r.err != nil {
				continue
			}
			if r.err = tx.check(r); r.err == nil {
				r.err = quota.allows(used, r.more)
			}
			if r.err == nil {
				used = used.plus(r.more)
			}
		}
		for i, r := range batch {
			if r.err != nil {
				continue
			}
			for _, p := range r.msgs {
				m, ct, err := tx.insert(p)
				if err != nil {
					return err
				}
				results[i] = append(results[i], m)
				if r.then == nil { // Of messages that come in large numbers, few are read soon.
					contents = append(contents, ct)
				}
			}
			if r.then != nil {
				if err := r.then(tx, results[i]); err != nil {
					return err
				}
			}
		}
		if err := synced(); err != nil {
			return err
		}
		for _, r := range batch {
			if r.err == nil {
				if r.err = r.wait(); r.err != nil {
					return r.err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, r := range batch {
		r.result = results[i]
	}
	c.a.store.cache.addContents(c.a, contents...)
	return nil
}
