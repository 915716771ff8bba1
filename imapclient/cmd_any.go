package imapclient

import (
	"context"
	"errors"

	"mox/imap"
	"mox/imap/wire"
)

// Capability asks for the capabilities. RFC 9051 §6.1.1
func (c *Client) Capability(ctx context.Context) (imap.Caps, error) {
	resp, err := c.do(ctx, "CAPABILITY", nil)
	if err == nil && len(All[Capability](resp)) == 0 {
		err = errMissing("CAPABILITY")
	}
	return c.caps, err
}

// errMissing is for a command that succeeded without the response that it must have.
func errMissing(name string) error {
	return errors.New("no " + name + " response to command")
}

// Noop does nothing but give the server an occasion to tell what has changed. RFC 9051 §6.1.2
func (c *Client) Noop(ctx context.Context) (*Response, error) {
	return c.do(ctx, "NOOP", nil)
}

// Logout ends the session and closes the connection. RFC 9051 §6.1.3
func (c *Client) Logout(ctx context.Context) error {
	resp, err := c.do(ctx, "LOGOUT", nil)
	if err == nil {
		bye := false
		for _, st := range All[Status](resp) {
			bye = bye || st.Type == "BYE"
		}
		if !bye {
			err = errMissing("BYE")
		}
	}
	if cerr := c.Close(); err == nil {
		err = cerr
	}
	return err
}

// ID tells the server who the client is, nil for nothing, and returns what the server says
// of itself. RFC 2971 §3.1
func (c *Client) ID(ctx context.Context, params map[string]string) (ID, error) {
	resp, err := c.do(ctx, "ID", func(e *wire.Encoder) {
		e.SP()
		if params == nil {
			e.NIL()
			return
		}
		e.Open()
		for k, v := range params {
			e.Item()
			e.String(k)
			e.SP()
			e.String(v)
		}
		e.Close()
	})
	return last[ID](resp, err, "ID")
}

// last returns the last response of type T, which there must be if err is nil.
func last[T Untagged](resp *Response, err error, name string) (T, error) {
	l := All[T](resp)
	if len(l) > 0 {
		return l[len(l)-1], err
	}
	if err == nil {
		err = errMissing(name)
	}
	var zero T
	return zero, err
}

// Enable enables extensions and returns those that were enabled by it. RFC 5161 §3.1
func (c *Client) Enable(ctx context.Context, caps ...imap.Cap) ([]imap.Cap, error) {
	resp, err := c.do(ctx, "ENABLE", func(e *wire.Encoder) {
		for _, name := range caps {
			e.SP()
			e.Raw(string(name))
		}
	})
	return last[Enabled](resp, err, "ENABLED")
}
