package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"mox/config"
	"mox/dns"
	"mox/internal/testkit"
)

const testHost = "mail.example"

// testConfig returns a configuration with an authority, host keys in files, and domains
// for which there are settings for mail programs.
func testConfig(t *testing.T, acme config.ACME, keys []string, autoconfig ...string) *config.Snapshot {
	t.Helper()
	var l config.ListenerFields
	l.IPs, l.TLS = []string{"127.0.0.1"}, &config.TLSFields{ACME: acme.Name}
	l.AutoconfigHTTPS.Enabled = len(autoconfig) > 0
	domains := map[string]config.DomainFields{testHost: {}}
	for _, name := range autoconfig {
		domains[name] = config.DomainFields{}
	}
	s, err := config.New(config.Static{
		DataDir:    "data",
		LogLevel:   "info",
		Hostname:   testHost,
		ACME:       map[string]config.ACMEFields{acme.Name: {DirectoryURL: acme.DirectoryURL, ContactEmail: acme.ContactEmail}},
		Listeners:  map[string]config.ListenerFields{"public": l},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
	}, config.Dynamic{
		Domains:  domains,
		Accounts: map[string]config.AccountFields{"ann": {Domain: testHost}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.ACME[acme.Name] = acme
	s.Listeners[0].TLS.HostKeyFiles = keys
	return s
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// changing is a configuration that changes.
type changing struct {
	mu      sync.Mutex
	s       *config.Snapshot
	changed chan struct{}
}

func (c *changing) Snapshot() *config.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s
}

func (c *changing) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *changing) set(s *config.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.s, c.changed = s, make(chan struct{})
}

// setup is a manager, and a pebble that it gets certificates from.
type setup struct {
	*Manager
	pebble   *testkit.Pebble
	conf     *changing
	opts     Options
	listener *Listener
	log      *buffer
}

// setupOptions are for newSetup.
type setupOptions struct {
	pebble testkit.PebbleOptions
	acme   config.ACME
	keys   []string // Files with host keys.
	dns    Resolver
	noTLS  bool // TLS-ALPN-01 is not answered.
	http   bool // HTTP-01 is.

	autoconfig []string // Domains with settings for mail programs.
}

// forward serves an address with what is set later.
type forward struct {
	mu      sync.Mutex
	manager *Manager
}

func (f *forward) get() *Manager {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.manager
}

func (f *forward) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if m := f.get(); m != nil {
		return m.ChallengeConfig(hello)
	}
	return nil, errors.New("too early")
}

// newSetup starts a pebble, and makes a manager with a listener.
func newSetup(t *testing.T, opts setupOptions) *setup {
	t.Helper()
	f := &forward{}
	opts.pebble.HTTPPort, opts.pebble.TLSPort = 1, 1
	if !opts.noTLS {
		opts.pebble.TLSPort = serveChallenges(t, f)
	}
	if opts.http {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.get().HTTPHandler().ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		opts.pebble.HTTPPort = srv.Listener.Addr().(*net.TCPAddr).Port
	}
	if opts.pebble.DNS == "" {
		opts.pebble.DNS = testkit.NewDNS(t, testkit.DNSOptions{Zone: testHost + ". A 127.0.0.1"}).Addr
	}
	pebble := testkit.StartPebble(t, opts.pebble)
	acme := opts.acme
	acme.Name, acme.DirectoryURL, acme.ContactEmail, acme.Port = "pebble", pebble.Directory, "ann@mail.example", 443
	conf := &changing{s: testConfig(t, acme, opts.keys, opts.autoconfig...), changed: make(chan struct{})}
	s := &setup{pebble: pebble, conf: conf, log: &buffer{}}
	s.opts = Options{
		Config:  conf,
		DataDir: t.TempDir(),
		DNS:     opts.dns,
		Roots:   pebble.CA.Pool(),
		Version: "test",
		Log:     slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if opts.acme.DNS01 != nil {
		s.opts.Resolvers = []netip.AddrPort{netip.MustParseAddrPort(opts.pebble.DNS)}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", s.log)
		}
	})
	s.start(t)
	if opts.http {
		s.HTTPHandler()
	}
	f.mu.Lock()
	f.manager = s.Manager
	f.mu.Unlock()
	return s
}

// start makes the manager, anew if there is one.
func (s *setup) start(t *testing.T) {
	t.Helper()
	if s.Manager != nil {
		_ = s.Close()
	}
	var err error
	if s.Manager, err = NewManager(s.opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.interval, s.patience = time.Hour, testkit.ProcessTimeout
	if s.listener, err = s.Listener(s.opts.Config.Snapshot().Listeners[0]); err != nil {
		t.Fatal(err)
	}
}

// serveChallenges answers authorities at a port.
func serveChallenges(t *testing.T, f *forward) int {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetConfigForClient: f.config, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, errors.New("not an authority")
	}})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				_ = nc.SetDeadline(time.Now().Add(testkit.ProcessTimeout))
				_ = nc.(*tls.Conn).Handshake() // The authority says when it fails.
				_ = nc.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		done.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

// within waits until something is so.
func within(t *testing.T, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(testkit.ProcessTimeout); !fn(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("time ran out: %s", what)
		}
	}
}

// obtained waits for a certificate.
func (s *setup) obtained(t *testing.T, kind Kind) *tls.Certificate {
	t.Helper()
	return s.obtainedFor(t, testHost, kind)
}

func (s *setup) obtainedFor(t *testing.T, host string, kind Kind) *tls.Certificate {
	t.Helper()
	var cert *tls.Certificate
	within(t, "certificate", func() bool {
		cert = s.authority["pebble"].certificate(host, kind)
		return cert != nil
	})
	return cert
}

func newKeys(t *testing.T, dir string, kinds ...Kind) []string {
	t.Helper()
	var paths []string
	for _, kind := range kinds {
		path := filepath.Join(dir, string(kind)+".pem")
		if _, err := NewHostKey(path, kind); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestCertificatesForHostKeysWithTLSALPN01(t *testing.T) {
	t.Parallel()
	paths := newKeys(t, t.TempDir(), P256, RSA2048)
	s := newSetup(t, setupOptions{keys: paths})

	before, err := handshake(t, s.listener.DeliveryConfig(), testHost, nil)
	if err != nil || before.Issuer.String() != before.Subject.String() {
		t.Fatalf("before there is a certificate, other mail servers got %v, %v", before, err)
	}
	s.Start()
	// A client that comes before there is a certificate waits for it.
	roots := s.pebble.Roots(t)
	if _, err := handshake(t, s.listener.Config(), testHost, roots); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	s.obtained(t, P256)
	s.obtained(t, RSA2048)

	records, err := Records(paths)
	if err != nil || len(records) != 2 {
		t.Fatalf("records: %v, %v", records, err)
	}
	for i, suite := range []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} {
		conn, err := tls.Dial("tcp", serve(t, s.listener.Config()), &tls.Config{
			ServerName: testHost, RootCAs: roots, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite},
		})
		if err != nil {
			t.Fatalf("client with %s: %v", tls.CipherSuiteName(suite), err)
		}
		leaf := conn.ConnectionState().PeerCertificates[0]
		_ = conn.Close()
		if sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo); !bytes.Equal(sum[:], records[i].CertAssoc) {
			t.Errorf("client with %s got a certificate whose key has another record than %s", tls.CipherSuiteName(suite), records[i].Record())
		}
	}
	testNames(t, s.listener, roots)
	within(t, "line in log", func() bool { return strings.Contains(s.log.String(), "certificate obtained") })
	within(t, "metric", func() bool { return gauge(t, testHost, "p256") > float64(time.Now().Unix()) })

	// The next start needs no authority.
	s.pebble.Kill()
	s.start(t)
	s.Start()
	first := s.obtained(t, P256)
	if _, err := handshake(t, s.listener.Config(), testHost, roots); err != nil || first == nil {
		t.Fatalf("after a restart: %v", err)
	}
}

func TestCertificateForADomainThatIsAddedIsRequestedAtOnce(t *testing.T) {
	t.Parallel()
	server := testkit.NewDNS(t, testkit.DNSOptions{Zone: testHost + ". A 127.0.0.1\nautoconfig.mail.example. A 127.0.0.1\nautodiscover.mail.example. CNAME mail.example.\n" +
		"autoconfig.new.example. A 127.0.0.1\nautodiscover.new.example. A 127.0.0.2\n"}).Addr
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server}})
	if err != nil {
		t.Fatal(err)
	}
	s := newSetup(t, setupOptions{pebble: testkit.PebbleOptions{DNS: server}, dns: resolver, autoconfig: []string{testHost}})
	s.Start()
	s.obtainedFor(t, "autoconfig.mail.example", P256)
	s.conf.set(testConfig(t, s.conf.Snapshot().ACME["pebble"], nil, testHost, "new.example"))
	s.obtainedFor(t, "autoconfig.new.example", P256)

	// Nobody needs to have these names.
	a, roots := s.authority["pebble"], s.pebble.Roots(t)
	for name, leadsHere := range map[string]bool{"autodiscover.mail.example": true, "autodiscover.new.example": false} {
		if cert := a.certificate(name, P256); cert != nil {
			t.Errorf("%s: there is a certificate before anyone asks for it", name)
		}
		if _, err := handshake(t, s.listener.Config(), name, roots); (err == nil) != leadsHere {
			t.Errorf("%s: handshake: %v", name, err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names[nameKind{"autodiscover.new.example", P256}] != nil {
		t.Error("certificate was requested for a name that leads elsewhere")
	}
}

// testNames checks which certificates clients get for names.
func testNames(t *testing.T, l *Listener, roots *x509.CertPool) {
	t.Helper()
	for _, name := range []string{testHost, "MAIL.example", "127.0.0.1"} { // Clients do not send addresses.
		cert, err := handshake(t, l.Config(), name, nil)
		if err != nil || cert.VerifyHostname(testHost) != nil {
			t.Errorf("%s: user got %v, %v", name, cert, err)
		}
	}
	for _, name := range []string{"other.example", "localhost", "x.mail.example"} {
		_, err := handshake(t, l.Config(), name, nil)
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: user got error %v", name, err)
		}
		cert, err := handshake(t, l.DeliveryConfig(), name, nil)
		if err != nil || cert.VerifyHostname(testHost) != nil {
			t.Errorf("%s: mail server got %v, %v", name, cert, err)
		}
	}
	if _, err := handshake(t, l.DeliveryConfig(), testHost, roots); err != nil {
		t.Errorf("mail server: %v", err)
	}
}

// gauge returns until when a certificate is valid.
func gauge(t *testing.T, host, key string) float64 {
	t.Helper()
	return value(t, metricExpiry.WithLabelValues(host, key)).GetGauge().GetValue()
}

func value(t *testing.T, m prometheus.Metric) *dto.Metric {
	t.Helper()
	var v dto.Metric
	if err := m.Write(&v); err != nil {
		t.Fatal(err)
	}
	return &v
}

func TestCertificateWithHTTP01(t *testing.T) {
	t.Parallel()
	s := newSetup(t, setupOptions{noTLS: true, http: true})
	s.Start()
	cert := s.obtained(t, P256)
	if err := cert.Leaf.VerifyHostname(testHost); err != nil {
		t.Error(err)
	}
}

func TestHTTPHandlerAnswersForTheNameAndTokenAskedFor(t *testing.T) {
	t.Parallel()
	c := newChallenges()
	c.http["mail.example token"] = "token.thumb"
	for _, tc := range []struct {
		url    string
		status int
	}{
		{"http://mail.example/.well-known/acme-challenge/token", http.StatusOK},
		{"http://Mail.Example.:80/.well-known/acme-challenge/token", http.StatusOK},
		{"http://other.example/.well-known/acme-challenge/token", http.StatusNotFound},
		{"http://mail.example/.well-known/acme-challenge/", http.StatusNotFound},
		{"http://mail.example/token", http.StatusNotFound},
	} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tc.url, nil))
		if w.Code != tc.status || tc.status == http.StatusOK && w.Body.String() != "token.thumb" {
			t.Errorf("%s: got status %d, %q", tc.url, w.Code, w.Body)
		}
	}
}

func TestCertificateWithExternalAccount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "eab")
	// "a key with 32 octets, all of them!" in base64url, with the padding that some authorities show.
	if err := os.WriteFile(keyFile, []byte("YSBrZXkgd2l0aCBtb3JlIHRoYW4gMzIgb2N0ZXRzISE=\n"), 0600); err != nil {
		t.Fatal(err)
	}
	s := newSetup(t, setupOptions{
		pebble: testkit.PebbleOptions{ExternalKeys: map[string][]byte{"kid-1": []byte("a key with more than 32 octets!!")}},
		acme:   config.ACME{EABKeyID: "kid-1", EABKeyFile: keyFile},
	})
	s.Start()
	s.obtained(t, P256)
}

func TestAuthorityThatWantsAnotherAccountIsReportedWithAdvice(t *testing.T) {
	t.Parallel()
	s := newSetup(t, setupOptions{pebble: testkit.PebbleOptions{ExternalKeys: map[string][]byte{"kid-1": []byte("a key with more than 32 octets!!")}}})
	errs := metricRequestErrors.WithLabelValues("pebble")
	before := value(t, errs).GetCounter().GetValue()
	s.Start()
	within(t, "line in log", func() bool { return strings.Contains(s.log.String(), "set ExternalAccountBinding") })
	if value(t, errs).GetCounter().GetValue() == before {
		t.Error("failure was not counted")
	}
	if _, err := handshake(t, s.listener.DeliveryConfig(), testHost, nil); err != nil {
		t.Errorf("mail server without a certificate from the authority: %v", err)
	}
}

func TestCertificatesAreRenewedWhenTheOperatorWants(t *testing.T) {
	t.Parallel()
	const validity = 30 * 24 * time.Hour
	paths := newKeys(t, t.TempDir(), P256)
	s := newSetup(t, setupOptions{
		keys:   paths,
		pebble: testkit.PebbleOptions{Validity: validity},
		acme:   config.ACME{RenewBefore: validity - 5*time.Second},
	})
	s.Start()
	first := s.obtained(t, P256)
	a := s.authority["pebble"]
	within(t, "renewal", func() bool {
		if err := a.cache[P256].RenewManagedCertificates(context.Background()); err != nil {
			t.Fatal(err)
		}
		cert := a.certificate(testHost, P256)
		return cert.Leaf.SerialNumber.Cmp(first.Leaf.SerialNumber) != 0
	})
	cert := a.certificate(testHost, P256)
	if key, err := readHostKey(paths[0]); err != nil || !certifies(cert.Leaf, key.Key) {
		t.Errorf("renewed certificate is for another key, %v", err)
	}
	within(t, "line in log", func() bool { return strings.Contains(s.log.String(), "renewal=true") })
}

func TestNewKeyIsUsedOnceItsRecordIsPublished(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	paths := newKeys(t, dir, P256)
	tlsa := &fakeTLSA{}
	s := newSetup(t, setupOptions{keys: paths, dns: tlsa})
	old, err := readHostKey(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	tlsa.set(t, old)
	s.Start()
	s.obtained(t, P256)

	next, _, err := StartRollover(paths[0], time.Now().Add(-RolloverWait))
	if err != nil {
		t.Fatal(err)
	}
	s.kick()
	within(t, "advice to publish", func() bool { return strings.Contains(s.log.String(), "publish it besides the others") })
	if cert := s.obtained(t, P256); !certifies(cert.Leaf, old.Key) {
		t.Fatal("key changed before its record was published")
	}
	tlsa.set(t, old, next)
	s.kick()
	within(t, "certificate for new key", func() bool {
		return certifies(s.obtained(t, P256).Leaf, next.Key)
	})
	if s.inUse(s.opts.Config.Snapshot().Listeners[0].Hostname, old.Key) {
		within(t, "end of use of old key", func() bool { return !s.inUse(s.opts.Config.Snapshot().Listeners[0].Hostname, old.Key) })
	}
	if records, err := Records(paths); err != nil || len(records) != 2 {
		t.Errorf("records: %v, %v", records, err)
	}
}

func TestOtherProtocolsAreNotAnswered(t *testing.T) {
	t.Parallel()
	c := newChallenges()
	if conf, err := c.config(&tls.ClientHelloInfo{SupportedProtos: []string{"h2"}}); conf != nil || err != nil {
		t.Errorf("other client: %v, %v", conf, err)
	}
	if _, err := c.config(&tls.ClientHelloInfo{SupportedProtos: []string{TLSALPN}, ServerName: testHost}); err == nil {
		t.Error("authority that asks for nothing: no error")
	}
}

func TestAdviceNamesWhatToLookAt(t *testing.T) {
	t.Parallel()
	if got := advice(config.ACME{DirectoryURL: "https://ca.example/dir"}, io.EOF); !strings.Contains(got, "https://ca.example/dir") {
		t.Errorf("got %q", got)
	}
}
