//go:build linux

package internet

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/internal/testkit/netns"
	"mox/sasl"
	"mox/smtpclient"
)

const password = "a password of tests"

// parallel is how many tests go on at the same time. They mostly wait.
const parallel = "24"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(testkit.RunMox(m))
}

// A mox is a host with the program as it is built.
type mox struct {
	*netns.Host
	w      *world
	domain string
	dir    string
	proc   *testkit.Process
}

// startMox starts a server on a host. Its account is "user", whose addresses are user@
// each of its domains.
func (w *world) startMox(t *testing.T, name string, numbers ...int) *mox {
	t.Helper()
	m := &mox{Host: w.cable.Host(t, numbers[0], numbers[1:]...), w: w, domain: name + ".example", dir: testkit.DataDir(t)}
	hostname := "mx." + m.domain
	names := []string{hostname}
	if name == "beta" {
		names = append(names, certificateNames()...)
	}
	cert := w.certificate(t, names...)
	w.publish(t, tlsa("mx."+m.domain, cert))
	w.ca.WritePEM(t, m.dir, *cert)
	var listeners strings.Builder
	for i, smtp := range []string{"", "NoSTARTTLS: true", "NoRequireTLS: true"}[:len(numbers)] {
		fmt.Fprintf(&listeners, "\tpublic%d:\n\t\tIPs:\n\t\t\t- %s%d\n\t\t\t- %s%d\n%s\t\tSMTP:\n\t\t\tEnabled: true\n\t\t\tFirstTimeSenderDelay: 0s\n",
			i, network4, numbers[i], network6, numbers[i], keyCerts)
		if smtp != "" {
			fmt.Fprintf(&listeners, "\t\t\t%s\n", smtp)
		}
	}
	testkit.WriteFile(t, filepath.Join(m.dir, "mox.conf"), fmt.Sprintf(moxConf, hostname, network4, numberDNS, listeners.String()))
	domains, destinations := m.sign(t), ""
	for i, d := range m.domains() {
		if i > 0 {
			domains += "\t" + d + ": nil\n"
		}
		destinations += "\t\t\tuser@" + d + ": nil\n"
	}
	if name == "beta" {
		destinations += forwards
	}
	testkit.WriteFile(t, filepath.Join(m.dir, "domains.conf"), fmt.Sprintf(domainsConf, domains, m.domain, destinations))
	m.proc = m.Start(t, m.cmd(t, "serve"))
	m.proc.WaitLine("ready to serve")
	m.run(t, password+"\n", "setaccountpassword", "user")
	return m
}

// sign makes a key for DKIM, with its record, and returns the configuration of the domain
// of the server with it.
func (m *mox) sign(t testing.TB) string {
	t.Helper()
	key, err := exec.Command(testkit.Mox(t), "dkim", "gened25519").Output()
	if err != nil {
		t.Fatalf("making a key for dkim: %v", err)
	}
	testkit.WriteFile(t, filepath.Join(m.dir, "dkim.pem"), string(key))
	block, _ := pem.Decode(key)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public := private.(ed25519.PrivateKey).Public().(ed25519.PublicKey)
	m.w.publish(t, fmt.Sprintf(`test._domainkey.%s TXT "v=DKIM1; k=ed25519; p=%s"`, m.domain, base64.StdEncoding.EncodeToString(public)))
	return "\t" + m.domain + ":\n\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\ttest:\n\t\t\t\t\tPrivateKeyFile: dkim.pem\n\t\t\tSign:\n\t\t\t\t- test\n"
}

const keyCerts = `		TLS:
			KeyCerts:
				-
					CertFile: cert.pem
					KeyFile: key.pem
`

const moxConf = `DataDir: data
LogLevel: debug
User: root
PackageLogLevels:
	smtpserver: trace
Hostname: %s
DNSResolver:
	- %s%d:53
TLS:
	CA:
		CertFiles:
			- ca.pem
Listeners:
%s	local:
		IPs:
			- 127.0.0.1
` + keyCerts + `		Submission:
			Enabled: true
			NoRequireSTARTTLS: true
		IMAP:
			Enabled: true
			NoRequireSTARTTLS: true
Postmaster:
	Account: user
	Mailbox: Postmaster
Transports:
	proxy:
		Socks:
			Address: 10.77.0.108:1080
			Username: mail
			Password: through the proxy
			RemoteIPs:
				- 10.77.0.108
			RemoteHostname: proxy.example
`

const domainsConf = `Domains:
%sAccounts:
	user:
		Domain: %s
		KeepRetiredMessagePeriod: 24h
		Destinations:
%sRoutes:
	-
		ToDomain:
			- socks.example
		Transport: proxy
`

// domains returns the domains whose mail the server gets.
func (m *mox) domains() []string {
	if strings.HasPrefix(m.domain, "alpha.") {
		return []string{m.domain}
	}
	return append([]string{m.domain}, sites...)
}

func (m *mox) domainName() string { return m.domain }

func (m *mox) address() string { return "user@" + m.domain }

// cmd returns a command of the program with the configuration of the host.
func (m *mox) cmd(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(testkit.Mox(t), append([]string{"-config", filepath.Join(m.dir, "mox.conf")}, args...)...)
}

// run runs a command that must succeed and returns its output.
func (m *mox) run(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	cmd := m.cmd(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("mox %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// send submits a message.
func (m *mox) send(t testing.TB, msg mail) string {
	t.Helper()
	nc, err := m.Dial(t, "127.0.0.1:587")
	if err != nil {
		t.Fatal(err)
	}
	opts := smtpclient.Options{
		TLS: smtpclient.TLSOptions{
			Mode: smtpclient.TLSRequired, VerifyPKIX: true, ServerName: dns.Domain{ASCII: "mx." + m.domain},
			Config: &tls.Config{RootCAs: m.w.ca.Pool()},
		},
		Auth: func(mechanisms []string, cs *tls.ConnectionState) (sasl.Client, error) {
			return sasl.Choose(sasl.ChooseOptions{Offered: mechanisms, TLS: cs, Credentials: sasl.Credentials{Identity: sasl.Identity{Authentication: m.address()}, Password: password}})
		},
	}
	return msg.deliver(t, nc, opts, m.address())
}

// inbox returns a connection with the inbox.
func (m *mox) inbox(t testing.TB) *imapclient.Client {
	t.Helper()
	nc, err := m.Dial(t, "127.0.0.1:143")
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	c, err := imapclient.New(ctx, nc, imapclient.Options{})
	if err != nil {
		t.Fatalf("imap: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Login(ctx, m.address(), password); err != nil {
		t.Fatalf("imap login: %v", err)
	}
	if _, err := c.Select(ctx, "INBOX", imapclient.SelectOptions{}); err != nil {
		t.Fatalf("imap select: %v", err)
	}
	return c
}

// arrived waits for the message with a text in it and returns it. There must be one.
func (m *mox) arrived(t testing.TB, text string) string {
	t.Helper()
	c := m.inbox(t)
	ctx := context.Background()
	var found []uint32
	poll(t, "message with "+text, func() bool {
		res, err := c.Search(ctx, imapclient.UID, imap.SearchProgram{Key: imap.SearchKey{Op: imap.SearchText, Text: text}}, imapclient.SearchOptions{})
		if err != nil {
			t.Fatalf("imap search: %v", err)
		}
		found = res.Nums
		return len(found) > 0
	})
	if len(found) > 1 {
		t.Errorf("%d messages with %s", len(found), text)
	}
	item := imap.FetchItem{Attr: imap.FetchBodySection, Peek: true}
	l, _, err := c.Fetch(ctx, imapclient.UID, imap.NewRanges(found[0]).NumSet(), []imap.FetchItem{item}, imapclient.FetchOptions{})
	if err != nil || len(l) != 1 || len(l[0].Sections) != 1 {
		t.Fatalf("imap fetch: %d responses, %v", len(l), err)
	}
	return string(l[0].Sections[0].Data)
}

// trace waits until texts are in the trace of a message, in this order, and returns it.
func (m *mox) trace(t testing.TB, id string, wants ...string) string {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(traceInterval) {
		out, _ := m.cmd(t, "trace", "-n", "500", id).CombinedOutput() // An error is that there is nothing yet.
		missing := firstMissing(string(out), wants)
		if missing == "" {
			return string(out)
		}
		if time.Now().After(end) {
			t.Fatalf("trace at %s has no %q, in this order:\n%s", m.domain, missing, out)
		}
	}
}

// retry makes the messages for a recipient be tried at once.
func (m *mox) retry(t testing.TB, to string) {
	t.Helper()
	if out := m.run(t, "", "queue", "schedule", "-now", "-to", to, "0s"); !strings.HasPrefix(out, "1 ") {
		t.Fatalf("queue schedule: %s", out)
	}
}

// stop stops the server and verifies its data.
func (m *mox) stop(t testing.TB) {
	t.Helper()
	m.run(t, "", "stop")
	if err := m.proc.Wait(); err != nil {
		t.Errorf("server: %v", err)
	}
	if out := m.proc.Output(); strings.Contains(out, "panic") {
		t.Errorf("there was a panic in the server:\n%s", out)
	}
	m.run(t, "", "verifydata")
}
