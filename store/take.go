package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Taken is an account that one caller has for itself, to export, rename or remove it.
// For all others it is closed. It is not safe for concurrent use.
type Taken struct {
	s    *Store
	name string
	a    *Account // Open for the caller, or nil.
}

// Take closes an account for all who use it, and keeps it closed until Release: calls in
// progress finish, later ones fail with ErrClosed, and so does opening it. Sessions are
// told, see [Session.OnEnd]. There need not be such an account on disk. The error
// matches ErrClosed if someone else has taken it.
func (s *Store) Take(ctx context.Context, name string) (*Taken, error) {
	if err := checkAccountName(name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.closed || s.taken[name] {
		s.mu.Unlock()
		return nil, fmt.Errorf("take account %q: %w", name, ErrClosed)
	}
	s.taken[name] = true
	o := s.accounts[name]
	delete(s.accounts, name)
	s.setErasable(name, erasable{})
	s.mu.Unlock()
	t := &Taken{s: s, name: name}
	if o == nil {
		return t, nil
	}
	// Who opens it does not wait for long, and must not come to an end after us.
	<-o.done
	if o.a != nil {
		o.a.sessions.end()
		if err := o.a.close(); err != nil {
			return nil, errors.Join(fmt.Errorf("close account %q: %w", name, err), t.Release())
		}
	}
	return t, nil
}

// Open opens the account for the caller alone, until it is moved, removed or released.
// It returns ErrNoAccount if there is none on disk.
func (t *Taken) Open(ctx context.Context) (*Account, error) {
	if t.a != nil {
		return t.a, nil
	}
	a, err := openExisting(ctx, t.s, t.name)
	if err == nil {
		t.a = a
	}
	return a, err
}

func (t *Taken) close() error {
	if t.a == nil {
		return nil
	}
	err := t.a.close()
	t.a = nil
	return err
}

// Release lets others open the account again. It can be called again.
func (t *Taken) Release() error {
	err := t.close()
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	delete(t.s.taken, t.name)
	return err
}

// MoveTo gives the data of an account the name of another taken one, of which there must be
// none. If there are none of either, it does nothing, and so does it if they have been
// moved before.
func (t *Taken) MoveTo(to *Taken) error {
	if err := errors.Join(t.close(), to.close()); err != nil {
		return err
	}
	from, dir := t.s.accountDir(t.name), t.s.accountDir(to.name)
	if _, err := t.s.fs.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if _, err := t.s.fs.Stat(dir); err == nil {
		return fmt.Errorf("rename account %q: directory %s exists", t.name, dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.s.fs.Rename(from, dir); err != nil {
		return fmt.Errorf("rename account %q: %w", t.name, err)
	}
	return t.s.fs.SyncDir(filepath.Dir(dir))
}

// Remove removes all data of the account. They are moved away first, so that none of
// them are found under its name after a crash: then it must be called again, because
// they are still there.
func (t *Taken) Remove() error {
	if err := t.close(); err != nil {
		return err
	}
	dir := t.s.accountDir(t.name)
	trash := filepath.Join(t.s.TempDir(), "removed-"+t.name)
	// Of an earlier account, of which not all could be removed.
	if err := t.s.fs.RemoveAll(trash); err != nil {
		return fmt.Errorf("remove account %q: %w", t.name, err)
	}
	switch err := t.s.fs.Rename(dir, trash); {
	case errors.Is(err, fs.ErrNotExist): // Already, or there was no mail ever.
	case err != nil:
		return fmt.Errorf("move account %q away: %w", t.name, err)
	default:
		if err := errors.Join(t.s.fs.SyncDir(t.s.TempDir()), t.s.fs.SyncDir(filepath.Dir(dir))); err != nil {
			return err
		}
	}
	if err := t.s.fs.RemoveAll(trash); err != nil {
		return fmt.Errorf("remove account %q: %w", t.name, err)
	}
	return t.s.fs.SyncDir(t.s.TempDir())
}
