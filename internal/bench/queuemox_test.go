package bench

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// How many messages are sent at a time, and to one domain: what Postfix has as default,
// default_process_limit and default_destination_concurrency_limit.
const (
	queueConcurrency       = 100
	queueDomainConcurrency = 20
)

// A queueServer is mox as a server that sends mail to the world.
type queueServer struct {
	*server
	conf string
	port string // Of submission.
}

// newQueueMox makes a directory for it. It is not started yet.
func newQueueMox(b *testing.B, dir, resolver string) *queueServer {
	b.Helper()
	m := &queueServer{conf: filepath.Join(dir, "config", "mox.conf"), port: freePort(b)}
	check(b, os.MkdirAll(filepath.Dir(m.conf), 0o700))
	check(b, os.WriteFile(m.conf, fmt.Appendf(nil, `DataDir: ../data
LogLevel: info
User: root
Hostname: mail.sender.example
DNSResolver:
	- %s
QueueConcurrency: %d
QueueDomainConcurrency: %d
Listeners:
	local:
		IPs:
			- 127.0.0.1
		Limits:
			ConnectionsPerMinute: -1
			OpenConnections: -1
		Submission:
			Enabled: true
			Port: %s
			NoRequireSTARTTLS: true
Postmaster:
	Account: user00
	Mailbox: Postmaster
`, resolver, queueConcurrency, queueDomainConcurrency, m.port), 0o600))
	domains := []byte("Domains:\n\tsender.example: nil\nAccounts:\n")
	for i := range queueUsers {
		domains = fmt.Appendf(domains, `	user%02d:
		Domain: sender.example
		Destinations:
			%s: nil
		MaxOutgoingMessagesPerDay: 10000000
		MaxFirstTimeRecipientsPerDay: 10000000
`, i, queueUser(i))
	}
	check(b, os.WriteFile(filepath.Join(filepath.Dir(m.conf), "domains.conf"), domains, 0o600))
	m.server = &server{dir: dir, log: filepath.Join(dir, "log")}
	return m
}

// start starts the server.
func (m *queueServer) start(b *testing.B) {
	b.Helper()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	check(b, err)
	defer log.Close() // The process has its own.
	m.cmd = exec.Command(binary(b), "-config", m.conf, "serve")
	m.cmd.Stderr = log
	m.run, err = startProcess(m.cmd, false)
	check(b, err)
	b.Cleanup(func() { m.stop(b) })
	for end := time.Now().Add(connectTime); ; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(m.log)
		if err == nil && bytes.Contains(text, []byte("ready to serve")) {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("mox serve did not start: %v\n%s", err, text)
		}
	}
}

// stop stops the server, and fails the benchmark if something has gone wrong in it.
func (m *queueServer) stop(b *testing.B) {
	b.Helper()
	if m.done {
		return
	}
	m.done = true
	m.server.run.interrupt()
	err := m.server.run.wait()
	if exit := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 2) {
		b.Errorf("mox serve: %v", err) // 2 is the number of the signal.
	}
	log, err := os.ReadFile(m.log)
	check(b, err)
	for line := range bytes.Lines(log) {
		if bytes.HasPrefix(line, []byte("l=error")) {
			b.Errorf("in the log: %s", line)
		}
	}
}

// command runs a command for the server and returns its output.
func (m *queueServer) command(b *testing.B, stdin string, args ...string) string {
	b.Helper()
	cmd := exec.Command(binary(b), append([]string{"-config", m.conf}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("mox %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// list lists at most max messages, all if it is zero, and returns how long that takes.
func (m *queueServer) list(b *testing.B, max, want int) time.Duration {
	b.Helper()
	begin := time.Now()
	out := m.command(b, "", "queue", "list", "-n", fmt.Sprint(max))
	took := time.Since(begin)
	if n := strings.Count(out, "@d"); n < want {
		b.Errorf("%d messages in the list, want %d", n, want)
	}
	return took
}

// login connects to submission.
func (m *queueServer) login(b *testing.B, user string) *smtpConn {
	b.Helper()
	c := dialSMTP(b, net.JoinHostPort("127.0.0.1", m.port), "x@d000.example")
	auth := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	check(b, c.write([]byte("AUTH PLAIN "+auth+"\r\n")))
	check(b, c.reply("235"))
	return c
}

// queueMox returns how fast mox queues and sends.
func queueMox(b *testing.B, s *queueSink, n, domains int) (in, out float64) {
	b.Helper()
	dir := filepath.Join(scratch(b, "queue"), "mox")
	m := newQueueMox(b, dir, s.dns)
	m.start(b)
	for i := range queueUsers {
		m.command(b, password+"\n", "setaccountpassword", fmt.Sprintf("user%02d", i))
	}
	// In an hour, until told otherwise. RFC 4865
	in = enqueue(b, n, domains, " HOLDFOR=3600", func(user string) *smtpConn { return m.login(b, user) })
	s.expect(n)
	m.command(b, "", "queue", "schedule", "-now", "0s")
	out = s.rate(b, n)
	m.stop(b)
	return in, out
}
