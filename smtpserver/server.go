package smtpserver

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

	"mox/config"
	"mox/dns"
	"mox/internal/deliver"
	"mox/internal/metrics"
	"mox/internal/ratelimit"
	"mox/internal/safefile"
	"mox/mlog"
)

// Options are for [New].
type Options struct {
	Log    *slog.Logger
	Config *config.Holder

	Auth    Authenticator // For submission. Nil if there are no submission listeners.
	Origins OriginChecker // For delivery. Nil if nothing is looked up about who messages are from.
	Decide  Decider       // For delivery.
	Deliver Deliverer     // For delivery.
	Rejects RejectKeeper  // For delivery. Nil if there are no copies of what is refused.
	Submit  Submitter     // For submission. Nil if there are no submission listeners.

	// Notify is used when a message was delivered to some of its recipients only. Nil
	// leaves that to the client, see receive.go.
	Notify Notifier

	// Report is used when a sender has asked to be told of deliveries. Nil tells nobody.
	Report Reporter

	// Bounce is for what comes back of messages that were forwarded. Nil takes nothing.
	Bounce Bouncer

	// Evaluations is told what DMARC has said of messages, for reports to others. Nil for
	// none.
	Evaluations deliver.Evaluations

	// Trace records what becomes of messages. Nil records nothing.
	Trace Tracer

	// Resolver is used to check who sends to us. Nil for no checks.
	Resolver dns.Resolver

	TempDir string          // For messages while they are received; on the file system of the accounts.
	FS      safefile.FS     // Nil is the OS.
	Floor   *safefile.Floor // Free space that must stay, or nil.

	Cids      *mlog.CidSource // Nil for one that starts at the time.
	CidCipher *mlog.CidCipher // Nil for one with a random key.

	// MaxConnections is the limit of open connections, all listeners together. Zero is
	// config.DefaultMaxConnections, a negative number no limit.
	MaxConnections int

	// Localserve makes the server one for trying things out: addresses that simulate
	// failures work, and mail for unknown addresses goes to LocalserveAccount.
	Localserve bool
}

// LocalserveAccount gets the mail for addresses that are not configured, with
// Options.Localserve.
const LocalserveAccount = "mox"

// Kind says who a listener is for.
type Kind uint8

// The kinds.
const (
	// Delivery is for other servers that have mail for our users, normally port 25.
	Delivery Kind = iota

	// Submission is for our users, who must log in, normally ports 587 and 465.
	Submission

	// LMTP is for another mail server on this machine that hands mail over, RFC 2033, on
	// a unix socket. See lmtp.go.
	LMTP
)

// String returns the kind as used in logs and metrics.
func (k Kind) String() string {
	switch k {
	case Submission:
		return "submission"
	case LMTP:
		return "lmtp"
	}
	return "smtp"
}

// greeting returns the name of the protocol in the first reply.
func (k Kind) greeting() string {
	if k == LMTP {
		return "LMTP"
	}
	return "ESMTP"
}

// ListenerOptions are for [Server.Serve].
type ListenerOptions struct {
	Name string // Of the listener in the configuration. Those with the same name and kind share limits.
	Kind Kind

	// TLSConfig is for STARTTLS and immediate TLS, nil for none. To make use of client
	// certificates it must ask for them.
	TLSConfig    *tls.Config
	ImmediateTLS bool // RFC 8314 §3.3
	NoSTARTTLS   bool // STARTTLS is not offered, although there is a TLSConfig.

	// RequireTLS refuses mail without TLS. At a Submission listener logging in without
	// TLS is not possible either.
	RequireTLS bool

	NoRequireTLS bool // REQUIRETLS is not offered.

	// For Delivery: blocklists that clients are looked up in, and how long a client waits
	// for the reply to a message from a sender that is not known. Zero does not wait.
	DNSBLs               []dns.Domain
	FirstTimeSenderDelay time.Duration

	// Auth is for Submission listeners. Nil is that of the server.
	Auth Authenticator

	noClientCert bool // What a client has as certificate says nothing.

	Hostname       dns.Domain // Zero is the hostname of the configuration.
	MaxMessageSize int64      // In octets. Zero is config.DefaultMaxMessageSize.

	// Proxies are networks whose connections begin with a header of the PROXY protocol.
	Proxies []netip.Prefix

	Limits config.Limits
}

// listener is what the sockets of a listener share.
type listener struct {
	ListenerOptions
	rate    *ratelimit.Limiter    // Of new connections. Nil for no limit.
	open    *ratelimit.Concurrent // Open connections. Nil for no limit.
	unknown *ratelimit.Limiter    // Of unknown recipients. Nil for no limit.
}

// Server is an SMTP server. It is safe for concurrent use.
type Server struct {
	opts Options
	log  *slog.Logger
	bufs *buffers
	got  *delivered

	members *deliver.Members    // For aliases.
	bounced *ratelimit.Accounts // Bounces of forwarded messages, by sender of these.

	tracedRefusals *ratelimit.Limiter // Of steps about recipients that were refused.

	// ctx is that of the work of sessions, and ends when it must. waitCtx is that of
	// waiting, for delays and handshakes, and ends when the server stops.
	ctx        context.Context
	cancel     context.CancelFunc
	waitCtx    context.Context
	cancelWait context.CancelFunc

	conns     atomic.Int64 // Open connections that count for MaxConnections.
	receiving atomic.Int64 // Messages being received.
	wg        sync.WaitGroup

	mu        sync.Mutex // Guards what follows.
	stopped   bool
	listeners map[string]*listener
	sockets   map[net.Listener]bool
	sessions  map[*session]bool
}

// New returns a server without listeners.
func New(opts Options) *Server {
	metrics.PanicPackages(pkg)
	if opts.Cids == nil {
		opts.Cids = mlog.NewCidSource(time.Now().UnixMilli())
	}
	if opts.CidCipher == nil {
		c, err := mlog.NewCidCipher(mlog.NewCidKey())
		if err != nil {
			panic(err) // The key has the right size.
		}
		opts.CidCipher = c
	}
	if opts.MaxConnections == 0 {
		opts.MaxConnections = config.DefaultMaxConnections
	}
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	s := &Server{
		opts:      opts,
		log:       opts.Log,
		bufs:      newBuffers(),
		got:       newDelivered(),
		members:   newMembers(opts),
		bounced:   newBounced(),
		listeners: map[string]*listener{},
		sockets:   map[net.Listener]bool{},
		sessions:  map[*session]bool{},
	}
	s.tracedRefusals = ratelimit.New(ratelimit.Options{Windows: []ratelimit.Window{{Period: time.Hour, Limits: ratelimit.Factors(maxTracedRefusals)}}})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.waitCtx, s.cancelWait = context.WithCancel(s.ctx)
	return s
}

// ErrServerClosed is returned by [Server.Serve] after [Server.Shutdown].
var ErrServerClosed = errors.New("smtpserver: server closed")

// acceptRetry is how long Serve waits after an error of Accept, such as for too
// many open files.
const acceptRetry = 100 * time.Millisecond

// Serve accepts connections and serves each in a goroutine, until ctx ends, the
// socket is closed, or Shutdown is called. It closes the socket. Errors of accepting
// that may pass are logged.
func (s *Server) Serve(ctx context.Context, l net.Listener, opts ListenerOptions) error {
	if err := s.addSocket(l); err != nil {
		return errors.Join(err, l.Close())
	}
	defer s.removeSocket(l)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	lis := s.listener(opts)
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.start(lis, nc)
		case s.isStopped():
			return ErrServerClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		default:
			s.log.Error("accepting connection", mlog.Err(err), slog.String("listener", opts.Name))
			if err := sleep(ctx, acceptRetry); err != nil {
				return err
			}
		}
	}
}

// ServeConn serves one connection and returns when it is closed. It is for tests
// and for connections that were accepted elsewhere. If it is a *tls.Conn, its
// handshake must be done.
func (s *Server) ServeConn(nc net.Conn, opts ListenerOptions) {
	if ss := s.newSession(s.listener(opts), nc); ss != nil && ss.begin() {
		ss.serve()
	}
}

// ServeALPN serves, as submission, a connection on which a client has asked for
// "smtp" in the TLS handshake, at a listener for another protocol. The handshake must
// be done. A client certificate is not made use of. It returns when the connection is
// closed.
func (s *Server) ServeALPN(tc *tls.Conn, opts ListenerOptions) {
	opts.Kind = Submission
	opts.RequireTLS, opts.ImmediateTLS, opts.NoSTARTTLS = true, false, true
	opts.TLSConfig, opts.Proxies = nil, nil
	opts.noClientCert = true
	s.ServeConn(tc, opts)
}

// start serves a connection. What is refused costs no goroutine, so that many
// connections cannot make it many goroutines.
func (s *Server) start(lis *listener, nc net.Conn) {
	if ss := s.newSession(lis, nc); ss != nil && ss.begin() {
		go ss.serve()
	}
}

// Shutdown stops accepting connections and tells clients that wait for a command
// that the server is closing. Messages that are being received are received to
// their end. When ctx ends, connections that are still there are closed; its error
// is returned then. Shutdown returns when no session is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.beginStop()
	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	s.eachSession(func(ss *session) { ss.conn.abort() })
	<-done
	return ctx.Err()
}

func (s *Server) beginStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.stopped = true
	s.cancelWait()
	for l := range s.sockets {
		_ = l.Close()
	}
	for ss := range s.sessions {
		ss.conn.interrupt()
	}
}

func (s *Server) eachSession(fn func(ss *session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss := range s.sessions {
		fn(ss)
	}
}

func (s *Server) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

func (s *Server) addSocket(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrServerClosed
	}
	s.sockets[l] = true
	return nil
}

func (s *Server) removeSocket(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, l)
	_ = l.Close()
}

// addSession adds a session that Shutdown waits for. It reports false if the server
// is stopping.
func (s *Server) addSession(ss *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.wg.Add(1)
	s.sessions[ss] = true
	return true
}

func (s *Server) removeSession(ss *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss)
	s.wg.Done()
}

// listener returns the listener for options, which has the counts of earlier calls
// for the same name and kind. The limits are those of the first call.
func (s *Server) listener(opts ListenerOptions) *listener {
	if opts.MaxMessageSize == 0 {
		opts.MaxMessageSize = config.DefaultMaxMessageSize
	}
	if opts.Hostname.IsZero() {
		opts.Hostname = s.opts.Config.Snapshot().Hostname
	}
	if opts.Auth == nil {
		opts.Auth = s.opts.Auth
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := opts.Kind.String() + " " + opts.Name
	shared, ok := s.listeners[key]
	if !ok {
		shared = newListener(opts)
		s.listeners[key] = shared
	}
	return &listener{ListenerOptions: opts, rate: shared.rate, open: shared.open, unknown: shared.unknown}
}

func newListener(opts ListenerOptions) *listener {
	l := &listener{ListenerOptions: opts}
	if n := opts.Limits.ConnectionsPerMinute; n > 0 {
		l.rate = ratelimit.New(ratelimit.Options{
			Windows: []ratelimit.Window{{Period: time.Minute, Limits: ratelimit.Factors(n)}},
			Exempt:  opts.Limits.Exempt,
		})
	}
	if n := opts.Limits.UnknownRecipientsPerHour; n > 0 {
		l.unknown = ratelimit.New(ratelimit.Options{
			Windows: []ratelimit.Window{{Period: time.Hour, Limits: ratelimit.Factors(n)}},
			Exempt:  opts.Limits.Exempt,
		})
	}
	if n := opts.Limits.OpenConnections; n > 0 {
		l.open = ratelimit.NewConcurrent(ratelimit.ConcurrentOptions{
			Limits: ratelimit.Factors(n),
			Exempt: opts.Limits.Exempt,
		})
	}
	return l
}
