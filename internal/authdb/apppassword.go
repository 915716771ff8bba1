package authdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"
)

// MaxAppPasswords is how many app passwords an account can have. Each login with SCRAM
// tries all of them.
const MaxAppPasswords = 50

// Errors about app passwords, to be matched with errors.Is.
var (
	// ErrNoAppPassword: the account has no app password of this name.
	ErrNoAppPassword = errors.New("no such app password")
	// ErrAppPasswordExists: the account has an app password of this name.
	ErrAppPasswordExists = errors.New("account has an app password of this name")
	// ErrTooManyAppPasswords: the account has MaxAppPasswords.
	ErrTooManyAppPasswords = errors.New("account has too many app passwords")
	// ErrAppPasswordName: the name is empty, too long, or has control characters.
	ErrAppPasswordName = fmt.Errorf("name of app password is empty, has control characters, or is longer than %d octets", maxName)
	// ErrScope: a name in a list of scopes is not one, or there is none.
	ErrScope = errors.New("scope is not a list of smtp, imap and web")
)

// Scope is a set of what an app password is good for.
type Scope uint8

// What an app password can be good for.
const (
	ScopeSMTP Scope = 1 << iota // Submission of messages.
	ScopeIMAP
	ScopeWeb // All that is over HTTP.

	ScopeAll = ScopeSMTP | ScopeIMAP | ScopeWeb
)

// scopeNames are in the order in which they are written.
var scopeNames = []struct {
	scope Scope
	name  string
}{{ScopeSMTP, "smtp"}, {ScopeIMAP, "imap"}, {ScopeWeb, "web"}}

// ParseScope parses names of scopes with commas in between. The error matches ErrScope.
func ParseScope(s string) (Scope, error) {
	var scope Scope
next:
	for name := range strings.SplitSeq(s, ",") {
		for _, n := range scopeNames {
			if strings.TrimSpace(name) == n.name {
				scope |= n.scope
				continue next
			}
		}
		return 0, fmt.Errorf("%w: %q", ErrScope, s)
	}
	return scope, nil
}

// String returns the names of the scopes, as ParseScope takes them.
func (s Scope) String() string {
	var l []string
	for _, n := range scopeNames {
		if s&n.scope != 0 {
			l = append(l, n.name)
		}
	}
	return strings.Join(l, ",")
}

// AppPassword is what is stored of a password that the server has made for one
// program of a user. Nothing in it but CRAMMD5 can be used to log in.
type AppPassword struct {
	ID      int64     // Not used again for another one.
	Account string    `bstore:"nonzero,unique Account+Name"`
	Name    string    `bstore:"nonzero"` // For people.
	Scope   Scope     `bstore:"nonzero"`
	Created time.Time `bstore:"default now"`

	// Hash is SHA-256 over Salt and the password. A slow hash is for passwords that can
	// be guessed, which these cannot be.
	Salt []byte `bstore:"nonzero"`
	Hash []byte `bstore:"nonzero"`

	SCRAMSHA1   SCRAMKeys
	SCRAMSHA256 SCRAMKeys
	CRAMMD5     []byte // Password-equivalent. Empty unless the account had opted in.

	// The last use. Zero for none. It is known some seconds after a login.
	LastUse      time.Time
	LastRemoteIP string
	LastProtocol string // As in LoginAttempt.
}

// SCRAMKeys are the stored keys of RFC 5802 §3. Salt and iteration count are those of
// all passwords of an account, so that one challenge is good for all.
type SCRAMKeys struct {
	Salt       []byte
	Iterations int32
	StoredKey  []byte
	ServerKey  []byte
}

// AddAppPassword adds an app password. Errors match ErrAppPasswordExists,
// ErrTooManyAppPasswords, ErrAppPasswordName and ErrScope.
func (d *DB) AddAppPassword(ctx context.Context, p AppPassword) error {
	if !validName(p.Name) || p.Name == "" {
		return ErrAppPasswordName
	}
	if p.Scope == 0 || p.Scope&^ScopeAll != 0 {
		return ErrScope
	}
	return d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		n := 0
		err := bstore.QueryTx[AppPassword](tx).FilterEqual("Account", p.Account).ForEach(func(old AppPassword) error {
			if n++; old.Name == p.Name {
				return ErrAppPasswordExists
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("look at app passwords: %w", err)
		}
		if n >= MaxAppPasswords {
			return ErrTooManyAppPasswords
		}
		if err := tx.Insert(&p); err != nil {
			return fmt.Errorf("insert app password: %w", err)
		}
		return nil
	})
}

// AppPasswords returns the app passwords of an account, or of all for the empty name,
// oldest first.
func (d *DB) AppPasswords(ctx context.Context, account string) ([]AppPassword, error) {
	q := bstore.QueryDB[AppPassword](ctx, d.bdb)
	if account != "" {
		q = q.FilterEqual("Account", account)
	}
	l, err := q.SortAsc("ID").List()
	if err != nil {
		return nil, fmt.Errorf("list app passwords: %w", err)
	}
	return l, nil
}

// RemoveAppPassword removes an app password. The error matches ErrNoAppPassword if
// there is none of this name.
func (d *DB) RemoveAppPassword(ctx context.Context, account, name string) error {
	if account == "" || name == "" {
		return ErrNoAppPassword
	}
	n, err := bstore.QueryDB[AppPassword](ctx, d.bdb).FilterEqual("Account", account).FilterEqual("Name", name).Delete()
	if err != nil {
		return fmt.Errorf("remove app password: %w", err)
	}
	if n == 0 {
		return ErrNoAppPassword
	}
	return nil
}

// appPasswordUse is the last use of an app password in a batch of attempts.
type appPasswordUse struct {
	time               time.Time
	remoteIP, protocol string
}

// writeUses writes the last uses of app passwords that are still there.
func writeUses(tx *bstore.Tx, uses map[int64]appPasswordUse) error {
	for id, use := range uses {
		p := AppPassword{ID: id}
		if err := tx.Get(&p); err == bstore.ErrAbsent {
			continue
		} else if err != nil {
			return fmt.Errorf("read app password: %w", err)
		}
		p.LastUse, p.LastRemoteIP, p.LastProtocol = use.time, use.remoteIP, use.protocol
		if err := tx.Update(&p); err != nil {
			return fmt.Errorf("write use of app password: %w", err)
		}
	}
	return nil
}
