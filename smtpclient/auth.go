package smtpclient

import (
	"encoding/base64"
	"errors"
	"fmt"

	"mox/mlog"
	"mox/smtp"
)

// authenticate does the exchange of RFC 4954 §4.
func (c *Client) authenticate() error {
	if !c.caps.Extensions.Has(smtp.ExtAuth) {
		return &Error{Command: "auth", Permanent: true, Enhanced: "5.7.4", Err: ErrAuthUnsupported}
	}
	client, err := c.opts.Auth(c.caps.Mechanisms, c.tls.State)
	if err != nil {
		return &Error{Command: "auth", Permanent: true, Enhanced: "5.7.4", Err: err}
	}
	defer c.readT.SetLevel(mlog.LevelTraceauth)()
	defer c.writeT.SetLevel(mlog.LevelTraceauth)()

	line := "AUTH " + client.Name()
	var next []byte // The next response, if it is known already.
	last := false
	if client.ClientFirst() {
		if next, last, err = client.Next(nil); err != nil {
			return &Error{Command: "auth", Permanent: true, Err: err}
		}
		if withInitial := line + " " + encodeInitial(next); len(withInitial)+len("\r\n") <= maxCommandLine {
			line, next = withInitial, nil
		} else if next == nil {
			next = []byte{}
		}
	}
	for range maxAuthSteps {
		r, ioErr := c.command("auth", line, CommandTimeout)
		if ioErr != nil {
			return ioErr
		}
		if r.Code != smtp.C334ContinueAuth {
			return c.authResult(r, last && next == nil)
		}
		response := next
		if next != nil {
			next = nil // The server asks for what did not fit; its challenge is empty.
		} else if response, last, err = c.respond(r, client.Next, last); err != nil {
			return c.authCancel(err)
		}
		line = base64.StdEncoding.EncodeToString(response)
	}
	return c.authCancel(errors.New("too many challenges"))
}

// encodeInitial encodes an initial response, RFC 4954 §4: "=" if it is empty.
func encodeInitial(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

// respond decodes a challenge and asks the mechanism for the response.
func (c *Client) respond(r Reply, next func([]byte) ([]byte, bool, error), last bool) ([]byte, bool, error) {
	if last {
		return nil, false, fmt.Errorf("%w: challenge after the end of the exchange", ErrProtocol)
	}
	challenge, err := base64.StdEncoding.DecodeString(r.Text())
	if err != nil {
		return nil, false, fmt.Errorf("%w: challenge: %w", ErrProtocol, err)
	}
	return next(challenge)
}

// authResult takes the reply that ends the exchange. A success that comes before
// the mechanism is done is none: the server has not proven that it knows us.
func (c *Client) authResult(r Reply, done bool) error {
	switch {
	case !r.ok():
		return replyError("auth", r)
	case !done:
		e := replyError("auth", r)
		e.Err = fmt.Errorf("%w: success before the end of the exchange", ErrProtocol)
		return e
	}
	return nil
}

// authCancel cancels the exchange with "*" and returns cause as the error. The
// reply to it says nothing new.
func (c *Client) authCancel(cause error) error {
	e := &Error{Command: "auth", Permanent: true, Err: cause}
	if _, err := c.command("auth", "*", CommandTimeout); err != nil {
		e.Err = fmt.Errorf("%w (and cancelling: %w)", cause, err)
	}
	return e
}
