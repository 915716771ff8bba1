package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mox/internal/testkit"
)

// A queuePostfix is a Postfix that sends mail to the world. It runs once to queue
// messages, without its queue manager, and then to send them.
type queuePostfix struct {
	postfix
	note, conf string
	port       string
}

// newQueuePostfix returns nil if Postfix is not installed.
func newQueuePostfix(b *testing.B) *queuePostfix {
	b.Helper()
	if findProgram("postfix") == "" || os.Geteuid() != 0 {
		b.Log("Postfix is not installed, or this is not root, so there are no figures of it (Debian package: postfix)")
		return nil
	}
	p := &queuePostfix{port: freePort(b)}
	p.dir = publicDir(b, "conf", "queue", "data", "log")
	p.addr = net.JoinHostPort("127.0.0.1", p.port)
	out, err := exec.Command("chown", "postfix", filepath.Join(p.dir, "data")).CombinedOutput()
	if err != nil {
		b.Fatalf("chown: %v\n%s", err, out)
	}
	p.configure(b, false)
	var table []byte
	for i := range queueDomains {
		table = fmt.Appendf(table, "%s smtp:[%s]\n", queueDomain(i), queueIP(i))
	}
	check(b, os.WriteFile(filepath.Join(p.dir, "conf", "transport"), table, 0o644))
	version, err := exec.Command(findProgram("postconf"), "-d", "-h", "mail_version").Output()
	check(b, err)
	p.note = fmt.Sprintf("Postfix %s here: internal/bench/testdata/postfix-queue, with its queue on %s", strings.TrimSpace(string(version)), fileSystem(p.dir))
	conf, err := exec.Command(findProgram("postconf"), "-c", filepath.Join(p.dir, "conf"), "-n").Output()
	check(b, err)
	p.conf = settings(conf)
	return p
}

// configure writes the configuration, with the queue manager or without.
func (p *queuePostfix) configure(b *testing.B, qmgr bool) {
	b.Helper()
	service := ""
	if qmgr {
		service = "qmgr unix n - n 300 1 qmgr"
	}
	words := strings.NewReplacer("${DIR}", p.dir, "${PORT}", p.port, "${QMGR}", service)
	for _, name := range []string{"main.cf", "master.cf"} {
		text := words.Replace(string(testkit.ReadFile(b, filepath.Join("testdata", "postfix-queue", name))))
		check(b, os.WriteFile(filepath.Join(p.dir, "conf", name), []byte(text), 0o644))
	}
}

// start starts it, and returns what stops it.
func (p *queuePostfix) start(b *testing.B, qmgr bool) func() {
	b.Helper()
	p.configure(b, qmgr)
	p.master = 0
	pidFile := filepath.Join(p.dir, "queue", "pid", "master.pid")
	_ = os.Remove(pidFile) // Of the run before, if there was one.
	proc, err := startProcess(exec.Command(findProgram("postfix"), "-c", filepath.Join(p.dir, "conf"), "start-fg"), false)
	check(b, err)
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			p.stop(b, proc)
		}
	}
	b.Cleanup(stop)
	for end := time.Now().Add(connectTime); p.master == 0; time.Sleep(20 * time.Millisecond) {
		data, err := os.ReadFile(pidFile)
		if err == nil {
			p.master, err = strconv.Atoi(strings.TrimSpace(string(data)))
		}
		if err != nil && time.Now().After(end) {
			b.Fatalf("postfix did not start: %v", err)
		}
	}
	return stop
}

// queue returns how fast Postfix queues and sends.
func (p *queuePostfix) queue(b *testing.B, s *queueSink, n, domains int) (in, out float64) {
	b.Helper()
	stop := p.start(b, false)
	in = enqueue(b, n, domains, "", func(string) *smtpConn { return p.connect(b) })
	stop()
	s.expect(n)
	stop = p.start(b, true)
	b.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(p.dir, "log", "mail.log")); err == nil && b.Failed() {
			b.Logf("log of postfix:\n%s", log[max(0, len(log)-4000):])
		}
	})
	out = s.rate(b, n)
	p.drained(b)
	stop()
	return in, out
}

// connect connects to it when it listens.
func (p *queuePostfix) connect(b *testing.B) *smtpConn {
	b.Helper()
	for end := time.Now().Add(connectTime); ; time.Sleep(20 * time.Millisecond) {
		nc, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = nc.Close() // It was just to see.
			return dialSMTP(b, p.addr, "x@d000.example")
		}
		if time.Now().After(end) {
			b.Fatalf("postfix does not listen: %v", err)
		}
	}
}
