package transport

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/net/proxy"
)

// SocksOptions are for NewSocks.
type SocksOptions struct {
	Address string // Of the proxy, with port.

	// Username and Password are for RFC 1929, each of at most 255 octets. Without
	// user name there is no authentication.
	Username string
	Password string

	// Forward is how to connect to the proxy. Nil is with a net.Dialer.
	Forward Dialer
}

// NewSocks returns a dialer that connects through a SOCKS5 proxy, RFC 1928. The proxy
// gets IP addresses: names were resolved, and verified, before.
func NewSocks(opts SocksOptions) (Dialer, error) {
	var auth *proxy.Auth
	if opts.Username != "" {
		auth = &proxy.Auth{User: opts.Username, Password: opts.Password}
		if len(opts.Username) > 255 || len(opts.Password) > 255 || opts.Password == "" {
			return nil, errors.New("user name and password for a socks proxy must have 1 to 255 octets, RFC 1929 §2")
		}
	}
	forward := opts.Forward
	if forward == nil {
		forward = &net.Dialer{}
	}
	d, err := proxy.SOCKS5("tcp", opts.Address, auth, proxyForward{forward})
	if err != nil {
		return nil, fmt.Errorf("socks proxy %s: %w", opts.Address, err)
	}
	dialer, ok := d.(Dialer)
	if !ok {
		return nil, errors.New("socks library cannot be interrupted")
	}
	return dialer, nil
}

// proxyForward makes a Dialer what package proxy wants.
type proxyForward struct{ Dialer }

// Dial is not used: there is DialContext.
func (f proxyForward) Dial(network, address string) (net.Conn, error) {
	return f.DialContext(context.Background(), network, address)
}
