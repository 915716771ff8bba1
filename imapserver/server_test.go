package imapserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/imap"
	"mox/internal/authdb"
	"mox/internal/identity"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/internal/search/textindex"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/sasl"
	"mox/store"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := metrics.PanicCount(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d panics were recovered\n", n)
		code = 1
	}
	os.Exit(code)
}

// testTimeout is how long what must happen may take, on a machine that is busy.
const testTimeout = time.Minute

// The users that tests log in as.
const (
	testUser     = "mjl@mox.example"
	testPassword = "test1234"
	otherUser    = "other@mox.example"
)

// fakeAuth is an Authenticator for the test users, with PLAIN, SCRAM-SHA-256 without a
// stored secret, and an exchange with a last challenge.
type fakeAuth struct {
	mu      sync.Mutex
	blocked bool
	keys    map[string]identity.Certificate // By fingerprint.
	watched map[string]func()               // What ends the last session, by account.
}

func (f *fakeAuth) Certificate(_ context.Context, a identity.Attempt, preauth bool) (identity.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	cert, ok := f.keys[authdb.Fingerprint(a.TLS.PeerCertificates[0])]
	if !ok {
		return cert, identity.ErrCredentials
	}
	cert.Preauth = cert.Preauth && preauth
	return cert, nil
}

func (f *fakeAuth) Watch(_ context.Context, res identity.Result, end func()) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watched == nil {
		f.watched = map[string]func(){}
	}
	f.watched[res.Account] = end
	return func() {}
}

// revoke ends the session of an account that was opened last.
func (f *fakeAuth) revoke(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watched[account]()
}

func (f *fakeAuth) Allowed(netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.blocked
}

// block makes it refuse all connections.
func (f *fakeAuth) block() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blocked = true
}

func (f *fakeAuth) Mechanisms(tls, cert, plaintextOK bool) []string {
	if cert {
		return []string{sasl.External, sasl.Plain}
	}
	if tls || plaintextOK {
		return []string{sasl.SCRAMSHA256, sasl.Plain}
	}
	return nil
}

func (f *fakeAuth) Password(_ context.Context, _ identity.Attempt, user, password string) (identity.Result, error) {
	account, _, _ := strings.Cut(user, "@")
	switch {
	case user == "disabled@mox.example" && password == testPassword:
		return identity.Result{}, &identity.LoginDisabledError{Text: "ask the operator"}
	case user != testUser && user != otherUser && user != `odd\"@mox.example`, password != testPassword && password != `back\slash "q"`:
		return identity.Result{}, identity.ErrCredentials
	}
	return identity.Result{Account: account, LoginAddress: user}, nil
}

func (f *fakeAuth) Begin(ctx context.Context, a identity.Attempt, mechanism string) (identity.Exchange, error) {
	switch mechanism {
	case sasl.Plain, sasl.SCRAMSHA256, sasl.External, "X-LAST":
		return &fakeExchange{f: f, mechanism: mechanism, attempt: a}, nil
	}
	return nil, sasl.ErrMechanism
}

// fakeExchange is PLAIN; "X-LAST" accepts anybody with a last challenge "bye", and
// SCRAM-SHA-256 fails with one.
type fakeExchange struct {
	f         *fakeAuth
	mechanism string
	attempt   identity.Attempt
	step      int
	res       identity.Result
}

func (x *fakeExchange) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	x.step++
	if response == nil {
		return nil, false, nil
	}
	switch x.mechanism {
	case sasl.External:
		if x.attempt.TLS == nil || len(x.attempt.TLS.PeerCertificates) == 0 {
			return nil, false, identity.ErrCredentials
		}
		cert, err := x.f.Certificate(ctx, x.attempt, false)
		if len(response) > 0 && string(response) != cert.LoginAddress {
			err = identity.ErrCredentials
		}
		x.res = cert.Result
		return nil, err == nil, err
	case "X-LAST":
		x.res = identity.Result{Account: "mjl", LoginAddress: testUser}
		return []byte("bye"), true, nil
	case sasl.SCRAMSHA256:
		return []byte("e=other-error"), false, fmt.Errorf("%w: %w", identity.ErrCredentials, identity.ErrNoSecret)
	}
	cred, err := sasl.ParsePlain(response)
	if err != nil {
		return nil, false, err
	}
	x.res, err = x.f.Password(ctx, identity.Attempt{}, cred.Authentication, cred.Password)
	return nil, err == nil, err
}

func (x *fakeExchange) Result() identity.Result { return x.res }
func (x *fakeExchange) Close()                  {}

// testSetup is how a test wants its server.
type testSetup struct {
	quota    int64
	messages int64 // Limit on their number.
	store    func(*store.Options)
	options  func(*Options)
	listener func(*ListenerOptions)
}

// testServer is a server on a store of its own.
type testServer struct {
	t      testing.TB
	dir    string
	store  *store.Store
	auth   *fakeAuth
	server *Server
	ca     *testkit.CA
	addr   string
	log    *slog.Logger

	damaged bool // Files were damaged on purpose.

	mu     sync.Mutex
	delays []time.Duration
}

// newTestServer starts a server. When the test ends it is shut down and its store is
// verified.
func newTestServer(t testing.TB, setup testSetup) *testServer {
	t.Helper()
	ts := &testServer{t: t, dir: t.TempDir(), auth: &fakeAuth{}}
	ts.log = mlog.Discard()
	if testing.Verbose() && os.Getenv("MOX_TEST_LOG") != "" {
		ts.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: mlog.LevelTracedata}))
	}
	var texts *textindex.Indexer
	so := store.Options{Dir: ts.dir, Log: ts.log, Quota: func(string) int64 { return setup.quota }, QuotaMessages: func(string) int64 { return setup.messages }, Contents: func(account string, erased bool) {
		texts.Wake(account, erased)
	}}
	if setup.store != nil {
		setup.store(&so)
	}
	var err error
	if ts.store, err = store.Open(context.Background(), so); err != nil {
		t.Fatalf("open store: %v", err)
	}
	texts = textindex.New(textindex.Options{Store: ts.store, Dir: ts.dir, Log: ts.log, Delay: time.Millisecond})
	texts.Start(nil)
	owner := func(user string) (string, bool) {
		account, _, _ := strings.Cut(user, "@")
		return account, user == testUser || user == otherUser
	}
	o := Options{Hostname: "mail.mox.example", Owner: owner, Store: ts.store, Auth: ts.auth, Log: ts.log, Version: "test", Texts: texts, Delay: func(d time.Duration) {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		ts.delays = append(ts.delays, d)
	}}
	if setup.options != nil {
		setup.options(&o)
	}
	ts.server = New(o)
	l := ListenerOptions{Name: "test", AllowPlaintextLogin: true}
	if setup.listener != nil {
		setup.listener(&l)
	}
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ts.addr = nl.Addr().String()
	served := make(chan error, 1)
	go func() { served <- ts.server.Serve(context.Background(), nl, l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		if err := ts.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := texts.Close(); err != nil {
			t.Errorf("close text indexes: %v", err)
		}
		ts.verify()
	})
	return ts
}

// verify closes the store and checks it.
func (ts *testServer) verify() {
	if err := ts.store.Close(); err != nil {
		ts.t.Errorf("close store: %v", err)
	}
	if _, ok := ts.t.(*testing.B); ok {
		return
	}
	rep, err := store.Verify(context.Background(), ts.dir, store.VerifyOptions{Log: ts.log})
	if err != nil {
		ts.t.Errorf("verify store: %v", err)
	}
	problems, err := textindex.Verify(context.Background(), ts.dir)
	if err != nil || len(problems) > 0 {
		ts.t.Errorf("verify text indexes: %v %v", problems, err)
	}
	for _, p := range rep.Problems {
		if ts.damaged && strings.Contains(p.Text, "octets, should have") {
			continue
		}
		ts.t.Errorf("store: %s", p)
	}
}

// clientTLS returns a client's configuration for the test certificate.
func (ts *testServer) clientTLS() *tls.Config { return ts.ca.ClientConfig("localhost") }

// dial opens a connection. One that is named raw* is as it is, others have had their
// greeting read and are logged in: other* as another user, rev2* with IMAP4rev2 enabled.
func (ts *testServer) dial(ctx context.Context, name string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", ts.addr)
	if err != nil || strings.HasPrefix(name, "raw") {
		return nc, err
	}
	user := testUser
	if strings.HasPrefix(name, "other") {
		user = otherUser
	}
	cmds := []string{"", "x0 LOGIN " + user + " " + testPassword}
	if strings.HasPrefix(name, "rev2") {
		cmds = append(cmds, "x1 ENABLE IMAP4rev2")
	}
	for _, cmd := range cmds {
		if err := converse(nc, cmd); err != nil {
			return nil, errors.Join(err, nc.Close())
		}
	}
	return nc, nil
}

// converse sends a command and reads up to its OK, or the greeting.
func converse(nc net.Conn, cmd string) error {
	tag := "*"
	if cmd != "" {
		tag, _, _ = strings.Cut(cmd, " ")
		if _, err := fmt.Fprintf(nc, "%s\r\n", cmd); err != nil {
			return err
		}
	}
	if err := nc.SetReadDeadline(time.Now().Add(testTimeout)); err != nil {
		return err
	}
	br := bufio.NewReaderSize(oneByte{nc}, 1)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, tag+" ") {
			if !strings.HasPrefix(line, tag+" OK") && !strings.HasPrefix(line, tag+" CAP") {
				return fmt.Errorf("%q answered %q", cmd, line)
			}
			return nc.SetReadDeadline(time.Time{})
		}
	}
}

// oneByte reads no further than it is asked, so that nothing is lost to a buffer.
type oneByte struct{ net.Conn }

func (o oneByte) Read(p []byte) (int, error) { return o.Conn.Read(p[:1]) }

// deliver puts a message in a mailbox, as SMTP does.
func (ts *testServer) deliver(account, mailbox, data string, flags ...string) {
	ts.t.Helper()
	acc, err := ts.store.Ensure(context.Background(), account)
	if err != nil {
		ts.t.Fatalf("account: %v", err)
	}
	defer acc.Release()
	set, err := imap.NewFlagSet(flags...)
	if err != nil {
		ts.t.Fatalf("flags: %v", err)
	}
	sp := safefile.NewSpool(safefile.SpoolOptions{Dir: ts.store.TempDir(), CRLF: true})
	defer sp.Close()
	if _, err := sp.Write([]byte(data)); err != nil {
		ts.t.Fatalf("spool: %v", err)
	}
	_, err = acc.Append(context.Background(), store.NewMessage{Mailbox: mailbox, Spool: sp, Flags: set.Flags, Keywords: set.Keywords})
	if err != nil {
		ts.t.Fatalf("deliver: %v", err)
	}
}

// preauth opens a connection that is logged in as the test user.
func (ts *testServer) preauth() *lineConn {
	nc, server := net.Pipe()
	go ts.server.ServePreauth(context.Background(), server, identity.Result{Account: "mjl", LoginAddress: testUser}, ListenerOptions{Name: "ctl", AllowPlaintextLogin: true})
	return newLineConn(ts.t, nc)
}

// RFC 9051 §7.1.4
func TestPreauthenticatedSessionEndsAsOthersDo(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{options: func(o *Options) { o.MaxConnections = 1 }})
	c := ts.preauth()
	greeting := c.line("* PREAUTH [CAPABILITY ")
	for _, name := range []string{"STARTTLS", "AUTH=", "LOGINDISABLED"} {
		if strings.Contains(greeting, name) {
			t.Errorf("%s in %q", name, greeting)
		}
	}
	c.send("a1 SELECT INBOX")
	c.until("a1 OK")
	c.send("a2 STARTTLS")
	c.line("a2 NO")
	ts.preauth().line("* BYE [UNAVAILABLE] too many open connections")
	ts.auth.revoke("mjl")
	c.line("* BYE log in again")
	c.closed()

	// The place is free a moment later.
	for c = ts.preauth(); strings.HasPrefix(c.line("* "), "* BYE"); c = ts.preauth() {
	}
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- ts.server.Shutdown(ctx) }()
	c.line("* BYE [UNAVAILABLE] server is shutting down")
	c.closed()
	if err := <-ended; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	ts.preauth().line("* BYE [UNAVAILABLE] server is shutting down")
}
