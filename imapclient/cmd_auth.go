package imapclient

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"

	"mox/imap"
	"mox/imap/wire"
)

// StartTLS puts a TLS layer on the connection. The capabilities are then unknown. A server that
// greets with PREAUTH does not take it; whoever needs TLS must check [Client.State] before,
// and close the connection (RFC 9051 §7.1.4). RFC 9051 §6.2.1
func (c *Client) StartTLS(ctx context.Context, config *tls.Config) error {
	if _, err := c.do(ctx, "STARTTLS", nil); err != nil {
		return err
	}
	return c.run(ctx, func() error {
		if c.r.Buffered() > 0 {
			// What was sent in plain text must not count as sent through TLS.
			return errors.New("data from the server between STARTTLS and the TLS handshake")
		}
		conn := tls.Client(c.conn, config)
		c.clock.extend()
		if err := conn.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("tls handshake: %w", err)
		}
		c.setConn(conn)
		c.caps = nil
		return nil
	})
}

// Login logs in with a plain password. The capabilities are unknown afterwards unless the
// server tells them. RFC 9051 §6.2.3
func (c *Client) Login(ctx context.Context, username, password string) (*Response, error) {
	return c.login(func() (*Response, error) {
		return c.do(ctx, "LOGIN", func(e *wire.Encoder) {
			e.SP()
			e.AString(username)
			e.SP()
			e.AString(password)
		})
	})
}

// Unauthenticate goes back to the state before authentication, with nothing enabled and
// the capabilities unknown unless the server tells them. RFC 8437 §3
func (c *Client) Unauthenticate(ctx context.Context) (*Response, error) {
	resp, err := c.do(ctx, "UNAUTHENTICATE", nil)
	if err == nil {
		c.state, c.utf8, c.enabled = StateNotAuthenticated, false, imap.Caps{}
		c.dec.SetUTF8(false)
		if _, told := resp.Code(imap.CodeCapability); !told {
			c.caps = nil
		}
	}
	return resp, err
}

// login runs a command that logs in.
func (c *Client) login(f func() (*Response, error)) (*Response, error) {
	resp, err := f()
	if err == nil {
		c.state = StateAuthenticated
		if _, told := resp.Code(imap.CodeCapability); !told && len(All[Capability](resp)) == 0 {
			c.caps = nil
		}
	}
	return resp, err
}

// A Mechanism is the client side of a SASL exchange. RFC 4422 §3
type Mechanism interface {
	Name() string

	// ClientFirst reports whether the mechanism has an initial response.
	ClientFirst() bool

	// Next returns the response to a challenge, or, called with nil, the initial response.
	// Last says that the mechanism needs nothing more from the server. An error ends the
	// exchange.
	Next(challenge []byte) (response []byte, last bool, err error)
}

// Authenticate logs in with a SASL mechanism. The initial response is sent with the command
// if the server has SASL-IR (RFC 4959 §3). The capabilities are unknown afterwards unless
// the server tells them. RFC 9051 §6.2.2
func (c *Client) Authenticate(ctx context.Context, m Mechanism) (*Response, error) {
	return c.login(func() (*Response, error) {
		a := authExchange{m: m, initial: m.ClientFirst()}
		if a.initial {
			var err error
			if a.response, a.last, err = m.Next(nil); err != nil {
				return &Response{}, fmt.Errorf("sasl: %w", err)
			}
		}
		a.cmd = &command{c: c, tag: c.newTag()}
		var saslErr error
		err := c.run(ctx, func() (err error) {
			saslErr, err = a.run()
			return err
		})
		if saslErr != nil {
			err = fmt.Errorf("sasl: %w", saslErr)
		}
		return &a.cmd.resp, err
	})
}

// authExchange is a running AUTHENTICATE command.
type authExchange struct {
	cmd      *command
	m        Mechanism
	initial  bool   // There is an initial response that is not yet sent.
	response []byte // The initial response.
	last     bool   // The mechanism needs nothing more.
}

// run sends the command and answers challenges. An error of the mechanism is apart.
func (a *authExchange) run() (saslErr, err error) {
	withIR := a.initial && (a.cmd.c.caps.Has(imap.CapSASLIR) || a.cmd.c.caps.Has(imap.CapIMAP4rev2))
	err = a.cmd.send("AUTHENTICATE", func(e *wire.Encoder) {
		e.SP()
		e.Raw(a.m.Name())
		if withIR {
			e.SP()
			e.Raw(encodeIR(a.response))
		}
	})
	if err != nil {
		return nil, err
	}
	a.initial = a.initial && !withIR
	for {
		text, err := a.cmd.challenge()
		if err == errEnded {
			break
		} else if err != nil {
			return nil, err
		}
		response, err := a.answer(text)
		if err != nil {
			return err, a.cancel()
		}
		if err := a.cmd.writeLine(base64.StdEncoding.EncodeToString(response)); err != nil {
			return nil, err
		}
	}
	err = a.cmd.wait()
	if err == nil && !a.last {
		// For example a server that does not prove that it knows the password.
		err = errors.New("server ended the sasl exchange too early")
	}
	return nil, err
}

// encodeIR encodes an initial response, of which the empty one is "=". RFC 4959 §3
func encodeIR(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

// answer returns the response to a challenge.
func (a *authExchange) answer(text string) ([]byte, error) {
	challenge, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}
	if a.initial {
		if len(challenge) > 0 {
			return nil, errors.New("challenge before the initial response")
		}
		a.initial = false
		return a.response, nil
	}
	if a.last {
		return nil, fmt.Errorf("challenge after the end of the exchange: %.200q", challenge) // Of a token that is refused, what is wrong with it. RFC 7628 §3.2.2
	}
	response, last, err := a.m.Next(challenge)
	a.last = last
	return response, err
}

// cancel ends the exchange. The server answers with BAD. RFC 9051 §6.2.2
func (a *authExchange) cancel() error {
	if err := a.cmd.writeLine("*"); err != nil {
		return err
	}
	err := a.cmd.wait()
	if err == nil {
		err = errors.New("server accepted a cancelled sasl exchange")
	}
	return err
}

// writeLine writes a line within a command.
func (cmd *command) writeLine(s string) error {
	e := wire.NewEncoder(&cmd.c.clock, nil)
	e.Raw(s)
	e.CRLF()
	if err := e.Flush(); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}
