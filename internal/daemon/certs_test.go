package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/config"
	"mox/internal/certs"
	"mox/internal/testkit"
)

// forwardedPort is a port that is forwarded to one that is known later.
type forwardedPort struct {
	listener net.Listener
	done     sync.WaitGroup

	mu sync.Mutex
	to string
}

func forwardPort(t *testing.T) *forwardedPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwardedPort{listener: l}
	f.done.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			f.done.Go(func() { f.forward(nc) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.done.Wait()
	})
	return f
}

func (f *forwardedPort) set(addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = addr
}

func (f *forwardedPort) forward(nc net.Conn) {
	defer nc.Close()
	f.mu.Lock()
	to := f.to
	f.mu.Unlock()
	other, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer other.Close()
	end := time.Now().Add(time.Minute)
	_, _ = nc.SetDeadline(end), other.SetDeadline(end)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(other, nc)
		_ = other.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(nc, other)
	_ = nc.Close()
	<-done
}

// acmeOptions returns the options for a server that is not for trying things out, with
// certificates from a pebble, and the files with keys of its hostname.
func acmeOptions(t *testing.T, dir, host, resolver string, pebble *testkit.Pebble) (Options, *output, []string) {
	t.Helper()
	ca := filepath.Join(dir, "pebble-ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pebble.CA.Cert.Raw})
	if err := os.WriteFile(ca, data, 0600); err != nil {
		t.Fatal(err)
	}
	keys := []string{filepath.Join(dir, "ec.pem"), filepath.Join(dir, "rsa.pem")}
	for i, kind := range []certs.Kind{certs.P256, certs.RSA2048} {
		if _, err := certs.NewHostKey(keys[i], kind); err != nil {
			t.Fatal(err)
		}
	}
	opts, log := testOptions(dir)
	opts.Localserve = false
	opts.Overrides = append(opts.Overrides, func(s *config.Static) {
		s.Hostname = host
		s.DNSResolver = []string{resolver}
		s.TLS.CA = &config.CAFields{CertFiles: []string{ca}}
		s.ACME = map[string]config.ACMEFields{"pebble": {DirectoryURL: pebble.Directory, ContactEmail: "ann@example.org"}}
		listeners := map[string]config.ListenerFields{}
		for name, l := range s.Listeners {
			l.IPs = []string{"127.0.0.1"}
			l.TLS = &config.TLSFields{ACME: "pebble", HostPrivateKeyFiles: keys}
			listeners[name] = l
		}
		s.Listeners = listeners
	})
	return opts, log, keys
}

// A server that has just been set up gets its certificates by itself: other mail
// servers, with STARTTLS, and users are shown one that they can verify.
func TestServerGetsItsCertificatesFromAnAuthority(t *testing.T) {
	t.Parallel()
	const host = "mail.example"
	port443 := forwardPort(t)
	resolver := testkit.NewDNS(t, testkit.DNSOptions{Zone: host + ". A 127.0.0.1"}).Addr
	pebble := testkit.StartPebble(t, testkit.PebbleOptions{DNS: resolver, HTTPPort: 1, TLSPort: port443.listener.Addr().(*net.TCPAddr).Port})
	opts, log, keys := acmeOptions(t, newDir(t), host, resolver, pebble)
	d, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	td := &testDaemon{Daemon: d, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- d.Wait(ctx) }()
	defer func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	}()
	port443.set(td.addr(t, "ACME"))

	client := &tls.Config{RootCAs: pebble.Roots(t), ServerName: host}
	// A handshake of a user waits for it, but not for as long as this may take here.
	log.await(t, "certificate obtained")
	conn, err := tls.Dial("tcp", td.addr(t, "IMAPS"), client)
	if err != nil {
		t.Fatalf("user: %v", err)
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	_ = conn.Close()
	wantRecord(t, leaf, keys)

	c, err := smtp.Dial(td.addr(t, "SMTP"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(client); err != nil {
		t.Fatalf("mail server: %v", err)
	}
	state, _ := c.TLSConnectionState()
	wantRecord(t, state.PeerCertificates[0], keys)

	other := &tls.Config{InsecureSkipVerify: true, ServerName: "other.example"}
	if conn, err := tls.Dial("tcp", td.addr(t, "Submissions"), other); err == nil {
		_ = conn.Close()
		t.Error("user who asks for a name that is not ours was not refused")
	}
}

// wantRecord checks that a certificate is for one of the keys of the hostname.
func wantRecord(t *testing.T, leaf *x509.Certificate, keys []string) {
	t.Helper()
	records, err := certs.Records(keys)
	if err != nil || len(records) != len(keys) {
		t.Fatalf("records: %v, %v", records, err)
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	for _, r := range records {
		if bytes.Equal(r.CertAssoc, sum[:]) {
			return
		}
	}
	t.Errorf("certificate of %v is for no key of the hostname", leaf.DNSNames)
}

// A client that is not an authority gets no answer on the port for authorities, and
// stopping does not wait for one that says nothing.
func TestPortForAuthoritiesIsForNobodyElse(t *testing.T) {
	t.Parallel()
	resolver := testkit.NewDNS(t, testkit.DNSOptions{Zone: "mail.example. A 127.0.0.1"}).Addr
	nowhere := &testkit.Pebble{CA: testkit.NewCA(t), Directory: "https://127.0.0.1:1/dir"}
	opts, log, _ := acmeOptions(t, newDir(t), "mail.example", resolver, nowhere)
	d, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	td := &testDaemon{Daemon: d, log: log}
	silent, err := net.Dial("tcp", td.addr(t, "ACME"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, protos := range [][]string{nil, {"h2"}, {certs.TLSALPN}} {
		conn, err := tls.Dial("tcp", td.addr(t, "ACME"), &tls.Config{InsecureSkipVerify: true, ServerName: "mail.example", NextProtos: protos})
		if err == nil {
			_ = conn.Close()
			t.Errorf("handshake with protocols %v succeeded", protos)
		}
	}
	d.Stop()
	if err := d.Wait(context.Background()); err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "still busy") {
		t.Error("stopping took too long")
	}
}
