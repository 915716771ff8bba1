package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mox/config"
	"mox/config/edit"
	"mox/internal/safefile"
	"mox/queue/queuedb"
	"mox/store"
)

// pendingName is the file in the data directory with what has been begun with accounts.
const pendingName = "pendingaccounts.json"

// pending is an account that is being renamed or removed. It is written before
// domains.conf is changed, which is what decides: once the account is not in there any
// more, the rest is done, if need be at the next start. Each step can be done again.
type pending struct {
	Account string
	To      string `json:",omitempty"` // New name, empty if it is removed.
	Since   time.Time
}

func (p pending) has(account string) bool { return p.Account == account || p.To == account }

// decided reports whether the configuration has what p is about.
func (p pending) decided(s *config.Snapshot) bool {
	_, from := s.Account(p.Account)
	_, to := s.Account(p.To)
	return !from && (to || p.To == "")
}

func (a *Admin) pendingPath() string {
	return filepath.Join(a.opts.Config.Snapshot().DataDir, pendingName)
}

func (a *Admin) readPending() ([]pending, error) {
	data, err := os.ReadFile(a.pendingPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var l []pending
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("%s: %w", a.pendingPath(), err)
	}
	return l, nil
}

func (a *Admin) writePending(l []pending) error {
	path := a.pendingPath()
	if len(l) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return safefile.SyncDir(filepath.Dir(path))
	}
	data, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		return err
	}
	return safefile.WriteFile(path, append(data, '\n'), 0660)
}

// notPending returns an error if an account is being renamed or removed.
func (a *Admin) notPending(accounts ...string) error {
	l, err := a.readPending()
	if err != nil {
		return err
	}
	for _, p := range l {
		if slices.ContainsFunc(accounts, p.has) {
			return errorf(ErrInUse, "account %q was being renamed or removed, which has not come to its end: that is tried again when the server starts", p.Account)
		}
	}
	return nil
}

// Resume brings to an end what was interrupted by a crash while accounts were renamed or
// removed. It must be called before accounts are used.
func (a *Admin) Resume(ctx context.Context) error {
	a.life.Lock()
	defer a.life.Unlock()
	l, err := a.readPending()
	if err != nil {
		return err
	}
	for _, p := range l {
		if !p.decided(a.opts.Config.Snapshot()) {
			a.log.WarnContext(ctx, "renaming or removing an account had been interrupted before anything was changed", "account", p.Account, "to", p.To)
			if err := a.forgetPending(p); err != nil {
				return err
			}
			continue
		}
		taken, err := a.take(ctx, p)
		if err != nil {
			return err
		}
		if err := a.complete(ctx, p, taken); err != nil {
			return fmt.Errorf("account %q, which was being renamed or removed: %w", p.Account, err)
		}
		a.log.InfoContext(ctx, "renaming or removing an account, which was interrupted, is done", "account", p.Account, "to", p.To)
	}
	return nil
}

func (a *Admin) forgetPending(p pending) error {
	l, err := a.readPending()
	if err != nil {
		return err
	}
	return a.writePending(slices.DeleteFunc(l, func(o pending) bool { return o.has(p.Account) }))
}

// taken are the accounts of a change: the old one, and the new one when it is renamed.
type taken struct{ from, to *store.Taken }

func (t taken) release() error {
	err := t.from.Release()
	if t.to != nil {
		err = errors.Join(err, t.to.Release())
	}
	return err
}

// take closes accounts for all others.
func (a *Admin) take(ctx context.Context, p pending) (t taken, err error) {
	if t.from, err = a.opts.Store.Take(ctx, p.Account); err != nil {
		return t, err
	}
	if p.To != "" {
		if t.to, err = a.opts.Store.Take(ctx, p.To); err != nil {
			return t, errors.Join(err, t.from.Release())
		}
	}
	for _, d := range a.opts.Derived {
		if err := d.Forget(ctx, p.Account); err != nil {
			return t, errors.Join(err, t.release())
		}
	}
	return t, nil
}

// alone keeps other changes to accounts, and backups, away until done is called.
func (a *Admin) alone() (done func(), err error) {
	a.life.Lock()
	if b := a.opts.Backups; b != nil {
		if !b.TryLock() {
			a.life.Unlock()
			return nil, errorf(ErrInUse, "a backup is being made or restored, try again later")
		}
		return func() { b.Unlock(); a.life.Unlock() }, nil
	}
	return a.life.Unlock, nil
}

// step stands between what is done on disk. Tests end there, as a crash would.
func (a *Admin) step(name string) error {
	if a.crash == nil {
		return nil
	}
	return a.crash(name)
}

// change renames or removes an account, with an edit of the configuration.
func (a *Admin) change(ctx context.Context, p pending, t taken, done string, fn func(doc *edit.Doc, s *config.Snapshot) error) error {
	l, err := a.readPending()
	if err != nil {
		return errors.Join(err, t.release())
	}
	if err := a.writePending(append(l, p)); err != nil {
		return errors.Join(err, t.release())
	}
	if err := a.step("noted"); err != nil {
		return err
	}
	err = a.edit(ctx, done, fn, "account", p.Account, "to", p.To)
	if !p.decided(a.opts.Config.Snapshot()) {
		return errors.Join(err, a.forgetPending(p), t.release())
	}
	if err := a.step("configured"); err != nil {
		return err
	}
	// It is as good as done, and the account stays closed if it cannot be finished now.
	if err := a.complete(context.WithoutCancel(ctx), p, t); err != nil {
		a.log.ErrorContext(ctx, "account was renamed or removed in the configuration, the rest is done at the next start", "account", p.Account, "to", p.To, "err", err)
		return fmt.Errorf("domains.conf was changed, but not all else: restart the server to have it done: %w", err)
	}
	return nil
}

// complete does what follows the change of the configuration.
func (a *Admin) complete(ctx context.Context, p pending, t taken) error {
	type part struct {
		name string
		do   func() error
	}
	parts := []part{
		{"directory", func() error { return t.from.MoveTo(t.to) }},
		{"logins", func() error { return a.opts.Logins.RenameAccount(ctx, p.Account, p.To) }},
		{"queue", func() error { return a.opts.Queue.RenameAccount(ctx, p.Account, p.To) }},
	}
	if p.To == "" {
		parts = []part{
			{"directory", t.from.Remove},
			{"logins", func() error { return a.opts.Logins.RemoveAccount(ctx, p.Account) }},
			{"queue", func() error { return a.opts.Queue.RemoveAccount(ctx, p.Account) }},
		}
	}
	for _, r := range a.opts.Reports {
		parts = append(parts, part{"reports", func() error { return r.RenameAccount(ctx, p.Account, p.To) }})
	}
	parts = append(parts, part{"forgotten", func() error { return a.forgetPending(p) }})
	for _, part := range parts {
		if err := part.do(); err != nil {
			return err
		}
		if err := a.step(part.name); err != nil {
			return err
		}
	}
	return t.release()
}

// RenameAccount gives an account another name, with all that belongs to it. Its sessions
// end, and nobody can use it for the moment that this takes.
func (a *Admin) RenameAccount(ctx context.Context, name, to string) error {
	done, err := a.alone()
	if err != nil {
		return err
	}
	defer done()
	if err := a.notPending(name, to); err != nil {
		return err
	}
	rename := func(doc *edit.Doc, s *config.Snapshot) error {
		if _, ok := s.Account(name); !ok {
			return noAccount(name)
		}
		if s.Postmaster().Account == name {
			return errorf(ErrInUse, "account %q is Postmaster.Account in mox.conf, which is read at the start of the server only: set another account there and restart the server first", name)
		}
		if err := checkNewAccount(s, to); err != nil {
			return err
		}
		for domain, f := range s.Dynamic.Domains {
			for section, r := range map[string]*config.ReportFields{"DMARC": f.DMARC, "TLSRPT": f.TLSRPT} {
				if r == nil || r.Account != name {
					continue
				}
				if err := doc.Set(edit.At("Domains", domain, section, "Account"), to); err != nil {
					return err
				}
			}
		}
		return doc.Rename(edit.At("Accounts", name), to)
	}
	if err := a.opts.Config.Try(rename); err != nil {
		return err
	}
	p := pending{Account: name, To: to, Since: a.opts.Now()}
	t, err := a.take(ctx, p)
	if err != nil {
		return err
	}
	return a.change(ctx, p, t, "account renamed", rename)
}

// RemoveOptions are for [Admin.RemoveAccount].
type RemoveOptions struct {
	// Export is a new directory, or a new file with a name that ends in .tgz or .tar.gz,
	// to which the messages are written before they are removed. A relative path starts at
	// the data directory. Empty: they are lost.
	Export string

	DropQueue bool // Messages in the queue are removed, instead of being in the way.
}

// RemoveAccount removes an account with its addresses, messages and all ways to log in to
// it, for good. Its addresses leave aliases. Being the last member of one, messages in the
// queue, and other uses of the account are in the way. The result is how many messages
// were exported.
func (a *Admin) RemoveAccount(ctx context.Context, name string, opts RemoveOptions) (exported int, err error) {
	done, err := a.alone()
	if err != nil {
		return 0, err
	}
	defer done()
	if err := a.notPending(name); err != nil {
		return 0, err
	}
	remove := func(doc *edit.Doc, s *config.Snapshot) error { return removeAccount(doc, s, name) }
	if err := a.opts.Config.Try(remove); err != nil {
		return 0, err
	}
	if !opts.DropQueue {
		if err := a.notQueued(ctx, name); err != nil {
			return 0, err
		}
	}
	p := pending{Account: name, Since: a.opts.Now()}
	t, err := a.take(ctx, p)
	if err != nil {
		return 0, err
	}
	// From here on no mail comes in that would not be exported.
	if opts.Export != "" {
		if exported, err = a.export(ctx, t.from, opts.Export); err != nil {
			return 0, errors.Join(fmt.Errorf("nothing was removed: %w", err), t.release())
		}
	}
	if !opts.DropQueue {
		if err := a.notQueued(ctx, name); err != nil {
			return exported, errors.Join(err, t.release())
		}
	}
	return exported, a.change(ctx, p, t, "account removed", remove)
}

func (a *Admin) notQueued(ctx context.Context, name string) error {
	l, err := a.opts.Queue.List(ctx, queuedb.Filter{Account: name}, queuedb.Page{Max: 1})
	if err == nil && len(l) > 0 {
		err = errorf(ErrInUse, "messages of account %q are in the queue: wait for them, or have them dropped", name)
	}
	return err
}

func removeAccount(doc *edit.Doc, s *config.Snapshot, name string) error {
	f, ok := s.Dynamic.Accounts[name]
	if !ok {
		return noAccount(name)
	}
	for address := range f.Destinations {
		addr, err := parseAddress(address)
		if err != nil {
			continue // A catchall, which cannot be a member.
		}
		if err := leaveAliases(doc, s, addr); err != nil {
			return err
		}
	}
	return doc.Remove(edit.At("Accounts", name))
}
