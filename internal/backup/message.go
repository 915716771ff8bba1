package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mox/internal/safefile"
	"mox/message"
	"mox/store"
)

// A Filter says which messages of an account are wanted. All that is set must match.
type Filter struct {
	IDs       []int64 // As listed.
	Mailbox   string
	MessageID string    // With or without brackets.
	Subject   string    // Text in it, without regard to case.
	From      string    // Text in the address or the name.
	Since     time.Time // Received at this time or later.
	Before    time.Time // Received before this time.
}

// Empty reports whether all messages are wanted.
func (f Filter) Empty() bool {
	return len(f.IDs) == 0 && f.Mailbox == "" && f.MessageID == "" && f.Subject == "" && f.From == "" && f.Since.IsZero() && f.Before.IsZero()
}

func (f Filter) match(m store.SnapshotMessage) bool {
	return (len(f.IDs) == 0 || slices.Contains(f.IDs, m.ID)) &&
		(f.Mailbox == "" || f.Mailbox == m.Mailbox) &&
		(f.MessageID == "" || strings.EqualFold(strings.Trim(f.MessageID, "<>"), strings.Trim(string(m.Digest.MessageID()), "<>"))) &&
		(f.Subject == "" || strings.Contains(string(m.Digest.SearchSubject()), message.Fold(f.Subject))) &&
		(f.From == "" || strings.Contains(string(m.Digest.SearchFrom()), message.Fold(f.From))) &&
		(f.Since.IsZero() || !m.Received.Before(f.Since)) &&
		(f.Before.IsZero() || m.Received.Before(f.Before))
}

// ErrNoAccount: the snapshot does not have the account.
var ErrNoAccount = errors.New("no such account in the backup")

// Accounts returns the names of the accounts in the snapshot, sorted.
func (s *Snapshot) Accounts(ctx context.Context) (l []string, err error) {
	err = s.Entries(ctx, func(e Entry) error {
		if k := keyOf(e.Path); k.rank == 1 && k.part == 0 {
			l = append(l, k.name)
		}
		return nil
	})
	return l, err
}

// errStop ends reading a manifest early.
var errStop = errors.New("stop")

// account calls database with a copy of the database of an account, in a new directory that
// is removed at the end, and then file for each other file of the account.
func (s *Snapshot) account(ctx context.Context, name, tempDir string, database func(path string) error, file func(e Entry, k sortKey) error) (rerr error) {
	tmp, err := os.MkdirTemp(tempDir, "mox-restore-")
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, os.RemoveAll(tmp)) }()
	found := false
	err = s.Entries(ctx, func(e Entry) error {
		k := keyOf(e.Path)
		switch {
		case k.rank != 1 || k.name != name:
			if found {
				return errStop
			}
			return nil
		case k.part == 0:
			found = true
			path := filepath.Join(tmp, store.DatabaseName)
			if err := restoreFile(ctx, s, e, path, owner{}); err != nil {
				return err
			}
			return database(path)
		}
		return file(e, k)
	})
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	if !found {
		return fmt.Errorf("%w: %q", ErrNoAccount, name)
	}
	return nil
}

// Mailboxes returns the mailboxes of an account. A copy of its database is made in a
// directory for temporary files, empty for that of the system.
func (s *Snapshot) Mailboxes(ctx context.Context, name, tempDir string) (l []store.Mailbox, err error) {
	err = s.account(ctx, name, tempDir, func(path string) error {
		if l, err = store.SnapshotMailboxes(ctx, path); err != nil {
			return err
		}
		return errStop
	}, nil)
	return l, err
}

// Messages calls fn for each message of an account that a filter selects. See Mailboxes.
func (s *Snapshot) Messages(ctx context.Context, name, tempDir string, f Filter, fn func(store.SnapshotMessage) error) error {
	return s.account(ctx, name, tempDir, func(path string) error {
		err := store.SnapshotMessages(ctx, path, func(m store.SnapshotMessage) error {
			if !f.match(m) {
				return nil
			}
			return fn(m)
		})
		if err != nil {
			return err
		}
		return errStop
	}, nil)
}

// Offer is a message that is to be restored.
type Offer struct {
	Mailbox  string      `json:"mailbox"` // Where to. Made if it does not exist.
	Flags    store.Flags `json:"flags"`
	Keywords []string    `json:"keywords"`
	Received time.Time   `json:"received"`
	Size     int64       `json:"size"`   // Of all, in octets.
	Prefix   int         `json:"prefix"` // How much of it are header fields that we added.
	SHA256   string      `json:"sha256"` // Of all.
}

// Target takes messages that are restored.
type Target interface {
	// Restore takes a message. If it is there already, open is not called, and added is
	// false. What was taken is on stable storage after Flush.
	Restore(ctx context.Context, o Offer, open func() (io.ReadCloser, error)) (added bool, err error)
	Flush(ctx context.Context) error
}

// MessagesRestored is what became of messages.
type MessagesRestored struct {
	Restored, Present int // Present ones were there already.
}

// RestoreMessages gives the messages of an account that a filter selects to a target. Into
// returns the mailbox for a message. See Mailboxes.
func (s *Snapshot) RestoreMessages(ctx context.Context, name, tempDir string, f Filter, into func(mailbox string) string, t Target) (res MessagesRestored, _ error) {
	wanted := map[int64][]store.SnapshotMessage{} // By content.
	err := s.account(ctx, name, tempDir, func(path string) error {
		return store.SnapshotMessages(ctx, path, func(m store.SnapshotMessage) error {
			if f.match(m) {
				m.Digest = nil // Of no more use, and large.
				wanted[m.ContentID] = append(wanted[m.ContentID], m)
			}
			return nil
		})
	}, func(e Entry, k sortKey) error {
		if k.part != 2 {
			return nil
		}
		for _, m := range wanted[k.id] {
			added, err := s.restoreMessage(ctx, e, m, into(m.Mailbox), t)
			if err != nil {
				return fmt.Errorf("message %d: %w", m.ID, err)
			}
			if added {
				res.Restored++
			} else {
				res.Present++
			}
		}
		delete(wanted, k.id)
		return nil
	})
	if err != nil {
		return res, err
	}
	if err := t.Flush(ctx); err != nil {
		return res, err
	}
	if n := len(wanted); n > 0 {
		return res, fmt.Errorf("%w: %d messages have no file in the backup", ErrDamaged, n)
	}
	return res, nil
}

func (s *Snapshot) restoreMessage(ctx context.Context, e Entry, m store.SnapshotMessage, mailbox string, t Target) (bool, error) {
	open := func() (io.ReadCloser, error) {
		r, err := s.Open(ctx, e)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(strings.NewReader(string(m.Prefix)), r), r}, nil
	}
	o := Offer{Mailbox: mailbox, Flags: m.Flags, Keywords: m.Keywords, Received: m.Received, Size: int64(len(m.Prefix)) + e.Size, Prefix: len(m.Prefix), SHA256: e.SHA256}
	if len(m.Prefix) > 0 { // Else the hash is that of the file.
		r, err := open()
		if err != nil {
			return false, err
		}
		h := sha256.New()
		_, rerr, _ := copyBoth(ctx, h, r)
		if err := errors.Join(rerr, r.Close()); err != nil {
			return false, err
		}
		o.SHA256 = hex.EncodeToString(h.Sum(nil))
	}
	return t.Restore(ctx, o, open)
}

// An Importer is a target that adds messages to an account.
type Importer struct {
	a       *store.Account
	tempDir string

	same    map[string]map[int64][]int64 // Contents of mailboxes, by size.
	hashes  map[int64]string             // Of contents that were looked at.
	added   map[string]bool              // Mailbox and hash of what was added.
	waiting []store.NewMessage
	size    int64 // Octets waiting.
}

// NewImporter returns an importer for an account that the caller holds. Temporary files
// are best on the file system of the data. Close must be called.
func NewImporter(a *store.Account, tempDir string) *Importer {
	return &Importer{a: a, tempDir: tempDir, same: map[string]map[int64][]int64{}, hashes: map[int64]string{}, added: map[string]bool{}}
}

// Restore implements [Target].
func (i *Importer) Restore(ctx context.Context, o Offer, open func() (io.ReadCloser, error)) (added bool, rerr error) {
	if o.Size < 0 || o.Prefix < 0 || int64(o.Prefix) > o.Size || o.Prefix > maxPrefix || !isHash(o.SHA256) {
		return false, errors.New("size or hash of message is invalid")
	}
	if have, err := i.has(ctx, o); err != nil || have {
		return false, err
	}
	r, err := open()
	if err != nil {
		return false, err
	}
	defer func() { rerr = errors.Join(rerr, r.Close()) }()
	h := sha256.New()
	in := io.TeeReader(r, h)
	prefix := make([]byte, o.Prefix)
	if _, err := io.ReadFull(in, prefix); err != nil {
		return false, err
	}
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: i.tempDir, MaxSize: o.Size - int64(o.Prefix)})
	if _, rerr, werr := copyBoth(ctx, spool, in); rerr != nil || werr != nil {
		return false, errors.Join(rerr, werr, spool.Close())
	}
	if hex.EncodeToString(h.Sum(nil)) != o.SHA256 {
		return false, errors.Join(fmt.Errorf("%w: message is not what was offered", ErrDamaged), spool.Close())
	}
	i.waiting = append(i.waiting, store.NewMessage{
		Mailbox: o.Mailbox, Create: true, Spool: spool, Prefix: prefix,
		Flags: o.Flags, Keywords: o.Keywords, Received: o.Received,
	})
	i.size += o.Size
	i.added[o.Mailbox+"\x00"+o.SHA256] = true
	if len(i.waiting) >= importBatch || i.size >= importSize {
		return true, i.Flush(ctx)
	}
	return true, nil
}

// has reports whether the same message is in the mailbox.
func (i *Importer) has(ctx context.Context, o Offer) (bool, error) {
	if i.added[o.Mailbox+"\x00"+o.SHA256] {
		return true, nil
	}
	sizes, ok := i.same[o.Mailbox]
	if !ok {
		sizes = map[int64][]int64{}
		if mb, found := i.a.Tree().ByName(o.Mailbox); found {
			ix, err := i.a.Index(ctx, mb.ID)
			if err != nil {
				return false, err
			}
			for n := range ix.Len() {
				e := ix.At(n)
				sizes[e.Size] = append(sizes[e.Size], e.ContentID)
			}
		}
		i.same[o.Mailbox] = sizes
	}
	for _, id := range sizes[o.Size] {
		sum, ok := i.hashes[id]
		if !ok {
			var err error
			if sum, err = i.hash(ctx, id); err != nil {
				return false, err
			}
			i.hashes[id] = sum
		}
		if sum == o.SHA256 {
			return true, nil
		}
	}
	return false, nil
}

func (i *Importer) hash(ctx context.Context, id int64) (_ string, rerr error) {
	c, err := i.a.OpenContentOnce(ctx, id)
	if errors.Is(err, store.ErrNoMessage) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	h := sha256.New()
	_, err, _ = copyBoth(ctx, h, io.NewSectionReader(c, 0, c.Size()))
	return hex.EncodeToString(h.Sum(nil)), err
}

// Flush implements [Target].
func (i *Importer) Flush(ctx context.Context) error {
	if len(i.waiting) == 0 {
		return nil
	}
	_, err := i.a.Append(ctx, i.waiting...)
	return errors.Join(err, i.Close())
}

// Close forgets what was not flushed.
func (i *Importer) Close() error {
	var errs []error
	for _, m := range i.waiting {
		errs = append(errs, m.Spool.Close())
	}
	i.waiting, i.size = nil, 0
	return errors.Join(errs...)
}
