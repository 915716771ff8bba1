package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mox/config"
	"mox/internal/metrics"
	"mox/internal/ratelimit"
	"mox/internal/safefile"
	"mox/mlog"
)

// ClientConf has the handlers for what mail programs and mail servers ask for at names
// below a domain.
type ClientConf interface {
	Autoconfig() http.Handler
	Autodiscover() http.Handler
	AppleProfile() http.Handler
	MTASTSPolicy() http.Handler
}

// Service is a service with pages of this server.
type Service struct {
	Name    string       // As in WebInternal, for logs and metrics too.
	Handler http.Handler // The path of its requests starts at that of the service.

	// Path returns the path of the service on a port, with a slash at both ends. It
	// returns nothing if the service is not there.
	Path func(l config.Listener, p config.WebPort) string

	// ClientDomains: also at the names that mail programs connect to.
	ClientDomains bool
}

// Options are for [New]. Config is needed.
type Options struct {
	Config interface{ Snapshot() *config.Snapshot }
	Log    *slog.Logger // Nil: nothing is logged.

	Cids      *mlog.CidSource // For ids of requests; nil is a source of its own.
	CidCipher *mlog.CidCipher // For ids that clients see; nil shows none.

	ClientConf ClientConf   // Nil: there are no settings and policies.
	Challenges http.Handler // Answers authorities on ports without TLS. Nil: nothing does.
	Services   []Service
	Roots      *x509.CertPool // For servers that requests are forwarded to. Nil: those of the system.

	// CopiesDir is for compressed copies of static files. It is made when it is needed, and
	// may be emptied at any time. Empty: each response is compressed for itself.
	CopiesDir string
	Floor     *safefile.Floor // Free space that must stay there, or nil.

	// MaxConnections is the limit of open connections, all listeners together. Zero and
	// below is no limit.
	MaxConnections int
}

// ListenerOptions are for [Server.Serve].
type ListenerOptions struct {
	Listener config.Listener // Limits are shared by those with the same name.
	Port     config.WebPort

	// TLSConfig is needed if the port has TLS. It must not ask for client certificates.
	TLSConfig *tls.Config
	// ALPN are for connections on which a client has asked for a protocol other than
	// HTTP. They close the connection.
	ALPN map[string]func(*tls.Conn)
}

// Server serves HTTP.
type Server struct {
	opts       Options
	log        *slog.Logger
	transports transports
	copies     *copies      // Nil for none.
	conns      atomic.Int64 // Open connections that count for MaxConnections.

	mu       sync.Mutex // Guards what follows.
	stopped  bool
	servers  map[*http.Server]struct{}
	hijacked map[net.Conn]struct{}
	limits   map[string]*limits // By name of the listener.
}

// limits are those of a listener. Each can be nil.
type limits struct {
	rate     *ratelimit.Limiter    // Of new connections.
	open     *ratelimit.Concurrent // Open connections.
	requests *ratelimit.Limiter
}

// New returns a server without listeners.
func New(opts Options) *Server {
	metrics.PanicPackages(pkgName)
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	if opts.Cids == nil {
		opts.Cids = mlog.NewCidSource(time.Now().UnixMilli())
	}
	return &Server{
		opts:       opts,
		log:        opts.Log,
		transports: transports{roots: opts.Roots},
		copies:     newCopies(opts),
		servers:    map[*http.Server]struct{}{},
		hijacked:   map[net.Conn]struct{}{},
		limits:     map[string]*limits{},
	}
}

// Serve serves HTTP on a socket, which it closes, until it fails or Shutdown is called;
// then the error is nil.
func (s *Server) Serve(nl net.Listener, opts ListenerOptions) error {
	p := &port{srv: s, ListenerOptions: opts}
	if lim := s.limitsOf(opts.Listener); !opts.Port.RateLimitDisabled {
		p.limits = *lim
	}
	srv := s.httpServer(p)
	srv.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	protos := []string{"h2", "http/1.1"} // Preferred, if a client asks for more than one.
	for _, proto := range slices.Sorted(maps.Keys(opts.ALPN)) {
		srv.TLSNextProto[proto] = func(_ *http.Server, tc *tls.Conn, _ http.Handler) { opts.ALPN[proto](tc) }
		protos = append(protos, proto)
	}
	l := &listener{Listener: nl, port: p}
	if !opts.Port.TLS {
		return s.serve(srv, func() error { return srv.Serve(l) }, nl)
	}
	if opts.TLSConfig == nil {
		return errors.Join(errors.New("http: port with TLS has no configuration for it"), nl.Close())
	}
	srv.TLSConfig = opts.TLSConfig.Clone()
	srv.TLSConfig.NextProtos = protos
	return s.serve(srv, func() error { return srv.ServeTLS(l, "", "") }, nl)
}

// ServeHandler serves a handler on a socket without any of what is on other ports, such
// as for metrics: as Serve otherwise, but with a limit of time for each request.
func (s *Server) ServeHandler(nl net.Listener, h http.Handler) error {
	srv := s.httpServer(h)
	srv.ReadTimeout, srv.WriteTimeout = headerTimeout, monitorTimeout
	return s.serve(srv, func() error { return srv.Serve(nl) }, nl)
}

// httpServer returns a server with all limits.
func (s *Server) httpServer(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: stallTimeout},
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// serve serves until Shutdown.
func (s *Server) serve(srv *http.Server, serve func() error, nl net.Listener) error {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return nl.Close()
	}
	s.servers[srv] = struct{}{}
	s.mu.Unlock()
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, srv.Close())
	}
	return nil
}

// Shutdown takes no more connections, and waits until responses have ended. When ctx
// ends, what is left is closed; the error is that of ctx then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	servers := slices.Collect(maps.Keys(s.servers))
	hijacked := slices.Collect(maps.Keys(s.hijacked))
	s.mu.Unlock()
	for _, nc := range hijacked {
		_ = nc.Close() // It may have ended meanwhile.
	}
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, srv := range servers {
		wg.Go(func() {
			if errs[i] = srv.Shutdown(ctx); errs[i] != nil {
				_ = srv.Close() // The listener is closed already.
			}
		})
	}
	wg.Wait()
	s.transports.close()
	return errors.Join(errs...)
}

// limitsOf returns the limits of a listener. They are those of the first call for it.
func (s *Server) limitsOf(l config.Listener) *limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	if lim := s.limits[l.Name]; lim != nil {
		return lim
	}
	lim := &limits{requests: ratelimit.New(ratelimit.Options{
		Windows: []ratelimit.Window{
			{Period: time.Minute, Limits: ratelimit.Factors(requestsPerMinute)},
			{Period: time.Hour, Limits: ratelimit.Factors(requestsPerHour)},
		},
		Exempt: l.Limits.Exempt,
	})}
	if n := l.Limits.ConnectionsPerMinute; n > 0 {
		lim.rate = ratelimit.New(ratelimit.Options{
			Windows: []ratelimit.Window{{Period: time.Minute, Limits: ratelimit.Factors(n)}},
			Exempt:  l.Limits.Exempt,
		})
	}
	if n := l.Limits.OpenConnections; n > 0 {
		lim.open = ratelimit.NewConcurrent(ratelimit.ConcurrentOptions{Limits: ratelimit.Factors(n), Exempt: l.Limits.Exempt})
	}
	s.limits[l.Name] = lim
	return lim
}
