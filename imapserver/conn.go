package imapserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"mox/imap"
	"mox/imap/wire"
	"mox/internal/identity"
	"mox/internal/metrics"
	"mox/internal/proxyproto"
	"mox/internal/ratelimit"
	"mox/mlog"
)

// conn is a connection. It belongs to the goroutine that serves it, but for interrupt.
type conn struct {
	srv    *Server
	opts   *ListenerOptions
	ctx    context.Context // Of all commands.
	cancel context.CancelFunc
	log    *slog.Logger
	cid    int64
	remote netip.Addr

	// The layers of the connection. nc is the one that was accepted.
	nc   net.Conn
	wait func(bool) // Says of nc whether what is read from now on begins a command.
	tls  *tls.Conn  // Nil without TLS.
	io   netIO
	r    *wire.Reader
	dec  *wire.Decoder
	enc  *wire.Encoder

	tag      string // Of the command that runs.
	commands int    // Commands begun.
	bad      int    // Commands in a row that broke the protocol.
	failures int    // Failed authentications.
	logout   bool   // The client said LOGOUT.

	closing atomic.Bool // The client has closed its side, as whileConnected saw.

	inputLevel slog.Level // Of the transcript, for the command being read.

	owner    string   // Account whose key the client has shown in the TLS handshake, if any.
	sess     *session // Nil before authentication.
	acquired bool     // Counts as an open connection.
	counted  bool     // Counts for the limit of the server.

	mu          sync.Mutex // Guards what follows, and read deadlines against interrupted.
	interrupted bool
	ended       bool // The session must not go on.
}

func newConn(s *Server, nc net.Conn, opts *ListenerOptions, cid int64) *conn {
	nc, wait := direct(nc)
	c := &conn{srv: s, opts: opts, cid: cid, nc: nc, wait: wait, remote: ratelimit.RemoteIP(nc.RemoteAddr())}
	c.log = mlog.WithCidLogger(s.log, cid)
	c.io.c, c.io.nc = c, nc
	c.tls, _ = nc.(*tls.Conn)
	c.r = wire.NewReader(&c.io, &s.buffers)
	c.setLimits(loginLimits())
	c.enc = wire.NewEncoder(&c.io, &s.buffers)
	return c
}

// setLimits sets the limits for parsing, between two commands.
func (c *conn) setLimits(l wire.Limits) {
	c.dec = wire.NewDecoder(c.r, wire.Options{Limits: l, Continue: c.continueLiteral, OnLine: c.traceMore})
}

// publicCid returns the connection id as the remote party may see it.
func (c *conn) publicCid() string {
	if c.srv.opts.CidCipher != nil {
		return c.srv.opts.CidCipher.Encode(c.cid)
	}
	return strconv.FormatInt(c.cid, 16)
}

// errClose ends a connection after everything has been said.
var errClose = errors.New("connection ends")

// begin admits the connection, makes the TLS handshake if it starts with one, and greets
// the client. It returns false if the connection is to be closed.
func (c *conn) begin() bool {
	defer c.recovered()
	service := "imap"
	if c.opts.ImmediateTLS {
		service = "imaps"
	}
	metricConnections.WithLabelValues(service).Inc()
	metrics.ConnectionOpened("imap", c.opts.Name)
	c.log.Debug("new connection", mlog.IP("remote", c.remote), "listener", c.opts.Name, "service", service)
	if contains(c.opts.Proxies, c.remote) && !c.readProxyHeader() {
		return false
	}
	if !c.admit() {
		return false
	}
	if tc, ok := c.nc.(interface{ SetKeepAlivePeriod(time.Duration) error }); ok {
		// A keep-alive that cannot be set is no reason to refuse the client.
		_ = tc.SetKeepAlivePeriod(keepAlive)
	}
	if c.opts.ImmediateTLS && c.tls == nil {
		if err := c.handshake(c.ctx, c.nc); err != nil {
			c.log.Log(c.ctx, mlog.ErrLevel(err), "tls handshake", "err", err, mlog.IP("remote", c.remote))
			return false
		}
	}
	preauth := false
	if c.tls != nil {
		preauth = c.checkCertificate(c.ctx, c.opts.ImmediateTLS)
	} else if c.opts.preauth != nil {
		if _, err := c.loggedIn(c.ctx, *c.opts.preauth); err != nil {
			c.log.Error("login without credentials", "err", err, "account", c.opts.preauth.Account)
			c.bye(imap.Bye(protocolError(err).Code, protocolError(err).Text))
			return false
		}
		preauth = true
	}
	c.greet(preauth)
	return c.enc.Err() == nil
}

// loop runs commands until the connection ends.
func (c *conn) loop() {
	defer c.end()
	defer c.recovered()
	for {
		err := c.waitCommand()
		if err == nil {
			err = c.command(c.ctx)
		}
		if err != nil {
			c.finish(err)
			return
		}
	}
}

// recovered counts a panic outside of a command, which ends the connection. Those in
// commands are recovered in run.
func (c *conn) recovered() {
	if x := recover(); x != nil {
		c.log.Error("unhandled panic", "panic", x, "stack", string(debug.Stack()))
		metrics.Panic(pkgName)
		c.bye(imap.Bye(imap.CodeServerBug, "internal error"))
	}
}

// readProxyHeader learns from the proxy who the client is. Only a proxy itself is
// counted meanwhile.
func (c *conn) readProxyHeader() bool {
	c.setReadTimeout(proxyTimeout)
	h, err := proxyproto.Read(c.nc)
	if err != nil {
		metricRefused.WithLabelValues("proxy").Inc()
		c.log.Info("connection without proxy header", "err", err, mlog.IP("remote", c.remote), "listener", c.opts.Name)
		return false
	}
	if !h.Local {
		c.remote = h.Source.Addr()
	}
	return true
}

// admit counts the connection against the limits, before it costs a TLS handshake.
func (c *conn) admit() bool {
	if c.count(); c.srv.opts.MaxConnections > 0 && c.counted && c.srv.counted.Load() > int64(c.srv.opts.MaxConnections) {
		metricRefused.WithLabelValues("full").Inc()
		c.refuse("too many open connections, try again later")
		return false
	}
	now := c.srv.opts.Now()
	if l := c.opts.ConnectionRate; l != nil && !l.Add(c.remote, now, 1) {
		c.log.Debug("refusing connection: too many in a short time", mlog.IP("remote", c.remote))
		c.refuse("too many connections in a short time from your network, try again later")
		return false
	}
	if !c.auth().Allowed(c.remote) {
		identity.CountRefused("imap")
		c.log.Debug("refusing connection: too many failed logins", mlog.IP("remote", c.remote))
		c.refuse("too many failed logins from your network, try again later")
		return false
	}
	if l := c.opts.OpenConnections; l != nil {
		if !l.Acquire(c.remote) {
			c.log.Debug("refusing connection: too many open", mlog.IP("remote", c.remote))
			c.refuse("too many open connections from your network")
			return false
		}
		c.acquired = true
	}
	return true
}

// count counts the connection for the limit of the server, unless it is from an exempt
// network.
func (c *conn) count() {
	if !c.counted && !contains(c.opts.Exempt, c.remote) {
		c.counted = true
		c.srv.counted.Add(1)
	}
}

// refuse ends a connection that was not admitted. Where TLS is spoken from the start,
// nothing can be said.
func (c *conn) refuse(text string) {
	if !c.opts.ImmediateTLS || c.tls != nil {
		c.bye(imap.Bye(imap.CodeUnavailable, text))
	}
}

// greet sends the greeting. RFC 9051 §7.1
func (c *conn) greet(preauth bool) {
	typ := "OK"
	if preauth {
		typ = "PREAUTH"
	}
	c.enc.Status("", typ, c.capabilityCode(), "mox imap")
	c.flush()
}

// bye sends last words, for which there is little time.
func (c *conn) bye(e *imap.Error) {
	c.io.setWriteTimeout(byeTimeout)
	text := *e
	text.Text += " (" + c.publicCid() + ")"
	c.enc.Error("", &text)
	c.flush()
}

// finish ends a connection because of an error.
func (c *conn) finish(err error) {
	var e *imap.Error
	switch {
	case errors.Is(err, errClose):
	case errors.As(err, &e) && e.Type == imap.TypeBYE:
		c.log.Debug("closing connection", "err", err)
		c.bye(e)
	case c.isEnded():
		c.bye(imap.Bye("", "log in again: account or credentials have changed"))
	case c.isInterrupted():
		c.bye(imap.Bye(imap.CodeUnavailable, "server is shutting down"))
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.log.Debug("closing connection after time without a command", "err", err)
		c.bye(imap.Bye("", "no command for too long"))
	default:
		c.log.Log(c.ctx, mlog.ErrLevel(err), "connection failed", "err", err)
	}
}

// end gives back all that the connection holds.
func (c *conn) end() {
	if c.sess != nil {
		c.sess.close()
		c.sess = nil
	}
	// Before the client can see that the connection is closed, and open another.
	if c.acquired {
		c.opts.OpenConnections.Release(c.remote)
	}
	if c.counted {
		c.srv.counted.Add(-1)
	}
	c.io.setWriteTimeout(byeTimeout)
	c.endDeflate()
	// Whoever closes TLS properly waits for the peer: it need not know that we are gone.
	if c.tls != nil {
		_ = c.tls.Close()
	}
	_ = c.nc.Close() // Perhaps closed already.
	c.cancel()
	metrics.ConnectionClosed("imap", c.opts.Name)
	c.srv.removeConn(c)
	c.log.Debug("connection ended")
}

// flush writes what is buffered. Errors stay in the encoder and end the connection.
func (c *conn) flush() { _ = c.enc.Flush() }

// waitCommand returns when a command begins. Meanwhile no buffers are held.
func (c *conn) waitCommand() error {
	timeout := loginTimeout
	if c.sess != nil {
		timeout = idleTimeout
	}
	c.setReadTimeout(timeout)
	wait := c.r.Wait
	if c.sess.listens() && c.r.Buffered() == 0 {
		wait = func() error { return c.listen(c.ctx, func() error { return c.tellListening(c.ctx) }) }
	}
	c.wait(true)
	err := wait()
	c.wait(false)
	if err != nil {
		return err
	}
	if c.sess != nil {
		c.setReadTimeout(commandTimeout)
	}
	if c.slow() {
		c.srv.opts.Delay(slowDelay)
	}
	return nil
}

// slow reports whether the client is made to wait for each line and byte, after failed
// logins.
func (c *conn) slow() bool { return identity.SlowdownFor(c.failures).Slow }

// continueLiteral asks the client for a literal. RFC 9051 §7.6
func (c *conn) continueLiteral() error {
	c.enc.Continue("go ahead")
	if err := c.enc.Flush(); err != nil {
		return err
	}
	quickAck(c.nc)
	c.setReadTimeout(literalTimeout)
	return nil
}

// setReadTimeout sets the time until which reading fails, unless reading is to fail
// already because of an interrupt.
func (c *conn) setReadTimeout(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.interrupted {
		_ = c.nc.SetReadDeadline(time.Now().Add(d)) // Fails on a closed connection, as reading will.
	}
}

// interrupt makes reading fail now, so that a connection that waits ends. It can be
// called from any goroutine.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = true
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// endSession ends the connection as interrupt does, because of its user.
func (c *conn) endSession() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.interrupt()
}

func (c *conn) isEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *conn) isInterrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.interrupted
}

// handshake adds a TLS layer on nc, which is the connection with, perhaps, bytes that
// were read from it already.
func (c *conn) handshake(ctx context.Context, nc net.Conn) error {
	tc := tls.Server(nc, c.opts.TLSConfig)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls handshake: %w", err)
	}
	cs := tc.ConnectionState()
	c.log.Debug("tls handshake done", "version", tls.VersionName(cs.Version), "cipher", tls.CipherSuiteName(cs.CipherSuite),
		"sni", cs.ServerName, "resumed", cs.DidResume, "clientcerts", len(cs.PeerCertificates))
	c.tls = tc
	c.io.nc = tc
	return nil
}

// tlsState returns the state of the TLS layer, nil without one.
func (c *conn) tlsState() *tls.ConnectionState {
	if c.tls == nil {
		return nil
	}
	cs := c.tls.ConnectionState()
	if c.opts.noClientCert {
		cs.PeerCertificates, cs.VerifiedChains = nil, nil
	}
	return &cs
}

// netIO reads and writes the outermost layer of a connection, with a time limit for each
// write, and a transcript of what is written.
type netIO struct {
	c       *conn
	nc      net.Conn
	timeout time.Duration // For writes; zero is writeTimeout.
	level   slog.Level    // Of the transcript; zero is LevelTrace.

	inflate io.Reader // Nil without compression.
	deflate *deflater // Nil without compression.
}

func (n *netIO) Read(p []byte) (int, error) {
	if n.inflate != nil {
		return n.inflate.Read(p)
	}
	return n.nc.Read(p)
}

func (n *netIO) setWriteTimeout(d time.Duration) { n.timeout = d }

// Write writes p, to the last byte, through the compression if there is one.
func (n *netIO) Write(p []byte) (int, error) {
	level := n.level
	if level == 0 {
		level = mlog.LevelTrace
	}
	mlog.Trace(context.Background(), n.c.log, level, "LS: ", p)
	if n.deflate == nil {
		if err := n.writeRaw(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	b, ok := n.c.srv.deflated.Get().(*bytes.Buffer)
	if !ok {
		b = new(bytes.Buffer)
	}
	defer n.c.srv.deflated.Put(b)
	b.Reset()
	if err := n.deflate.deflate(b, p); err != nil {
		return 0, err
	}
	if err := n.writeRaw(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeRaw writes to the layer below the compression. Clients with failed logins get it
// byte by byte.
func (n *netIO) writeRaw(p []byte) error {
	timeout := n.timeout
	if timeout == 0 {
		timeout = writeTimeout
	}
	step := len(p)
	if n.c.slow() {
		step = 1
	}
	for done := 0; done < len(p); done += step {
		if step == 1 && len(p) > 1 {
			n.c.srv.opts.Delay(slowDelay)
		}
		if err := n.nc.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if _, err := n.nc.Write(p[done : done+step]); err != nil {
			return err
		}
	}
	return nil
}
