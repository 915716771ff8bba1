package accountfile

import (
	"container/list"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
)

// A File is open until Close is called. It is a pointer to a struct in which Uses is embedded.
type File interface {
	comparable
	io.Closer
	uses() *Uses
}

// Uses is what a [Cache] knows of a file. It is for embedding.
type Uses struct {
	n    int  // Of who acquired it and did not release it. Guarded by Cache.mu.
	gone bool // To be closed by the last user. Guarded by Cache.mu.
}

func (u *Uses) uses() *Uses { return u }

// Options are for [New]. All are needed.
type Options struct {
	Context context.Context // When it has ended no file is opened or used any more.
	Max     int             // Files that stay open. Those in use are not closed, even if there are more.

	// Failed is told when a file was not used for longest, and closing it failed.
	Failed func(account string, err error)
}

// A Cache has the open files of all accounts, one of each.
type Cache[F File] struct {
	opts Options

	mu    sync.Mutex // Guards what follows. Never held while waiting for anything.
	slots map[string]*Slot[F]
	open  list.List // Of slots with an open file, last used first.
}

// A Slot is the place for the file of an account.
type Slot[F File] struct {
	c       *Cache[F]
	account string
	lock    chan struct{} // Holds an element while the file is opened, closed or replaced.

	// Guarded by Cache.mu.
	file F             // Zero if none is open.
	elem *list.Element // In Cache.open. Nil if there is no file.
}

// New returns a cache without files.
func New[F File](opts Options) *Cache[F] {
	return &Cache[F]{opts: opts, slots: map[string]*Slot[F]{}}
}

func (c *Cache[F]) slot(account string) *Slot[F] {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.slots[account]
	if !ok {
		s = &Slot[F]{c: c, account: account, lock: make(chan struct{}, 1)}
		c.slots[account] = s
	}
	return s
}

// Close closes all files after Options.Context has ended. One that someone is using is
// closed when that ends.
func (c *Cache[F]) Close() error {
	c.mu.Lock()
	slots := slices.Collect(maps.Values(c.slots))
	c.mu.Unlock()
	var errs []error
	var all F
	for _, s := range slots {
		s.lock <- struct{}{}
		errs = append(errs, s.Drop(all))
		s.Unlock()
	}
	return errors.Join(errs...)
}

// Acquire returns the file of an account, which is opened with open, while it is locked, if
// it is not. The caller must release it. The error is the cause of Options.Context when that
// has ended.
func (c *Cache[F]) Acquire(ctx context.Context, account string, open func() (F, error)) (F, error) {
	s := c.slot(account)
	var none F
	if x, err := s.Use(); x != none || err != nil {
		return x, err
	}
	if err := s.wait(ctx); err != nil {
		return none, err
	}
	defer c.evict()
	defer s.Unlock()
	x, err := s.Use() // Someone else may have opened it meanwhile.
	if x == none && err == nil {
		if x, err = open(); err == nil {
			x.uses().n = 1
			err = s.Put(x)
		}
	}
	return x, err
}

// Release gives back a file.
func (c *Cache[F]) Release(x F) error {
	c.mu.Lock()
	u := x.uses()
	u.n--
	last := u.n == 0 && u.gone
	c.mu.Unlock()
	if last {
		return x.Close()
	}
	return nil
}

// evict closes files that were not used for longest, if there are too many. Those in use
// stay.
func (c *Cache[F]) evict() {
	for {
		s, x := c.victim()
		if s == nil {
			return
		}
		if err := x.Close(); err != nil {
			c.opts.Failed(s.account, err)
		}
		s.Unlock()
	}
}

// victim takes a file that is not in use out of its slot, and returns both, with the slot
// locked so that the file is not opened before it is closed.
func (c *Cache[F]) victim() (*Slot[F], F) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.open.Back(); e != nil && c.open.Len() > c.opts.Max; e = e.Prev() {
		s := e.Value.(*Slot[F])
		if s.file.uses().n > 0 {
			continue
		}
		select {
		case s.lock <- struct{}{}:
			return s, s.take()
		default: // Being replaced right now.
		}
	}
	var none F
	return nil, none
}

// Lock waits until nobody opens, closes or replaces the file of an account, and keeps others
// from that until Unlock. Who has acquired the file can use it all the same.
func (c *Cache[F]) Lock(ctx context.Context, account string) (*Slot[F], error) {
	s := c.slot(account)
	return s, s.wait(ctx)
}

// Drop locks the file of an account for [Slot.Drop].
func (c *Cache[F]) Drop(ctx context.Context, account string, x F) error {
	s, err := c.Lock(ctx, account)
	if err != nil {
		return err
	}
	defer s.Unlock()
	return s.Drop(x)
}

func (s *Slot[F]) wait(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unlock ends what Lock began.
func (s *Slot[F]) Unlock() { <-s.lock }

// Current returns the file if it is open, else zero. It stays open while the slot is locked.
func (s *Slot[F]) Current() F {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.file
}

// Use returns the file if it is open, which the caller must release, else zero. The error is
// as for [Cache.Acquire].
func (s *Slot[F]) Use() (x F, err error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.opts.Context.Err() != nil {
		return x, context.Cause(s.c.opts.Context)
	}
	if s.elem != nil {
		s.file.uses().n++
		s.c.open.MoveToFront(s.elem)
	}
	return s.file, nil
}

// Put makes a file that of the account, which must be locked and have none. When
// Options.Context has ended it is closed instead, with an error as for [Cache.Acquire].
func (s *Slot[F]) Put(x F) error {
	s.c.mu.Lock()
	if s.c.opts.Context.Err() != nil {
		s.c.mu.Unlock()
		return errors.Join(context.Cause(s.c.opts.Context), x.Close())
	}
	s.file, s.elem = x, s.c.open.PushFront(s)
	s.c.mu.Unlock()
	return nil
}

// Drop takes the file away from the account, which must be locked, if it is x or x is zero,
// and closes it when nobody uses it.
func (s *Slot[F]) Drop(x F) error {
	var none F
	s.c.mu.Lock()
	if s.elem == nil || x != none && s.file != x {
		s.c.mu.Unlock()
		return nil
	}
	x = s.take()
	u := x.uses()
	u.gone = true
	unused := u.n == 0
	s.c.mu.Unlock()
	if unused {
		return x.Close()
	}
	return nil
}

// take empties the slot, and returns what was in it. The caller holds the lock and mu.
func (s *Slot[F]) take() (x F) {
	s.c.open.Remove(s.elem)
	x, s.file, s.elem = s.file, x, nil
	return x
}
