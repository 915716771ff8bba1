package certs

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3"
	"go.uber.org/zap"

	"mox/config"
	"mox/dns"
	"mox/internal/metrics"
	"mox/mlog"
)

// checkInterval is how often keys and certificates are looked at, when nothing is known to
// have changed. That a certificate needs to be renewed is looked at less often.
const checkInterval = time.Minute

// acmeDir is the directory for what comes from authorities, in the data directory.
const acmeDir = "acme"

// Options are for [NewManager].
type Options struct {
	Config interface {
		Snapshot() *config.Snapshot
		Changed() <-chan struct{} // Closed when what Snapshot returns then changes.
	}

	DataDir   string           // What is kept is below acme/ in it.
	Resolvers []netip.AddrPort // For DNS-01. None: those of the system.
	DNS       Resolver         // For records of our names. Nil: it is taken as published what should be, and nothing else.
	Roots     *x509.CertPool   // For HTTPS with authorities. Nil: those of the system.
	Version   string           // Ours, for authorities to see.
	Log       *slog.Logger     // Nil: nothing is logged.

	// ReadFile reads files that the configuration names: keys and certificates, and
	// secrets for authorities. Nil: [os.ReadFile].
	ReadFile func(path string) ([]byte, error)
}

// Manager has the certificates of all listeners.
type Manager struct {
	opts       Options
	log        *slog.Logger
	quiet      *slog.Logger // For what others log.
	zap        *zap.Logger
	dir        string
	challenges *challenges
	mounted    atomic.Bool // HTTP-01 is answered.
	authority  map[string]*authority
	interval   time.Duration // How often to check.
	patience   time.Duration // How long a handshake waits for a certificate.

	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{}
	done   sync.WaitGroup

	mu       sync.Mutex
	hostKeys map[string]map[Kind]HostKey // By hostname in ASCII.
	static   []*Source                   // Certificates from files.
}

// NewManager makes a Manager for a configuration. It reads keys, and makes those of
// accounts at authorities. It requests nothing before [Manager.Start].
func NewManager(opts Options) (*Manager, error) {
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	if opts.ReadFile == nil {
		opts.ReadFile = os.ReadFile
	}
	quiet := slog.New(quietHandler{opts.Log.Handler()})
	m := &Manager{
		opts:       opts,
		log:        opts.Log,
		quiet:      quiet,
		zap:        zapLogger(opts.Log),
		dir:        filepath.Join(opts.DataDir, acmeDir),
		challenges: newChallenges(),
		authority:  map[string]*authority{},
		interval:   checkInterval,
		patience:   handshakeWait,
		wake:       make(chan struct{}, 1),
		hostKeys:   map[string]map[Kind]HostKey{},
	}
	metrics.PanicPackages(pkgName)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	s := opts.Config.Snapshot()
	if err := m.readHostKeys(s); err != nil {
		return nil, err
	}
	if len(s.ACME) == 0 {
		return m, nil
	}
	if err := os.MkdirAll(filepath.Join(m.dir, "keycerts"), 0750); err != nil {
		return nil, fmt.Errorf("make directory for certificates: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.ACME)) {
		a, err := m.newAuthority(s.ACME[name])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("authority %s: %w", name, err), m.Close())
		}
		m.authority[name] = a
	}
	return m, nil
}

// pkgName is the name of this package in metrics.
const pkgName = "certs"

// readHostKeys reads the keys of hostnames.
func (m *Manager) readHostKeys(s *config.Snapshot) error {
	keys := map[string]map[Kind]HostKey{}
	for _, l := range s.Listeners {
		if l.TLS == nil {
			continue
		}
		for _, path := range l.TLS.HostKeyFiles {
			k, err := parseHostKey(path, m.opts.ReadFile)
			if err != nil {
				return fmt.Errorf("listener %s: private key of hostname: %w", l.Name, err)
			}
			host := l.Hostname.ASCII
			if keys[host] == nil {
				keys[host] = map[Kind]HostKey{}
			}
			if _, ok := keys[host][k.Kind]; !ok {
				keys[host][k.Kind] = k
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hostKeys = keys
	return nil
}

// Reload reads all that is in files again now. What fails stays as it is, and is
// logged.
func (m *Manager) Reload() error {
	m.mu.Lock()
	static := slices.Clone(m.static)
	m.mu.Unlock()
	var errs []error
	for _, s := range static {
		errs = append(errs, s.Reload())
	}
	if err := m.readHostKeys(m.opts.Config.Snapshot()); err != nil {
		m.log.Error("reading private keys of hostnames again, the previous ones stay in use", mlog.Err(err))
		errs = append(errs, err)
	}
	m.kick()
	return errors.Join(errs...)
}

// keysOf returns the keys that certificates of a host are for. A kind with a nil key
// is one for which each certificate has a new key.
func (m *Manager) keysOf(host string) map[Kind]crypto.Signer {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := map[Kind]crypto.Signer{}
	for kind, k := range m.hostKeys[host] {
		keys[kind] = k.Key
	}
	if len(keys) == 0 {
		keys[P256] = nil
	}
	return keys
}

// HTTPHandler returns a handler for requests below /.well-known/acme-challenge/ on
// port 80. With it, authorities can look there to see that a name is ours; without
// it, they are asked not to. It must be called before [Manager.Start].
func (m *Manager) HTTPHandler() http.Handler {
	m.mounted.Store(true)
	return m.challenges
}

func (m *Manager) httpSolver() acmez.Solver {
	if !m.mounted.Load() {
		return nil
	}
	return httpSolver{m.challenges}
}

// ChallengeConfig is for tls.Config.GetConfigForClient where authorities connect to.
// It returns a configuration for connections with the protocol [TLSALPN], which must
// be closed after the handshake, and nil for others.
func (m *Manager) ChallengeConfig(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	return m.challenges.config(hello)
}

// Start begins to request certificates, and to renew them. It does not wait for them.
func (m *Manager) Start() {
	if len(m.authority) == 0 {
		return
	}
	m.done.Go(func() {
		for {
			changed := m.opts.Config.Changed()
			m.guard()
			select {
			case <-m.ctx.Done():
				return
			case <-changed:
			case <-m.wake:
			case <-time.After(m.interval):
			}
		}
	})
}

// guard runs check. A panic is counted and logged, and leaves what is for the next time.
func (m *Manager) guard() {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			m.log.Error("panic", "panic", fmt.Sprint(x))
		}
	}()
	m.check()
}

// Close ends what Start has begun.
func (m *Manager) Close() error {
	m.cancel()
	m.done.Wait()
	for _, a := range m.authority {
		a.close()
	}
	return nil
}

// kick makes the next check come at once.
func (m *Manager) kick() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// check requests certificates for names that have none, takes the steps of
// rollovers, and replaces certificates that are for another key.
func (m *Manager) check() {
	s := m.opts.Config.Snapshot()
	m.rollover(s)
	for _, name := range slices.Sorted(maps.Keys(m.authority)) {
		a := m.authority[name]
		for _, host := range s.CertificateHosts(name) {
			a.ensure(host.ASCII)
		}
		a.update(s)
	}
}

// rollover takes the next step of the rollover of each key.
func (m *Manager) rollover(s *config.Snapshot) {
	r := &roller{log: m.log, resolver: m.opts.DNS, inUse: m.inUse}
	changed := false
	for _, l := range s.Listeners {
		if l.TLS == nil || l.TLS.ACME == "" {
			continue
		}
		for _, path := range l.TLS.HostKeyFiles {
			c, err := r.step(m.ctx, l.Hostname, path, time.Now())
			if err != nil {
				m.log.Error("rollover of private key of hostname", "host", l.Hostname.ASCII, "path", path, mlog.Err(err))
			}
			changed = changed || c
		}
	}
	if !changed {
		return
	}
	if err := m.readHostKeys(s); err != nil {
		m.log.Error("reading private keys of hostnames again, the previous ones stay in use", mlog.Err(err))
	}
}

// inUse reports whether a certificate of a host is for a key.
func (m *Manager) inUse(host dns.Domain, key crypto.Signer) bool {
	for _, a := range m.authority {
		for _, kind := range kinds {
			if cert := a.certificate(host.ASCII, kind); cert != nil && certifies(cert.Leaf, key) {
				return true
			}
		}
	}
	return false
}

// quietHandler makes lines of other packages' code at info ones at debug: what is of
// interest to operators has lines of ours.
type quietHandler struct {
	slog.Handler
}

func (h quietHandler) quiet(l slog.Level) slog.Level {
	if l < slog.LevelWarn {
		return min(l, slog.LevelDebug)
	}
	return slog.LevelDebug
}

func (h quietHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.Handler.Enabled(ctx, h.quiet(l))
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = h.quiet(r.Level)
	return h.Handler.Handle(ctx, r)
}

func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs)}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name)}
}
