package imapserver

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/identity"
	"mox/internal/ratelimit"
	"mox/mlog"
)

// STARTTLS, AUTHENTICATE, LOGIN. RFC 9051 §6.2. UNAUTHENTICATE. RFC 8437

// runStartTLS adds TLS after its reply.
func runStartTLS(_ context.Context, c *conn, _ struct{}) (reply, error) {
	switch err := c.endCommand(); {
	case err != nil:
		return reply{}, err
	case c.tls != nil:
		return reply{}, imap.Bad("", "tls is active already")
	case c.opts.TLSConfig == nil:
		return reply{}, imap.No("", "tls is not configured")
	}
	return reply{text: "begin tls negotiation now (" + c.publicCid() + ")", after: c.startTLS}, nil
}

// startTLS makes the handshake. What the client has sent behind the command is taken as
// its beginning, and never as commands: the first of the two ways of RFC 9051 §6.2.1.
func (c *conn) startTLS(ctx context.Context) error {
	ahead := c.r.TakeBuffered()
	nc := c.nc
	if len(ahead) > 0 {
		nc = &prefixConn{nc, io.MultiReader(bytes.NewReader(ahead), nc)}
	}
	if err := c.handshake(ctx, nc); err != nil {
		c.logout = true
		return fmt.Errorf("%w: %w", errConnection, err)
	}
	c.r.Reset(&c.io)
	c.checkCertificate(ctx, false)
	return nil
}

// prefixConn is a connection with bytes that were read from it before.
type prefixConn struct {
	net.Conn
	r io.Reader
}

func (p *prefixConn) Read(b []byte) (int, error) { return p.r.Read(b) }

// loginRequest has the arguments of LOGIN.
type loginRequest struct{ user, password string }

// parseLogin parses user name and password.
//
//	login = "LOGIN" SP userid SP password
func parseLogin(d *wire.Decoder) loginRequest {
	var req loginRequest
	d.NeedSP()
	req.user = d.NeedAString()
	d.NeedSP()
	req.password = d.NeedAString()
	return req
}

func runLogin(ctx context.Context, c *conn, req loginRequest) (reply, error) {
	c.slowDown()
	res, err := c.auth().Password(ctx, c.attempt("LOGIN"), req.user, req.password)
	if err != nil {
		return reply{}, c.loginFailed(err)
	}
	return c.loggedIn(ctx, res)
}

// authRequest has the arguments of AUTHENTICATE.
type authRequest struct {
	mechanism string
	initial   string // In base64. Empty for none, "=" for an empty one.
}

// parseAuthenticate parses the mechanism and perhaps an initial response.
//
//	authenticate     = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)
//	initial-resp     = (base64 / "=")
func parseAuthenticate(d *wire.Decoder) authRequest {
	var req authRequest
	d.NeedSP()
	req.mechanism = d.NeedName()
	if d.TrySP() {
		req.initial = d.NeedRest()
		if req.initial == "" {
			d.Fail("expected initial response")
		}
	}
	return req
}

func runAuthenticate(ctx context.Context, c *conn, req authRequest) (reply, error) {
	if err := c.endCommand(); err != nil {
		return reply{}, err
	}
	if !c.plaintextOK() { // No mechanism is announced either.
		return reply{}, imap.No(imap.CodePrivacyRequired, "this needs tls")
	}
	var response []byte // Nil is none.
	if req.initial != "" {
		var err error
		if response, err = decodeBase64(req.initial); err != nil {
			return reply{}, err
		}
	}
	c.slowDown()
	x, err := c.auth().Begin(ctx, c.attempt(req.mechanism), req.mechanism)
	if err != nil {
		return reply{}, c.loginFailed(err)
	}
	defer x.Close()
	for {
		challenge, done, err := x.Next(ctx, response)
		if err != nil {
			if challenge != nil {
				// It says why. What the client answers does not matter.
				if _, cerr := c.challenge(challenge); errors.Is(cerr, errConnection) {
					return reply{}, cerr
				}
			}
			return reply{}, c.loginFailed(err)
		}
		// The last challenge, if there is one, is answered with an empty line.
		if !done || challenge != nil {
			if response, err = c.challenge(challenge); err != nil {
				return reply{}, err
			}
		}
		if done {
			return c.loggedIn(ctx, x.Result())
		}
	}
}

// decodeBase64 decodes a client response. "=" is an empty one. RFC 9051 §6.2.2
func decodeBase64(s string) ([]byte, error) {
	if s == "=" {
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, imap.Bad("", "invalid base64")
	}
	return b, nil
}

// challenge sends a challenge and returns the response to it.
func (c *conn) challenge(b []byte) ([]byte, error) {
	c.enc.Continue(base64.StdEncoding.EncodeToString(b))
	if err := c.enc.Flush(); err != nil {
		return nil, err
	}
	c.setReadTimeout(loginTimeout)
	if err := c.readLine(); err != nil {
		return nil, err
	}
	c.trace(c.dec.Line(), noLogArgs)
	line := c.dec.NeedRest()
	if line == "*" {
		return nil, imap.Bad("", "authentication cancelled")
	}
	if line == "" {
		return []byte{}, nil
	}
	return decodeBase64(line)
}

// attempt describes a try to log in.
func (c *conn) attempt(mechanism string) identity.Attempt {
	return identity.Attempt{
		Protocol: "imap", Mechanism: mechanism, Cid: c.cid,
		RemoteIP: c.remote, LocalIP: ratelimit.RemoteIP(c.nc.LocalAddr()), TLS: c.tlsState(),
	}
}

// auth returns who checks credentials.
func (c *conn) auth() Authenticator {
	if c.opts.Auth != nil {
		return c.opts.Auth
	}
	return c.srv.opts.Auth
}

// slowDown makes a client with several failed logins wait before the next is looked at.
// No account is held meanwhile.
func (c *conn) slowDown() {
	if d := identity.SlowdownFor(c.failures).Delay; d > 0 {
		c.srv.opts.Delay(d)
	}
}

// loginFailed returns the answer to a failed login and counts it.
func (c *conn) loginFailed(err error) error {
	e, counts := authError(err)
	if counts {
		c.failures++
	}
	return e
}

// loggedIn enters the authenticated state.
func (c *conn) loggedIn(ctx context.Context, res identity.Result) (reply, error) {
	if c.owner != "" && res.Account != c.owner {
		// Right or not, it is not who holds the key: someone's program uses the wrong one.
		return reply{}, c.loginFailed(fmt.Errorf("%w: client certificate is of account %s, not %s", identity.ErrCredentials, c.owner, res.Account))
	}
	account, err := c.srv.opts.Store.Ensure(ctx, res.Account)
	if err != nil {
		return reply{}, err
	}
	c.failures = 0
	c.setLimits(wire.ServerLimits())
	c.sess = newSession(c, account, res)
	return reply{code: c.capabilityCode(), text: "logged in"}, nil
}

// checkCertificate finds out whose key the client has shown in the TLS handshake, and, with
// preauth, logs its owner in if that is wanted. A key that is not known means nothing: the
// client may not even know that it shows one. Certificates of resumed sessions are those
// of the first, and are looked up again here like all.
func (c *conn) checkCertificate(ctx context.Context, preauth bool) bool {
	if !c.hasClientCert() {
		return false
	}
	cert, err := c.auth().Certificate(ctx, c.attempt(""), preauth)
	if err != nil {
		c.log.Debug("client certificate is of no use", "err", err, mlog.IP("remote", c.remote))
		return false
	}
	c.owner = cert.Account
	if !cert.Preauth {
		return false
	}
	if _, err := c.loggedIn(ctx, cert.Result); err != nil {
		c.log.Error("login with client certificate", "err", err, "account", cert.Account)
		return false
	}
	return true
}

// runUnauthenticate goes back to the state before authentication: all that the session
// had, and had enabled, is gone. Compression would have to end at a place in the input
// that cannot be known, so with it the connection ends, as RFC 8437 §3 allows.
func runUnauthenticate(_ context.Context, s *session, _ struct{}) (reply, error) {
	c := s.c
	if c.io.deflate != nil {
		return reply{}, imap.Bye("", "compression cannot be ended, connect again")
	}
	s.close()
	c.sess, c.owner = nil, ""
	c.setLimits(loginLimits())
	c.enc.SetUTF8(false)
	return reply{code: c.capabilityCode()}, nil
}
