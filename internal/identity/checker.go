package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"mox/config"
	"mox/internal/authdb"
	"mox/internal/ratelimit"
	"mox/mlog"
	"mox/sasl"
	"mox/smtp"
	"mox/store"
)

// The errors that servers map to replies, besides those of package sasl for
// malformed messages of a client and those of the context. Anything else is an
// internal error.
var (
	// ErrCredentials: unknown user, wrong password, or anything else of which the
	// remote must not know which.
	ErrCredentials = errors.New("bad user name or password")

	// ErrNoSecret: the account has not got what the mechanism needs, so this is not a
	// sign of abuse, and was not counted. It comes with ErrCredentials: the remote
	// is told the same.
	ErrNoSecret = errors.New("account has no secret for mechanism")

	// ErrLoginDisabled: the password was right, and the account is not to log in. The
	// error is a *LoginDisabledError, which has the text for the user.
	ErrLoginDisabled = errors.New("login is disabled for account")

	// ErrRateLimited: too many failed attempts from the network of the remote. Nothing
	// was checked.
	ErrRateLimited = errors.New("too many failed logins from network")
)

// LoginDisabledError says why an account cannot log in. It matches
// ErrLoginDisabled.
type LoginDisabledError struct {
	Text string // From the configuration of the account, for the user.
}

// Error returns the text for the log.
func (e *LoginDisabledError) Error() string { return ErrLoginDisabled.Error() + ": " + e.Text }

// Unwrap returns ErrLoginDisabled.
func (e *LoginDisabledError) Unwrap() error { return ErrLoginDisabled }

// Attempt is where a login comes from.
type Attempt struct {
	Protocol  string // "submission", "imap", as in metrics.
	Mechanism string // SASL mechanism in upper case, or how else the password came. Begin sets it.
	RemoteIP  netip.Addr
	LocalIP   netip.Addr
	TLS       *tls.ConnectionState // Nil without TLS.
	Cid       int64                // Of the connection, for the log.
}

// Result is who has logged in.
type Result struct {
	Account      string
	LoginAddress string // As in the configuration's addresses, with what the user added after a separator.
	AppPassword  string // Name of the app password it was done with. Empty for other ways.

	proof proof // For Watch.
}

// Options are for New. Store, Config and Dir are needed.
type Options struct {
	Store  *store.Store
	Config *config.Holder
	Dir    string       // Data directory, for the secret from which salts of unknown users are made.
	Log    *slog.Logger // Nil logs nothing.

	// Keys has the keys of client certificates. Nil for none, so that certificates are
	// of no use.
	Keys Keys

	// AppPasswords has the app passwords. Nil for none.
	AppPasswords AppPasswords

	// Attempts records each attempt. Nil for no records.
	Attempts Recorder

	// Limits on failed attempts. The zero value is ratelimit.AuthFailureWindows; see
	// WithLimits for several listeners.
	Limits config.Limits

	// ConcurrentChecks is how many passwords are checked at a time. Zero is
	// sasl.DefaultConcurrentChecks.
	ConcurrentChecks int
}

// Keys finds the key of a client certificate. A *authdb.DB is one.
type Keys interface {
	// TLSPublicKey returns a key by its fingerprint, or an error that matches
	// authdb.ErrNotFound.
	TLSPublicKey(ctx context.Context, fingerprint string) (authdb.TLSPublicKey, error)
}

// Recorder records attempts to log in, and does not wait for that. A *authdb.DB is one.
type Recorder interface {
	RecordLogin(a authdb.LoginAttempt)
}

// shared is what the views of a Checker have in common.
type shared struct {
	opts      Options
	log       *slog.Logger
	passwords *sasl.PasswordChecker
	cache     passwordCache
	secret    []byte           // For salts of unknown users.
	fakeCRAM  sasl.CRAMMD5Keys // Match no password.
	sessions  sessions
	changes   sync.Mutex // Held while passwords are set, so that all of an account have one salt.
}

// Checker checks credentials. A process is to have one.
type Checker struct {
	*shared
	limiter *ratelimit.Limiter // Nil is no limit.
}

// New returns a checker. It creates the secret for salts in the data directory
// if there is none.
func New(opts Options) (*Checker, error) {
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	secret, err := loadSecret(opts.Dir)
	if err != nil {
		return nil, err
	}
	fake, err := sasl.DeriveCRAMMD5(string(secret))
	if err != nil {
		return nil, err
	}
	s := &shared{
		opts:      opts,
		log:       opts.Log,
		passwords: sasl.NewPasswordChecker(sasl.PasswordCheckerOptions{Concurrent: opts.ConcurrentChecks}),
		secret:    secret,
		fakeCRAM:  fake,
	}
	s.cache.init()
	c := &Checker{s, ratelimit.New(ratelimit.Options{Windows: ratelimit.AuthFailureWindows(), Exempt: opts.Limits.Exempt})}
	if l := opts.Limits; l.AuthFailuresPerMinute != 0 || l.AuthFailuresPerDay != 0 {
		c = c.WithLimits(l)
	}
	return c, nil
}

// WithLimits returns a checker that counts failed attempts for itself, such as for
// a listener with limits of its own, and shares all else with c. A negative limit
// is none.
func (c *Checker) WithLimits(l config.Limits) *Checker {
	var windows []ratelimit.Window
	if n := l.AuthFailuresPerMinute; n > 0 {
		windows = append(windows, ratelimit.Window{Period: time.Minute, Limits: ratelimit.Factors(n)})
	}
	if n := l.AuthFailuresPerDay; n > 0 {
		windows = append(windows, ratelimit.Window{Period: 24 * time.Hour, Limits: ratelimit.Factors(n)})
	}
	if len(windows) == 0 {
		return &Checker{c.shared, nil}
	}
	return &Checker{c.shared, ratelimit.New(ratelimit.Options{Windows: windows, Exempt: l.Exempt})}
}

// Allowed reports whether an address may try to log in, as far as failed attempts
// from its networks are concerned.
func (c *Checker) Allowed(ip netip.Addr) bool {
	return c.limiter == nil || c.limiter.CanAdd(ip, time.Now(), 1)
}

// Mechanisms returns the SASL mechanisms to announce, strongest first: for a
// connection with TLS or not, with a client certificate or not, at a listener
// where passwords may be sent without TLS or not. CRAM-MD5 is in it when an
// account has opted in.
//
// Without TLS there is nothing to bind to, so no PLUS mechanism is announced.
func (c *Checker) Mechanisms(tls, clientCert, plaintextOK bool) []string {
	if !tls && !plaintextOK {
		return nil
	}
	l := []string{sasl.SCRAMSHA256, sasl.SCRAMSHA1}
	if tls {
		l = []string{sasl.SCRAMSHA256Plus, sasl.SCRAMSHA256, sasl.SCRAMSHA1Plus, sasl.SCRAMSHA1}
	}
	if c.opts.Config.Snapshot().AnyCRAMMD5() {
		l = append(l, sasl.CRAMMD5)
	}
	if tls && clientCert && c.opts.Keys != nil {
		l = append([]string{sasl.External}, l...)
	}
	return append(l, sasl.Plain, sasl.Login)
}

// user is what is known of the one who wants to log in.
type user struct {
	name    string // As given, for the log.
	key     string // The same for all spellings of a name.
	account config.Account
	address smtp.Address
	known   bool              // There is such an account.
	creds   store.Credentials // Zero if it is not known or has no password.
	apps    []authdb.AppPassword
	app     *authdb.AppPassword // Of apps, the one that was used.

	clientKey string // Fingerprint of the key that was used instead of a password.
	noPreauth bool   // Of that key.
}

// lookup finds the account and the credentials for a user name, which is a login
// address. That there is none is not an error.
func (c *Checker) lookup(ctx context.Context, name string) (user, error) {
	u := user{name: name, key: name}
	prepared, err := sasl.PrepareUsername(name)
	if err != nil {
		return u, nil
	}
	addr, err := smtp.ParseAddress(prepared, smtp.Lenient)
	if err != nil {
		return u, nil
	}
	conf := c.opts.Config.Snapshot()
	u.key = strings.ToLower(addr.String())
	if d, ok := conf.Domain(addr.Domain); ok {
		u.key = smtp.NewAddress(d.Canonical(addr.Localpart), addr.Domain).String()
	}
	account, ok := conf.LoginAccount(addr)
	if !ok {
		return u, nil
	}
	u.account, u.address, u.known = account, addr, true
	u.key = "account " + account.Name
	return u, c.readSecrets(ctx, &u)
}

// readSecrets reads what is stored of the passwords of an account. That there is
// nothing is not an error.
func (c *Checker) readSecrets(ctx context.Context, u *user) error {
	if c.opts.AppPasswords != nil {
		var err error
		if u.apps, err = c.opts.AppPasswords.AppPasswords(ctx, u.account.Name); err != nil {
			return err
		}
	}
	acc, err := c.opts.Store.Account(ctx, u.account.Name)
	if errors.Is(err, store.ErrNoAccount) {
		return nil // Configured, and nothing was ever delivered or set.
	} else if err != nil {
		return fmt.Errorf("open account: %w", err)
	}
	defer acc.Release()
	if u.creds, err = acc.Credentials(ctx); err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	return nil
}

// admit checks the state of an account whose credentials were right.
func (u user) admit() (Result, error) {
	if text := u.account.LoginDisabled; text != "" {
		return Result{}, &LoginDisabledError{text}
	}
	res := Result{Account: u.account.Name, LoginAddress: u.address.String()}
	switch {
	case u.app != nil:
		res.AppPassword, res.proof.app = u.app.Name, u.app.ID
	case u.clientKey != "":
		res.proof.key = u.clientKey
	default:
		res.proof.changed = u.creds.Changed
	}
	return res, nil
}

// Slowdown is how a server is to treat a client after failed attempts.
type Slowdown struct {
	Delay time.Duration // Before the next attempt is looked at.
	Slow  bool          // All that is read from and written to the client is to be slow.
}

// Limits for SlowdownFor.
const (
	freeFailures = 3                // Failed attempts without delay.
	slowFailures = 3                // Failed attempts until all is slow.
	maxDelay     = 10 * time.Second // Each delay holds a connection.
)

// SlowdownFor returns the advice after a number of failed attempts on a
// connection: a second for each one after the third.
func SlowdownFor(failures int) Slowdown {
	delay := time.Duration(max(0, failures-freeFailures)) * time.Second
	return Slowdown{Delay: min(delay, maxDelay), Slow: failures >= slowFailures}
}
