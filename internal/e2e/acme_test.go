package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"mox/internal/testkit"
)

const acmeHost = "mail.example"

// acmeConfig is a mox.conf for a server with certificates from an authority. It has
// verbs for resolver, URL of the authority, port for the authority, and port for SMTP.
const acmeConfig = `DataDir: data
LogLevel: info
User: root
Hostname: mail.example
DNSResolver:
	- %s
TLS:
	CA:
		CertFiles:
			- ca.pem
ACME:
	pebble:
		DirectoryURL: %s
		ContactEmail: ann@mail.example
		Port: %s
Listeners:
	public:
		IPs:
			- 127.0.0.1
		TLS:
			ACME: pebble
			HostPrivateKeyFiles:
				- hostkeys/mail.example.p256.pem
				- hostkeys/mail.example.rsa2048.pem
		SMTP:
			Enabled: true
			Port: %s
Postmaster:
	Account: ann
	Mailbox: Postmaster
`

const acmeDomains = `Domains:
	mail.example: nil
Accounts:
	ann:
		Domain: mail.example
		Destinations:
			ann@mail.example: nil
`

// STARTTLS of the program as it is built has a certificate from the authority soon
// after it was first started, for a key that was made before, and at once when it is
// started again, even if there is no authority any more.
func TestServeGetsCertificatesFromAnAuthority(t *testing.T) {
	t.Parallel()
	resolver := testkit.NewDNS(t, testkit.DNSOptions{Zone: acmeHost + ". A 127.0.0.1"}).Addr
	acmePort, smtpPort := testkit.FreePort(t), testkit.FreePort(t)
	port, err := strconv.Atoi(acmePort)
	if err != nil {
		t.Fatal(err)
	}
	pebble := testkit.StartPebble(t, testkit.PebbleOptions{DNS: resolver, HTTPPort: 1, TLSPort: port})
	dir := testkit.Dir(t, map[string]string{
		"mox.conf":                          fmt.Sprintf(acmeConfig, resolver, pebble.Directory, acmePort, smtpPort),
		"domains.conf":                      acmeDomains,
		"ca.pem":                            string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pebble.CA.Cert.Raw})),
		"hostkeys/mail.example.p256.pem":    hostKey(t, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
		"hostkeys/mail.example.rsa2048.pem": hostKey(t, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
	})
	conf := filepath.Join(dir, "mox.conf")
	if out, code := mox(t, "-config", conf, "config", "test"); code != 0 {
		t.Fatalf("config test: %s", out)
	}
	roots := pebble.Roots(t)
	serve := func() *testkit.Process {
		p := testkit.Start(t, exec.Command(testkit.Mox(t), "-config", conf, "serve"))
		p.WaitLine("ready to serve")
		return p
	}
	stop := func(p *testkit.Process) {
		_ = p.Stop() // Its exit code is checked here.
		if code := p.Cmd.ProcessState.ExitCode(); code != int(syscall.SIGINT) {
			t.Errorf("server stopped with exit code %d", code)
		}
	}
	p := serve()
	first := starttls(t, "127.0.0.1:"+smtpPort, roots, 2*patience) // A second attempt is after a minute.
	stop(p)
	pebble.Kill()
	p = serve()
	again := starttls(t, "127.0.0.1:"+smtpPort, roots, patience)
	stop(p)
	if first.SerialNumber.Cmp(again.SerialNumber) != 0 {
		t.Error("certificate is another one after a restart")
	}
}

// hostKey returns a key that openssl has made.
func hostKey(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(testkit.Tool(t, "openssl"), args...).Output()
	if err != nil {
		t.Fatalf("openssl: %v", err)
	}
	return string(out)
}

// starttls returns the certificate of a server, once it can be verified.
func starttls(t *testing.T, addr string, roots *x509.CertPool, patience time.Duration) *x509.Certificate {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		cert, err := tryStarttls(addr, &tls.Config{RootCAs: roots, ServerName: acmeHost})
		if err == nil {
			return cert
		}
		if time.Now().After(end) {
			t.Fatalf("starttls: %v", err)
		}
	}
}

func tryStarttls(addr string, conf *tls.Config) (*x509.Certificate, error) {
	c, err := smtp.Dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.StartTLS(conf); err != nil {
		return nil, err
	}
	state, _ := c.TLSConnectionState()
	return state.PeerCertificates[0], nil
}
