package queuedb

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
)

// change is one unit of work for the committer. Check and apply are called with
// the transaction of a batch, in the order of arrival, possibly a second time in a
// transaction of their own, so they start from scratch each time.
type change struct {
	// check reads, and fails the change alone. May be nil.
	check func(b *batch) error
	// apply writes. An error undoes the batch.
	apply func(b *batch) error
	// dirs are synced before the commit.
	dirs []string

	err  error
	done chan struct{}
}

// errSync marks the failed sync of a directory: what it says about the disk is
// the same as a failed commit.
var errSync = errors.New("sync directory")

// committer is the one goroutine that writes to the database.
type committer struct {
	d    *DB
	wake chan struct{} // Capacity 1.
	quit chan struct{}
	done chan struct{}

	watch func([]Head, bool) // Of the committing goroutine. Nil is none.

	mu      sync.Mutex // Guards what follows.
	pending []*change
	stopped bool
	failure error // Why the database is read-only, matches ErrReadOnly.
}

func (c *committer) init(d *DB) {
	c.d = d
	c.wake = make(chan struct{}, 1)
	c.quit = make(chan struct{})
	c.done = make(chan struct{})
}

// do queues a change and waits until it is committed or has failed. A context
// that ends before the change was taken up withdraws it. Once taken up its fate
// is waited for, since the caller must know it.
func (c *committer) do(ctx context.Context, ch *change) error {
	ch.done = make(chan struct{})
	c.mu.Lock()
	if err := c.refuse(); err != nil {
		c.mu.Unlock()
		return err
	}
	c.pending = append(c.pending, ch)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	select {
	case <-ch.done:
		return ch.err
	case <-ctx.Done():
	}
	if c.withdraw(ch) {
		return ctx.Err()
	}
	<-ch.done
	return ch.err
}

// refuse returns why no change can be made; c.mu is held.
func (c *committer) refuse() error {
	if c.stopped {
		return ErrClosed
	}
	return c.failure
}

func (c *committer) withdraw(ch *change) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, p := range c.pending {
		if p == ch {
			c.pending = append(c.pending[:i:i], c.pending[i+1:]...)
			return true
		}
	}
	return false
}

// take returns the changes that wait, at most maxBatch, and what they are to fail
// with instead of being done.
func (c *committer) take() ([]*change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.pending), maxBatch)
	l := c.pending[:n:n]
	c.pending = c.pending[n:]
	if len(c.pending) == 0 {
		c.pending = nil
	}
	return l, c.refuse()
}

func (c *committer) run() {
	defer close(c.done)
	for {
		l, refused := c.take()
		if len(l) == 0 {
			select {
			case <-c.wake:
				continue
			case <-c.quit:
				return
			}
		}
		if refused != nil {
			finish(l, refused)
			continue
		}
		c.commit(l)
	}
}

func (c *committer) stop() {
	c.mu.Lock()
	if !c.stopped {
		c.stopped = true
		close(c.quit)
	}
	c.mu.Unlock()
	<-c.done
	l, err := c.take()
	for len(l) > 0 {
		finish(l, err)
		l, err = c.take()
	}
}

func (c *committer) isStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

func (c *committer) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// fail makes the database read-only.
func (c *committer) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = fmt.Errorf("%w: %w", ErrReadOnly, err)
		if safefile.IsNoSpace(err) {
			c.failure = fmt.Errorf("%w: %w", ErrNoSpace, c.failure)
		}
		c.d.log.Error("queue is read-only after a disk failure", "err", err)
	}
	return c.failure
}

func (c *committer) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = nil
	c.d.log.Info("queue is writable again after it was reopened and verified")
}

func finish(l []*change, err error) {
	for _, ch := range l {
		ch.err = err
		close(ch.done)
	}
}

// commit does changes in one transaction, or one by one if one of them makes the
// transaction fail.
func (c *committer) commit(l []*change) {
	err := c.try(l)
	if err == nil {
		return
	}
	if c.broken() != nil {
		finish(l, c.broken())
		return
	}
	if len(l) == 1 {
		finish(l, err)
		return
	}
	for _, ch := range l {
		c.commit([]*change{ch})
	}
}

// try does changes in one transaction. If it returns nil, all changes have their
// answer; otherwise nothing has changed, and if the disk has failed, c is broken.
func (c *committer) try(l []*change) error {
	d := c.d
	d.dbMu.RLock()
	defer d.dbMu.RUnlock()
	if d.bdb == nil {
		return ErrClosed
	}
	tx, err := d.bdb.Begin(context.Background(), true)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	b, good, bad, err := c.apply(tx, l)
	if err == nil && len(good) > 0 {
		err = d.syncDirs(good)
	}
	if err != nil {
		// The error of a rollback says nothing beyond that of what went before.
		tx.Rollback()
		if errors.Is(err, errSync) {
			return c.fail(err)
		}
		return err
	}
	if len(good) == 0 {
		tx.Rollback()
	} else if err := d.commit(tx); err != nil {
		return c.fail(fmt.Errorf("commit: %w", err))
	} else {
		b.committed()
	}
	for _, ch := range bad {
		close(ch.done)
	}
	finish(good, nil)
	return nil
}

// apply does changes in tx. Those that fail their check have their error set and
// are returned as bad.
func (c *committer) apply(tx *bstore.Tx, l []*change) (b *batch, good, bad []*change, err error) {
	b, err = newBatch(c.d, tx)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, ch := range l {
		if ch.check != nil {
			if ch.err = ch.check(b); ch.err != nil {
				bad = append(bad, ch)
				continue
			}
		}
		if err := ch.apply(b); err != nil {
			return nil, nil, nil, err
		}
		good = append(good, ch)
	}
	if err := b.flush(); err != nil {
		return nil, nil, nil, err
	}
	return b, good, bad, nil
}

// syncDirs syncs each directory that changes have files in, once.
func (d *DB) syncDirs(l []*change) error {
	synced := map[string]bool{}
	for _, ch := range l {
		for _, dir := range ch.dirs {
			if synced[dir] {
				continue
			}
			synced[dir] = true
			if err := d.fs.SyncDir(dir); err != nil {
				return fmt.Errorf("%w: %w", errSync, err)
			}
		}
	}
	return nil
}
