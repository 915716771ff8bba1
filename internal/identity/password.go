package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"mox/sasl"
	"mox/store"
)

// Limits of passwords.
const (
	// MinPassword is the least number of characters of a new password.
	MinPassword = 8

	// MaxPassword is the largest number of octets of a new password.
	MaxPassword = 1024
)

// Errors of SetPassword.
var (
	ErrPasswordTooShort = fmt.Errorf("password is shorter than %d characters", MinPassword)
	ErrPasswordTooLong  = fmt.Errorf("password is longer than %d octets", MaxPassword)
	ErrPasswordUTF8     = errors.New("password is not UTF-8")
)

// Password checks a user name, which is a login address, and a password: for the
// mechanisms PLAIN and LOGIN, the IMAP command LOGIN, and HTTP.
func (c *Checker) Password(ctx context.Context, a Attempt, username, password string) (Result, error) {
	if err := c.limited(a); err != nil {
		return Result{}, err
	}
	u, res, err := c.password(ctx, a.Protocol, username, password)
	c.record(a, u, err)
	return res, err
}

// password checks a password: first whether it is an app password, which costs little.
func (c *Checker) password(ctx context.Context, protocol, username, password string) (user, Result, error) {
	u, err := c.lookup(ctx, username)
	if err != nil {
		return u, Result{}, err
	}
	if app := u.findApp(password); app != nil {
		if err := u.use(app, protocol); err != nil {
			return u, Result{}, err
		}
		res, err := u.admit()
		return u, res, err
	}
	// An account without password has an empty hash, and costs as much as others.
	if !c.cache.has(u.account.Name, u.creds.Argon2id, password) {
		match, _, err := c.passwords.Check(ctx, u.creds.Argon2id, password)
		if err != nil {
			return u, Result{}, err
		}
		if !match {
			return u, Result{}, ErrCredentials
		}
		c.cache.add(u.account.Name, u.creds.Argon2id, password)
		collect()
	}
	res, err := u.admit()
	return u, res, err
}

// SetPassword sets the password of an account in the configuration, which need not
// exist on disk yet. App passwords stay as they are; sessions that were opened with the
// previous password end, see [Checker.Watch]. Errors are store.ErrNoAccount, those for passwords above, and
// those of the store.
func (c *Checker) SetPassword(ctx context.Context, account, password string) error {
	prepared := sasl.PreparePassword(password)
	switch {
	case !utf8.ValidString(password):
		return ErrPasswordUTF8
	case utf8.RuneCountInString(prepared) < MinPassword:
		return ErrPasswordTooShort
	case len(password) > MaxPassword:
		return ErrPasswordTooLong
	}
	conf, ok := c.opts.Config.Snapshot().Account(account)
	if !ok {
		return store.ErrNoAccount
	}
	c.changes.Lock()
	defer c.changes.Unlock()
	old := user{account: conf}
	if err := c.readSecrets(ctx, &old); err != nil {
		return err
	}
	creds, err := c.derive(ctx, password, old.keepSalt())
	if err != nil {
		return fmt.Errorf("derive secrets of password: %w", err)
	}
	acc, err := c.opts.Store.Ensure(ctx, account)
	if err != nil {
		return fmt.Errorf("open account: %w", err)
	}
	defer acc.Release()
	if err := acc.SetCredentials(ctx, creds); err != nil {
		return fmt.Errorf("store credentials: %w", err)
	}
	c.Recheck(ctx, account)
	return nil
}

// keepSalt returns the user with only those keys whose salt a new password is to have:
// with app passwords, that of these. Without, it is the one of the previous password,
// as those of users that do not exist never change either, unless it goes with another
// iteration count than new passwords have.
func (u user) keepSalt() user {
	if len(u.apps) > 0 || int(u.creds.SCRAMSHA1.Iterations) != sasl.SCRAMDefaultIterations || int(u.creds.SCRAMSHA256.Iterations) != sasl.SCRAMDefaultIterations {
		u.creds = store.Credentials{}
	}
	return u
}

// derive returns all that is stored of the password of a user.
func (c *Checker) derive(ctx context.Context, password string, u user) (store.Credentials, error) {
	creds := store.Credentials{Changed: time.Now()}
	var err error
	if creds.Argon2id, err = c.passwords.Hash(ctx, password); err != nil {
		return store.Credentials{}, err
	}
	for h, keys := range map[sasl.Hash]*store.SCRAMKeys{sasl.SHA1: &creds.SCRAMSHA1, sasl.SHA256: &creds.SCRAMSHA256} {
		salt, iterations := u.scramSalt(h)
		k, err := sasl.DeriveSCRAM(h, password, salt, iterations)
		if err != nil {
			return store.Credentials{}, err
		}
		*keys = store.SCRAMKeys{Salt: k.Salt, Iterations: int32(k.Iterations), StoredKey: k.StoredKey, ServerKey: k.ServerKey}
	}
	if u.account.CRAMMD5 {
		k, err := sasl.DeriveCRAMMD5(password)
		if err != nil {
			return store.Credentials{}, err
		}
		creds.CRAMMD5 = packCRAM(k)
	}
	return creds, nil
}

// packCRAM and unpackCRAM are the stored form: the two states, of one length.
func packCRAM(k sasl.CRAMMD5Keys) []byte {
	return append(append([]byte{}, k.Inner...), k.Outer...)
}

func unpackCRAM(b []byte) sasl.CRAMMD5Keys {
	n := len(b) / 2
	return sasl.CRAMMD5Keys{Inner: b[:n], Outer: b[n:]}
}

const (
	// cacheTime is for how long a password that was checked need not be checked again.
	cacheTime = 10 * time.Minute

	// maxCache is for how many accounts that is remembered.
	maxCache = 1000
)

// passwordCache remembers which passwords have matched which hashes. Clients open
// several connections at once and again and again, and each would cost tens of
// milliseconds and 19 MiB. It has no passwords, but a MAC with a key of this
// process, so what is in memory is of no use elsewhere.
type passwordCache struct {
	key [sha256.Size]byte

	mu sync.Mutex            // Guards m.
	m  map[string]cacheEntry // By account.
}

type cacheEntry struct {
	mac     [sha256.Size]byte
	expires time.Time
}

func (p *passwordCache) init() {
	rand.Read(p.key[:])
	p.m = map[string]cacheEntry{}
}

// mac is of hash and password, so a new password makes it void.
func (p *passwordCache) mac(hash, password string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.key[:])
	fmt.Fprintf(h, "%d %s", len(hash), hash)
	h.Write([]byte(password))
	h.Sum(sum[:0])
	return sum
}

func (p *passwordCache) has(account, hash, password string) bool {
	mac := p.mac(hash, password)
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.m[account]
	return ok && hash != "" && time.Now().Before(e.expires) && hmac.Equal(e.mac[:], mac[:])
}

func (p *passwordCache) add(account, hash, password string) {
	e := cacheEntry{p.mac(hash, password), time.Now().Add(cacheTime)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.m[account]; !ok && len(p.m) >= maxCache {
		for k := range p.m { // Any will do: it costs its owner one check.
			delete(p.m, k)
			break
		}
	}
	p.m[account] = e
}
