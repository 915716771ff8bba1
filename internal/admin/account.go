package admin

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mox/config"
	"mox/config/edit"
	"mox/queue/queuedb"
	"mox/smtp"
)

// Defaults of new accounts.
const (
	rejectsMailbox      = "Rejects"
	junkMailboxes       = "^(junk|spam)"
	neutralMailboxes    = "^(inbox|introbox|neutral|postmaster|dmarc|tlsrpt|rejects)"
	subjectPassValidity = 12 * time.Hour
)

// NewAccount returns the fields of a new account with one address.
func NewAccount(addr smtp.Address) config.AccountFields {
	return config.AccountFields{
		Domain:         addr.Domain.Name(),
		Destinations:   map[string]config.DestinationFields{addr.String(): {}},
		RejectsMailbox: rejectsMailbox,
		JunkFilter:     &config.JunkFilterFields{Threshold: config.DefaultJunkThreshold},
		SubjectPass:    config.SubjectPassFields{Period: subjectPassValidity},
		AutomaticJunkFlags: config.AutomaticJunkFlagsFields{
			Enabled:              true,
			JunkMailboxRegexp:    junkMailboxes,
			NeutralMailboxRegexp: neutralMailboxes,
		},
	}
}

// AccountInfo is about an account.
type AccountInfo struct {
	Name          string
	LoginDisabled string   // Text for who tries to log in; empty if that is possible.
	Addresses     []string // As in the configuration: one like @example.org is a catchall.
}

// Accounts returns all accounts by name.
func (a *Admin) Accounts() []AccountInfo {
	return accountInfos(a.opts.Config.Snapshot())
}

func accountInfos(s *config.Snapshot) []AccountInfo {
	var l []AccountInfo
	accounts := s.Dynamic.Accounts
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		l = append(l, accountInfo(name, accounts[name]))
	}
	return l
}

func accountInfo(name string, f config.AccountFields) AccountInfo {
	return AccountInfo{name, f.LoginDisabled, slices.Sorted(maps.Keys(f.Destinations))}
}

// Account returns an account.
func (a *Admin) Account(name string) (AccountInfo, error) {
	f, ok := a.opts.Config.Snapshot().Dynamic.Accounts[name]
	if !ok {
		return AccountInfo{}, noAccount(name)
	}
	return accountInfo(name, f), nil
}

func noAccount(name string) error {
	return errorf(ErrNotFound, "account %q does not exist", name)
}

// AddAccount adds an account with an address. There must be no data of an account of
// that name. It cannot be logged in to before a password is set.
func (a *Admin) AddAccount(ctx context.Context, name, address string) error {
	addr, err := parseAddress(address)
	if err != nil {
		return err
	}
	return a.edit(ctx, "account added", func(doc *edit.Doc, s *config.Snapshot) error {
		return addAccount(doc, s, name, addr)
	}, "account", name, "address", addr)
}

func addAccount(doc *edit.Doc, s *config.Snapshot, name string, addr smtp.Address) error {
	if _, ok := s.Account(name); ok {
		return errorf(ErrExists, "account %q exists already", name)
	}
	if name == "" || filepath.Base(name) != name {
		return errorf(ErrInvalid, "account name %q cannot be the name of a directory", name)
	}
	dir := filepath.Join(s.DataDir, "accounts", name)
	if _, err := os.Lstat(dir); err == nil {
		return errorf(ErrExists, "directory %s has data of an account of that name, move it away first", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return doc.Set(edit.At("Accounts", name), NewAccount(addr))
}

// DisableAccount makes logging in fail with a text, for new sessions. Mail is still
// delivered.
func (a *Admin) DisableAccount(ctx context.Context, name, text string) error {
	if text == "" {
		return errorf(ErrInvalid, "a text for the user is needed")
	}
	return a.setLoginDisabled(ctx, "account disabled", name, text)
}

// EnableAccount makes logging in possible again.
func (a *Admin) EnableAccount(ctx context.Context, name string) error {
	return a.setLoginDisabled(ctx, "account enabled", name, "")
}

func (a *Admin) setLoginDisabled(ctx context.Context, done, name, text string) error {
	return a.edit(ctx, done, func(doc *edit.Doc, s *config.Snapshot) error {
		if _, ok := s.Account(name); !ok {
			return noAccount(name)
		}
		return doc.Set(edit.At("Accounts", name, "LoginDisabled"), text)
	}, "account", name)
}

// RemoveAccount removes an account with its addresses, and all ways to log in to it. Its
// messages stay on disk: the result is the directory they are in, which exists if there
// were any. Its addresses leave aliases. Being the last member of one, messages in the
// queue, and other uses of the account are in the way.
func (a *Admin) RemoveAccount(ctx context.Context, name string) (dir string, err error) {
	l, err := a.opts.Queue.List(ctx, queuedb.Filter{Account: name}, queuedb.Page{Max: 1})
	if err != nil {
		return "", err
	}
	if len(l) > 0 {
		return "", errorf(ErrInUse, "messages of account %q are in the queue: wait for them, or drop them with mox queue drop -account %s", name, name)
	}
	err = a.edit(ctx, "account removed", func(doc *edit.Doc, s *config.Snapshot) error {
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
		dir = filepath.Join(s.DataDir, "accounts", name)
		return doc.Remove(edit.At("Accounts", name))
	}, "account", name)
	if err != nil {
		return "", err
	}
	return dir, a.removeLogins(ctx, name)
}

// removeLogins removes client certificates and app passwords of an account.
func (a *Admin) removeLogins(ctx context.Context, name string) error {
	keys, err := a.opts.Logins.TLSPublicKeys(ctx, name)
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range keys {
		errs = append(errs, a.opts.Logins.RemoveTLSPublicKey(ctx, k.Fingerprint))
	}
	passwords, err := a.opts.Logins.AppPasswords(ctx, name)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, p := range passwords {
		errs = append(errs, a.opts.Logins.RemoveAppPassword(ctx, name, p.Name))
	}
	return errors.Join(errs...)
}
