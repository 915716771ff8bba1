package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mox/internal/authdb"
	"mox/mlog"
	"mox/store"
)

// proof is what someone has logged in with.
type proof struct {
	app     int64     // ID of an app password, or 0.
	key     string    // Fingerprint of a client key, or empty.
	changed time.Time // When the main password was set, if it was that.
}

// sessions are those that end when what they were opened with is not good any more.
type sessions struct {
	mu   sync.Mutex
	list map[*watched]struct{}
}

// watched is an open session.
type watched struct {
	res  Result
	end  func()
	once sync.Once
}

// Watch has end called, at most once, when the session of someone who has logged in must
// not go on: the app password or the key that was used is removed, the password is
// changed, or the account cannot log in any more. That is looked at now, as it may have
// happened since, and at each Recheck. End must not wait. The caller must call stop when
// the session is over.
func (c *Checker) Watch(ctx context.Context, res Result, end func()) (stop func()) {
	w := &watched{res: res, end: end}
	s := &c.sessions
	s.mu.Lock()
	if s.list == nil {
		s.list = map[*watched]struct{}{}
	}
	s.list[w] = struct{}{}
	s.mu.Unlock()
	c.recheck(ctx, []*watched{w})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.list, w)
	}
}

// Recheck ends the sessions of an account, or of all for the empty name, that must not go
// on. It is to be called after credentials were removed, and after a change of the
// configuration.
func (c *Checker) Recheck(ctx context.Context, account string) {
	c.sessions.mu.Lock()
	var l []*watched
	for w := range c.sessions.list {
		if account == "" || w.res.Account == account {
			l = append(l, w)
		}
	}
	c.sessions.mu.Unlock()
	c.recheck(ctx, l)
}

// recheck ends those sessions that must not go on. One of which that cannot be found out
// goes on.
func (c *Checker) recheck(ctx context.Context, l []*watched) {
	secrets := map[string]user{} // By account, so that each is read once.
	for _, w := range l {
		good, err := c.good(ctx, w.res, secrets)
		if err != nil {
			c.log.Error("looking whether a session may go on", mlog.Err(err), "account", w.res.Account)
		} else if !good {
			c.log.Info("ending session: what it was opened with is not good any more", "account", w.res.Account)
			w.once.Do(w.end)
		}
	}
}

// good reports whether who has logged in could do so again.
func (c *Checker) good(ctx context.Context, res Result, secrets map[string]user) (bool, error) {
	account, ok := c.opts.Config.Snapshot().Account(res.Account)
	if !ok || account.LoginDisabled != "" {
		return false, nil
	}
	if res.proof.key != "" {
		k, err := c.opts.Keys.TLSPublicKey(ctx, res.proof.key)
		if errors.Is(err, authdb.ErrNotFound) {
			return false, nil
		}
		return k.Account == res.Account, err
	}
	u, ok := secrets[res.Account]
	if !ok {
		u.account = account
		if err := c.readSecrets(ctx, &u); errors.Is(err, store.ErrClosed) {
			return true, nil // It is being renamed or removed, which ends its sessions itself.
		} else if err != nil {
			return false, fmt.Errorf("read secrets: %w", err)
		}
		secrets[res.Account] = u
	}
	if res.proof.app == 0 {
		return u.creds.Changed.Equal(res.proof.changed), nil
	}
	for _, p := range u.apps {
		if p.ID == res.proof.app {
			return true, nil
		}
	}
	return false, nil
}

// localMechanism is how a login without credentials is recorded.
const localMechanism = "PREAUTH"

// Local logs in whoever may act for all accounts of this machine, such as root at the
// control socket, as the user of a login address; a is as for Begin. It is recorded as a
// login. The error matches ErrCredentials if there is no such address, or
// ErrLoginDisabled; these are no attempts to log in, and are not counted.
func (c *Checker) Local(ctx context.Context, a Attempt, address string) (Result, error) {
	a.Mechanism = localMechanism
	u, err := c.lookup(ctx, address)
	if err != nil {
		return Result{}, err
	}
	if !u.known {
		return Result{}, ErrCredentials
	}
	res, err := u.admit()
	if err == nil {
		c.record(a, u, nil)
	}
	return res, err
}

// Certificate is what the key of a client certificate says.
type Certificate struct {
	Result
	Preauth bool // The connection is logged in without a command. RFC 9051 §7.1.4
}

// certificateMechanism is how a login without a command is recorded.
const certificateMechanism = "TLSCLIENTAUTH"

// Certificate returns whose the client certificate of a connection is, after the
// handshake; a is as for Begin. If preauth is set and the owner of the key wants that, it
// is a login, and is recorded as one. That nothing comes of the certificate is no failed
// attempt: clients show one without being asked to log in with it. The error then matches
// ErrCredentials, ErrLoginDisabled or ErrRateLimited.
func (c *Checker) Certificate(ctx context.Context, a Attempt, preauth bool) (Certificate, error) {
	if !c.Allowed(a.RemoteIP) {
		return Certificate{}, ErrRateLimited
	}
	a.Mechanism = certificateMechanism
	m := external{c: c, attempt: a}
	var u user
	if _, _, err := m.next(ctx, []byte{}, &u); err != nil {
		return Certificate{}, err
	}
	res, err := u.admit()
	if err != nil {
		return Certificate{}, err
	}
	cert := Certificate{Result: res, Preauth: preauth && !u.noPreauth}
	if cert.Preauth {
		c.record(a, u, nil)
	}
	return cert, nil
}
