package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/dbformat"
	"mox/internal/safefile"
	"mox/message"
)

// RestoredName is the name of an empty file in the directory of an account that was
// restored by itself: it may be added to the configuration though it has data.
const RestoredName = "restored"

// restoredIDs is how many content ids a restored account leaves out: those that may have
// been used after the snapshot was made.
const restoredIDs = 1 << 24

// SnapshotMessage is a message in a copy of a database.
type SnapshotMessage struct {
	Message
	Mailbox string
	Prefix  []byte         // Header fields that we added.
	Digest  message.Digest // Of prefix and message.
}

// SnapshotMailboxes returns the mailboxes in a copy of a database, by name.
func SnapshotMailboxes(ctx context.Context, path string) (l []Mailbox, rerr error) {
	db, err := openSnapshot(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	l, err = bstore.QueryDB[Mailbox](ctx, db).SortAsc("Name").List()
	return slices.DeleteFunc(l, func(mb Mailbox) bool { return isHidden(mb.Name) }), err
}

// SnapshotMessages calls fn for each message in a copy of a database, by ascending id.
func SnapshotMessages(ctx context.Context, path string, fn func(SnapshotMessage) error) (rerr error) {
	db, err := openSnapshot(ctx, path)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return db.Read(ctx, func(tx *bstore.Tx) error {
		names := map[int64]string{}
		if err := bstore.QueryTx[Mailbox](tx).ForEach(func(mb Mailbox) error { names[mb.ID] = mb.Name; return nil }); err != nil {
			return err
		}
		return bstore.QueryTx[Message](tx).SortAsc("ID").ForEach(func(m Message) error {
			if isHidden(names[m.MailboxID]) {
				return nil
			}
			ct := content{ID: m.ContentID}
			if err := tx.Get(&ct); err != nil {
				return fmt.Errorf("content of message %d: %w", m.ID, err)
			}
			return fn(SnapshotMessage{m, names[m.MailboxID], ct.Prefix, ct.Digest})
		})
	})
}

func openSnapshot(ctx context.Context, path string) (*bstore.DB, error) {
	db, err := dbformat.Open(ctx, path, recordFormat, &bstore.Options{Timeout: databaseTimeout, MustExist: true}, recordTypes...)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return db, nil
}

// Restored prepares a copy of a database for being used again. What happened after the
// copy was made is lost, but clients may know of it: UIDs and ids that they have seen must
// not be those of other messages (RFC 9051 §2.3.1.1, RFC 8474 §5.1). So mailboxes get a
// new UIDVALIDITY, and content ids go on much higher.
func Restored(ctx context.Context, path string, now time.Time) (rerr error) {
	db, err := openSnapshot(ctx, path)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, db.Close()) }()
	return db.Write(ctx, func(tx *bstore.Tx) error {
		st := state{ID: 1}
		if err := tx.Get(&st); err != nil {
			return fmt.Errorf("read state: %w", err)
		}
		st.ContentHigh += restoredIDs
		st.ContentLow = st.ContentHigh
		st.NextUIDValidity = max(st.NextUIDValidity, uint32(now.Unix()/uidValidityDivisor))
		l, err := bstore.QueryTx[Mailbox](tx).SortAsc("ID").List()
		if err != nil {
			return fmt.Errorf("read mailboxes: %w", err)
		}
		for _, mb := range l {
			mb.UIDValidity = st.NextUIDValidity
			st.NextUIDValidity++
			if err := tx.Update(&mb); err != nil {
				return fmt.Errorf("mailbox %q: %w", mb.Name, err)
			}
		}
		return tx.Update(&st)
	})
}

// Adopt makes the directory of an account of a restored one, which it is moved from. There
// must be no account of that name on disk.
func (s *Store) Adopt(name, dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if _, ok := s.accounts[name]; ok {
		return fmt.Errorf("account %q is in use", name)
	}
	return adopt(s.opts.Dir, name, dir)
}

// adopt is Adopt for a data directory that no server uses, or in which the account is not
// in use.
func adopt(dataDir, name, dir string) error {
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return fmt.Errorf("account name %q cannot be a directory", name)
	}
	accounts := filepath.Join(dataDir, "accounts")
	dst := filepath.Join(accounts, name)
	if _, err := os.Lstat(dst); err == nil {
		return fmt.Errorf("%s: %w", dst, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, RestoredName), nil, 0600); err != nil {
		return err
	}
	if err := safefile.SyncDir(dir); err != nil {
		return err
	}
	if err := os.Rename(dir, dst); err != nil {
		return err
	}
	return errors.Join(safefile.SyncDir(accounts), safefile.SyncDir(filepath.Dir(dir)))
}
