package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/internal/authdb"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/sasl"
	"mox/store"
)

var ctxbg = context.Background()

const password = "correct horse"

func tcheck(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logBuffer is a log that tests can read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func testConfig(t testing.TB, dir string) *config.Holder {
	t.Helper()
	snap, err := config.New(testStatic(dir), testDynamic())
	tcheck(t, err)
	return config.NewHolder(snap)
}

func testStatic(dir string) (static config.Static) {
	static.DataDir = dir
	static.LogLevel = "info"
	static.Hostname = "mx.example.org"
	static.Listeners = map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}}
	static.Postmaster = config.PostmasterFields{Account: "ann", Mailbox: "Inbox"}
	return static
}

func testDynamic() config.Dynamic {
	account := func(addrs ...string) config.AccountFields {
		f := config.AccountFields{Domain: "example.org", Destinations: map[string]config.DestinationFields{}}
		for _, a := range addrs {
			f.Destinations[a] = config.DestinationFields{}
		}
		return f
	}
	cram := account("cram@example.org")
	cram.CRAMMD5 = true
	cramNone := account("cramnone@example.org")
	cramNone.CRAMMD5 = true
	disabled := account("disabled@example.org")
	disabled.LoginDisabled = "moved to another server"
	return config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {LocalpartCatchallSeparator: "+"}},
		Accounts: map[string]config.AccountFields{
			"ann": account("ann@example.org", "a@example.org"), "cram": cram, "cramnone": cramNone,
			"disabled": disabled, "nopass": account("nopass@example.org"), "noaccount": account("noaccount@example.org"),
		},
	}
}

type env struct {
	c   *Checker
	log *logBuffer
	dir string
	st  *store.Store
	db  *authdb.DB
}

// credentials of the tests' one password, derived once: that is costly on purpose.
var derived = sync.OnceValues(func() (store.Credentials, error) {
	c := &Checker{shared: &shared{passwords: sasl.NewPasswordChecker(sasl.PasswordCheckerOptions{})}}
	return c.derive(ctxbg, password, user{account: config.Account{CRAMMD5: true}})
})

func testEnv(t testing.TB) *env {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(ctxbg, store.Options{Dir: dir, Log: mlog.Discard()})
	tcheck(t, err)
	t.Cleanup(func() { st.Close() })
	db, err := authdb.Open(ctxbg, authdb.Options{Dir: dir})
	tcheck(t, err)
	t.Cleanup(func() { db.Close() })
	e := &env{log: &logBuffer{}, dir: dir, st: st, db: db}
	e.c, err = New(Options{
		Store: st, Config: testConfig(t, dir), Dir: dir, Log: slog.New(slog.NewTextHandler(e.log, nil)),
		AppPasswords: db, Attempts: db,
	})
	tcheck(t, err)
	creds, err := derived()
	tcheck(t, err)
	for _, name := range []string{"ann", "cram", "cramnone", "disabled", "nopass"} {
		acc, err := st.Ensure(ctxbg, name)
		tcheck(t, err)
		c := creds
		switch name {
		case "nopass":
			c = store.Credentials{}
		case "cramnone", "disabled":
			c.CRAMMD5 = nil
		}
		tcheck(t, acc.SetCredentials(ctxbg, c)) // Ann has CRAM-MD5 from an earlier configuration.
		acc.Release()
	}
	return e
}

func from(ip string) Attempt {
	return Attempt{Protocol: "imap", Mechanism: "LOGIN", RemoteIP: netip.MustParseAddr(ip)}
}

func TestPasswordIsChecked(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	tests := []struct {
		name, user, pass string
		account, address string
		err              error
	}{
		{"right", "ann@example.org", password, "ann", "ann@example.org", nil},
		{"other address", "A@EXAMPLE.org", password, "ann", "A@example.org", nil},
		{"with separator", "ann+imap@example.org", password, "ann", "ann+imap@example.org", nil},
		{"wrong password", "ann@example.org", "correct horsf", "", "", ErrCredentials},
		{"empty password", "ann@example.org", "", "", "", ErrCredentials},
		{"unknown user", "bob@example.org", password, "", "", ErrCredentials},
		{"unknown domain", "ann@example.com", password, "", "", ErrCredentials},
		{"account name", "ann", password, "", "", ErrCredentials},
		{"no user", "", password, "", "", ErrCredentials},
		{"control character", "ann\x00@example.org", password, "", "", ErrCredentials},
		{"account without password", "nopass@example.org", "", "", "", ErrCredentials},
		{"account without password, with one", "nopass@example.org", password, "", "", ErrCredentials},
		{"account without directory", "noaccount@example.org", password, "", "", ErrCredentials},
		{"postmaster is no login", "postmaster@mx.example.org", password, "", "", ErrCredentials},
		{"disabled", "disabled@example.org", password, "", "", ErrLoginDisabled},
		{"disabled, wrong password", "disabled@example.org", "wrong pass", "", "", ErrCredentials},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res, err := e.c.Password(ctxbg, from(fmt.Sprintf("10.%d.0.1", i)), tc.user, tc.pass)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if res.Account != tc.account || res.LoginAddress != tc.address {
				t.Fatalf("got %+v", res)
			}
		})
	}
}

func TestDisabledLoginTellsTheConfiguredText(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	_, err := e.c.Password(ctxbg, from("10.0.0.1"), "disabled@example.org", password)
	var d *LoginDisabledError
	if !errors.As(err, &d) || d.Text != "moved to another server" {
		t.Fatalf("got %v", err)
	}
}

// The client sides of package sasl, over the steps that servers do.
func exchangeWith(t *testing.T, e *env, a Attempt, client sasl.Client) (Result, error) {
	t.Helper()
	x, err := e.c.Begin(ctxbg, a, client.Name())
	if err != nil {
		return Result{}, err
	}
	defer x.Close()
	var response []byte
	if client.ClientFirst() {
		response, _, err = client.Next(nil)
		tcheck(t, err)
		if response == nil {
			response = []byte{}
		}
	}
	for range 10 {
		challenge, done, err := x.Next(ctxbg, response)
		if err != nil {
			return Result{}, err
		}
		if done {
			return x.Result(), nil
		}
		response, _, err = client.Next(challenge)
		tcheck(t, err)
		if response == nil {
			response = []byte{}
		}
	}
	t.Fatal("exchange does not end")
	return Result{}, nil
}

func creds(user, pass string) sasl.Credentials {
	return sasl.Credentials{Identity: sasl.Identity{Authentication: user}, Password: pass}
}

func clients(user, pass string) map[string]sasl.Client {
	return map[string]sasl.Client{
		sasl.Plain:       sasl.NewPlainClient(creds(user, pass)),
		sasl.Login:       sasl.NewLoginClient(creds(user, pass)),
		sasl.CRAMMD5:     sasl.NewCRAMMD5Client(creds(user, pass)),
		sasl.SCRAMSHA1:   sasl.NewSCRAMClient(sasl.SHA1, creds(user, pass), sasl.SCRAMClientOptions{}),
		sasl.SCRAMSHA256: sasl.NewSCRAMClient(sasl.SHA256, creds(user, pass), sasl.SCRAMClientOptions{}),
	}
}

func TestMechanismsLogInWithTheRightPasswordOnly(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	n := 0
	for _, user := range []string{"cram@example.org", "ann@example.org", "bob@example.org", "nopass@example.org", "disabled@example.org"} {
		for _, pass := range []string{password, "wrong password"} {
			for name, client := range clients(user, pass) {
				n++
				a := from(fmt.Sprintf("10.%d.%d.1", n/200, n%200))
				t.Run(user+" "+pass+" "+name, func(t *testing.T) {
					t.Parallel()
					res, err := exchangeWith(t, e, a, client)
					known := user == "cram@example.org" || user == "ann@example.org" && name != sasl.CRAMMD5
					switch {
					case known && pass == password:
						if err != nil || res.LoginAddress != user {
							t.Fatalf("got %+v, %v; want success", res, err)
						}
					case user == "disabled@example.org" && pass == password && name != sasl.CRAMMD5:
						if !errors.Is(err, ErrLoginDisabled) {
							t.Fatalf("got %v, want ErrLoginDisabled", err)
						}
					default:
						if !errors.Is(err, ErrCredentials) {
							t.Fatalf("got %v, want ErrCredentials", err)
						}
					}
				})
			}
		}
	}
}

func TestAccountsWithoutTheSecretOfAMechanismAreNotCounted(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	tests := []struct {
		name   string
		client func() sasl.Client
		counts bool
	}{
		{"SCRAM without password", func() sasl.Client { return clients("nopass@example.org", password)[sasl.SCRAMSHA256] }, false},
		{"CRAM-MD5, opted in after the password was set", func() sasl.Client { return clients("cramnone@example.org", password)[sasl.CRAMMD5] }, false},
		{"CRAM-MD5, not opted in", func() sasl.Client { return clients("ann@example.org", password)[sasl.CRAMMD5] }, true},
		{"CRAM-MD5, unknown user", func() sasl.Client { return clients("bob@example.org", password)[sasl.CRAMMD5] }, true},
		{"SCRAM, unknown user", func() sasl.Client { return clients("bob@example.org", password)[sasl.SCRAMSHA256] }, true},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := from(fmt.Sprintf("10.%d.0.1", i))
			for range 12 {
				_, err := exchangeWith(t, e, a, tc.client())
				if errors.Is(err, ErrRateLimited) && tc.counts {
					return
				}
				if !errors.Is(err, ErrCredentials) || errors.Is(err, ErrNoSecret) == tc.counts {
					t.Fatalf("got %v", err)
				}
			}
			if tc.counts {
				t.Fatal("not counted")
			}
		})
	}
}

func TestFailedAttemptsAreLimitedPerNetwork(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	e.c = e.c.WithLimits(config.Limits{AuthFailuresPerMinute: 3, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	fail := func(ip string) error {
		_, err := e.c.Password(ctxbg, from(ip), "ann@example.org", "wrong password")
		return err
	}
	for i := range 3 {
		if err := fail("192.0.2.1"); !errors.Is(err, ErrCredentials) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := fail("192.0.2.1"); !errors.Is(err, ErrRateLimited) {
		t.Fatalf("after the limit: %v", err)
	}
	a := from("192.0.2.1")
	if _, err := e.c.Password(ctxbg, a, "ann@example.org", password); !errors.Is(err, ErrRateLimited) {
		t.Fatalf("right password after the limit: %v", err)
	}
	if _, err := e.c.Begin(ctxbg, a, sasl.Plain); !errors.Is(err, ErrRateLimited) {
		t.Fatalf("exchange after the limit: %v", err)
	}
	if e.c.Allowed(a.RemoteIP) || !e.c.Allowed(netip.MustParseAddr("192.0.2.2")) {
		t.Fatal("allowed")
	}
	if err := fail("192.0.2.2"); !errors.Is(err, ErrCredentials) {
		t.Fatalf("neighbour: %v", err)
	}
	for range 5 {
		if err := fail("127.0.0.1"); !errors.Is(err, ErrCredentials) {
			t.Fatalf("exempt network: %v", err)
		}
	}
	none := e.c.WithLimits(config.Limits{AuthFailuresPerMinute: -1, AuthFailuresPerDay: -1})
	if !none.Allowed(a.RemoteIP) {
		t.Fatal("no limits")
	}
}

func TestSuccessForgivesEarlierFailures(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	a := from("192.0.2.1")
	for range 3 {
		for range 9 {
			if _, err := e.c.Password(ctxbg, a, "ann@example.org", "wrong password"); !errors.Is(err, ErrCredentials) {
				t.Fatal(err)
			}
		}
		if _, err := e.c.Password(ctxbg, a, "ann@example.org", password); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDefaultLimitsAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	for range 10 {
		if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "bob@example.org", "x"); !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
	}
	if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "bob@example.org", "x"); !errors.Is(err, ErrRateLimited) {
		t.Fatal(err)
	}
}

func TestUnknownUsersGetASteadySalt(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	salt := func(c *Checker, user string) string {
		t.Helper()
		x, err := c.Begin(ctxbg, from("192.0.2.1"), sasl.SCRAMSHA256)
		tcheck(t, err)
		defer x.Close()
		challenge, done, err := x.Next(ctxbg, []byte("n,,n="+user+",r=clientnonce"))
		if err != nil || done {
			t.Fatalf("done %v, %v", done, err)
		}
		l := strings.Split(string(challenge), ",")
		if len(l) != 3 || l[2] != fmt.Sprintf("i=%d", sasl.SCRAMDefaultIterations) {
			t.Fatalf("challenge %q", challenge)
		}
		return l[1]
	}
	other, err := New(Options{Store: e.st, Config: e.c.opts.Config, Dir: e.dir})
	tcheck(t, err)
	want := salt(e.c, "bob@example.org")
	for _, user := range []string{"bob@example.org", "BOB@example.org", "bob+x@example.org", "bob@EXAMPLE.ORG"} {
		if got := salt(other, user); got != want {
			t.Errorf("%s: salt %s, want %s", user, got, want)
		}
	}
	if salt(e.c, "eve@example.org") == want {
		t.Error("two users have one salt")
	}
	// An account without keys has one salt for all its addresses, as one with keys.
	if salt(e.c, "nopass@example.org") != salt(e.c, "NoPass+1@example.org") {
		t.Error("account without keys has two salts")
	}
	if len(salt(e.c, "ann@example.org")) != len(want) {
		t.Error("salt of another length")
	}
}

// Opening an account takes time; that of an unknown user must take as long.
func TestAnswersThatCostNothingTakeAFixedTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := testEnv(t)
		for _, user := range []string{"ann@example.org", "bob@example.org", "nopass@example.org", "x"} {
			start := time.Now()
			x, err := e.c.Begin(ctxbg, from("192.0.2.1"), sasl.SCRAMSHA256)
			tcheck(t, err)
			if _, _, err := x.Next(ctxbg, []byte("n,,n="+user+",r=clientnonce")); err != nil {
				t.Fatal(err)
			}
			x.Close()
			if d := time.Since(start); d != answerTime {
				t.Errorf("SCRAM for %s took %v", user, d)
			}
			start = time.Now()
			if _, err := exchangeWith(t, e, from("192.0.2.1"), clients(user, password)[sasl.CRAMMD5]); !errors.Is(err, ErrCredentials) {
				t.Fatal(err)
			}
			if d := time.Since(start); d != answerTime {
				t.Errorf("CRAM-MD5 for %s took %v", user, d)
			}
		}
	})
}

func TestDamagedSaltSecretIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tcheck(t, os.WriteFile(filepath.Join(dir, secretName), []byte("zz"), 0600))
	if _, err := loadSecret(dir); err == nil {
		t.Fatal("no error")
	}
}

func TestChannelBindingIsVerified(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	ca := testkit.NewCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := tlsPair(t, ca, version)
		a := from("192.0.2.1")
		a.TLS = &server
		for _, h := range []sasl.Hash{sasl.SHA1, sasl.SHA256} {
			good := sasl.TLSChannelBindings(&client)[0]
			res, err := exchangeWith(t, e, a, sasl.NewSCRAMClient(h, creds("ann@example.org", password), sasl.SCRAMClientOptions{Binding: &good}))
			if err != nil || res.Account != "ann" {
				t.Fatalf("%x: %+v, %v", version, res, err)
			}
			bad := good
			bad.Data = append(slices.Clone(good.Data[1:]), 1)
			_, err = exchangeWith(t, e, a, sasl.NewSCRAMClient(h, creds("ann@example.org", password), sasl.SCRAMClientOptions{Binding: &bad}))
			if !errors.Is(err, sasl.ErrChannelBinding) {
				t.Fatalf("%x: other connection: %v", version, err)
			}
			_, err = exchangeWith(t, e, a, sasl.NewSCRAMClient(h, creds("ann@example.org", password), sasl.SCRAMClientOptions{NoServerPlus: true}))
			if !errors.Is(err, sasl.ErrDowngrade) {
				t.Fatalf("%x: downgrade: %v", version, err)
			}
		}
	}
	if log := e.log.take(); !strings.Contains(log, "result=badchanbind") || !strings.Contains(log, "level=WARN") {
		t.Fatalf("log %s", log)
	}
}

// tlsPair returns the states of both ends of a connection.
func tlsPair(t *testing.T, ca *testkit.CA, version uint16) (server, client tls.ConnectionState) {
	t.Helper()
	sc, cc := net.Pipe()
	defer sc.Close()
	defer cc.Close()
	conf := ca.ClientConfig("mx.example.org")
	conf.MaxVersion = version
	st, ct := tls.Server(sc, ca.ServerConfig(t, "mx.example.org")), tls.Client(cc, conf)
	errc := make(chan error, 1)
	go func() { errc <- st.Handshake() }()
	tcheck(t, ct.Handshake())
	tcheck(t, <-errc)
	return st.ConnectionState(), ct.ConnectionState()
}

func TestMechanismsAnnounced(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	withTLS := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}
	plain := []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}
	tests := []struct {
		tls, cert, plain bool
		want             []string
	}{
		{true, false, false, withTLS},
		{true, true, true, withTLS},
		{false, false, true, plain},
		{false, false, false, nil},
	}
	for _, tc := range tests {
		if got := e.c.Mechanisms(tc.tls, tc.cert, tc.plain); !slices.Equal(got, tc.want) {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
	for _, name := range withTLS {
		if e.c.mechanism(Attempt{}, name) == nil {
			t.Errorf("announced %s is not known", name)
		}
	}
}

func TestPlainRules(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	tests := []struct {
		name     string
		response string
		want     error
	}{
		{"no authorization identity", "\x00ann@example.org\x00" + password, nil},
		{"equal authorization identity", "ann@example.org\x00ann@example.org\x00" + password, nil},
		{"other authorization identity", "cram@example.org\x00ann@example.org\x00" + password, ErrCredentials},
		{"two fields", "ann@example.org\x00" + password, sasl.ErrProtocol},
		{"empty", "", sasl.ErrProtocol},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			x, err := e.c.Begin(ctxbg, from("192.0.2.1"), sasl.Plain)
			tcheck(t, err)
			defer x.Close()
			challenge, done, err := x.Next(ctxbg, nil)
			if len(challenge) != 0 || done || err != nil {
				t.Fatalf("without initial response: %q, %v, %v", challenge, done, err)
			}
			_, done, err = x.Next(ctxbg, []byte(tc.response))
			if !errors.Is(err, tc.want) || done != (tc.want == nil) {
				t.Fatalf("got %v, %v", done, err)
			}
			if _, _, err := x.Next(ctxbg, nil); !errors.Is(err, sasl.ErrProtocol) {
				t.Fatalf("step after the end: %v", err)
			}
		})
	}
}

// keys are those of client certificates, by fingerprint.
type keys map[string]authdb.TLSPublicKey

func (k keys) TLSPublicKey(_ context.Context, fingerprint string) (authdb.TLSPublicKey, error) {
	if key, ok := k[fingerprint]; ok {
		return key, nil
	}
	return authdb.TLSPublicKey{}, authdb.ErrNotFound
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	ca := testkit.NewCA(t)
	certs := map[string]*x509.Certificate{}
	known := keys{}
	for name, key := range map[string]authdb.TLSPublicKey{
		"ann": {Account: "ann", LoginAddress: "ann@example.org"}, "other": {}, "gone": {Account: "gone", LoginAddress: "gone@example.org"},
	} {
		cert, err := x509.ParseCertificate(ca.IssueClient(t, testkit.ECDSA, name).Certificate[0])
		tcheck(t, err)
		certs[name] = cert
		if key.Fingerprint = authdb.Fingerprint(cert); key.Account != "" {
			known[key.Fingerprint] = key
		}
	}
	if l := e.c.Mechanisms(true, true, false); slices.Contains(l, sasl.External) {
		t.Errorf("EXTERNAL without keys: %v", l)
	}
	e.c.opts.Keys = known
	if l := e.c.Mechanisms(true, true, false); l[0] != sasl.External {
		t.Errorf("mechanisms %v", l)
	}
	if l := e.c.Mechanisms(true, false, false); slices.Contains(l, sasl.External) {
		t.Errorf("EXTERNAL without certificate: %v", l)
	}
	for _, tc := range []struct {
		cert, name string
		want       string // Login address, empty for failure.
	}{
		{"ann", "", "ann@example.org"},
		{"ann", "ann@example.org", "ann@example.org"},
		{"ann", "bob@example.org", ""},
		{"ann", "nobody@example.org", ""},
		{"ann", "not an address", ""},
		{"other", "", ""},
		{"other", "ann@example.org", ""},
		{"gone", "", ""},
		{"", "ann@example.org", ""},
	} {
		a := from("192.0.2.1")
		a.TLS = &tls.ConnectionState{}
		if tc.cert != "" {
			a.TLS.PeerCertificates = []*x509.Certificate{certs[tc.cert]}
		}
		res, err := exchangeWith(t, e, a, sasl.NewExternalClient(tc.name))
		if tc.want == "" && !errors.Is(err, ErrCredentials) || tc.want != "" && err != nil || res.LoginAddress != tc.want {
			t.Errorf("certificate %q, name %q: %+v, %v", tc.cert, tc.name, res, err)
		}
	}
}

func TestExchangesThatCannotSucceed(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	if _, err := e.c.Begin(ctxbg, from("192.0.2.1"), "GSSAPI"); !errors.Is(err, sasl.ErrMechanism) {
		t.Fatalf("unknown mechanism: %v", err)
	}
	if _, err := exchangeWith(t, e, from("192.0.2.1"), sasl.NewExternalClient("ann@example.org")); !errors.Is(err, ErrCredentials) {
		t.Fatalf("EXTERNAL: %v", err)
	}
	tests := []struct {
		mechanism string
		responses []string
		want      error
	}{
		{sasl.CRAMMD5, []string{"initial"}, sasl.ErrProtocol},
		{sasl.SCRAMSHA256, []string{"x"}, sasl.ErrProtocol},
		{sasl.SCRAMSHA256, []string{"n,,n=ann@example.org,r=clientnonce", "x"}, sasl.ErrProtocol},
		{sasl.SCRAMSHA256, []string{"n,a=cram@example.org,n=ann@example.org,r=clientnonce"}, ErrCredentials},
		{sasl.SCRAMSHA256Plus, []string{"p=tls-exporter,,n=ann@example.org,r=clientnonce"}, sasl.ErrChannelBindingMissing},
		{sasl.Login, []string{""}, sasl.ErrUsername},
	}
	for _, tc := range tests {
		x, err := e.c.Begin(ctxbg, from("192.0.2.1"), tc.mechanism)
		tcheck(t, err)
		for _, r := range tc.responses {
			_, _, err = x.Next(ctxbg, []byte(r))
		}
		if !errors.Is(err, tc.want) {
			t.Errorf("%s %q: got %v, want %v", tc.mechanism, tc.responses, err, tc.want)
		}
		x.Close()
	}
}

func TestFailedProofHasALastChallenge(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	client := sasl.NewSCRAMClient(sasl.SHA256, creds("ann@example.org", "wrong password"), sasl.SCRAMClientOptions{})
	x, err := e.c.Begin(ctxbg, from("192.0.2.1"), client.Name())
	tcheck(t, err)
	defer x.Close()
	first, _, err := client.Next(nil)
	tcheck(t, err)
	challenge, _, err := x.Next(ctxbg, first)
	tcheck(t, err)
	final, _, err := client.Next(challenge)
	tcheck(t, err)
	challenge, done, err := x.Next(ctxbg, final)
	if string(challenge) != "e=invalid-proof" || done || !errors.Is(err, ErrCredentials) {
		t.Fatalf("got %q, %v, %v", challenge, done, err)
	}
}

func TestEachAttemptIsOneLineForToolsThatBlockAddresses(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	line := func(fn func()) string {
		t.Helper()
		e.log.take()
		fn()
		l := strings.Split(strings.TrimSpace(e.log.take()), "\n")
		if len(l) != 1 {
			t.Fatalf("lines %q", l)
		}
		return l[0]
	}
	got := line(func() {
		_, _ = e.c.Password(ctxbg, from("192.0.2.1"), "bob@example.org result=ok", "secret-password")
	})
	want := `msg="login attempt" result=baduser remote=192.0.2.1 protocol=imap mechanism=LOGIN username="bob@example.org result=ok"`
	if !strings.Contains(got, want) || strings.Contains(got, "secret-password") {
		t.Errorf("got %s", got)
	}
	got = line(func() {
		_, _ = e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", password)
	})
	if want := `result=ok remote=192.0.2.1 protocol=imap mechanism=LOGIN account=ann username=ann@example.org`; !strings.Contains(got, want) {
		t.Errorf("got %s", got)
	}
	got = line(func() {
		x, err := e.c.Begin(ctxbg, from("192.0.2.1"), sasl.SCRAMSHA1)
		tcheck(t, err)
		x.Close()
		x.Close()
	})
	if !strings.Contains(got, "result=aborted") || !strings.Contains(got, "mechanism=SCRAM-SHA-1") {
		t.Errorf("got %s", got)
	}
	got = line(func() {
		_, _ = e.c.Password(ctxbg, from("192.0.2.1"), strings.Repeat("x", 10000), password)
	})
	if len(got) > 1000 {
		t.Errorf("line of %d octets", len(got))
	}
}

func TestSetPasswordDerivesAllSecrets(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	// Full-width and composed forms of the same characters, RFC 8265 §4.2.
	tcheck(t, e.c.SetPassword(ctxbg, "noaccount", "pässwörd 1"))
	for name, client := range clients("noaccount@example.org", "pa\u0308sswo\u0308rd\u00a01") {
		_, err := exchangeWith(t, e, from("192.0.2.1"), client)
		if name == sasl.CRAMMD5 != errors.Is(err, ErrCredentials) || name != sasl.CRAMMD5 && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	acc, err := e.st.Account(ctxbg, "noaccount")
	tcheck(t, err)
	defer acc.Release()
	c, err := acc.Credentials(ctxbg)
	tcheck(t, err)
	if c.CRAMMD5 != nil || c.Changed.IsZero() || !strings.HasPrefix(c.Argon2id, "$argon2id$") {
		t.Errorf("credentials %+v", c)
	}
	tcheck(t, e.c.SetPassword(ctxbg, "cramnone", password))
	if _, err := exchangeWith(t, e, from("192.0.2.1"), clients("cramnone@example.org", password)[sasl.CRAMMD5]); err != nil {
		t.Errorf("CRAM-MD5 after the password was set again: %v", err)
	}
}

func TestNewPasswordReplacesTheOldOneAtOnce(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	login := func(pass string) error {
		_, err := e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", pass)
		return err
	}
	tcheck(t, login(password))
	tcheck(t, login(password)) // From the cache.
	tcheck(t, e.c.SetPassword(ctxbg, "ann", "another password"))
	if err := login(password); !errors.Is(err, ErrCredentials) {
		t.Fatalf("old password: %v", err)
	}
	tcheck(t, login("another password"))
}

func TestPasswordsThatCannotBeSet(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	tests := []struct {
		account, pass string
		want          error
	}{
		{"ann", "1234567", ErrPasswordTooShort},
		{"ann", "ääääääa", ErrPasswordTooShort},
		{"ann", "", ErrPasswordTooShort},
		{"ann", strings.Repeat("x", MaxPassword+1), ErrPasswordTooLong},
		{"ann", "12345678\xff", ErrPasswordUTF8},
		{"nobody", "12345678", store.ErrNoAccount},
	}
	for _, tc := range tests {
		if err := e.c.SetPassword(ctxbg, tc.account, tc.pass); !errors.Is(err, tc.want) {
			t.Errorf("%s %q: got %v, want %v", tc.account, tc.pass, err, tc.want)
		}
	}
}

func TestPasswordCacheIsBoundedAndExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p passwordCache
		p.init()
		for i := range maxCache + 10 {
			p.add(fmt.Sprint("account", i), "hash", "pass")
		}
		if len(p.m) != maxCache {
			t.Fatalf("%d entries", len(p.m))
		}
		p.add("a", "hash", "pass")
		for _, tc := range []struct {
			account, hash, pass string
			want                bool
		}{{"a", "hash", "pass", true}, {"a", "hash", "Pass", false}, {"a", "hash2", "pass", false}, {"b", "hash", "pass", false}, {"a", "", "pass", false}, {"a", "has", "hpass", false}} {
			if got := p.has(tc.account, tc.hash, tc.pass); got != tc.want {
				t.Errorf("%+v: %v", tc, got)
			}
		}
		time.Sleep(cacheTime)
		if p.has("a", "hash", "pass") {
			t.Error("entry did not expire")
		}
	})
}

func TestContextThatEndsIsNotAFailedLogin(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	ctx, cancel := context.WithCancel(ctxbg)
	cancel()
	if _, err := e.c.Password(ctx, from("192.0.2.1"), "bob@example.org", password); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if log := e.log.take(); !strings.Contains(log, "result=aborted") {
		t.Fatal(log)
	}
}

func TestSlowdownGrowsWithFailures(t *testing.T) {
	t.Parallel()
	for failures, want := range []Slowdown{{0, false}, {0, false}, {0, false}, {0, true}, {time.Second, true}, {2 * time.Second, true}} {
		if got := SlowdownFor(failures); got != want {
			t.Errorf("%d: got %+v, want %+v", failures, got, want)
		}
	}
	if got := SlowdownFor(1000); got.Delay != maxDelay {
		t.Errorf("got %v", got)
	}
}

func FuzzExchange(f *testing.F) {
	dir := f.TempDir()
	st, err := store.Open(ctxbg, store.Options{Dir: dir, Log: mlog.Discard()})
	tcheck(f, err)
	f.Cleanup(func() { st.Close() })
	c, err := New(Options{Store: st, Config: testConfig(f, dir), Dir: dir, Limits: config.Limits{AuthFailuresPerMinute: -1}})
	tcheck(f, err)
	f.Add(uint8(0), []byte("\x00ann@example.org\x00password"), []byte{})
	f.Add(uint8(1), []byte("ann@example.org"), []byte("password"))
	f.Add(uint8(2), []byte("ann@example.org 00112233445566778899aabbccddeeff"), []byte{})
	f.Add(uint8(3), []byte("n,,n=ann@example.org,r=clientnonce"), []byte("c=biws,r=x,p=AA=="))
	names := []string{sasl.Plain, sasl.Login, sasl.CRAMMD5, sasl.SCRAMSHA256, sasl.SCRAMSHA1Plus, sasl.External}
	f.Fuzz(func(t *testing.T, which uint8, r1, r2 []byte) {
		x, err := c.Begin(ctxbg, from("192.0.2.1"), names[int(which)%len(names)])
		tcheck(t, err)
		defer x.Close()
		for _, r := range [][]byte{nil, r1, r2, {}} {
			_, done, err := x.Next(ctxbg, r)
			if done || x.Result() != (Result{}) {
				t.Fatalf("logged in with %q %q", r1, r2)
			}
			if err != nil {
				return
			}
		}
	})
}

// What a client that has failed holds on to is its connection, and no account or file.
func TestAttemptsThatAreNotOverHoldNoAccount(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		testkit.Missing(t, "open files of the process are not known: %v", err)
	}
	_, err := derived() // Outside of the bubble: it is shared.
	tcheck(t, err)
	synctest.Test(t, func(t *testing.T) {
		e := testEnv(t)
		addApp(t, e, "ann", "phone", authdb.ScopeIMAP)
		open := func() (n int) {
			entries, err := os.ReadDir("/proc/self/fd")
			tcheck(t, err)
			for _, entry := range entries {
				if path, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil && strings.HasPrefix(path, filepath.Join(e.dir, "accounts", "ann")+"/") {
					n++
				}
			}
			return n
		}
		var exchanges []Exchange
		for _, name := range []string{sasl.SCRAMSHA256, sasl.SCRAMSHA1} {
			x, err := e.c.Begin(ctxbg, from("192.0.2.1"), name)
			tcheck(t, err)
			defer x.Close()
			_, _, err = x.Next(ctxbg, []byte("n,,n=ann@example.org,r=clientnonce"))
			tcheck(t, err)
			exchanges = append(exchanges, x)
		}
		if _, err := e.c.Password(ctxbg, from("192.0.2.1"), "ann@example.org", "wrong password"); !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
		if open() == 0 {
			t.Error("the account was never open")
		}
		time.Sleep(time.Hour) // Until the store has closed what nobody holds.
		synctest.Wait()
		if n := open(); n != 0 {
			t.Errorf("%d files of the account are open", n)
		}
		for _, x := range exchanges {
			if _, _, err := x.Next(ctxbg, []byte("x")); !errors.Is(err, sasl.ErrProtocol) {
				t.Errorf("next step: %v", err)
			}
		}
	})
}
