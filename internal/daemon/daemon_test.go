package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mox/config"
	"mox/internal/ctl"
	"mox/internal/metrics"
	"mox/internal/testkit"
	"mox/mlog"
	"mox/store"
)

// output is what is logged.
type output struct {
	mu      sync.Mutex
	b       bytes.Buffer
	written chan struct{} // Closed when something is written. Nil if nobody waits.
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.written != nil {
		close(o.written)
		o.written = nil
	}
	return o.b.Write(p)
}

// await waits until there is a text in what is written.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(testkit.ProcessTimeout)
	for {
		o.mu.Lock()
		if strings.Contains(o.b.String(), text) {
			o.mu.Unlock()
			return
		}
		if o.written == nil {
			o.written = make(chan struct{})
		}
		written := o.written
		o.mu.Unlock()
		select {
		case <-written:
		case <-timeout:
			t.Fatalf("time ran out, nothing was written of %q", text)
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newDir returns a directory that InitLocalserve has made.
func newDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mox")
	if err := InitLocalserve(t.Context(), LocalserveOptions{Dir: dir, Log: mlog.Discard()}); err != nil {
		t.Fatalf("init: %v", err)
	}
	return dir
}

// change replaces text in a file of a directory.
func change(t *testing.T, path, from, to string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), from) {
		t.Fatalf("%s has no %q", path, from)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), from, to, 1)), 0600); err != nil {
		t.Fatal(err)
	}
}

// wantPanics is how many panics tests have caused on purpose.
var wantPanics atomic.Int64

// testDaemon is a running server.
type testDaemon struct {
	*Daemon
	dir    string
	log    *output
	cancel context.CancelFunc
	done   chan struct{}
	err    error // Of Wait, once done is closed.
}

func testOptions(dir string) (Options, *output) {
	log := &output{}
	levels := mlog.NewLevels(mlog.LevelInfo)
	return Options{
		ConfigPath: filepath.Join(dir, config.StaticName),
		Overrides:  []config.Override{func(s *config.Static) { s.LogLevel = "debug" }},
		Handler:    mlog.NewHandler(log, mlog.Options{Levels: levels, Hook: CountLogLine}),
		Levels:     levels,
		Version:    "test",
		AnyPort:    true,
		Localserve: true,
	}, log
}

// start runs a server on a directory. When the test ends, it is stopped and its data
// verified.
func start(t *testing.T, dir string, change ...func(*Options)) *testDaemon {
	t.Helper()
	opts, log := testOptions(dir)
	for _, fn := range change {
		fn(&opts)
	}
	d, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	td := &testDaemon{Daemon: d, dir: dir, log: log, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(td.done)
		td.err = d.Wait(ctx)
	}()
	t.Cleanup(func() {
		td.stop()
		rep, err := store.Verify(context.Background(), filepath.Join(dir, "data"), store.VerifyOptions{})
		if err != nil || len(rep.Problems) > 0 {
			t.Errorf("verify data: %v, problems: %v", err, rep.Problems)
		}
		if n := metrics.PanicCount() - wantPanics.Load(); n != 0 {
			t.Errorf("%d panics", n)
		}
		if strings.Contains(log.String(), "invalid IP") {
			t.Error("log has an address that is none")
		}
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return td
}

func (d *testDaemon) stop() {
	d.cancel()
	<-d.done
}

// addr returns the first address of a service.
func (d *testDaemon) addr(t *testing.T, service string) string {
	t.Helper()
	for _, s := range d.Sockets() {
		if s.Service == service {
			return s.Addr().String()
		}
	}
	t.Fatalf("no socket for %s", service)
	return ""
}

// clientTLS returns a configuration that trusts the certificate of the server.
func (d *testDaemon) clientTLS(t *testing.T) *tls.Config {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(d.dir, LocalserveCert))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatal("no certificate in file")
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// imap logs in and selects the inbox.
func (d *testDaemon) imap(t *testing.T) *textproto.Conn {
	t.Helper()
	c := d.imapConn(t)
	command(t, c, "login "+LocalserveAddress+" "+LocalservePassword)
	command(t, c, "select inbox")
	return c
}

// imapConn returns a connection that is not logged in yet.
func (d *testDaemon) imapConn(t *testing.T) *textproto.Conn {
	t.Helper()
	nc, err := tls.Dial("tcp", d.addr(t, "IMAPS"), d.clientTLS(t))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	c := textproto.NewConn(nc)
	t.Cleanup(func() { _ = c.Close() })
	if line, err := c.ReadLine(); err != nil || !strings.HasPrefix(line, "* OK ") {
		t.Fatalf("greeting %q, %v", line, err)
	}
	return c
}

// command runs an IMAP command and returns its untagged lines.
func command(t *testing.T, c *textproto.Conn, cmd string) string {
	t.Helper()
	if err := c.PrintfLine("x %s", cmd); err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	var b strings.Builder
	for {
		line, err := c.ReadLine()
		switch {
		case err != nil:
			t.Fatalf("%s: %v", cmd, err)
		case strings.HasPrefix(line, "x OK "):
			return b.String()
		case strings.HasPrefix(line, "x "):
			t.Fatalf("%s: %s", cmd, line)
		}
		b.WriteString(line + "\n")
	}
}

const testMessage = "From: <mox@localhost>\r\nTo: <ann@example.org>\r\nSubject: test\r\n\r\nhello\r\n"

func TestMailGoesInBySMTPAndSubmissionAndOutByIMAP(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	d.deliver(t, "ann@example.org")
	c := d.imap(t)
	if got := command(t, c, "fetch 1 body[text]"); !strings.Contains(got, "\nhello\n") {
		t.Fatalf("fetch: got %q", got)
	}
	if err := c.PrintfLine("i idle"); err != nil {
		t.Fatal(err)
	}
	if line, err := c.ReadLine(); err != nil || !strings.HasPrefix(line, "+") {
		t.Fatalf("idle: %q, %v", line, err)
	}
	d.submit(t, "ann@example.org")
	for {
		line, err := c.ReadLine()
		if err != nil {
			t.Fatalf("waiting for message from queue: %v", err)
		}
		if line == "* 2 EXISTS" {
			return
		}
	}
}

// deliver sends a message as another mail server does.
func (d *testDaemon) deliver(t *testing.T, to string) {
	t.Helper()
	nc, err := net.Dial("tcp", d.addr(t, "SMTP"))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	send(t, nc, nil, "bob@remote.example", to)
}

// submit sends a message as a mail program does.
func (d *testDaemon) submit(t *testing.T, to string) {
	t.Helper()
	nc, err := tls.Dial("tcp", d.addr(t, "Submissions"), d.clientTLS(t))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	send(t, nc, smtp.PlainAuth("", LocalserveAddress, LocalservePassword, "localhost"), LocalserveAddress, to)
}

func send(t *testing.T, nc net.Conn, auth smtp.Auth, from, to string) {
	t.Helper()
	c, err := smtp.NewClient(nc, "localhost")
	if err != nil {
		t.Fatalf("greeting: %v", err)
	}
	defer c.Close()
	if auth != nil {
		err = c.Auth(auth)
	}
	if err == nil {
		err = c.Mail(from)
	}
	if err == nil {
		err = c.Rcpt(to)
	}
	if err != nil {
		t.Fatalf("send: %v", err)
	}
	w, err := c.Data()
	if err == nil {
		_, err = io.WriteString(w, testMessage)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatalf("send: %v", err)
	}
}

func TestMessagesOutliveTheServer(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	d := start(t, dir)
	d.deliver(t, "mox@localhost")
	d.stop()
	if d.err != nil {
		t.Fatalf("stop: %v", d.err)
	}
	d = start(t, dir)
	if got := command(t, d.imap(t), "fetch 1 body[text]"); !strings.Contains(got, "\nhello\n") {
		t.Fatalf("got %q", got)
	}
}

func TestSecondServerOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	d := start(t, dir)
	opts, _ := testOptions(dir)
	_, err := Start(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "another mox is running with data directory") {
		t.Fatalf("got error %v", err)
	}
	// The first one still has its control socket.
	c, err := ctl.Dial(t.Context(), d.DataDir())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer c.Close()
	if err := c.Do("status"); err != nil {
		t.Fatalf("status: %v", err)
	}
}

func TestPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := newDir(t)
	opts, _ := testOptions(dir)
	opts.AnyPort = false
	opts.Overrides = append(opts.Overrides, LocalservePorts(30000), func(s *config.Static) {
		lis := s.Listeners["local"]
		lis.IPs = []string{"127.0.0.1"}
		lis.SMTP.Port = l.Addr().(*net.TCPAddr).Port
		s.Listeners = map[string]config.ListenerFields{"local": lis}
	})
	_, err = Start(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "listener local: listening for SMTP (another program has the port") {
		t.Fatalf("got error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", ctl.SocketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("control socket: got error %v, expected that there is none", err)
	}
	start(t, dir) // Nothing is left locked.
}

func TestErrorsOfConfigurationAreReturned(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	opts, _ := testOptions(dir)
	change(t, opts.ConfigPath, "Hostname: localhost", "Hostname: local host")
	_, err := Start(t.Context(), opts)
	var errs config.Errors
	if !errors.As(err, &errs) || errs[0].Field != "Hostname" || errs[0].Line == 0 {
		t.Fatalf("got error %v", err)
	}
}

func TestCertificateThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	if err := os.Remove(filepath.Join(dir, localserveKey)); err != nil {
		t.Fatal(err)
	}
	opts, _ := testOptions(dir)
	_, err := Start(t.Context(), opts)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "listener local: ") || !strings.Contains(err.Error(), localserveKey) {
		t.Fatalf("got error %v", err)
	}
}

func TestDataDirectoryThatIsAFileIsAnError(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0600); err != nil {
		t.Fatal(err)
	}
	opts, _ := testOptions(dir)
	if _, err := Start(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "data directory") {
		t.Fatalf("got error %v", err)
	}
}

func TestSessionsAreToldThatTheServerStops(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	c := d.imap(t)
	go d.cancel()
	line, err := c.ReadLine()
	if err != nil || !strings.HasPrefix(line, "* BYE") {
		t.Fatalf("got %q, %v", line, err)
	}
	<-d.done
	if strings.Contains(d.log.String(), stillBusy) {
		t.Error("stopping took long")
	}
	if d.err != nil {
		t.Errorf("stop: %v", d.err)
	}
	if nc, err := net.Dial("tcp", d.addr(t, "IMAP")); err == nil {
		_ = nc.Close()
		t.Errorf("port is still open")
	}
}

func TestPartThatFailsStopsTheServer(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	for _, s := range d.Sockets() {
		if s.Service == "SMTP" {
			if err := s.listener.Close(); err != nil {
				t.Fatal(err)
			}
			break // The server stops, and closes the others.
		}
	}
	<-d.done
	if d.err == nil || !strings.Contains(d.err.Error(), "SMTP 127.0.0.1:") {
		t.Fatalf("got error %v", d.err)
	}
}

func TestPanicOfAPartStopsTheServerAndIsCounted(t *testing.T) {
	// Not parallel: other tests check that there was no panic.
	log := &output{}
	d := &Daemon{log: slog.New(slog.NewTextHandler(log, nil)), stopping: make(chan struct{})}
	before := metrics.PanicCount()
	wantPanics.Add(1)
	d.run("test", func() error { panic("oops") })
	d.workers.Wait()
	if metrics.PanicCount() != before+1 || d.fatal == nil || !d.isStopping() || !strings.Contains(log.String(), "oops") {
		t.Fatalf("count %d, error %v, log:\n%s", metrics.PanicCount(), d.fatal, log)
	}
}

func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	resp, err := http.Get("http://" + d.addr(t, "MetricsHTTP") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("status %s, %v", resp.Status, err)
	}
	for _, name := range []string{`mox_panic_total{pkg="daemon"}`, "mox_logging_level_info_total", "go_goroutines"} {
		if !strings.Contains(string(data), "\n"+name) {
			t.Errorf("no %s in metrics", name)
		}
	}
	resp, err = http.Get("http://" + d.addr(t, "MetricsHTTP") + "/other")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("other path: status %s", resp.Status)
	}
}

func TestConfiguredResolverIsUsed(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	opts, _ := testOptions(dir)
	conf, err := config.Load(opts.ConfigPath)
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{opts: opts}
	if r, err := d.resolver(conf); r != nil || err != nil {
		t.Errorf("localserve without resolver: got %v, %v", r, err)
	}
	conf, err = config.Load(opts.ConfigPath, func(s *config.Static) { s.DNSResolver = []string{"127.0.0.1:5353"} })
	if err != nil {
		t.Fatal(err)
	}
	if r, err := d.resolver(conf); r == nil || err != nil {
		t.Errorf("with resolver: got %v, %v", r, err)
	}
}
