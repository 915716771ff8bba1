package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/deliver"
	"mox/internal/inbound"
	"mox/internal/testkit"
	"mox/smtpserver"
)

// header has the fields that servers add if they are missing.
const header = "From: <me@sender.example>\r\nDate: Sat, 21 Nov 2026 06:00:00 +0000\r\nMessage-Id: <1@sender.example>\r\n"

// utf8Message is one that takes SMTPUTF8.
const utf8Message = header + "Subject: é\r\n\r\né\r\n"

// largeMessage is one that goes with BDAT, with lines that need stuffing for DATA.
var largeMessage = header + "Subject: large\r\n\r\n" + strings.Repeat(".line\r\n..\r\n", 150_000)

// An inbox takes what our own server has received.
type inbox struct {
	mu       sync.Mutex
	messages []string
	facts    []inbound.Facts
}

func (*inbox) Decide(context.Context, inbound.Facts) inbound.Verdict {
	return inbound.Verdict{Accept: true, Reason: "test"}
}

func (b *inbox) Deliver(_ context.Context, d deliver.Delivery) (deliver.Result, error) {
	content, err := io.ReadAll(d.Spool.Reader())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, string(content))
	b.facts = append(b.facts, d.Facts)
	return deliver.Result{}, err
}

// ownServer starts our server for mail to ann@one.example, and returns its address.
func ownServer(t *testing.T, cert *tls.Config) (*inbox, netip.AddrPort) {
	dir := t.TempDir()
	snap, err := config.New(config.Static{
		DataDir:    dir,
		LogLevel:   "error",
		Hostname:   "mx.one.example",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
	}, config.Dynamic{
		Domains:  map[string]config.DomainFields{"one.example": {}},
		Accounts: map[string]config.AccountFields{"ann": {Domain: "one.example", Destinations: map[string]config.DestinationFields{"ann@one.example": {}, "åsa@one.example": {}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	box := &inbox{}
	srv := smtpserver.New(smtpserver.Options{Config: config.NewHolder(snap), Decide: box, Deliver: box, TempDir: dir})
	l, err := net.Listen("tcp", net.JoinHostPort(newIP(), strconv.Itoa(testPort())))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = srv.Serve(context.Background(), l, smtpserver.ListenerOptions{
			Name: "test", Kind: smtpserver.Delivery, TLSConfig: cert, MaxMessageSize: 10 << 20,
			Limits: config.Limits{ConnectionsPerMinute: -1, OpenConnections: -1, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		})
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = srv.Shutdown(ctx)
	})
	return box, netip.MustParseAddrPort(l.Addr().String())
}

func TestOwnServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.DNSOptions{}, nil)
	cert := w.cert("mx.one.example")
	box, addr := ownServer(t, cert)
	w.dns.Set(t, testkit.DNSOptions{Authentic: true, Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n%s", addr.Addr(), tlsa("mx.one.example", cert))})

	if r := w.want("250", w.delivery("ann@one.example")); r.TLS != "requiredstarttls+dane" || r.Success != "" {
		t.Errorf("result %+v", r)
	}
	d := w.delivery("ann@one.example")
	d.Messages[0].RequireTLS = ptr(true)
	d.Content = newContent(largeMessage)
	r := w.want("250", d)
	if tr := strings.Join(r.Transcript, "\n"); !strings.Contains(tr, "using connection") || strings.Contains(tr, "data: ") {
		t.Errorf("transcript:\n%s", tr)
	}
	d = w.delivery("åsa@one.example", "nobody@one.example")
	d.Base.SMTPUTF8, d.Base.EightBit = true, true
	d.Content = newContent(utf8Message)
	if got, l := w.deliver(d); got != "250, 550 5.1.1!" {
		t.Errorf("got %s, %v, %v", got, l[0].Err, l[1].Err)
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	if len(box.messages) != 3 {
		t.Fatalf("%d messages", len(box.messages))
	}
	for i, want := range []string{testMessage, largeMessage, utf8Message} {
		if !strings.HasSuffix(box.messages[i], want) {
			t.Errorf("message %d has %d octets", i, len(box.messages[i]))
		}
	}
}

// publicDir returns a directory that programs reach which give up the rights of root.
func publicDir(t testing.TB, sub ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mox-transport-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing directory: %v", err)
		}
	})
	for _, name := range append([]string{""}, sub...) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeFile(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// waitFiles waits until n files match a pattern, and returns what they have.
func waitFiles(t testing.TB, pattern string, n int, log func() string) []string {
	t.Helper()
	deadline := time.Now().Add(testkit.ProcessTimeout)
	for {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if len(names) >= n {
			var l []string
			for _, name := range names {
				l = append(l, string(testkit.ReadFile(t, name)))
			}
			return l
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages came:\n%s", len(names), n, log())
		}
		time.Sleep(50 * time.Millisecond) // Another process has them; there is no event.
	}
}

// waitPort waits until a program takes connections.
func waitPort(t testing.TB, addr string, log func() string) {
	t.Helper()
	deadline := time.Now().Add(testkit.ProcessTimeout)
	for {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, log())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// hasMessages checks that each of the messages is there once.
func hasMessages(t testing.TB, got []string, want ...string) {
	t.Helper()
	for _, w := range want {
		n := 0
		for _, g := range got {
			if strings.HasSuffix(g, strings.ReplaceAll(w, "\r\n", "\n")) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("message of %d octets is there %d times", len(w), n)
		}
	}
}

// postfixServer starts a Postfix that takes mail for all users of domains, on a port
// of a new address. It returns the address, the pattern of its files, and its log.
func postfixServer(t *testing.T, ca *testkit.CA, cert tls.Certificate, domains string) (ip, pattern string, log func() string) {
	testkit.NeedRoot(t, "starting postfix")
	postfix := testkit.Tool(t, "postfix")
	dir := publicDir(t, "conf", "queue", "data", "mail")
	command(t, "chown", "postfix", filepath.Join(dir, "data"))
	command(t, "chown", "nobody", filepath.Join(dir, "mail"))
	certFile, keyFile := ca.WritePEM(t, filepath.Join(dir, "conf"), cert)
	ip = newIP()
	writeFile(t, filepath.Join(dir, "conf", "main.cf"), fmt.Sprintf(`
compatibility_level = 3.6
myhostname = postfix.example
config_directory = %[1]s/conf
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
mydestination =
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access inline:{nobody@one.signed.example=REJECT}
smtpd_tls_security_level = may
smtpd_tls_cert_file = %[2]s
smtpd_tls_key_file = %[3]s
smtputf8_enable = yes
alias_maps =
alias_database =
message_size_limit = 20000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = %[4]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
`, dir, certFile, keyFile, domains), 0o644)
	writeFile(t, filepath.Join(dir, "conf", "master.cf"), fmt.Sprintf(`
%s:%d inet n - n - - smtpd
postlog   unix-dgram n - n - 1 postlogd
anvil     unix - - n - 1 anvil
rewrite   unix - - n - - trivial-rewrite
tlsmgr    unix - - n 1000? 1 tlsmgr
proxymap  unix - - n - - proxymap
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
pickup    unix n - n 60 1 pickup
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
error     unix - - n - - error
virtual   unix - n n - - virtual
`, ip, testPort()), 0o644)
	p := testkit.Start(t, exec.Command(postfix, "-c", dir+"/conf", "start-fg"))
	t.Cleanup(func() {
		// The master process is in a group of its own and ends the others.
		data, err := os.ReadFile(filepath.Join(dir, "queue", "pid", "master.pid"))
		pid, perr := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil || perr != nil {
			t.Errorf("finding the master process of postfix: %v, %v", err, perr)
			return
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Errorf("stopping postfix: %v", err)
		}
		_ = p.Wait() // It says that it was terminated.
	})
	p.WaitLine(`daemon started`)
	return ip, filepath.Join(dir, "mail/all/new/*"), p.Output
}

// TestPostfix has real DNSSEC: zones that are signed, and unbound, which verifies.
func TestPostfix(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	cert := ca.Issue(t, testkit.ECDSA, "mx.signed.example")
	ip, pattern, log := postfixServer(t, ca, cert, "one.signed.example wrong.signed.example forged.signed.example sts.plain.example open.plain.example")
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	auth := testkit.NewAuthority(t, testkit.SignedZone{Origin: "signed.example", Records: fmt.Sprintf(`
one.signed.example MX 10 mx.signed.example
wrong.signed.example MX 10 mxwrong.signed.example
forged.signed.example MX 10 mxforged.signed.example
mx.signed.example A %[1]s
mxwrong.signed.example A %[1]s
mxforged.signed.example A %[1]s
_%[2]d._tcp.mxwrong.signed.example TLSA 3 1 1 %064[3]d
%[4]s%[5]s`, ip, testPort(), 0, tlsa("mx.signed.example", config), tlsa("mxforged.signed.example", config)),
		Faults: map[string]testkit.SignatureFault{fmt.Sprintf("_%d._tcp.mxforged.signed.example", testPort()): testkit.SignatureForged},
	}, testkit.SignedZone{Origin: "plain.example", Unsigned: true, Records: fmt.Sprintf(`
sts.plain.example MX 10 mx.signed.example
open.plain.example MX 10 mx.plain.example
mx.plain.example A %s
`, ip)})
	unbound := testkit.StartUnbound(t, testkit.UnboundOptions{Authority: auth})
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{unbound.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, testkit.DNSOptions{}, func(o *DirectOptions) {
		o.Resolver = resolver
		o.TLS = &tls.Config{RootCAs: ca.Pool()}
	})
	w.policy.set("sts.plain.example", "enforce", "mx.signed.example")
	tests := []struct{ rcpts, want, label string }{
		{"ann@one.signed.example", "250", "requiredstarttls+dane"},
		{"bob@one.signed.example nobody@one.signed.example", "250, 554 5.7.1!", "requiredstarttls+dane"},
		{"ann@wrong.signed.example", "451 4.7.5", "requiredstarttls+dane"},
		{"ann@forged.signed.example", "error", ""},
		{"ann@sts.plain.example", "250", "requiredstarttls+mtasts"},
		{"ann@open.plain.example", "250", "opportunistic"},
		{"ann@absent.signed.example", "550 5.1.2!", ""},
	}
	var want []string
	for i, tc := range tests {
		d := w.delivery(strings.Fields(tc.rcpts)...)
		msg := fmt.Sprintf(header+"Subject: test %d\r\n\r\n.test\r\n", i)
		d.Content = newContent(msg)
		got, l := w.deliver(d)
		if got != tc.want || l[0].TLS != tc.label {
			t.Errorf("%s: got %s, tls %q, want %s, %q: %v", tc.rcpts, got, l[0].TLS, tc.want, tc.label, l[0].Err)
		}
		if strings.HasPrefix(tc.want, "250") {
			want = append(want, msg)
		}
	}
	// Over the connection that there is.
	d := w.delivery("ann@one.signed.example")
	d.Content = newContent(largeMessage)
	if r := w.want("250", d); !strings.HasPrefix(r.Transcript[0], "using connection") {
		t.Errorf("transcript %q", r.Transcript)
	}
	d = w.delivery("åsa@one.signed.example")
	d.Base.SMTPUTF8, d.Base.EightBit = true, true
	d.Content = newContent(utf8Message)
	w.want("250", d)
	want = append(want, largeMessage, utf8Message)
	hasMessages(t, waitFiles(t, pattern, len(want), log), want...)
}

// TestExim runs in a mount namespace in which /etc has its user and configuration, so
// that the system needs neither.
func TestExim(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "giving exim4 its user and configuration")
	exim, unshare := testkit.Tool(t, "exim4"), testkit.Tool(t, "unshare")
	dir := publicDir(t, "spool", "log", "mail", "etc", "etc/exim4")
	const uid = "64999" // In no file of the system, so nobody's.
	user := map[string]string{"passwd": "Debian-exim:x:" + uid + ":" + uid + "::/nonexistent:/bin/false\n", "group": "Debian-exim:x:" + uid + ":\n"}
	for _, name := range []string{"passwd", "group", "nsswitch.conf", "hosts", "services"} {
		data, err := os.ReadFile("/etc/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "etc", name), string(data)+user[name], 0o644)
	}
	w := newWorld(t, testkit.DNSOptions{}, nil)
	cert := w.cert("mx.one.example")
	certFile, keyFile := w.ca.WritePEM(t, dir, cert.Certificates[0])
	command(t, "chown", "-R", uid+":"+uid, filepath.Join(dir, "spool"), filepath.Join(dir, "log"), filepath.Join(dir, "mail"), certFile, keyFile)
	ip := newIP()
	writeFile(t, filepath.Join(dir, "etc/exim4/exim4.conf"), fmt.Sprintf(`
primary_hostname = exim.example
exim_path = %[4]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%s
keep_environment =
local_interfaces = <; [%[2]s]:%[3]d
pid_file_path = %[1]s/spool/pid
tls_certificate = %[5]s
tls_privatekey = %[6]s
tls_advertise_hosts = *
chunking_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
host_lookup =
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  deny local_parts = nobody
       message = nobody here
  accept
begin routers
all:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  directory = %[1]s/mail
  maildir_format = true
  user = %[7]s
  group = %[7]s
  delivery_date_add = false
`, dir, ip, testPort(), exim, certFile, keyFile, uid), 0o644)
	p := testkit.Start(t, exec.Command(unshare, "-m", "sh", "-c", fmt.Sprintf("mount --bind %s/etc /etc && exec %s -bdf -q1h", dir, exim)))
	log := func() string {
		main, _ := os.ReadFile(filepath.Join(dir, "log", "main"))
		return p.Output() + string(main)
	}
	waitPort(t, net.JoinHostPort(ip, strconv.Itoa(testPort())), log)
	w.dns.Set(t, testkit.DNSOptions{Authentic: true, Zone: fmt.Sprintf("one.example MX 10 mx.one.example\nmx.one.example A %s\n%s", ip, tlsa("mx.one.example", cert))})
	d := w.delivery("ann@one.example", "nobody@one.example")
	if got, l := w.deliver(d); got != "250, 550 !" || l[0].TLS != "requiredstarttls+dane" || l[1].Text != "nobody here" {
		t.Fatalf("got %s, tls %q, %q:\n%s", got, l[0].TLS, l[1].Text, log())
	}
	d = w.delivery("ann@one.example")
	d.Content = newContent(largeMessage)
	if r := w.want("250", d); strings.Contains(strings.Join(r.Transcript, "\n"), "data: ") {
		t.Errorf("transcript %q", r.Transcript)
	}
	d = w.delivery("åsa@one.example")
	d.Base.SMTPUTF8, d.Base.EightBit = true, true
	d.Content = newContent(utf8Message)
	w.want("250", d)
	hasMessages(t, waitFiles(t, filepath.Join(dir, "mail/new/*"), 3, log), testMessage, largeMessage, utf8Message)
}
