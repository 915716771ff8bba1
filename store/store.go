package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/mlog"
)

const (
	// DefaultUndeleteWindow is how long the file of an expunged message is kept.
	DefaultUndeleteWindow = 7 * 24 * time.Hour
	// DefaultUndeleteBytes is how much an account may keep of expunged messages;
	// beyond it the oldest are erased before the window has passed. It is for accounts
	// without quota; with one, that is the limit.
	DefaultUndeleteBytes = 1 << 30
	// DefaultTombstones is how many expunged messages an account remembers.
	DefaultTombstones = 100000
	// DefaultIndexMemory bounds the mailbox indexes in memory of all accounts.
	DefaultIndexMemory = 128 << 20
	// DefaultContentMemory bounds the cached content records of all accounts.
	DefaultContentMemory = 64 << 20

	// sweepInterval is how often erasable content is looked for in open accounts.
	sweepInterval = 10 * time.Minute
	// reopenDelay is how long after a disk failure an account is reopened and
	// verified for the first time, and between attempts.
	reopenDelay = 10 * time.Second
	// databaseTimeout bounds the wait for the lock on a database file.
	databaseTimeout = 5 * time.Second
)

// Options are for Open. Dir is needed.
type Options struct {
	Dir   string          // Data directory.
	Log   *slog.Logger    // Of package store; nil logs nothing.
	FS    safefile.FS     // Files other than databases; nil is safefile.OS.
	Floor *safefile.Floor // Free space that new mail must leave; nil is none.

	// Quota returns an account's limit on the sum of message sizes, in octets; zero
	// or less is none. It is asked for each time, so that a config reload counts.
	Quota func(account string) int64

	// QuotaMessages returns an account's limit on the number of messages, as Quota does.
	QuotaMessages func(account string) int64

	// Policy returns what the configuration says of flags for junk in an account. It is
	// asked for each time. Nil: nothing.
	Policy func(account string) Policy

	// Known reports whether the configuration has an account: no other is made by
	// Ensure, also not for who has started with an older configuration. It is asked for
	// each time. Nil: all.
	Known func(account string) bool

	// Lessons is called when there are new rows in the journal of an account for its junk
	// filter. It must not wait, nor call the store.
	Lessons func(account string)

	// Contents is called when contents were added to an account, or erased. It must not
	// wait, nor call the store.
	Contents func(account string, erased bool)

	// Undelete returns what an account has instead of UndeleteWindow and UndeleteBytes,
	// where it is not zero. It is asked for each time. Nil: nothing.
	Undelete func(account string) UndeleteLimits

	InitialMailboxes InitialMailboxes // For Create.

	UndeleteWindow time.Duration    // Zero is DefaultUndeleteWindow, negative none.
	UndeleteBytes  int64            // Zero is the quota of the account, or else DefaultUndeleteBytes.
	Tombstones     int64            // How many expunged messages an account remembers, for QRESYNC. Zero is DefaultTombstones.
	IndexMemory    int64            // Bytes; zero is DefaultIndexMemory.
	ContentMemory  int64            // Bytes; zero is DefaultContentMemory.
	Now            func() time.Time // Nil is time.Now.

	indexFileMessages int64 // See the constant, which is used for zero. Tests use a lower one.
}

// InitialMailboxes are created, and subscribed to, in a new account besides Inbox.
type InitialMailboxes struct {
	Archive, Drafts, Junk, Sent, Trash string // Names for special uses; empty leaves it out.
	Regular                            []string
}

// DefaultInitialMailboxes are used when none are configured.
var DefaultInitialMailboxes = InitialMailboxes{Archive: "Archive", Drafts: "Drafts", Junk: "Junk", Sent: "Sent", Trash: "Trash"}

// Store is the accounts in a data directory. It is safe for concurrent use.
type Store struct {
	opts  Options
	log   *slog.Logger
	fs    safefile.FS
	lock  *safefile.DirLock
	cache *cache

	removals safefile.Removals // Of files of messages.

	ctx    context.Context // Ends background work.
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex // Guards what follows.
	accounts map[string]*opening
	taken    map[string]bool // See Take.
	closed   bool
	erasable map[string]erasable // Of accounts, for metrics.
}

// opening is an account that is open or being opened.
type opening struct {
	done chan struct{} // Closed when account and err are set.
	a    *Account
	err  error
	refs int  // Callers that hold it.
	idle bool // Nobody held it at the last sweep.
}

// Open locks a data directory, which must exist, and returns its accounts. An
// error says which process holds the lock if another server runs on it.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.FS == nil {
		opts.FS = safefile.OS
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	if opts.UndeleteWindow == 0 {
		opts.UndeleteWindow = DefaultUndeleteWindow
	}
	if opts.Tombstones == 0 {
		opts.Tombstones = DefaultTombstones
	}
	if opts.IndexMemory == 0 {
		opts.IndexMemory = DefaultIndexMemory
	}
	if opts.ContentMemory == 0 {
		opts.ContentMemory = DefaultContentMemory
	}
	if opts.indexFileMessages == 0 {
		opts.indexFileMessages = indexFileMessages
	}
	lock, err := safefile.LockDir(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", opts.Dir, err)
	}
	metrics.PanicPackages(pkg)
	s := &Store{
		opts: opts, log: opts.Log, fs: opts.FS, lock: lock,
		cache:    newCache(opts.IndexMemory, opts.ContentMemory),
		accounts: map[string]*opening{},
		taken:    map[string]bool{},
		erasable: map[string]erasable{},
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, dir := range []string{"accounts", "tmp"} {
		if err := s.fs.MkdirAll(filepath.Join(opts.Dir, dir), 0770); err != nil {
			return nil, errors.Join(fmt.Errorf("create %s directory: %w", dir, err), lock.Close())
		}
	}
	s.work.Go(s.sweeper)
	return s, nil
}

// TempDir is where spools for messages go: on the same file system as accounts.
func (s *Store) TempDir() string { return filepath.Join(s.opts.Dir, "tmp") }

// Close closes all accounts, also those that callers still hold, and releases
// the data directory. Calls in progress finish first.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var open []*opening
	for _, o := range s.accounts {
		open = append(open, o)
	}
	for name := range s.erasable {
		s.setErasable(name, erasable{})
	}
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
	var errs []error
	for _, o := range open {
		<-o.done
		if o.a != nil {
			errs = append(errs, o.a.close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// accountDir returns the directory of an account. Names come from the config,
// which has checked them.
func (s *Store) accountDir(name string) string { return filepath.Join(s.opts.Dir, "accounts", name) }

// Account returns an account, opening it when no one else has it open. The caller
// must Release it. It returns ErrNoAccount if there is none on disk.
func (s *Store) Account(ctx context.Context, name string) (*Account, error) {
	return s.hold(ctx, name, func() (*Account, error) { return openExisting(ctx, s, name) })
}

func openExisting(ctx context.Context, s *Store, name string) (*Account, error) {
	if _, err := s.fs.Stat(filepath.Join(s.accountDir(name), dbName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q", ErrNoAccount, name)
	} else if err != nil {
		return nil, err
	}
	return openAccount(ctx, s, name)
}

// Ensure is Account, and creates the account with its initial mailboxes when
// there is none on disk. It returns ErrNoAccount if the configuration has none either.
func (s *Store) Ensure(ctx context.Context, name string) (*Account, error) {
	if err := checkAccountName(name); err != nil {
		return nil, err
	}
	return s.hold(ctx, name, func() (*Account, error) {
		if s.opts.Known != nil && !s.opts.Known(name) {
			return openExisting(ctx, s, name)
		}
		return openAccount(ctx, s, name)
	})
}

func checkAccountName(name string) error {
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return fmt.Errorf("account name %q cannot be a directory", name)
	}
	return nil
}

// hold shares the open account, or opens it once for all who wait for it. No lock
// of the store is held while opening.
func (s *Store) hold(ctx context.Context, name string, open func() (*Account, error)) (*Account, error) {
	for {
		s.mu.Lock()
		if s.closed || s.taken[name] {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		o, ok := s.accounts[name]
		if !ok {
			o = &opening{done: make(chan struct{}), refs: 1}
			s.accounts[name] = o
			s.mu.Unlock()
			o.a, o.err = open()
			if o.a != nil {
				o.a.opening = o
			}
			if o.err != nil {
				s.mu.Lock()
				if s.accounts[name] == o {
					delete(s.accounts, name)
				}
				s.mu.Unlock()
			}
			close(o.done)
			return o.a, o.err
		}
		o.refs++
		s.mu.Unlock()
		select {
		case <-o.done:
		case <-ctx.Done():
			s.release(o)
			return nil, ctx.Err()
		}
		if o.err == nil {
			return o.a, nil
		} else if ctx.Err() != nil || !errors.Is(o.err, context.Canceled) && !errors.Is(o.err, ErrNoAccount) {
			return nil, o.err
		}
		// Whoever opened it gave up, or did not want to make it: our turn.
	}
}

func (s *Store) release(o *opening) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.refs--
}

// opened returns the accounts that are open now.
func (s *Store) opened() []*Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l []*Account
	for _, o := range s.accounts {
		select {
		case <-o.done:
			if o.a != nil {
				l = append(l, o.a)
			}
		default:
		}
	}
	return l
}

// sweeper erases content that nothing needs any more, from time to time.
func (s *Store) sweeper() {
	t := time.NewTicker(sweepInterval)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
		for _, a := range s.opened() {
			if err := a.Sweep(s.ctx); err != nil && s.ctx.Err() == nil {
				s.log.Error("erase old content", "account", a.name, "err", err)
			}
		}
		s.closeIdle()
	}
}

// closeIdle closes the accounts that nobody held at this sweep and the last.
func (s *Store) closeIdle() {
	s.mu.Lock()
	var idle []*Account
	for name, o := range s.accounts {
		if o.refs == 0 && o.idle {
			delete(s.accounts, name)
			idle = append(idle, o.a)
		}
		o.idle = o.refs == 0
	}
	s.mu.Unlock()
	for _, a := range idle {
		if err := a.close(); err != nil {
			s.log.Error("close idle account", "account", a.name, "err", err)
		}
	}
}
