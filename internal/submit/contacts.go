package submit

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"mox/internal/metrics"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// maxContacts is how many addresses of an account wait to be written. Submissions of the
// account wait while there are more.
const maxContacts = 10_000

// contactsPause is how long the contacts of an account are collected after they were
// written: nobody else needs them at once.
const contactsPause = 100 * time.Millisecond

// contacts writes whom users have sent to into their accounts, after their messages were
// queued: many at a time, because a commit for each would take longer than the rest of a
// submission. A crash can lose what the last moments would have added; the limits, which
// are in the queue, do not.
type contacts struct {
	store *store.Store
	log   *slog.Logger

	mu      sync.Mutex // Guards what follows.
	room    sync.Cond
	waiting map[string]map[smtp.Address]bool // By account. Also those that are being written.
	writing map[string]bool                  // Accounts with a writer.
	writers sync.WaitGroup

	settle     chan struct{} // Closed when all is to be written without a pause.
	settleOnce sync.Once
}

func newContacts(st *store.Store, log *slog.Logger) *contacts {
	c := &contacts{store: st, log: log, waiting: map[string]map[smtp.Address]bool{}, writing: map[string]bool{}, settle: make(chan struct{})}
	c.room.L = &c.mu
	return c
}

// pending returns which of the addresses wait to be written.
func (c *contacts) pending(account string, addrs []smtp.Address) map[smtp.Address]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := map[smtp.Address]bool{}
	for _, a := range addrs {
		m[a] = c.waiting[account][a]
	}
	return m
}

// add makes addresses be written.
func (c *contacts) add(account string, addrs []smtp.Address) {
	if len(addrs) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting[account]) >= maxContacts {
		c.room.Wait()
	}
	if c.waiting[account] == nil {
		c.waiting[account] = map[smtp.Address]bool{}
	}
	for _, a := range addrs {
		c.waiting[account][a] = true
	}
	if !c.writing[account] {
		c.writing[account] = true
		c.writers.Go(func() { c.write(account) })
	}
}

// wait waits until all is written, from then on without pauses.
func (c *contacts) wait() {
	c.settleOnce.Do(func() { close(c.settle) })
	c.writers.Wait()
}

// write writes what waits for an account until nothing does.
func (c *contacts) write(account string) {
	for {
		c.mu.Lock()
		l := slices.Collect(maps.Keys(c.waiting[account]))
		if len(l) == 0 {
			delete(c.waiting, account)
			delete(c.writing, account)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if err := c.commit(account, l); err != nil {
			c.log.Error("noting whom an account has sent to", slog.String("account", account), mlog.Err(err))
		}
		c.mu.Lock()
		for _, a := range l {
			delete(c.waiting[account], a)
		}
		c.room.Broadcast()
		c.mu.Unlock()
		select {
		case <-c.settle:
		case <-time.After(contactsPause):
		}
	}
}

func (c *contacts) commit(account string, l []smtp.Address) (err error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			err = fmt.Errorf("panic: %v", x)
		}
	}()
	ctx := context.Background() // Who sent it does not wait.
	acc, err := c.store.Ensure(ctx, account)
	if err != nil {
		return err
	}
	defer acc.Release()
	return acc.Update(ctx, func(tx *store.Tx) error { return tx.AddContacts(l, time.Now(), true) })
}
