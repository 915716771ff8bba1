package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"mox/config"
	"mox/config/edit"
	"mox/dns"
	"mox/internal/authdb"
	"mox/queue/queuedb"
	"mox/store"
)

// Kinds of errors, which an [*Error] matches.
var (
	// ErrNotFound: what is to be changed does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists: what is to be made exists.
	ErrExists = errors.New("exists already")
	// ErrInUse: what is to be removed is needed.
	ErrInUse = errors.New("in use")
	// ErrInvalid: an argument makes no sense.
	ErrInvalid = errors.New("invalid")
)

// Error says why a change is not made.
type Error struct {
	Kind error  // One of the errors above.
	Text string // For the operator.
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

func errorf(kind error, format string, args ...any) error {
	return &Error{kind, fmt.Sprintf(format, args...)}
}

// Logins are the ways to log in besides passwords of accounts, *authdb.DB.
type Logins interface {
	TLSPublicKeys(ctx context.Context, account string) ([]authdb.TLSPublicKey, error)
	Renamer
	RemoveAccount(ctx context.Context, account string) error
}

// Queue has the messages that wait to be delivered, *queuedb.DB.
type Queue interface {
	List(ctx context.Context, f queuedb.Filter, p queuedb.Page) ([]queuedb.Message, error)
	Renamer
	RemoveAccount(ctx context.Context, account string) error
}

// Renamer has records of accounts, which it gives to another one. It may be asked to do
// that again.
type Renamer interface {
	RenameAccount(ctx context.Context, from, to string) error
}

// Derived has files of accounts that are made from mail: junk filters
// (*training.Trainer), and text indexes (*textindex.Indexer).
type Derived interface {
	Forget(ctx context.Context, account string) error
}

// Options are for [New].
type Options struct {
	Config   *config.Holder
	Store    *store.Store
	Logins   Logins
	Queue    Queue
	Derived  []Derived    // Each is told to close the files of an account.
	Reports  []Renamer    // Databases that say which account a message is in; to no account, if it is removed. Traces (*tracedb.DB) too.
	Resolver dns.Resolver // Nil if nothing is looked up.
	Backups  *sync.Mutex  // Held while a backup is made, for which accounts must stay where they are. Nil: no backups.
	Log      *slog.Logger
	Now      func() time.Time // Nil is time.Now.
}

// Admin makes changes.
type Admin struct {
	opts Options
	log  *slog.Logger

	life  sync.Mutex              // Held while an account is renamed or removed.
	crash func(step string) error // For tests, see step.

	rotating sync.Mutex // Held while DKIM keys are changed to new ones.
}

// New returns an Admin.
func New(opts Options) *Admin {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Admin{opts: opts, log: opts.Log}
}

// edit changes domains.conf, and logs what was done.
func (a *Admin) edit(ctx context.Context, done string, fn func(doc *edit.Doc, s *config.Snapshot) error, args ...any) error {
	err := a.opts.Config.Edit(fn)
	switch {
	case errors.Is(err, edit.ErrValue):
		return errorf(ErrInvalid, "%s", err)
	case err != nil:
		return err
	}
	a.log.InfoContext(ctx, done, args...)
	return nil
}

// dir returns the directory of the configuration.
func (a *Admin) dir() string {
	return filepath.Dir(a.opts.Config.Snapshot().Path)
}
