package smtpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"mox/config"
	"mox/internal/metrics"
	"mox/internal/testkit"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if usersDir != "" {
		_ = os.RemoveAll(usersDir)
	}
	if n := metrics.PanicCount(); n != expectedPanics.Load() {
		fmt.Fprintf(os.Stderr, "%d panics were recovered, %d expected\n", n, expectedPanics.Load())
		code = 1
	}
	os.Exit(code)
}

// expectedPanics is how many panics tests have caused on purpose.
var expectedPanics atomic.Int64

// testStatic is a configuration without listeners of its own.
func testStatic(dir string) config.Static {
	return config.Static{
		DataDir:    dir,
		LogLevel:   "error",
		Hostname:   "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
	}
}

func testDynamic() config.Dynamic {
	return config.Dynamic{
		Domains: map[string]config.DomainFields{
			"example.org": {
				LocalpartCatchallSeparator: "+",
				Aliases: map[string]config.AliasFields{
					"list": {Addresses: []string{"ann@example.org", "bob@example.org", "left@example.org"}, PostPublic: true},
					"team": {Addresses: []string{"bob@example.org", "left@example.org", "gone@example.org"}, AllowMsgFrom: true},
					"one":  {Addresses: []string{"bob@example.org"}, PostPublic: true},
					"off":  {Addresses: []string{"ann@off.example", "bob@example.org"}, PostPublic: true},
					"past": {Addresses: []string{"gone@example.org"}, PostPublic: true},
				},
				TLSRPT: &config.ReportFields{Localpart: "tls-reports", Account: "mox", Mailbox: "TLSRPT"},
			},
			"☺.example":     {},
			"off.example":   {Disabled: true},
			"catch.example": {},
		},
		Accounts: map[string]config.AccountFields{
			"ann": {
				Domain:         "example.org",
				RejectsMailbox: "Rejects",
				Destinations: map[string]config.DestinationFields{
					"ann@example.org":  {},
					"ann@☺.example":    {},
					"ann@off.example":  {},
					"åsa@example.org":  {},
					"gone@example.org": {SMTPError: "550 moved to carrier pigeon"},
					"away@example.org": {SMTPError: "421"},
					"@catch.example":   {},
				},
			},
			"bob": {
				Domain:       "example.org",
				CRAMMD5:      true,
				Destinations: map[string]config.DestinationFields{"bob@example.org": {}},
			},
			"mox": {Domain: "example.org", Destinations: map[string]config.DestinationFields{"mox@example.org": {}}},
			"left": {
				Domain:         "example.org",
				LoginDisabled:  "account moved to the new server",
				RejectsMailbox: "Rejects",
				Destinations:   map[string]config.DestinationFields{"left@example.org": {}},
			},
		},
	}
}

// testServer is a server with sockets on loopback and engines that remember what
// they were given.
type testServer struct {
	*Server
	t    testing.TB
	ca   *testkit.CA
	fake *engines

	delivery, submission, submissions, lmtp string // Addresses of the sockets.
}

// testSetup is how a testServer is to be. The zero value is fine.
type testSetup struct {
	options  func(o *Options)
	listener func(l *ListenerOptions)
	static   func(c *config.Static)
	limited  bool // Loopback is not exempt from limits.
}

var testCA = sync.OnceValue(func() *testkit.CA { return testkit.NewCA(&neverFails{}) })

// neverFails is a testing.TB for what is shared by tests.
type neverFails struct{ testing.TB }

func (*neverFails) Helper() {}

var serverCert = sync.OnceValue(func() tls.Certificate {
	return testCA().Issue(&neverFails{}, testkit.ECDSA, "mx.example.org")
})

func newTestServer(t testing.TB, setup testSetup) *testServer {
	t.Helper()
	ts := unstartedServer(t, setup)
	ts.delivery = ts.listen(setup, ListenerOptions{Kind: Delivery})
	ts.submission = ts.listen(setup, ListenerOptions{Kind: Submission, RequireTLS: true})
	ts.submissions = ts.listen(setup, ListenerOptions{Kind: Submission, RequireTLS: true, ImmediateTLS: true})
	ts.lmtp = ts.listen(setup, ListenerOptions{Kind: LMTP})
	return ts
}

// unstartedServer has no sockets.
func unstartedServer(t testing.TB, setup testSetup) *testServer {
	t.Helper()
	dir := t.TempDir()
	static := testStatic(dir)
	if setup.static != nil {
		setup.static(&static)
	}
	snap, err := config.New(static, testDynamic())
	if err != nil {
		t.Fatalf("config: %v", err)
	}
	fake := newEngines()
	opts := Options{
		Log:     testLog(),
		Config:  config.NewHolder(snap),
		Auth:    testUsers(t),
		Decide:  fake,
		Deliver: fake,
		Submit:  fake,
		Report:  fake,
		TempDir: dir,
	}
	if setup.options != nil {
		setup.options(&opts)
	}
	srv := New(opts)
	ts := &testServer{Server: srv, t: t, ca: testCA(), fake: fake}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // Clients are gone, or should be.
		_ = srv.Shutdown(ctx)
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("temporary files left: %v, %v", left, err)
		}
	})
	return ts
}

func testLog() *slog.Logger {
	if testing.Verbose() && os.Getenv("MOX_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// listenerOptions fills in what is the same for most tests.
func (ts *testServer) listenerOptions(setup testSetup, o ListenerOptions) ListenerOptions {
	o.Name = "test"
	o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{serverCert()}}
	o.MaxMessageSize = 1 << 20
	o.Limits = config.Limits{ConnectionsPerMinute: -1, OpenConnections: -1}
	if !setup.limited {
		o.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	if setup.listener != nil {
		setup.listener(&o)
	}
	return o
}

func (ts *testServer) listen(setup testSetup, o ListenerOptions) string {
	ts.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		ts.t.Fatalf("listen: %v", err)
	}
	o = ts.listenerOptions(setup, o)
	go func() { _ = ts.Serve(context.Background(), l, o) }()
	return l.Addr().String()
}
