package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mox/internal/authdb"
	"mox/sasl"
	"mox/store"
)

// AppPasswords has the app passwords of accounts. A *authdb.DB is one.
type AppPasswords interface {
	AppPasswords(ctx context.Context, account string) ([]authdb.AppPassword, error)
	AddAppPassword(ctx context.Context, p authdb.AppPassword) error
}

// errScope: the app password is right, and not for this protocol. It comes with
// ErrCredentials: the remote is told the same.
var errScope = errors.New("app password is not for this protocol")

// App passwords are of letters and digits that are hard to confuse, 5 bits each, in
// groups that one can type.
const (
	appPasswordAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"
	appPasswordGroups   = 5
	appPasswordGroup    = 4
)

// NewPassword returns a password with 100 bits of entropy, in groups of letters and
// digits that one can type.
func NewPassword() string {
	random := make([]byte, appPasswordGroups*appPasswordGroup)
	rand.Read(random)
	var b strings.Builder
	for i, r := range random {
		if i > 0 && i%appPasswordGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(appPasswordAlphabet[int(r)%len(appPasswordAlphabet)]) // 32 divides 256.
	}
	return b.String()
}

// appPasswordSalt is the length of the salt of a hash, in octets.
const appPasswordSalt = 16

// hashAppPassword returns the hash for PLAIN and LOGIN. It may be a fast one: nobody
// can try all passwords of this length.
func hashAppPassword(salt []byte, password string) []byte {
	sum := sha256.Sum256(append(slices.Clone(salt), sasl.PreparePassword(password)...))
	return sum[:]
}

// AddAppPassword makes an app password for an account in the configuration, and returns
// it: it is not kept. Errors are store.ErrNoAccount, those of
// [authdb.DB.AddAppPassword], and those of the store.
func (c *Checker) AddAppPassword(ctx context.Context, account, name string, scope authdb.Scope) (password string, err error) {
	conf, ok := c.opts.Config.Snapshot().Account(account)
	if !ok {
		return "", store.ErrNoAccount
	}
	if c.opts.AppPasswords == nil {
		return "", errors.New("there is no database of app passwords")
	}
	c.changes.Lock()
	defer c.changes.Unlock()
	u := user{account: conf}
	if err := c.readSecrets(ctx, &u); err != nil {
		return "", err
	}
	password = NewPassword()
	p := authdb.AppPassword{Account: account, Name: name, Scope: scope, Salt: make([]byte, appPasswordSalt)}
	rand.Read(p.Salt)
	p.Hash = hashAppPassword(p.Salt, password)
	for h, keys := range map[sasl.Hash]*authdb.SCRAMKeys{sasl.SHA1: &p.SCRAMSHA1, sasl.SHA256: &p.SCRAMSHA256} {
		salt, iterations := u.scramSalt(h)
		k, err := sasl.DeriveSCRAM(h, password, salt, iterations)
		if err != nil {
			return "", fmt.Errorf("derive secrets of app password: %w", err)
		}
		*keys = authdb.SCRAMKeys{Salt: k.Salt, Iterations: int32(k.Iterations), StoredKey: k.StoredKey, ServerKey: k.ServerKey}
	}
	if conf.CRAMMD5 {
		k, err := sasl.DeriveCRAMMD5(password)
		if err != nil {
			return "", fmt.Errorf("derive secrets of app password: %w", err)
		}
		p.CRAMMD5 = packCRAM(k)
	}
	if err := c.opts.AppPasswords.AddAppPassword(ctx, p); err != nil {
		return "", err
	}
	return password, nil
}

// secret is one password of a user, as far as a mechanism needs it.
type secret[T any] struct {
	keys T
	app  *authdb.AppPassword // Nil for the password of the account.
}

// scram returns the keys of all passwords of a user that go with one challenge. Salt
// and iteration count of an app password are others only if one of the databases was
// restored without the other one.
func (u user) scram(h sasl.Hash) []secret[sasl.SCRAMKeys] {
	var l []secret[sasl.SCRAMKeys]
	main := u.creds.SCRAMSHA256
	if h == sasl.SHA1 {
		main = u.creds.SCRAMSHA1
	}
	if len(main.StoredKey) > 0 {
		l = append(l, secret[sasl.SCRAMKeys]{scramKeys(authdb.SCRAMKeys(main)), nil})
	}
	for i := range u.apps {
		app := &u.apps[i]
		k := app.SCRAMSHA256
		if h == sasl.SHA1 {
			k = app.SCRAMSHA1
		}
		if len(l) == 0 || bytes.Equal(l[0].keys.Salt, k.Salt) && l[0].keys.Iterations == int(k.Iterations) {
			l = append(l, secret[sasl.SCRAMKeys]{scramKeys(k), app})
		}
	}
	return l
}

func scramKeys(k authdb.SCRAMKeys) sasl.SCRAMKeys {
	return sasl.SCRAMKeys{Salt: k.Salt, Iterations: int(k.Iterations), StoredKey: k.StoredKey, ServerKey: k.ServerKey}
}

// scramSalt returns salt and iteration count for the keys of a new password of a user:
// those that the other ones have.
func (u user) scramSalt(h sasl.Hash) (salt []byte, iterations int) {
	if l := u.scram(h); len(l) > 0 {
		return l[0].keys.Salt, l[0].keys.Iterations
	}
	salt = make([]byte, sasl.SCRAMSaltLength)
	rand.Read(salt)
	return salt, sasl.SCRAMDefaultIterations
}

// cramMD5 returns the keys of the passwords of a user that have some.
func (u user) cramMD5() []secret[sasl.CRAMMD5Keys] {
	var l []secret[sasl.CRAMMD5Keys]
	if k := u.creds.CRAMMD5; len(k) > 0 {
		l = append(l, secret[sasl.CRAMMD5Keys]{unpackCRAM(k), nil})
	}
	for i := range u.apps {
		if k := u.apps[i].CRAMMD5; len(k) > 0 {
			l = append(l, secret[sasl.CRAMMD5Keys]{unpackCRAM(k), &u.apps[i]})
		}
	}
	return l
}

// findApp returns the app password that a password is, nil if none.
func (u user) findApp(password string) *authdb.AppPassword {
	for i := range u.apps {
		p := &u.apps[i]
		if subtle.ConstantTimeCompare(hashAppPassword(p.Salt, password), p.Hash) == 1 {
			return p
		}
	}
	return nil
}

// use notes with which app password the user has logged in, nil for none, and checks
// that it is for the protocol.
func (u *user) use(app *authdb.AppPassword, protocol string) error {
	u.app = app
	if app != nil && app.Scope&scopeOf(protocol) == 0 {
		return fmt.Errorf("%w: %w", ErrCredentials, errScope)
	}
	return nil
}

// scopeOf returns the scope that is needed for a protocol. All that is not mail is
// over HTTP.
func scopeOf(protocol string) authdb.Scope {
	switch protocol {
	case "submission":
		return authdb.ScopeSMTP
	case "imap":
		return authdb.ScopeIMAP
	}
	return authdb.ScopeWeb
}
