package smtpclient

import (
	"bufio"
	"net"
	"time"
)

// Detach gives the connection to the caller, after TLS if it is used, for talking to
// the server by hand. The client cannot be used any more. The connection has no
// deadline, and starts with what was read ahead.
func (c *Client) Detach() (net.Conn, error) {
	if c.botched {
		return nil, &Error{Command: "detach", Err: ErrBotched}
	}
	c.botched = true
	if err := c.net.SetDeadline(time.Time{}); err != nil {
		return nil, &Error{Command: "detach", Err: err}
	}
	return &detached{c.net, c.br}, nil
}

// detached is a connection with a buffer in front.
type detached struct {
	net.Conn
	br *bufio.Reader
}

func (d *detached) Read(p []byte) (int, error) {
	return d.br.Read(p)
}

// CloseWrite says that nothing more will be written, if the connection has a way to
// say so.
func (d *detached) CloseWrite() error {
	if c, ok := d.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
