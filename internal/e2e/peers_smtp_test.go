package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/dns"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/smtp"
	"mox/smtpclient"
)

// peerOptions are for clients of other servers, or through them.
var peerOptions = smtpclient.Options{
	Hostname: dns.IPDomain{Domain: dns.Domain{ASCII: "client.example"}},
	TLS:      smtpclient.TLSOptions{Mode: smtpclient.TLSSkip},
}

// publicDir returns a directory that programs reach which give up the rights of root.
// It is removed when the test ends.
func publicDir(t testing.TB, sub ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mox-e2e-peer-")
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

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestExim delivers with exim4, which sends messages with BDAT to servers that offer
// CHUNKING. It runs in a mount namespace in which /etc has its user and configuration,
// so that the system needs neither.
func TestExim(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "giving exim4 its user and configuration")
	exim, unshare := testkit.Tool(t, "exim4"), testkit.Tool(t, "unshare")
	s := localserve(t, options{loglevel: "trace", edit: tolerant})
	_, port := s.hostPort("smtp")
	dir := publicDir(t, "spool", "log", "etc", "etc/exim4")
	const uid = "64999" // In no file of the system, so nobody's.
	user := map[string]string{"passwd": "Debian-exim:x:" + uid + ":" + uid + "::/nonexistent:/bin/false\n", "group": "Debian-exim:x:" + uid + ":\n"}
	for _, name := range []string{"passwd", "group", "nsswitch.conf", "hosts", "services"} {
		data, err := os.ReadFile("/etc/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "etc", name), string(data)+user[name])
	}
	succeed(t, "", "chown", "-R", uid+":"+uid, filepath.Join(dir, "spool"), filepath.Join(dir, "log"))
	writeFile(t, filepath.Join(dir, "etc/exim4/exim4.conf"), fmt.Sprintf(`
primary_hostname = exim.example
exim_path = %[3]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%s
keep_environment =
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = remote
begin transports
remote:
  driver = smtp
  port = %[2]s
  hosts_try_chunking = *
  allow_localhost
begin retry
* * F,1h,1m
`, dir, port, exim))
	send := func(subject, body string) {
		t.Helper()
		text := "From: <sender@remote.example>\nTo: <mox@localhost>\nSubject: " + subject + "\n\n" + body
		script := fmt.Sprintf("mount --bind %s/etc /etc && exec %s -oi -odf -f sender@remote.example mox@localhost other@localhost", dir, exim)
		if out, code := run(t, text, unshare, "-m", "sh", "-c", script); code != 0 {
			t.Fatalf("exim4: exit code %d\n%s", code, out)
		}
		if n := len(s.waitSubject(subject, 2)); n != 2 {
			log, _ := os.ReadFile(filepath.Join(dir, "log", "main"))
			t.Fatalf("%d messages came, log of exim4:\n%s", n, log)
		}
	}
	send("exim small", "one line\n.\n..\n")
	uid1 := s.waitSubject("exim small", 2)[0]
	if msg := s.fetch(uid1); !strings.HasSuffix(msg, "\r\n\r\none line\r\n.\r\n..\r\n") {
		t.Errorf("message %q", msg)
	}
	big := strings.Repeat("0123456789 the quick brown fox\n", 100_000)
	send("exim big", big)
	if msg := s.fetch(s.waitSubject("exim big", 2)[0]); !strings.HasSuffix(msg, "\r\n\r\n"+strings.ReplaceAll(big, "\n", "\r\n")) {
		t.Errorf("big message differs")
	}
	log := string(testkit.ReadFile(t, filepath.Join(dir, "log", "main")))
	if n := strings.Count(log, " K "); n < 2 || strings.Contains(log, "==") || strings.Contains(log, "**") {
		t.Errorf("log of exim4 has %d deliveries with CHUNKING:\n%s", n, log)
	}
	if n := strings.Count(s.proc.Output(), "RC: BDAT "); n < 3 {
		t.Errorf("%d BDAT commands in the transcript", n)
	}
}

// postfixClient starts a Postfix that sends all mail to a port of this machine, and
// returns the port on which it takes mail.
func postfixClient(t testing.TB, next string) string {
	t.Helper()
	testkit.NeedRoot(t, "starting postfix")
	postfix := testkit.Tool(t, "postfix")
	dir := publicDir(t, "conf", "queue", "data")
	succeed(t, "", "chown", "postfix", filepath.Join(dir, "data"))
	port := testkit.FreePort(t)
	writeFile(t, filepath.Join(dir, "conf", "main.cf"), fmt.Sprintf(`
compatibility_level = 3.6
myhostname = postfix.example
config_directory = %[1]s/conf
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
relayhost = [127.0.0.1]:%[2]s
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtp_tls_security_level = may
smtp_dns_support_level = disabled
`, dir, next))
	writeFile(t, filepath.Join(dir, "conf", "master.cf"), strings.ReplaceAll(`
127.0.0.1:PORT inet n - n - - smtpd
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
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
scache    unix - - n - 1 scache
`, "PORT", port))
	p := testkit.Start(t, exec.Command(postfix, "-c", dir+"/conf", "start-fg"))
	t.Cleanup(func() { testkit.StopPostfix(t, p, filepath.Join(dir, "queue")) })
	p.WaitLine(`daemon started`)
	return port
}

// TestPostfixDSN sends through a Postfix, which passes on what the sender wants to be
// told. The notification goes through the queue to the sender, who lives here too.
func TestPostfixDSN(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{loglevel: "trace"})
	_, port := s.hostPort("smtp")
	nc, err := net.Dial("tcp", "127.0.0.1:"+postfixClient(t, port))
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	c, err := smtpclient.New(ctx, nc, peerOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	path := func(s string) smtp.Path {
		p, err := smtp.ParseMailbox(s, smtp.Strict)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	results, err := c.Deliver(ctx, smtpclient.Envelope{
		Mail: smtp.MailCommand{ReversePath: path("sender@remote.example"), Ret: smtp.RetHeaders, EnvID: "envelope 1"},
		Recipients: []smtp.RcptCommand{
			{ForwardPath: path("told@localhost"), Notify: smtp.NotifySuccess | smtp.NotifyFailure, OriginalRecipient: smtp.OriginalRecipient{AddrType: "rfc822", Address: "first@remote.example"}},
			{ForwardPath: path("silent@localhost"), Notify: smtp.NotifyNever},
		},
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(simple("dsn by postfix"))), nil
		},
	})
	if err != nil || results[0].Err != nil || results[1].Err != nil {
		t.Fatalf("sending to postfix: %v, %v", err, results)
	}
	s.waitSubject("dsn by postfix", 2)
	msg := s.fetch(s.waitSubject("mail was delivered", 1)[0])
	for _, want := range []string{
		"Return-Path: <>\r\n", "To: <sender@remote.example>\r\n", "Original-Envelope-Id: envelope 1\r\n", "Original-Recipient: rfc822; first@remote.example\r\n",
		"Final-Recipient: rfc822; told@localhost\r\n", "Action: delivered\r\n", "Status: 2.0.0\r\n", "Received-From-MTA: dns; postfix.example\r\n",
	} {
		if !strings.Contains(msg, want) {
			t.Errorf("no %q in notification:\n%s", want, msg)
		}
	}
	if strings.Contains(msg, "silent@localhost") {
		t.Errorf("notification about a recipient that nobody asked about:\n%s", msg)
	}
	if !regexp.MustCompile(`RC: RCPT TO:<told@localhost> (ORCPT=\S+ )?NOTIFY=SUCCESS,FAILURE`).MatchString(s.proc.Output()) {
		t.Errorf("postfix did not ask for a notification")
	}
}

// TestHAProxy connects through haproxy, which tells with the PROXY protocol who the
// client is.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	haproxy := testkit.Tool(t, "haproxy")
	const proxyIP, clientIP = "127.0.0.9", "127.0.0.7"
	s := localserve(t, options{edit: []string{"\t\tLimits:", "\t\tProxyProtocol:\n\t\t\tNetworks:\n\t\t\t\t- " + proxyIP + "\n\t\tLimits:"}})
	dial := func(addr string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientIP)}, Timeout: patience}
		var nc net.Conn
		poll(t, "haproxy listens", func() (ok bool) {
			var err error
			nc, err = d.Dial("tcp", addr)
			return err == nil
		})
		return nc
	}
	for _, version := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(version, func(t *testing.T) {
			smtpPort, imapPort := testkit.FreePort(t), testkit.FreePort(t)
			conf := filepath.Join(t.TempDir(), "haproxy.cfg")
			text := "global\n\tmaxconn 100\ndefaults\n\tmode tcp\n\ttimeout connect 10s\n\ttimeout client 60s\n\ttimeout server 60s\n"
			for service, port := range map[string]string{"smtp": smtpPort, "imap": imapPort} {
				text += fmt.Sprintf("listen %s\n\tbind 127.0.0.1:%s\n\tserver mox %s %s source %s\n", service, port, s.addr[service], version, proxyIP)
			}
			writeFile(t, conf, text)
			testkit.Start(t, exec.Command(haproxy, "-db", "-f", conf))
			ts := s.with(t)
			c, err := smtpclient.New(testContext(t), dial("127.0.0.1:"+smtpPort), peerOptions)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			deliver(t, c, "mox@localhost", simple("through "+version+" haproxy"))
			msg := ts.fetch(ts.waitSubject("through "+version+" haproxy", 1)[0])
			if want := "([" + clientIP + "])"; !strings.Contains(msg, want) || strings.Contains(msg, proxyIP) {
				t.Errorf("no %s in %s", want, msg)
			}
			ic, err := imapclient.New(testContext(t), dial("127.0.0.1:"+imapPort), imapclient.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer ic.Close()
			if _, err := ic.Login(context.Background(), user, password); err != nil {
				t.Error(err)
			}
		})
	}
	// Who is no proxy is not asked for a header, and the proxy cannot leave it out.
	deliver(t, s.smtpClient(), "mox@localhost", simple("directly"))
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(proxyIP)}}
	nc, err := d.Dial("tcp", s.addr["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write([]byte("EHLO client.example\r\n")); err != nil {
		t.Fatal(err)
	}
	if data, _ := io.ReadAll(nc); len(data) > 0 {
		t.Errorf("a proxy without header got %q", data)
	}
}
