package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"mox/config"
	"mox/dmarc/dmarcdb"
	"mox/dns"
	"mox/http"
	"mox/imapserver"
	"mox/internal/admin"
	"mox/internal/authdb"
	"mox/internal/certs"
	"mox/internal/ctl"
	"mox/internal/deliver"
	"mox/internal/identity"
	"mox/internal/inbound"
	"mox/internal/metrics"
	"mox/internal/privsep"
	"mox/internal/reports"
	"mox/internal/retention"
	"mox/internal/safefile"
	"mox/internal/search/textindex"
	"mox/internal/submit"
	"mox/internal/tracedb"
	"mox/internal/training"
	"mox/internal/transfer"
	"mox/mlog"
	"mox/queue"
	"mox/queue/queuedb"
	"mox/smtpserver"
	"mox/store"
	"mox/tlsrpt/tlsrptdb"
)

// pkgName is the name of this package in logs and metrics.
const pkgName = "daemon"

// Options are for [Start].
type Options struct {
	ConfigPath string            // Of mox.conf.
	Overrides  []config.Override // From flags.

	Handler slog.Handler // For the loggers of all packages.
	Levels  *mlog.Levels // Those of Handler. Set from the configuration.
	Version string

	// Listen makes the sockets of listeners, in the way of [net.ListenConfig.Listen]. Nil:
	// they are bound here.
	Listen func(ctx context.Context, network, address string) (net.Listener, error)

	// ReadFile reads files with keys and certificates that the configuration names. Nil:
	// [os.ReadFile].
	ReadFile func(path string) ([]byte, error)

	// Confine, if not nil, is called when the configuration is known, before anything else
	// is opened, to keep the process to what it needs.
	Confine func(*config.Snapshot) error

	// AnyPort binds a port that is free instead of each configured one, for tests. See
	// [Daemon.Sockets].
	AnyPort bool

	sweepDelay time.Duration // How long after the start accounts are swept, for tests.

	// Localserve makes the server one for trying things out: mail does not leave it,
	// and addresses that are not configured go to an account, or simulate failures.
	Localserve bool
}

// Daemon is a running mail server.
type Daemon struct {
	opts    Options
	log     *slog.Logger
	started time.Time
	conf    *config.Holder
	cids    *mlog.CidSource

	floor     *safefile.Floor
	store     *store.Store
	queueDB   *queuedb.DB
	queue     *queue.Queue
	authDB    *authdb.DB
	dmarcDB   *dmarcdb.DB
	trace     *tracedb.DB // Nil if nothing is kept.
	tlsDB     *tlsrptdb.DB
	out       outgoing
	reports   reporting
	checker   *identity.Checker
	dns       dns.Resolver // Nil for no lookups.
	certs     *certs.Manager
	training  *training.Trainer
	texts     *textindex.Indexer
	retention *retention.Keeper
	transfers *transfer.Transfers
	decider   *inbound.Decider
	deliver   *deliver.Deliverer
	submitter *submit.Submitter
	smtp      *smtpserver.Server
	imap      *imapserver.Server
	http      *http.Server
	ctl       *ctl.Server
	admin     *admin.Admin
	sockets   []*Socket
	control   net.Listener

	backups sync.Mutex // Held while a backup is made.

	stopping chan struct{} // Closed when the daemon is to stop.
	stopOnce sync.Once
	stopped  chan struct{} // Closed when all is closed but the control connections.

	mu    sync.Mutex // Guards what follows.
	fatal error      // Why the daemon stops by itself.

	workers sync.WaitGroup
}

// Start starts a server. When ctx ends, starting does, and nothing else. The error
// is one for an operator to read: [config.Errors], or what is in the way.
func Start(ctx context.Context, opts Options) (*Daemon, error) {
	d := &Daemon{
		opts:     opts,
		log:      mlog.New(pkgName, opts.Handler),
		started:  time.Now(),
		cids:     mlog.NewCidSource(time.Now().UnixMilli()),
		stopping: make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	if d.opts.Listen == nil {
		d.opts.Listen = privsep.Listen
	}
	metrics.PanicPackages(pkgName)
	conf, err := config.OpenWith(opts.ConfigPath, config.Options{Log: d.logger("config"), Overrides: opts.Overrides, ReadKey: opts.ReadFile})
	if err != nil {
		return nil, err
	}
	d.conf = conf
	s := conf.Snapshot()
	opts.Levels.SetAll(s.Level, s.PackageLevels)
	if err := prepareDataDir(s.DataDir); err != nil {
		return nil, adviseWritable(s.DataDir, err)
	}
	if opts.Confine != nil {
		if err := opts.Confine(s); err != nil {
			return nil, err
		}
	}
	if err := d.open(ctx, s); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if err := d.serve(ctx, s); err != nil {
		for _, sock := range d.sockets {
			_ = sock.listener.Close()
		}
		return nil, errors.Join(err, d.close())
	}
	d.log.Info("ready to serve", "version", opts.Version, "config", opts.ConfigPath, "datadir", s.DataDir)
	return d, nil
}

// openStore opens the store of accounts, and with it takes the data directory.
func (d *Daemon) openStore(ctx context.Context, s *config.Snapshot) (err error) {
	d.floor = safefile.NewFloor(safefile.FloorOptions{Path: s.DataDir, Min: s.MinimumFreeSpace})
	d.store, err = store.Open(ctx, store.Options{
		Dir:              s.DataDir,
		Log:              d.logger("store"),
		Floor:            d.floor,
		Quota:            d.quota,
		QuotaMessages:    d.quotaMessages,
		Policy:           deliver.Policy(d.conf),
		Known:            d.known,
		Lessons:          func(account string) { d.training.Wake(account) },
		Contents:         func(account string, erased bool) { d.texts.Wake(account, erased) },
		InitialMailboxes: initialMailboxes(s.InitialMailboxes),
		UndeleteWindow:   s.UndeleteWindow,
		UndeleteBytes:    s.UndeleteSize,
		Undelete:         d.undeleteLimits,
	})
	if errors.Is(err, safefile.ErrLocked) {
		return fmt.Errorf("another mox is running with data directory %s, stop that first: %w", s.DataDir, err)
	} else if err != nil {
		return adviseWritable(s.DataDir, fmt.Errorf("open store: %w", err))
	}
	removeStale(d.store.TempDir(), d.log)
	d.rememberBackups(s.DataDir)
	return nil
}

// openDatabases opens those that are for all accounts.
func (d *Daemon) openDatabases(ctx context.Context, s *config.Snapshot) (err error) {
	d.queueDB, err = queuedb.Open(ctx, queuedb.Options{Dir: s.DataDir, Log: d.logger("queuedb"), Floor: d.floor, Known: d.known})
	if err != nil {
		return err
	}
	if d.authDB, err = authdb.Open(ctx, authdb.Options{Dir: s.DataDir, Log: d.logger("authdb")}); err != nil {
		return err
	}
	if d.dmarcDB, err = dmarcdb.Open(ctx, dmarcdb.Options{Dir: s.DataDir, Log: d.logger("dmarcdb")}); err != nil {
		return err
	}
	if d.tlsDB, err = tlsrptdb.Open(ctx, s.DataDir); err != nil {
		return err
	}
	return d.openTrace(ctx, s)
}

// open opens what is on disk, and makes the engines that work with it.
func (d *Daemon) open(ctx context.Context, s *config.Snapshot) error {
	if err := d.openStore(ctx, s); err != nil {
		return err
	}
	if err := d.openDatabases(ctx, s); err != nil {
		return err
	}
	var err error
	d.checker, err = identity.New(identity.Options{
		Store:        d.store,
		Config:       d.conf,
		Dir:          s.DataDir,
		Log:          d.logger("identity"),
		Keys:         d.authDB,
		AppPasswords: d.authDB,
		Attempts:     d.authDB,
	})
	if err != nil {
		return fmt.Errorf("prepare login: %w", err)
	}
	if d.dns, err = d.resolver(s); err != nil {
		return err
	}
	d.makeTexts(s.DataDir)
	if err := d.makeTraining(s.DataDir); err != nil {
		return err
	}
	if err := d.openOutgoing(ctx, s); err != nil {
		return err
	}
	if err := d.makeSubmitter(s.DataDir); err != nil {
		return err
	}
	if err := d.openCerts(s); err != nil {
		return err
	}
	d.transfers = transfer.New(transfer.Options{TempDir: d.store.TempDir(), Log: d.logger("transfer")})
	d.makeInbound()
	d.makeMonitor()
	transports, err := d.transports(s)
	if err != nil {
		return err
	}
	d.queue = queue.New(queue.Options{
		DB:         d.queueDB,
		Config:     d.conf,
		Deliver:    d.deliver,
		Notify:     d.submitter,
		Transports: transports,
		Local:      d.local(),
		Schedule:   queue.NewSchedule(s.QueueRetryPeriod),
		Failed:     reports.CountFailure,

		Concurrent:     s.QueueConcurrency,
		ConcurrentLane: s.QueueDomainConcurrency,
		TempDir:        d.store.TempDir(),
		Trace:          d.trace,
		Cids:           d.cids,
		Log:            d.logger("queue"),
	})
	return d.makeAdmin(ctx)
}

// serve binds the listeners and starts all that runs in the background.
func (d *Daemon) serve(ctx context.Context, s *config.Snapshot) error {
	cipher, err := cidCipher(s.DataDir)
	if err != nil {
		return err
	}
	var origins smtpserver.OriginChecker
	if d.dns != nil {
		origins = inbound.NewAuthenticator(inbound.AuthenticatorOptions{Resolver: d.dns, Log: d.logger("inbound")})
	}
	d.smtp = smtpserver.New(smtpserver.Options{
		Origins:     origins,
		Evaluations: d.dmarcDB,

		Log:      d.logger("smtpserver"),
		Config:   d.conf,
		Auth:     d.checker,
		Decide:   d.decider,
		Deliver:  d.deliver,
		Rejects:  d.deliver,
		Submit:   d.submitter,
		Report:   d.submitter,
		Notify:   d.submitter,
		Bounce:   d.submitter,
		Trace:    d.trace,
		Resolver: d.dns,
		TempDir:  d.store.TempDir(),
		Floor:    d.floor,

		MaxConnections: s.MaxConnections,

		Cids:       d.cids,
		CidCipher:  cipher,
		Localserve: d.opts.Localserve,
	})
	d.imap = imapserver.New(imapserver.Options{
		Store:     d.store,
		Auth:      d.checker,
		Log:       d.logger("imapserver"),
		Cids:      d.cids,
		CidCipher: cipher,
		Version:   d.opts.Version,
		Texts:     d.texts,
		Hostname:  s.Hostname.ASCII,
		Owner:     d.urlOwner,

		MaxConnections: s.MaxConnections,
	})
	d.makeHTTP(s, cipher)
	d.ctl = ctl.New(ctl.Options{Log: d.logger("ctl"), Cids: d.cids, Handlers: d.commands(), Quiet: []string{"health"}})
	if d.sockets, err = d.bind(ctx, s); err != nil {
		return err
	}
	// Only with the lock on the data directory and the ports is the socket ours.
	if d.control, err = ctl.Listen(s.DataDir); err != nil {
		return err
	}
	d.training.Start()
	d.makeRetention()
	d.retention.Start()
	d.texts.Start(accountNames(s))
	d.certs.Start()
	d.startOutgoing()
	d.startReporting(d.submitter)
	d.startObserving(s)
	d.startUpdates(s)
	d.run("queue", func() error { return d.queue.Run(context.Background()) })
	d.run("dkim keys", d.rotateKeys)
	d.run("config", d.watchConfig)
	d.run("ctl", func() error { return d.ctl.Serve(d.control) })
	for _, sock := range d.sockets {
		d.run(sock.Service+" "+sock.Addr().String(), sock.serve)
	}
	return nil
}

// run runs a part of the server in the background. One that ends by itself with an
// error stops the server.
func (d *Daemon) run(name string, fn func() error) {
	d.workers.Go(func() {
		err := func() (err error) {
			defer func() {
				if x := recover(); x != nil {
					metrics.Panic(pkgName)
					d.log.Error("panic", "part", name, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
					err = fmt.Errorf("panic: %v", x)
				}
			}()
			return fn()
		}()
		if err != nil && !d.isStopping() {
			d.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// fail stops the server because a part of it cannot go on.
func (d *Daemon) fail(err error) {
	d.log.Error("stopping because of an error", mlog.Err(err))
	d.mu.Lock()
	d.fatal = errors.Join(d.fatal, err)
	d.mu.Unlock()
	d.Stop()
}

// Stop makes Wait stop the server. It does not wait.
func (d *Daemon) Stop() {
	d.stopOnce.Do(func() { close(d.stopping) })
}

// Stopping returns a channel that is closed when the server begins to stop.
func (d *Daemon) Stopping() <-chan struct{} {
	return d.stopping
}

func (d *Daemon) isStopping() bool {
	select {
	case <-d.stopping:
		return true
	default:
		return false
	}
}

// Sockets returns the sockets of listeners.
func (d *Daemon) Sockets() []*Socket {
	return d.sockets
}

// DataDir returns the data directory.
func (d *Daemon) DataDir() string {
	return d.conf.Snapshot().DataDir
}

// logger returns a logger for a package.
func (d *Daemon) logger(pkg string) *slog.Logger {
	return mlog.New(pkg, d.opts.Handler)
}

// quota returns the limit of an account as it is now.
func (d *Daemon) quota(account string) int64 {
	a, _ := d.conf.Snapshot().Account(account)
	return a.QuotaMessageSize
}

// quotaMessages returns the limit on the number of messages of an account as it is now.
func (d *Daemon) quotaMessages(account string) int64 {
	a, _ := d.conf.Snapshot().Account(account)
	return a.QuotaMessages
}

func initialMailboxes(im config.InitialMailboxes) store.InitialMailboxes {
	use := im.SpecialUse
	return store.InitialMailboxes{
		Archive: use.Archive,
		Drafts:  use.Draft,
		Junk:    use.Junk,
		Sent:    use.Sent,
		Trash:   use.Trash,
		Regular: im.Regular,
	}
}

// resolver returns how to look up in DNS. It is nil for no lookups: a server for
// trying things out works without a network, unless a resolver was asked for.
func (d *Daemon) resolver(s *config.Snapshot) (dns.Resolver, error) {
	if d.opts.Localserve && len(s.Resolvers) == 0 {
		return nil, nil
	}
	var servers []string
	for _, a := range s.Resolvers {
		servers = append(servers, a.String())
	}
	return dns.NewStrictResolver(dns.ResolverOptions{
		Servers: servers,
		TrustAD: len(servers) > 0,
		Log:     d.logger("dns"),
		Observe: observeLookup,
	})
}
