package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mjl-/bstore"

	"mox/imap"
	"mox/internal/boltpages"
	"mox/internal/dbformat"
)

const (
	// dbName is the database file in an account's directory.
	dbName = "index.db"
	// formatVersion is that of the storage format this code writes.
	formatVersion = 1
	// firstUIDValidity shift: UIDVALIDITY starts at half the Unix time, so that it
	// grows past 2038 and over re-created accounts.
	uidValidityDivisor = 2
)

var recordTypes = []any{
	Mailbox{}, Message{}, content{}, share{}, erase{}, tombstone{}, tombstoneBatch{}, formerMailbox{},
	thread{}, threadKey{}, subscription{}, annotation{}, state{}, credentials{},
	judged{}, lesson{}, reputation{}, contact{}, senderRule{}, subjectPass{}, note{},
}

// Account is the mail of one account. It is safe for concurrent use.
//
// A change goes through Update or Append. They hold mu from the first write to
// the publishing of the change, so that everyone sees changes in modseq order.
// Reading takes no lock on it.
type Account struct {
	store *Store
	name  string
	dir   string
	log   *slog.Logger

	opening *opening // For Release.

	tree  atomic.Pointer[Tree]
	epoch atomic.Int64 // See DigestEpoch.
	ahead atomic.Int64 // When the database was last read ahead, in nanoseconds.

	mu     sync.Mutex // Serialises changes. Guards failed, closed.
	failed error      // After a write to the database failed: the account is read-only.
	closed bool

	dbmu sync.RWMutex // Held for reading while db is in use; for writing to replace it.
	db   *bstore.DB   // Nil when closed.

	ids ids // Content ids.

	commit committer
	spares spares

	slots map[int64]*indexSlot // By mailbox id. Guarded by store.cache.mu.
	files map[int64]uint32     // CRCs of files with indexes that are right, by mailbox id. Guarded by store.cache.mu.
	saves bool                 // Indexes are written to files when the account is closed.

	sessions sessions
}

// openAccount opens the database of an account, creates what is missing and
// finishes what a crash interrupted.
func openAccount(ctx context.Context, s *Store, name string) (a *Account, rerr error) {
	a = &Account{
		store: s, name: name, dir: s.accountDir(name),
		log:   s.log.With("account", name),
		slots: map[int64]*indexSlot{},
	}
	a.sessions.list = map[*Session]struct{}{}
	a.commit.a, a.spares.a = a, a
	if err := s.fs.MkdirAll(filepath.Join(a.dir, "msg"), 0770); err != nil {
		return nil, fmt.Errorf("create account directory: %w", err)
	}
	opened := a // The result is nil when an error is returned.
	defer func() {
		if rerr != nil {
			rerr = errors.Join(fmt.Errorf("open account %q: %w", name, rerr), opened.close())
		}
	}()
	a.listOrRemoveIndexes()
	if err := a.openDB(ctx); err != nil {
		return nil, err
	}
	a.saves = true
	if err := a.removeGone(ctx, a.Update); err != nil {
		return nil, fmt.Errorf("finish erasing: %w", err)
	}
	return a, nil
}

// openDB opens the database file and prepares the account for changes. It is
// called with mu held, or before the account is shared.
func (a *Account) openDB(ctx context.Context) error {
	path := filepath.Join(a.dir, dbName)
	db, err := dbformat.Open(ctx, path, recordFormat, &bstore.Options{Timeout: databaseTimeout, Perm: 0660}, recordTypes...)
	if err != nil {
		return fmt.Errorf("open database %s: %w", path, err)
	}
	if err := db.HintAppend(true, content{}, tombstone{}, tombstoneBatch{}); err != nil {
		return errors.Join(err, db.Close())
	}
	a.dbmu.Lock()
	a.db = db
	a.dbmu.Unlock()
	// The database library syncs the file, but not its name.
	for _, dir := range []string{a.dir, filepath.Dir(a.dir), a.store.opts.Dir} {
		if err := a.store.fs.SyncDir(dir); err != nil {
			return fmt.Errorf("sync directory: %w", err)
		}
	}
	if err := a.loadTree(ctx); err != nil {
		return err
	}
	if err := a.recoverFiles(ctx); err != nil {
		return fmt.Errorf("recover message files: %w", err)
	}
	return nil
}

// loadTree reads the state, mailboxes and subscriptions, and makes the initial
// ones for a new account.
func (a *Account) loadTree(ctx context.Context) error {
	var boxes []*Mailbox
	var subs []string
	st := state{ID: 1}
	err := a.read(ctx, func(tx *bstore.Tx) error {
		if err := tx.Get(&st); err != nil {
			return err
		}
		if err := bstore.QueryTx[Mailbox](tx).ForEach(func(mb Mailbox) error { boxes = append(boxes, &mb); return nil }); err != nil {
			return err
		}
		return bstore.QueryTx[subscription](tx).ForEach(func(s subscription) error { subs = append(subs, s.Name); return nil })
	})
	if errors.Is(err, bstore.ErrAbsent) {
		return a.initialise(ctx)
	} else if err != nil {
		return fmt.Errorf("read mailboxes: %w", err)
	}
	if st.Version > formatVersion {
		return fmt.Errorf("storage format is version %d, made by a newer mox; this one knows %d", st.Version, formatVersion)
	}
	a.tree.Store(newTree(st, boxes, subs))
	return nil
}

// initialise makes the records of a new account, all in one commit.
func (a *Account) initialise(ctx context.Context) error {
	st := state{ID: 1, Version: formatVersion, NextUIDValidity: uint32(a.store.opts.Now().Unix() / uidValidityDivisor), ContentLow: 1, ContentHigh: 1}
	a.tree.Store(newTree(st, nil, nil))
	return a.updateLocked(ctx, func(tx *Tx) error {
		if err := tx.btx.Insert(&st); err != nil {
			return fmt.Errorf("insert state: %w", err)
		}
		if _, err := tx.CreateMailbox(imap.Inbox, 0); err != nil {
			return err
		}
		im := a.store.opts.InitialMailboxes
		if im.isZero() {
			im = DefaultInitialMailboxes
		}
		for _, mb := range im.list() {
			if _, err := tx.CreateMailbox(mb.name, mb.use); err != nil && !errors.Is(err, ErrMailboxExists) {
				return fmt.Errorf("initial mailbox %q: %w", mb.name, err)
			}
		}
		return nil
	})
}

type initialMailbox struct {
	name string
	use  SpecialUse
}

func (im InitialMailboxes) isZero() bool { return len(im.list()) == 0 }

func (im InitialMailboxes) list() []initialMailbox {
	var l []initialMailbox
	for _, mb := range []initialMailbox{{im.Archive, UseArchive}, {im.Drafts, UseDrafts}, {im.Junk, UseJunk}, {im.Sent, UseSent}, {im.Trash, UseTrash}} {
		if mb.name != "" {
			l = append(l, mb)
		}
	}
	for _, name := range im.Regular {
		l = append(l, initialMailbox{name, 0})
	}
	return l
}

// Name returns the name of the account.
func (a *Account) Name() string { return a.name }

// ColumnsDir is the directory for what others derive from digests. What is in it can be made
// again; it is removed when a message is erased, or parsed again.
func (a *Account) ColumnsDir() string { return filepath.Join(a.dir, "columns") }

// DigestEpoch changes when messages were parsed again, so that what was derived from digests
// is to be forgotten.
func (a *Account) DigestEpoch() int64 { return a.epoch.Load() }

// forgetDerived has others forget what they derived from digests.
func (a *Account) forgetDerived() error {
	a.epoch.Add(1)
	if err := a.store.fs.RemoveAll(a.ColumnsDir()); err != nil {
		return fmt.Errorf("remove what was derived from digests: %w", err)
	}
	return nil
}

// Tree returns the mailboxes as of the last commit.
func (a *Account) Tree() *Tree { return a.tree.Load() }

// QuotaLimit returns the limit on the sum of message sizes in octets, zero for none.
func (a *Account) QuotaLimit() int64 { return a.limit(a.store.opts.Quota) }

// QuotaMessages returns the limit on the number of messages, zero for none.
func (a *Account) QuotaMessages() int64 { return a.limit(a.store.opts.QuotaMessages) }

func (a *Account) limit(of func(account string) int64) int64 {
	if of == nil {
		return 0
	}
	return max(0, of(a.name))
}

// Usage is what quota counts: a number of messages, and the sum of sizes in octets.
type Usage struct{ Messages, Size int64 }

// plus returns the sum.
func (u Usage) plus(o Usage) Usage { return Usage{u.Messages + o.Messages, u.Size + o.Size} }

// quota returns the limits, zero for none.
func (a *Account) quota() Usage { return Usage{a.QuotaMessages(), a.QuotaLimit()} }

// allows returns ErrOverQuota if more does not fit in a quota. What takes no more of one
// that is exceeded already is fine.
func (quota Usage) allows(used, more Usage) error {
	over := func(limit, used, more int64) bool { return limit > 0 && more > 0 && used+more > limit }
	if over(quota.Messages, used.Messages, more.Messages) || over(quota.Size, used.Size, more.Size) {
		return ErrOverQuota
	}
	return nil
}

// Release gives back an account that Store.Account or Store.Ensure returned.
func (a *Account) Release() { a.store.release(a.opening) }

// close closes the database. Calls in progress finish first, later ones fail
// with ErrClosed.
func (a *Account) close() error {
	a.commit.stop()
	a.spares.stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	a.closed = true
	loaded := a.store.cache.loadedIndexes(a)
	files := a.store.cache.dropAccount(a)
	a.dbmu.Lock()
	defer a.dbmu.Unlock()
	if a.db == nil {
		return nil
	}
	if a.saves && a.failed == nil {
		if err := a.saveIndexes(files, loaded); err != nil {
			a.log.Warn("write mailbox indexes to files, to read them at the next start", "err", err)
		}
	}
	err := a.db.Close()
	a.db = nil
	return err
}

// read calls fn with a read transaction, which must be short: it must not wait
// for the network, for slow files, or for mu.
func (a *Account) read(ctx context.Context, fn func(tx *bstore.Tx) error) error {
	a.dbmu.RLock()
	defer a.dbmu.RUnlock()
	if a.db == nil {
		return ErrClosed
	}
	return a.db.Read(ctx, fn)
}

// fail makes the account read-only after a write to its database failed: what
// the file holds now is not known. The caller holds mu. The account is reopened
// and verified in the background; nothing is retried on the same pages.
func (a *Account) fail(err error) {
	if a.failed != nil {
		return
	}
	a.failed = err
	a.log.Error("writing the database failed: account is read-only until it has been reopened and verified", "err", err)
	if a.store.ctx.Err() == nil {
		a.store.work.Go(a.reopener)
	}
}

// reopener brings a failed account back.
func (a *Account) reopener() {
	for {
		t := time.NewTimer(reopenDelay)
		select {
		case <-a.store.ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		err := a.reopen(a.store.ctx)
		if err == nil || errors.Is(err, ErrClosed) {
			return
		}
		a.log.Error("reopen and verify account after disk failure, will try again", "err", err, "after", reopenDelay)
	}
}

// reopen closes the database file of a failed account, opens it again and verifies
// it. When all is well the account takes changes again.
func (a *Account) reopen(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return ErrClosed
	} else if a.failed == nil {
		return nil
	}
	a.dbmu.Lock()
	if a.db != nil {
		if err := a.db.Close(); err != nil {
			a.log.Error("close database after disk failure", "err", err)
		}
		a.db = nil
	}
	a.dbmu.Unlock()
	a.store.cache.dropAccount(a)
	if err := boltpages.Check(filepath.Join(a.dir, dbName)); err != nil {
		return err
	}
	if err := a.openDB(ctx); err != nil {
		return err
	}
	problems, err := a.verify(ctx)
	if err != nil {
		return err
	} else if len(problems) > 0 {
		return fmt.Errorf("verification found %d problems, the first: %s", len(problems), problems[0])
	}
	a.failed = nil
	a.log.Info("account reopened and verified, taking changes again")
	a.sessions.resync()
	return nil
}
