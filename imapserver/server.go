package imapserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"mox/imap/wire"
	"mox/internal/identity"
	"mox/internal/metrics"
	"mox/internal/ratelimit"
	"mox/internal/search"
	"mox/internal/search/textindex"
	"mox/mlog"
	"mox/store"
)

// pkgName is the name of this package in logs and metrics.
const pkgName = "imapserver"

// DefaultMaxMessageSize is the size of the largest message that APPEND takes if nothing
// else is asked for.
const DefaultMaxMessageSize = 100 << 20

// Options are for [New]. Store, Auth and Log are needed.
type Options struct {
	Store *store.Store
	Auth  Authenticator
	Log   *slog.Logger

	Cids      *mlog.CidSource // Connection ids; nil is a source of its own.
	CidCipher *mlog.CidCipher // For ids that remote parties see; nil shows them plainly.
	Version   string          // For ID, told after authentication. RFC 2971 §3.3

	// Texts has the text indexes of accounts. Nil: SEARCH reads messages.
	Texts *textindex.Indexer

	// Hostname and Owner are for URLs of messages: the name of the server in them, and who a
	// user name is, if that is a user who can log in. Without Owner there is no URLAUTH.
	Hostname string
	Owner    func(user string) (account string, ok bool)

	// MaxConnections is the limit of open connections, all listeners together. Zero and
	// below is no limit.
	MaxConnections int

	// MessageLimit is how many messages one command can be about. Zero is ten million. RFC
	// 9738 §3
	MessageLimit int

	Now   func() time.Time    // Nil is time.Now.
	Delay func(time.Duration) // Slows down clients with failed logins; nil sleeps.
}

// ListenerOptions say how connections of a listener are served.
type ListenerOptions struct {
	Name string // For logs.

	TLSConfig    *tls.Config // Nil: no TLS, and no STARTTLS.
	ImmediateTLS bool        // TLS from the start: IMAPS.
	// AllowPlaintextLogin lets passwords be sent without TLS. RFC 9051 §6.2.3
	AllowPlaintextLogin bool

	// MaxMessageSize is the largest message that APPEND takes, in octets, and what is
	// announced as APPENDLIMIT. Zero is DefaultMaxMessageSize. RFC 7889 §2
	MaxMessageSize int64

	// Auth checks credentials instead of the one of the server, if not nil: for limits on
	// failed logins of its own.
	Auth Authenticator

	ConnectionRate  *ratelimit.Limiter    // New connections; nil is no limit.
	OpenConnections *ratelimit.Concurrent // Connections at a time; nil is no limit.

	// Exempt are networks that do not count for the limit of the server.
	Exempt []netip.Prefix

	// Proxies are networks whose connections begin with a header of the PROXY protocol.
	Proxies []netip.Prefix

	noClientCert bool // What a client has as certificate says nothing.

	preauth *identity.Result // Who is logged in from the start. Nil for nobody.
}

func (o *ListenerOptions) setDefaults() {
	if o.MaxMessageSize <= 0 {
		o.MaxMessageSize = DefaultMaxMessageSize
	}
}

// Server serves IMAP connections. It is safe for concurrent use.
type Server struct {
	opts    Options
	log     *slog.Logger
	table   map[string]*command
	keys    *search.Keys // Of SORT and THREAD.
	buffers wire.Buffers
	copies  sync.Pool // Of *[copyBuffer]byte, for reading messages.

	urlKeys  sync.Mutex // Held while keys of mailboxes are made or removed.
	deflated sync.Pool  // Of *bytes.Buffer, for writing compressed data.

	progressInterval time.Duration // Those of limits.go, but in tests.
	hangupInterval   time.Duration

	counted atomic.Int64 // Connections that count for MaxConnections.

	mu        sync.Mutex // Guards what follows.
	closing   bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	done      sync.WaitGroup // Of connections.
}

// New returns a server that has no listeners yet.
func New(opts Options) *Server {
	if opts.Cids == nil {
		opts.Cids = mlog.NewCidSource(0)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Delay == nil {
		opts.Delay = time.Sleep
	}
	if opts.MessageLimit <= 0 {
		opts.MessageLimit = messageLimit
	}
	metrics.PanicPackages(pkgName)
	table := byName(commandTable())
	if opts.Owner == nil {
		for _, name := range []string{"RESETKEY", "GENURLAUTH", "URLFETCH"} {
			delete(table, name)
		}
	}
	return &Server{
		opts: opts, log: opts.Log, table: table, progressInterval: progressInterval, hangupInterval: hangupInterval,
		keys:      search.NewKeys(sortMemory),
		listeners: map[net.Listener]struct{}{}, conns: map[*conn]struct{}{},
	}
}

// Serve takes connections from a listener, which it closes, until the listener fails,
// the context ends or Shutdown is called; in the latter two cases the error is nil.
// Connections go on when it returns.
func (s *Server) Serve(ctx context.Context, l net.Listener, opts ListenerOptions) error {
	opts.setDefaults()
	defer l.Close()
	if !s.addListener(l) {
		return nil
	}
	defer s.removeListener(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		nc, err := l.Accept()
		if err == nil {
			if !s.refuseFull(nc, &opts) {
				go s.serveConn(ctx, nc, &opts)
			}
			continue
		}
		if s.isClosing() || ctx.Err() != nil {
			return nil
		}
		if !isTemporary(err) {
			return fmt.Errorf("accept imap connection: %w", err)
		}
		// Out of file descriptors, most often: it gets better when others close.
		s.log.Error("accept imap connection, will try again", "err", err, "listener", opts.Name)
		time.Sleep(acceptDelay)
	}
}

// refuseFull refuses a connection if there are too many of all listeners together. It
// costs no goroutine, so that many connections cannot make it many goroutines.
func (s *Server) refuseFull(nc net.Conn, opts *ListenerOptions) bool {
	if !s.isFull() || contains(opts.Exempt, ratelimit.RemoteIP(nc.RemoteAddr())) {
		return false
	}
	metricRefused.WithLabelValues("full").Inc()
	if !opts.ImmediateTLS { // Otherwise nothing can be said.
		_ = nc.SetWriteDeadline(time.Now().Add(refuseTimeout))
		_, _ = nc.Write([]byte("* BYE [UNAVAILABLE] too many open connections, try again later\r\n"))
	}
	_ = nc.Close()
	return true
}

// isFull reports whether no more connections can be open.
func (s *Server) isFull() bool {
	return s.opts.MaxConnections > 0 && s.counted.Load() >= int64(s.opts.MaxConnections)
}

// contains reports whether an address is in one of the networks.
func contains(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range networks {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// acceptDelay is how long a listener waits after a failure that may pass.
const acceptDelay = 100 * time.Millisecond

// isTemporary reports whether accepting may work again.
func isTemporary(err error) bool {
	var ne net.Error
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &ne)
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// ServeConn serves one connection until it ends, and closes it.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn, opts ListenerOptions) {
	opts.setDefaults()
	s.serveConn(ctx, nc, &opts)
}

// ServeALPN serves a connection on which a client has asked for "imap" in the TLS
// handshake, at a listener for another protocol. The handshake must be done. A client
// certificate is not made use of. It returns when the connection has ended.
func (s *Server) ServeALPN(ctx context.Context, tc *tls.Conn, opts ListenerOptions) {
	opts.TLSConfig, opts.ImmediateTLS, opts.AllowPlaintextLogin = nil, true, false
	opts.Proxies = nil
	opts.noClientCert = true
	s.ServeConn(ctx, tc, opts)
}

// ServePreauth serves a connection of a user who is logged in from the start, such as one
// on this machine. It returns when the connection has ended. RFC 9051 §7.1.4
func (s *Server) ServePreauth(ctx context.Context, nc net.Conn, res identity.Result, opts ListenerOptions) {
	opts.TLSConfig, opts.ImmediateTLS = nil, false
	opts.preauth = &res
	s.ServeConn(ctx, nc, opts)
}

// serveConn is ServeConn with options that connections share. What a connection waits in
// must have small stack frames, or its stack cannot shrink: all else is done in begin.
func (s *Server) serveConn(ctx context.Context, nc net.Conn, opts *ListenerOptions) {
	if c := s.begin(ctx, nc, opts); c != nil {
		c.loop()
	}
}

// begin admits a connection and greets the client, or closes the connection and returns
// nil.
func (s *Server) begin(ctx context.Context, nc net.Conn, opts *ListenerOptions) *conn {
	c := newConn(s, nc, opts, s.opts.Cids.Next())
	c.ctx, c.cancel = context.WithCancel(mlog.WithCid(ctx, c.cid))
	if !s.addConn(c) {
		c.refuse("server is shutting down")
		c.cancel()
		nc.Close()
		return nil
	}
	if !c.begin() {
		c.end()
		return nil
	}
	return c
}

func (s *Server) addConn(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.conns[c] = struct{}{}
	s.done.Add(1)
	return true
}

func (s *Server) removeConn(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.done.Done()
}

// Connections returns how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Shutdown closes the listeners, lets commands that run finish, and tells clients BYE.
// When ctx ends before all connections have, those left are closed as they are, and the
// error is that of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.interrupt()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.done.Wait()
		s.keys.Close()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.cancel()
		c.nc.Close()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}
