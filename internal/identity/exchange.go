package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mox/internal/authdb"
	"mox/sasl"
)

// Exchange is the server side of a SASL exchange. It is for one goroutine.
type Exchange interface {
	// Next takes a response of the client, and returns the next challenge, or done
	// when the client has logged in. The first call is with the initial response,
	// nil if there was none, not nil if it was empty. A challenge may be empty and
	// must be sent all the same.
	//
	// With an error there may be a last challenge too, for the client to know the
	// reason; the server sends it, and ignores the response.
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)

	// Result returns who has logged in, after Next has returned done.
	Result() Result

	// Close ends the exchange. If it was not over, it counts as cancelled. It may be
	// called more than once.
	Close()
}

// mechanism does the steps of one mechanism.
type mechanism interface {
	// next is Exchange.Next. U is set as soon as the user is known.
	next(ctx context.Context, response []byte, u *user) (challenge []byte, done bool, err error)
}

// Begin starts an exchange for a mechanism, in upper case. Whether the mechanism
// may be used on the connection is for the server to know, see Mechanisms. Errors
// are ErrRateLimited, and sasl.ErrMechanism for one that is not known.
func (c *Checker) Begin(ctx context.Context, a Attempt, name string) (Exchange, error) {
	a.Mechanism = name
	m := c.mechanism(a, name)
	if m == nil {
		a.Mechanism = "unknown" // What clients make up is no label for a metric.
		c.record(a, user{}, sasl.ErrMechanism)
		return nil, sasl.ErrMechanism
	}
	if err := c.limited(a); err != nil {
		return nil, err
	}
	return &exchange{c: c, attempt: a, m: m}, nil
}

func (c *Checker) mechanism(a Attempt, name string) mechanism {
	switch name {
	case sasl.Plain:
		return &plain{c: c, protocol: a.Protocol}
	case sasl.Login:
		return &login{c: c, protocol: a.Protocol, server: sasl.NewLoginServer()}
	case sasl.CRAMMD5:
		return &cramMD5{c: c, protocol: a.Protocol}
	case sasl.External:
		return &external{c: c, attempt: a}
	}
	for _, h := range []sasl.Hash{sasl.SHA256, sasl.SHA1} {
		for _, plus := range []bool{true, false} {
			if name == h.Mechanism(plus) {
				return newSCRAM(c, a, h, plus)
			}
		}
	}
	return nil
}

// exchange sees to it that each exchange is recorded once.
type exchange struct {
	c       *Checker
	attempt Attempt
	m       mechanism
	user    user
	over    bool
	result  Result
}

func (x *exchange) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if x.over {
		return nil, false, fmt.Errorf("%w: exchange is over", sasl.ErrProtocol)
	}
	challenge, done, err := x.m.next(ctx, response, &x.user)
	if err == nil && done {
		x.result, err = x.user.admit()
	}
	if err != nil || done {
		x.over = true
		x.c.record(x.attempt, x.user, err)
	}
	if err != nil {
		return challenge, false, err
	}
	return challenge, done, nil
}

func (x *exchange) Result() Result { return x.result }

func (x *exchange) Close() {
	if !x.over {
		x.over = true
		x.c.record(x.attempt, x.user, sasl.ErrAborted)
	}
}

// answerTime is how long a step takes at least that does no costly computation:
// to open the account of a user takes time, and a user that does not exist has
// none.
const answerTime = 25 * time.Millisecond

// pad waits until answerTime has passed since start.
func pad(ctx context.Context, start time.Time) {
	timer := time.NewTimer(answerTime - time.Since(start))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// plain is PLAIN: one message with name and password.
type plain struct {
	c        *Checker
	protocol string
	asked    bool
}

func (m *plain) next(ctx context.Context, response []byte, u *user) ([]byte, bool, error) {
	if response == nil && !m.asked {
		m.asked = true
		return nil, false, nil
	}
	cred, err := sasl.ParsePlain(response)
	if err != nil {
		return nil, false, err
	}
	return m.c.checkPlain(ctx, m.protocol, cred, u)
}

func (c *Checker) checkPlain(ctx context.Context, protocol string, cred sasl.Credentials, u *user) ([]byte, bool, error) {
	var err error
	*u, _, err = c.password(ctx, protocol, cred.Authentication, cred.Password)
	if err == nil && cred.Proxies() {
		err = proxies(cred.Identity)
	}
	return nil, err == nil, err
}

// errProxy: a user wants to act as another one. It comes with ErrCredentials.
var errProxy = errors.New("no user can act as another one")

func proxies(id sasl.Identity) error {
	return fmt.Errorf("%w: %w: %q", ErrCredentials, errProxy, id.Authorization)
}

// login is LOGIN: name and password are asked for.
type login struct {
	c        *Checker
	protocol string
	server   *sasl.LoginServer
}

func (m *login) next(ctx context.Context, response []byte, u *user) ([]byte, bool, error) {
	challenge, done, err := m.server.Next(response)
	if err != nil || !done {
		return challenge, false, err
	}
	return m.c.checkPlain(ctx, m.protocol, m.server.Credentials(), u)
}

// external is EXTERNAL: the key of the certificate, which the client has shown to have in
// the TLS handshake, says who it is. All else in the certificate means nothing.
type external struct {
	c       *Checker
	attempt Attempt
	asked   bool
}

func (m *external) next(ctx context.Context, response []byte, u *user) ([]byte, bool, error) {
	if response == nil && !m.asked {
		m.asked = true
		return nil, false, nil
	}
	name, err := sasl.ParseExternal(response)
	if err != nil {
		return nil, false, err
	}
	u.name = name
	key, err := m.key(ctx)
	if err != nil {
		return nil, false, err
	}
	if name == "" {
		name = key.LoginAddress
	}
	found, err := m.c.lookup(ctx, name)
	if err != nil {
		return nil, false, err
	}
	*u = found
	u.clientKey, u.noPreauth = key.Fingerprint, key.NoIMAPPreauth
	if !u.known || u.account.Name != key.Account {
		return nil, false, fmt.Errorf("%w: %w: %s is for account %s, not for this address", ErrCredentials, errKey, key.Fingerprint, key.Account)
	}
	return nil, true, nil
}

// errKey: the client certificate is not one of the user. It comes with ErrCredentials.
var errKey = errors.New("key of client certificate is not for this user")

// key returns the key of the client certificate.
func (m *external) key(ctx context.Context) (authdb.TLSPublicKey, error) {
	if m.c.opts.Keys == nil || m.attempt.TLS == nil || len(m.attempt.TLS.PeerCertificates) == 0 {
		return authdb.TLSPublicKey{}, fmt.Errorf("%w: %w: no certificate", ErrCredentials, errKey)
	}
	fingerprint := authdb.Fingerprint(m.attempt.TLS.PeerCertificates[0])
	key, err := m.c.opts.Keys.TLSPublicKey(ctx, fingerprint)
	if errors.Is(err, authdb.ErrNotFound) {
		return key, fmt.Errorf("%w: %w: fingerprint %s is not known", ErrCredentials, errKey, fingerprint)
	}
	return key, err
}

// cramMD5 is CRAM-MD5.
type cramMD5 struct {
	c         *Checker
	protocol  string
	challenge []byte
}

func (m *cramMD5) next(ctx context.Context, response []byte, u *user) ([]byte, bool, error) {
	if m.challenge == nil {
		if response != nil {
			return nil, false, fmt.Errorf("%w: CRAM-MD5 has no initial response", sasl.ErrProtocol)
		}
		m.challenge = sasl.NewCRAMMD5Challenge(m.c.opts.Config.Snapshot().Hostname.ASCII)
		return m.challenge, false, nil
	}
	name, digest, err := sasl.ParseCRAMMD5(response)
	if err != nil {
		return nil, false, err
	}
	defer pad(ctx, time.Now())
	if *u, err = m.c.lookup(ctx, name); err != nil {
		return nil, false, err
	}
	// An account that has not opted in is an unknown one, in every respect.
	if !u.account.CRAMMD5 {
		err = m.c.fakeCRAM.Verify(m.challenge, digest)
		if err == nil || u.known {
			err = errMechanism
		}
		return nil, false, badSecret(err, false)
	}
	secrets := u.cramMD5()
	if len(secrets) == 0 {
		return nil, false, badSecret(m.c.fakeCRAM.Verify(m.challenge, digest), true)
	}
	for _, s := range secrets {
		if err = s.keys.Verify(m.challenge, digest); err == nil {
			return nil, true, u.use(s.app, m.protocol)
		}
	}
	return nil, false, badSecret(err, false)
}

// errMechanism: the user must not use the mechanism. It comes with ErrCredentials.
var errMechanism = errors.New("account is not configured for mechanism")

// badSecret returns the error for a wrong proof.
func badSecret(err error, noSecret bool) error {
	if noSecret {
		return fmt.Errorf("%w: %w", ErrCredentials, ErrNoSecret)
	}
	return fmt.Errorf("%w: %w", ErrCredentials, err)
}

// scram is SCRAM, with and without channel binding.
type scram struct {
	c        *Checker
	protocol string
	hash     sasl.Hash
	server   *sasl.SCRAMServer

	step     scramStep
	secrets  []secret[sasl.SCRAMKeys]
	noSecret bool // The user exists, and has no keys.
}

type scramStep uint8

const (
	scramStart scramStep = iota
	scramClientFirst
	scramClientFinal
	scramAcknowledge // Of our proof, with an empty response.
)

func newSCRAM(c *Checker, a Attempt, h sasl.Hash, plus bool) *scram {
	bindings := sasl.TLSChannelBindings(a.TLS)
	opts := sasl.SCRAMServerOptions{Plus: plus, PlusOffered: len(bindings) > 0, Bindings: bindings}
	return &scram{c: c, protocol: a.Protocol, hash: h, server: sasl.NewSCRAMServer(h, opts)}
}

func (m *scram) next(ctx context.Context, response []byte, u *user) ([]byte, bool, error) {
	switch m.step {
	case scramStart, scramClientFirst:
		if response == nil && m.step == scramStart {
			m.step = scramClientFirst
			return nil, false, nil
		}
		m.step = scramClientFinal
		return m.clientFirst(ctx, response, u)
	case scramClientFinal:
		m.step = scramAcknowledge
		challenge, err := m.server.ClientFinal(response)
		if err != nil {
			return challenge, false, m.failed(err)
		}
		if err := u.use(m.secrets[m.server.Matched()].app, m.protocol); err != nil {
			// As for a proof that matches nothing.
			return []byte("e=" + sasl.SCRAMErrorValue(sasl.ErrInvalidProof)), false, err
		}
		return challenge, false, nil
	}
	if len(response) > 0 {
		return nil, false, fmt.Errorf("%w: data after the end of SCRAM", sasl.ErrProtocol)
	}
	return nil, true, nil
}

func (m *scram) clientFirst(ctx context.Context, response []byte, u *user) ([]byte, bool, error) {
	defer pad(ctx, time.Now())
	id, err := m.server.ClientFirst(response)
	if err != nil {
		return nil, false, err
	}
	if *u, err = m.c.lookup(ctx, id.Authentication); err != nil {
		return nil, false, err
	}
	if id.Proxies() {
		return nil, false, proxies(id)
	}
	challenge, err := m.server.ServerFirst(m.keys(*u)...)
	return challenge, false, err
}

// keys returns the keys of a user, or some that nothing matches. Names that lead to
// the same keys if they exist must lead to the same salt if they do not.
func (m *scram) keys(u user) []sasl.SCRAMKeys {
	m.secrets = u.scram(m.hash)
	if len(m.secrets) == 0 {
		m.noSecret = u.known
		return []sasl.SCRAMKeys{sasl.FakeSCRAMKeys(m.hash, m.c.secret, u.key, sasl.SCRAMDefaultIterations)}
	}
	var l []sasl.SCRAMKeys
	for _, s := range m.secrets {
		l = append(l, s.keys)
	}
	return l
}

// failed returns the error for a failed proof, and as they are, errors that are not
// about the password.
func (m *scram) failed(err error) error {
	if resultOf(err) != resultError {
		return err
	}
	return badSecret(err, m.noSecret)
}
