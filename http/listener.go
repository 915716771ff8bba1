package http

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"mox/internal/proxyproto"
	"mox/internal/ratelimit"
	"mox/mlog"
)

// listener takes connections for a port, within limits.
type listener struct {
	net.Listener
	port *port
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc, port: l.port, addr: nc.RemoteAddr()}
		ip := ratelimit.RemoteIP(c.addr)
		c.proxy = contains(l.port.Listener.Proxies, ip)
		if c.count(ip) && (c.proxy || c.admit(ip)) {
			return c, nil
		}
		_ = c.Close()
	}
}

// contains reports whether an address is in one of the networks.
func contains(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// conn is a connection of a client. One through a proxy with the PROXY protocol reads
// its header when it is first asked for the address or read from, which is in the
// goroutine of the connection.
type conn struct {
	net.Conn
	port  *port
	proxy bool
	once  sync.Once // Reads the header.
	err   error     // Of reading the header; guarded by once, as addr.
	addr  net.Addr

	mu       sync.Mutex // Guards what follows.
	closed   bool
	counted  bool       // For MaxConnections.
	acquired netip.Addr // In port.limits.open.
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.header(); c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(p)
}

// RemoteAddr implements net.Conn. It is the address of the client.
func (c *conn) RemoteAddr() net.Addr {
	c.header()
	return c.addr
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		if c.counted {
			c.port.srv.conns.Add(-1)
		}
		if c.acquired.IsValid() {
			c.port.limits.open.Release(c.acquired)
		}
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// header reads the header of the PROXY protocol.
func (c *conn) header() {
	if !c.proxy {
		return
	}
	c.once.Do(func() {
		if c.err = c.Conn.SetReadDeadline(time.Now().Add(proxyTimeout)); c.err != nil {
			return
		}
		h, err := proxyproto.Read(c.Conn)
		if err != nil {
			metricRefused.WithLabelValues("proxy").Inc()
			c.port.srv.log.Info("connection without proxy header", "remote", c.addr.String(), "listener", c.port.Listener.Name, mlog.Err(err))
			c.err = io.EOF // There is no answer to it.
			return
		}
		if !h.Local {
			c.addr = net.TCPAddrFromAddrPort(h.Source)
		}
		if !c.admit(ratelimit.RemoteIP(c.addr)) {
			c.err = io.EOF
			return
		}
		c.err = c.Conn.SetReadDeadline(time.Time{})
	})
}

// count counts the connection for MaxConnections, and reports whether there may be one
// more.
func (c *conn) count(ip netip.Addr) bool {
	s := c.port.srv
	if contains(c.port.Listener.Limits.Exempt, ip) {
		return true
	}
	c.counted = true
	if n := s.conns.Add(1); s.opts.MaxConnections > 0 && n > int64(s.opts.MaxConnections) {
		metricRefused.WithLabelValues("full").Inc()
		return false
	}
	return true
}

// admit counts the connection for limits of the client, and reports whether it may stay.
// A proxy that has the connections of many clients has no limit.
func (c *conn) admit(ip netip.Addr) bool {
	p := c.port
	if p.trusted(ip) {
		return true
	}
	if l := p.limits.rate; l != nil && !l.Add(ip, time.Now(), 1) {
		metricRefused.WithLabelValues("connrate").Inc()
		return false
	}
	l := p.limits.open
	if l == nil {
		return true
	}
	if !l.Acquire(ip) {
		metricRefused.WithLabelValues("open").Inc()
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		l.Release(ip)
		return false
	}
	c.acquired = ip
	return true
}
