package testkit

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/internal/safefile"
)

// A Pebble is a running pebble: a certificate authority for tests of ACME clients.
type Pebble struct {
	*Process
	CA        *CA    // Of its HTTPS. The certificates it makes are by another, see Roots.
	Directory string // URL.

	management string
}

// PebbleOptions are for [StartPebble].
type PebbleOptions struct {
	DNS      string // Address of the DNS server to ask, with port.
	HTTPPort int    // It connects there for HTTP-01, instead of to port 80.
	TLSPort  int    // It connects there for TLS-ALPN-01, instead of to port 443.

	// ExternalKeys are the keys of accounts that exist already, by key id. If there are
	// any, new accounts must be for one of them.
	ExternalKeys map[string][]byte
	Validity     time.Duration // Of certificates. Zero: 90 days.
}

// PebblePath returns the path of pebble, which is built from the module for tools if
// it has not been yet.
func PebblePath(t testing.TB) string {
	t.Helper()
	return goTool(t, "tools/go.mod", "pebble")
}

// StartPebble starts a pebble on loopback.
func StartPebble(t testing.TB, opts PebbleOptions) *Pebble {
	t.Helper()
	path := PebblePath(t)
	dir := t.TempDir()
	p := &Pebble{CA: NewCA(t)}
	certFile, keyFile := p.CA.WritePEM(t, dir, p.CA.Issue(t, ECDSA, "localhost", "127.0.0.1"))
	addr, management := "127.0.0.1:"+FreePort(t), "127.0.0.1:"+FreePort(t)
	p.Directory, p.management = "https://"+addr+"/dir", "https://"+management
	validity := opts.Validity
	if validity == 0 {
		validity = 90 * 24 * time.Hour
	}
	keys := map[string]string{}
	for id, key := range opts.ExternalKeys {
		keys[id] = base64.RawURLEncoding.EncodeToString(key)
	}
	conf, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":                  addr,
		"managementListenAddress":        management,
		"certificate":                    certFile,
		"privateKey":                     keyFile,
		"httpPort":                       opts.HTTPPort,
		"tlsPort":                        opts.TLSPort,
		"externalAccountBindingRequired": len(keys) > 0,
		"externalAccountMACKeys":         keys,
		"keyAlgorithm":                   "ecdsa",
		"retryAfter":                     map[string]int{"authz": 1, "order": 1},
		"profiles":                       map[string]any{"default": map[string]any{"description": "of tests", "validityPeriod": int(validity.Seconds())}},
	}})
	if err != nil {
		t.Fatalf("configuration of pebble: %v", err)
	}
	confFile := filepath.Join(dir, "pebble.json")
	if err := safefile.WriteFile(confFile, conf, 0600); err != nil {
		t.Fatalf("writing configuration of pebble: %v", err)
	}
	cmd := exec.Command(path, "-config", confFile, "-dnsserver", opts.DNS)
	// Refused nonces are tried again only so often.
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	p.Process = Start(t, cmd)
	p.WaitLine("Listening on: |ACME directory available at")
	p.WaitPort(addr)
	return p
}

// Roots returns the authority of the certificates that it makes.
func (p *Pebble) Roots(t testing.TB) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.RootsPEM(t, nil)) {
		t.Fatalf("authority of pebble: no certificate")
	}
	return pool
}

// RootsPEM returns the authority of the certificates that it makes, in PEM. Dial connects to
// pebble; nil is as usual.
func (p *Pebble) RootsPEM(t testing.TB, dial func(ctx context.Context, network, addr string) (net.Conn, error)) []byte {
	t.Helper()
	p.WaitPort(strings.TrimPrefix(p.management, "https://"))
	transport := &http.Transport{TLSClientConfig: p.CA.ClientConfig(""), DialContext: dial}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: ProcessTimeout}
	resp, err := client.Get(p.management + "/roots/0")
	if err != nil {
		t.Fatalf("authority of pebble: %v", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("authority of pebble: status %s, %v", resp.Status, err)
	}
	return data
}
