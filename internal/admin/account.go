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
	"mox/smtp"
	"mox/store"
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
	if err := a.notPending(name); err != nil {
		return err
	}
	return a.edit(ctx, "account added", func(doc *edit.Doc, s *config.Snapshot) error {
		return addAccount(doc, s, name, addr)
	}, "account", name, "address", addr)
}

func addAccount(doc *edit.Doc, s *config.Snapshot, name string, addr smtp.Address) error {
	if err := checkNewAccount(s, name); err != nil {
		return err
	}
	return doc.Set(edit.At("Accounts", name), NewAccount(addr))
}

// checkNewAccount checks that there is nothing of an account of a name.
func checkNewAccount(s *config.Snapshot, name string) error {
	if _, ok := s.Account(name); ok {
		return errorf(ErrExists, "account %q exists already", name)
	}
	if name == "" || filepath.Base(name) != name {
		return errorf(ErrInvalid, "account name %q cannot be the name of a directory", name)
	}
	dir := filepath.Join(s.DataDir, "accounts", name)
	if _, err := os.Lstat(filepath.Join(dir, store.RestoredName)); err == nil {
		return nil // From a backup, for this.
	}
	if _, err := os.Lstat(dir); err == nil {
		return errorf(ErrExists, "directory %s has data of an account of that name, move it away first", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
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
