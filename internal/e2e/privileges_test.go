package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mox/imapclient"
	"mox/internal/testkit"
)

// unprivileged is the number of the user and group that servers of these tests run as. It
// has no name.
const unprivileged = 12345

// A rooted is "mox serve", started as root.
type rooted struct {
	*server
	conf, key string
	ca        *testkit.CA
	wrap      []string // A program that runs the server.
	child     int      // Process id.
}

const rootedConfig = `DataDir: ../data
LogLevel: info
User: 12345
Hostname: mail.example.org
DNSResolver:
	- %s
Listeners:
	local:
		IPs:
			- 127.0.0.1
		Limits:
			ConnectionsPerMinute: -1
			OpenConnections: -1
		TLS:
			KeyCerts:
				-
					CertFile: ../keys/cert.pem
					KeyFile: ../keys/key.pem
		SMTP:
			Enabled: true
			Port: %s
			FirstTimeSenderDelay: 0s
		IMAP:
			Enabled: true
			Port: %s
			NoRequireSTARTTLS: true
		IMAPS:
			Enabled: true
			Port: %s
		LMTP:
			Enabled: true
			Socket: ../sockets/lmtp
		MetricsHTTP:
			Enabled: true
			Port: %s
Postmaster:
	Account: ann
	Mailbox: Postmaster
`

const rootedDomains = `# By hand.
Domains:
	example.org: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
`

// newRooted makes a directory with a configuration, as root makes it: others can read
// what is not secret, and keys are for root only.
func newRooted(t *testing.T) *rooted {
	t.Helper()
	testkit.NeedRoot(t, "giving up its rights")
	dir, err := os.MkdirTemp("", "mox-root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &rooted{server: &server{t: t, dir: dir, addr: map[string]string{}}, conf: filepath.Join(dir, "config", "mox.conf"), ca: testkit.NewCA(t)}
	for name, mode := range map[string]fs.FileMode{"": 0755, "config": 0755, "keys": 0700, "sockets": 0755} {
		if err := os.MkdirAll(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	dns := testkit.NewDNS(t, testkit.DNSOptions{Zone: "remote.example A 127.0.0.1\nremote.example TXT \"v=spf1 ip4:127.0.0.1 -all\"\n"})
	args := []any{dns.Addr}
	for _, service := range []string{"smtp", "imap", "imaps", "metrics"} {
		port := testkit.FreePort(t)
		r.addr[service] = "127.0.0.1:" + port
		args = append(args, port)
	}
	writeAs(t, r.conf, fmt.Sprintf(rootedConfig, args...), 0644)
	r.writeDomains(rootedDomains)
	r.issue()
	return r
}

func writeAs(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// writeDomains writes domains.conf in place, as an editor does, but never less than what
// the old and the new text have in common: the server may read it at any time.
func (r *rooted) writeDomains(text string) {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(filepath.Dir(r.conf), "domains.conf"), os.O_WRONLY|os.O_CREATE, 0644)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Truncate(int64(len(text))), f.Close()); err != nil {
		r.t.Fatal(err)
	}
}

// issue makes a new key and certificate, and returns the certificate.
func (r *rooted) issue() *x509.Certificate {
	r.t.Helper()
	cert := r.ca.Issue(r.t, testkit.ECDSA, "mail.example.org")
	_, r.key = r.ca.WritePEM(r.t, filepath.Join(r.dir, "keys"), cert)
	if err := os.Chmod(r.key, 0600); err != nil {
		r.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return leaf
}

// start starts the server.
func (r *rooted) start(env ...string) {
	r.t.Helper()
	args := append(slices.Clone(r.wrap), testkit.Mox(r.t), "-config", r.conf, "serve")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	r.proc = testkit.Start(r.t, cmd)
	m := r.proc.WaitLine(`started as another user.* pid=(\d+)`)
	r.child, _ = strconv.Atoi(m[1])
	r.proc.WaitLine("ready to serve")
}

// end sends a signal to the process that stays root, and checks how that ends.
func (r *rooted) end(sig syscall.Signal, code int) {
	r.t.Helper()
	p := r.proc
	if err := p.Cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
	_ = p.Wait() // Its status is checked here.
	if got := p.Cmd.ProcessState.ExitCode(); got != code {
		r.t.Errorf("exit code %d after %s, expected %d", got, sig, code)
	}
}

// setPassword gives the account a password.
func (r *rooted) setPassword() {
	r.t.Helper()
	cmd := exec.Command(testkit.Mox(r.t), "-config", r.conf, "setaccountpassword", "ann")
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("setaccountpassword: %v\n%s", err, out)
	}
}

// served returns the certificate that the server has.
func (r *rooted) served() *x509.Certificate {
	r.t.Helper()
	d := &net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(d, "tcp", r.addr["imaps"], r.ca.ClientConfig("mail.example.org"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// status returns the fields of a process in /proc.
func status(t *testing.T, pid int) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for line := range strings.Lines(string(testkit.ReadFile(t, fmt.Sprintf("/proc/%d/status", pid)))) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// sockets returns the sockets of a process that listen on a port.
func sockets(t *testing.T, pid int, ports ...string) (n int) {
	t.Helper()
	inodes := map[string]bool{}
	for _, line := range strings.Split(string(testkit.ReadFile(t, "/proc/net/tcp")), "\n") {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != "0A" {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil && slices.Contains(ports, strconv.FormatUint(port, 10)) {
			inodes["socket:["+f[9]+"]"] = true
		}
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if link, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && inodes[link] {
			n++
		}
	}
	return n
}

// owned checks the owner and mode of a file.
func owned(t *testing.T, path string, uid, gid uint32, mode uint32) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Error(err)
	} else if st.Uid != uid || st.Gid != gid || st.Mode&07777 != mode {
		t.Errorf("%s: owner %d:%d and mode %04o, expected %d:%d and %04o", path, st.Uid, st.Gid, st.Mode&07777, uid, gid, mode)
	}
}

func TestServerRunsWithoutPrivilegesWhenRootStartsIt(t *testing.T) {
	t.Parallel()
	r := newRooted(t)
	want := r.issue()
	r.start()
	child, parent := status(t, r.child), status(t, r.proc.PID())
	for name, want := range map[string]string{
		"Uid": "12345 12345 12345 12345", "Gid": "12345 12345 12345 12345", "Groups": "", "PPid": strconv.Itoa(r.proc.PID()), "NoNewPrivs": "1",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
	} {
		if child[name] != want {
			t.Errorf("%s of the process that serves is %q, expected %q", name, child[name], want)
		}
	}
	// CAP_DAC_READ_SEARCH, for keys.
	if parent["CapEff"] != "0000000000000004" || parent["CapPrm"] != parent["CapEff"] || parent["NoNewPrivs"] != "1" {
		t.Errorf("process that stays root has capabilities %s (%s), no_new_privs %s", parent["CapEff"], parent["CapPrm"], parent["NoNewPrivs"])
	}
	var ports []string
	for _, service := range []string{"smtp", "imap", "imaps", "metrics"} {
		_, port := r.hostPort(service)
		ports = append(ports, port)
	}
	if n, m := sockets(t, r.child, ports...), sockets(t, r.proc.PID(), ports...); n != len(ports) || m != 0 {
		t.Errorf("process that serves listens on %d sockets, and the one that stays root on %d; expected %d and none", n, m, len(ports))
	}
	limits := string(testkit.ReadFile(t, fmt.Sprintf("/proc/%d/limits", r.child)))
	if m := regexp.MustCompile(`Max open files +(\d+)`).FindStringSubmatch(limits); m == nil || len(m[1]) < 4 {
		t.Errorf("limits: %s", limits)
	}
	if !strings.Contains(r.proc.Output(), "confined to own files") && !strings.Contains(r.proc.Output(), "files are not confined") {
		t.Errorf("log says nothing of confinement:\n%s", r.proc.Output())
	}

	// Root's, but for what the server writes. Keys stay as they are, and are served.
	owned(t, filepath.Dir(r.conf), 0, unprivileged, 03770)
	owned(t, r.conf, 0, unprivileged, 0640)
	owned(t, filepath.Join(filepath.Dir(r.conf), "domains.conf"), unprivileged, unprivileged, 0640)
	owned(t, filepath.Join(r.dir, "data"), unprivileged, unprivileged, 02750)
	owned(t, filepath.Join(r.dir, "data", "ctl"), unprivileged, unprivileged, 0660)
	owned(t, filepath.Join(r.dir, "sockets", "lmtp"), unprivileged, unprivileged, 0660)
	owned(t, r.key, 0, 0, 0600)
	if !r.served().Equal(want) {
		t.Error("another certificate is served")
	}
	nc, err := net.Dial("unix", filepath.Join(r.dir, "sockets", "lmtp"))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Close(); err != nil {
		t.Error(err)
	}

	r.end(syscall.SIGTERM, int(syscall.SIGTERM))
	r.noSocket()
	if !strings.Contains(r.proc.Output(), `m="stopped"`) {
		t.Error("server was not stopped in an orderly way")
	}
	r.verify()
}

// noSocket checks that the socket for LMTP was removed.
func (r *rooted) noSocket() {
	r.t.Helper()
	if _, err := os.Lstat(filepath.Join(r.dir, "sockets", "lmtp")); !errors.Is(err, fs.ErrNotExist) {
		r.t.Errorf("socket for LMTP after the end: %v", err)
	}
}

func TestSecondSignalEndsTheServerAtOnceWhenRootStartsIt(t *testing.T) {
	t.Parallel()
	r := newRooted(t)
	r.start()
	// A transaction that stopping waits for.
	c := textproto.NewConn(r.dial("smtp"))
	defer c.Close()
	for _, cmd := range []struct {
		line string
		code int
	}{{"", 220}, {"HELO remote.example", 250}, {"MAIL FROM:<bob@remote.example>", 250}, {"RCPT TO:<ann@example.org>", 250}, {"DATA", 354}} {
		if cmd.line != "" {
			if err := c.PrintfLine("%s", cmd.line); err != nil {
				t.Fatal(err)
			}
		}
		if _, text, err := c.ReadResponse(cmd.code); err != nil {
			t.Fatalf("%s: %s, %v", cmd.line, text, err)
		}
	}
	if err := r.proc.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.proc.WaitLine(`m="stopping"`)
	r.end(syscall.SIGINT, int(syscall.SIGINT))
	awaitEnd(t, r.child)
	if strings.Contains(r.proc.Output(), `m="stopped"`) {
		t.Error("server has waited for the transaction")
	}
	r.noSocket()
	r.verify()
}

func TestReloadServesNewKeysAndDropsNoneOf200Sessions(t *testing.T) {
	t.Parallel()
	r := newRooted(t)
	r.start()
	r.setPassword()
	ctx := testContext(t)
	sessions := make([]*imapclient.Client, 200)
	for i := range sessions {
		sessions[i] = r.imap("ann@example.org", password)
		if _, err := sessions[i].Select(ctx, "INBOX", imapclient.SelectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	old := r.served()
	next := r.issue()
	if !r.served().Equal(old) {
		t.Error("a key that only root may read was read without asking")
	}
	r.reload()
	if !r.served().Equal(next) {
		t.Error("new certificate is not served after SIGHUP")
	}

	// A change is seen without a signal.
	c := r.smtpClient()
	if err := send(ctx, c, "new@example.org", "Subject: x\r\n\r\nx\r\n"); err == nil {
		t.Error("address exists already")
	}
	domains := rootedDomains + "\t\t\tnew@example.org: nil\n"
	r.writeDomains(domains)
	r.proc.WaitLine("reloaded domains.conf")
	deliver(t, r.smtpClient(), "new@example.org", "Subject: x\r\n\r\nx\r\n")

	// One with errors is not used, and says where they are.
	r.writeDomains(domains + "\tbob:\n\t\tDomain: example.net\n")
	r.proc.WaitLine(`l=error m="domains.conf has errors, previous configuration stays in use" err=".*domains\.conf:\d+: Accounts\.bob`)
	r.reload()
	deliver(t, r.smtpClient(), "new@example.org", "Subject: y\r\n\r\ny\r\n")
	if m := r.metrics(); !strings.Contains(m, "mox_config_reload_success 0") || !strings.Contains(m, `mox_config_reload_total{result="error"} 2`) {
		t.Errorf("metrics say nothing of configuration with errors")
	}
	r.writeDomains(domains)
	r.proc.WaitLine("reloaded domains.conf")
	if m := r.metrics(); !strings.Contains(m, "mox_config_reload_success 1") {
		t.Errorf("metrics do not say that the configuration is right again")
	}

	for i, session := range sessions {
		if _, err := session.Noop(ctx); err != nil {
			t.Errorf("session %d from before: %v", i, err)
		}
	}
	r.end(syscall.SIGINT, int(syscall.SIGINT))
	r.verify()
}

// reload makes the server reload, and waits until it has.
func (r *rooted) reload() {
	r.t.Helper()
	if err := r.proc.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
	r.proc.WaitLine(`m="reloaded".* pkg=daemon`)
}

func (r *rooted) metrics() string {
	r.t.Helper()
	out, err := exec.Command(testkit.Tool(r.t, "curl"), "-sS", "http://"+r.addr["metrics"]+"/metrics").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return string(out)
}

func TestServerStartsAgainAfterEitherProcessWasKilled(t *testing.T) {
	t.Parallel()
	r := newRooted(t)
	for round := range 4 {
		r.start()
		deliver(t, r.smtpClient(), "ann@example.org", "Subject: before\r\n\r\nx\r\n")
		c := r.smtpClient()
		done := make(chan int)
		go func() { // Until the server is gone.
			n := 0
			for send(testContext(t), c, "ann@example.org", "Subject: during\r\n\r\nx\r\n") == nil {
				n++
			}
			done <- n
		}()
		if round%2 == 0 {
			if err := syscall.Kill(r.child, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = r.proc.Wait() // Its status is checked here.
			if code := r.proc.Cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGKILL) {
				t.Errorf("exit code %d after the process that serves was killed", code)
			}
		} else {
			if err := r.proc.Cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = r.proc.Wait() // It was killed.
		}
		<-done
		awaitEnd(t, r.child)
		r.verify()
	}
	r.start()
	deliver(t, r.smtpClient(), "ann@example.org", "Subject: after\r\n\r\nx\r\n")
	r.end(syscall.SIGTERM, int(syscall.SIGTERM))
	r.verify()
}

// awaitEnd waits until there is no process with an id.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d runs on", pid)
		}
	}
}

func TestSystemdIsToldHowTheServerIsDoing(t *testing.T) {
	t.Parallel()
	r := newRooted(t)
	path := filepath.Join(r.dir, "sockets", "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := os.Chmod(path, 0777); err != nil {
		t.Fatal(err)
	}
	// Few messages wait to be read, and the server waits for that.
	told := make(chan string, 100_000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				close(told)
				return
			}
			told <- string(buf[:n])
		}
	}()
	await := func(want string) {
		t.Helper()
		for timeout := time.After(patience); ; {
			select {
			case got := <-told:
				if strings.Contains(got, want) {
					return
				}
			case <-timeout:
				t.Fatalf("systemd is not told %s", want)
			}
		}
	}
	r.start("NOTIFY_SOCKET="+path, "WATCHDOG_USEC=600000", "WATCHDOG_PID=1")
	await("READY=1\nSTATUS=serving")
	await("WATCHDOG=1")
	await("WATCHDOG=1")
	if err := r.proc.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await("RELOADING=1\nMONOTONIC_USEC=")
	await("READY=1\nSTATUS=serving")
	if out, code := mox(t, "-config", r.conf, "healthcheck"); code != 0 {
		t.Errorf("healthcheck: exit code %d\n%s", code, out)
	}
	r.end(syscall.SIGTERM, int(syscall.SIGTERM))
	await("STOPPING=1")
	if out, code := mox(t, "-config", r.conf, "healthcheck"); code != 1 {
		t.Errorf("healthcheck without a server: exit code %d\n%s", code, out)
	}
	r.verify()
}
