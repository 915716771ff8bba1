package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mox/dns"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/smtp"
	"mox/smtpclient"
)

// Login of the account that "mox localserve" makes.
const (
	user     = "mox@localhost"
	password = "moxmoxmox"
)

// patience is how long a test waits for what should come at once.
const patience = 60 * time.Second

// soak reports whether the long forms of tests are to run.
func soak() bool { return os.Getenv("MOX_SOAK") != "" }

func TestMain(m *testing.M) {
	if flag.Parse(); testing.Short() {
		fmt.Println("the tests of the program are left out of the short ones")
		return
	}
	os.Exit(testkit.RunMox(m))
}

// mox runs the program to its end and returns its output and its exit code.
func mox(t testing.TB, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Mox(t), args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("mox %s: %v", strings.Join(args, " "), err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// A server is a running "mox localserve".
type server struct {
	t    testing.TB
	dir  string
	proc *testkit.Process
	addr map[string]string // Of IPv4, by service, such as "smtp" and "imaps".
}

// An options says how to start a server.
type options struct {
	dir      string   // With configuration and data. Empty is a new one.
	loglevel string   // Empty is info.
	edit     []string // Pairs of texts in mox.conf and what replaces them. The directory must be new.
	wrap     []string // A program that runs the server, such as strace.
	dying    bool     // The test kills the server: do not stop and verify it at its end.
}

// localserve starts a server on free ports. When the test ends it is stopped, and
// its data is verified.
func localserve(t testing.TB, o options) *server {
	t.Helper()
	if o.dir == "" {
		o.dir = filepath.Join(testkit.DataDir(t), "mox")
	}
	if len(o.edit) > 0 {
		initOnly(t, o.dir)
		path := filepath.Join(o.dir, "mox.conf")
		text := string(testkit.ReadFile(t, path))
		for i := 0; i < len(o.edit); i += 2 {
			if !strings.Contains(text, o.edit[i]) {
				t.Fatalf("no %q in mox.conf", o.edit[i])
			}
		}
		if err := os.WriteFile(path, []byte(strings.NewReplacer(o.edit...).Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if o.loglevel == "" {
		o.loglevel = "info"
	}
	s := &server{t: t, dir: o.dir}
	s.proc = startOnly(t, o.dir, append(o.wrap, testkit.Mox(t), "-loglevel", o.loglevel)...)
	s.ready()
	if !o.dying {
		t.Cleanup(func() {
			if s.proc != nil && !t.Failed() {
				s.stop()
			}
		})
	}
	return s
}

// ready waits until a server that was started is ready, and takes its addresses.
func (s *server) ready() {
	s.t.Helper()
	s.proc.WaitLine("^ready$")
	s.addr = map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  (\w+) +(127\.0\.0\.1:\d+) `).FindAllStringSubmatch(s.proc.Output(), -1) {
		s.addr[m[1]] = m[2]
	}
	for _, service := range []string{"smtp", "submission", "submissions", "imap", "imaps"} {
		if s.addr[service] == "" {
			s.t.Fatalf("no address of %s in the output of localserve:\n%s", service, s.proc.Output())
		}
	}
}

// startOnly starts a server without waiting until it is ready. The arguments are those
// before the command; without any it is the program.
func startOnly(t testing.TB, dir string, args ...string) *testkit.Process {
	t.Helper()
	if len(args) == 0 {
		args = []string{testkit.Mox(t)}
	}
	args = append(args, "localserve", "-dir", dir, "-ports", "0")
	return testkit.Start(t, exec.Command(args[0], args[1:]...))
}

// initOnly makes a directory for localserve.
func initOnly(t testing.TB, dir string) {
	t.Helper()
	if out, code := mox(t, "localserve", "-dir", dir, "-initonly"); code != 0 {
		t.Fatalf("localserve -initonly: exit code %d\n%s", code, out)
	}
}

// tolerant is an edit for servers that receive what others send, as it is. For trying
// out, localserve refuses what breaks a protocol.
var tolerant = []string{"Pedantic: true", "Pedantic: false"}

// stop stops the server with an interrupt and verifies its data.
func (s *server) stop() {
	s.t.Helper()
	p := s.proc
	s.proc = nil
	_ = p.Stop() // Its exit code is checked here.
	if code := p.Cmd.ProcessState.ExitCode(); code != int(syscall.SIGINT) {
		s.t.Errorf("server stopped with exit code %d instead of that of the signal", code)
	}
	if out := p.Output(); strings.Contains(out, "panic") {
		s.t.Errorf("there was a panic in the server:\n%s", out)
	}
	s.verify()
}

// verify checks the data of a server that has stopped.
func (s *server) verify() {
	s.t.Helper()
	if out, code := mox(s.t, "verifydata", filepath.Join(s.dir, "data")); code != 0 {
		s.t.Errorf("mox verifydata: exit code %d\n%s", code, out)
	}
}

// with returns the server for a subtest.
func (s *server) with(t testing.TB) *server {
	c := *s
	c.t = t
	return &c
}

// host and port of a service.
func (s *server) hostPort(service string) (host, port string) {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.addr[service])
	if err != nil {
		s.t.Fatalf("address of %s: %v", service, err)
	}
	return host, port
}

// cert is the file with the certificate of the server.
func (s *server) cert() string { return filepath.Join(s.dir, "localhost.crt") }

// context returns a context that ends with the test, or when all patience is lost.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	t.Cleanup(cancel)
	return ctx
}

func (s *server) dial(service string) net.Conn {
	s.t.Helper()
	nc, err := net.DialTimeout("tcp", s.addr[service], patience)
	if err != nil {
		s.t.Fatalf("dial %s: %v", service, err)
	}
	return nc
}

// imap returns an IMAP client that has logged in.
func (s *server) imap(login, pass string) *imapclient.Client {
	s.t.Helper()
	ctx := testContext(s.t)
	c, err := imapclient.New(ctx, s.dial("imap"), imapclient.Options{})
	if err != nil {
		s.t.Fatalf("imap greeting: %v", err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Login(ctx, login, pass); err != nil {
		s.t.Fatalf("imap login: %v", err)
	}
	return c
}

// inbox returns an IMAP client that has logged in and selected the inbox.
func (s *server) inbox() *imapclient.Client {
	s.t.Helper()
	c := s.imap(user, password)
	if _, err := c.Select(testContext(s.t), "INBOX", imapclient.SelectOptions{}); err != nil {
		s.t.Fatalf("select inbox: %v", err)
	}
	return c
}

// smtpClient returns an SMTP client for delivery.
func (s *server) smtpClient() *smtpclient.Client {
	s.t.Helper()
	c, err := smtpclient.New(testContext(s.t), s.dial("smtp"), smtpclient.Options{
		Hostname: dns.IPDomain{Domain: dns.Domain{ASCII: "client.example"}},
		TLS:      smtpclient.TLSOptions{Mode: smtpclient.TLSSkip},
	})
	if err != nil {
		s.t.Fatalf("smtp client: %v", err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// send sends a message with a new transaction and returns the error of the first
// recipient.
func send(ctx context.Context, c *smtpclient.Client, to, message string) error {
	rcpt, err := smtp.ParseForwardPath("<"+to+">", smtp.Strict)
	if err != nil {
		return err
	}
	from, err := smtp.ParseReversePath("<sender@remote.example>", smtp.Strict)
	if err != nil {
		return err
	}
	results, err := c.Deliver(ctx, smtpclient.Envelope{
		Mail:       smtp.MailCommand{ReversePath: from, Body: smtp.Body8BitMIME},
		Recipients: []smtp.RcptCommand{{ForwardPath: rcpt}},
		Open:       func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(message)), nil },
	})
	if err == nil && results[0].Err != nil {
		err = results[0].Err
	}
	return err
}

// deliver sends a message that must be accepted.
func deliver(t testing.TB, c *smtpclient.Client, to, message string) {
	t.Helper()
	if err := send(testContext(t), c, to, message); err != nil {
		t.Fatalf("delivery: %v", err)
	}
}
