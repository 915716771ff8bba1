package imapserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"strings"
	"testing"

	"mox/internal/authdb"
	"mox/internal/identity"
	"mox/internal/testkit"
)

// certServer is a server that asks for client certificates.
type certServer struct {
	*testServer
	certs map[string]tls.Certificate
	cache tls.ClientSessionCache
}

// newCertServer makes certificates: "mjl" has a key that is known, "quiet" one of the same
// account that wants no PREAUTH, and "stranger" one that is not known.
func newCertServer(t *testing.T, immediate bool, auth tls.ClientAuthType) *certServer {
	ca := testkit.NewCA(t)
	ts := newTestServer(t, testSetup{listener: func(l *ListenerOptions) {
		l.TLSConfig = ca.ServerConfig(t, "localhost")
		l.TLSConfig.ClientAuth = auth
		l.ImmediateTLS = immediate
	}})
	ts.ca = ca
	cs := &certServer{testServer: ts, certs: map[string]tls.Certificate{}, cache: tls.NewLRUClientSessionCache(10)}
	keys := map[string]identity.Certificate{}
	for name, preauth := range map[string]bool{"mjl": true, "quiet": false, "stranger": true} {
		cert := ca.IssueClient(t, testkit.ECDSA, name)
		cs.certs[name] = cert
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if name != "stranger" {
			keys[authdb.Fingerprint(leaf)] = identity.Certificate{Result: identity.Result{Account: "mjl", LoginAddress: testUser}, Preauth: preauth}
		}
	}
	ts.auth.mu.Lock()
	ts.auth.keys = keys
	ts.auth.mu.Unlock()
	return cs
}

// config returns the configuration of a client with a certificate, empty for none.
func (cs *certServer) config(cert string) *tls.Config {
	c := cs.clientTLS()
	c.ClientSessionCache = cs.cache
	if cert != "" {
		c.Certificates = []tls.Certificate{cs.certs[cert]}
	}
	return c
}

// dialTLS connects with TLS from the start.
func (cs *certServer) dialTLS(t *testing.T, cert string) (*lineConn, *tls.Conn) {
	t.Helper()
	d := tls.Dialer{Config: cs.config(cert)}
	nc, err := d.DialContext(context.Background(), "tcp", cs.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newLineConn(t, nc), nc.(*tls.Conn)
}

func plainResponse(user string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + testPassword))
}

func TestAKnownKeyIsPreauthenticated(t *testing.T) {
	t.Parallel()
	cs := newCertServer(t, true, tls.RequestClientCert)
	for _, resumed := range []bool{false, true} {
		c, nc := cs.dialTLS(t, "mjl")
		if line := c.line("* PREAUTH [CAPABILITY "); strings.Contains(line, "AUTH=") {
			t.Errorf("mechanisms after login: %q", line)
		}
		if got := nc.ConnectionState().DidResume; got != resumed {
			t.Fatalf("resumed: %v", got)
		}
		c.send("a1 SELECT Inbox")
		c.until("a1 OK")
		c.send("a2 LOGIN %s %s", testUser, testPassword)
		c.line("a2 NO")
		// RFC 8437 §4.2: the certificate stays, what follows from it does not.
		c.send("a3 UNAUTHENTICATE")
		c.line("a3 OK")
		c.send("a4 LOGIN %s %s", otherUser, testPassword)
		c.line("a4 OK")
		c.send("a5 LOGOUT")
		c.until("a5 OK")
	}
	// A resumed session whose key is not known any more is one of a stranger.
	cs.auth.mu.Lock()
	clear(cs.auth.keys)
	cs.auth.mu.Unlock()
	c, nc := cs.dialTLS(t, "mjl")
	c.line("* OK")
	if !nc.ConnectionState().DidResume {
		t.Fatal("not resumed")
	}
}

func TestAKeyWithoutPreauthIsForExternal(t *testing.T) {
	t.Parallel()
	cs := newCertServer(t, true, tls.RequestClientCert)
	for _, initial := range []string{"=", base64.StdEncoding.EncodeToString([]byte(testUser))} {
		c, _ := cs.dialTLS(t, "quiet")
		if line := c.line("* OK [CAPABILITY "); !strings.Contains(line, "AUTH=EXTERNAL") {
			t.Errorf("greeting %q", line)
		}
		c.send("a1 AUTHENTICATE EXTERNAL %s", initial)
		c.line("a1 OK")
	}
	c, _ := cs.dialTLS(t, "quiet")
	c.line("* OK")
	c.send("a1 AUTHENTICATE EXTERNAL %s", base64.StdEncoding.EncodeToString([]byte(otherUser)))
	c.line("a1 NO [AUTHENTICATIONFAILED]")
	c.send("a2 AUTHENTICATE PLAIN %s", plainResponse(otherUser))
	c.line("a2 NO [AUTHENTICATIONFAILED]")
	c.send("a3 LOGIN %s %s", otherUser, testPassword)
	c.line("a3 NO [AUTHENTICATIONFAILED]")
	c.send("a4 AUTHENTICATE PLAIN %s", plainResponse(testUser))
	c.line("a4 OK")
}

func TestAnUnknownKeyIsOfNoUse(t *testing.T) {
	t.Parallel()
	cs := newCertServer(t, true, tls.RequestClientCert)
	c, _ := cs.dialTLS(t, "stranger")
	c.line("* OK")
	c.send("a1 AUTHENTICATE EXTERNAL =")
	c.line("a1 NO [AUTHENTICATIONFAILED]")
	c.send("a2 LOGIN %s %s", otherUser, testPassword)
	c.line("a2 OK")
}

func TestAListenerCanDoWithoutClientCertificates(t *testing.T) {
	t.Parallel()
	cs := newCertServer(t, true, tls.NoClientCert)
	c, _ := cs.dialTLS(t, "mjl")
	if line := c.line("* OK"); strings.Contains(line, "AUTH=EXTERNAL") {
		t.Errorf("greeting %q", line)
	}
}

func TestAKeyAfterStartTLSIsForExternal(t *testing.T) {
	t.Parallel()
	cs := newCertServer(t, false, tls.RequestClientCert)
	nc, err := net.Dial("tcp", cs.addr)
	if err != nil {
		t.Fatal(err)
	}
	c := newLineConn(t, nc)
	c.line("* OK")
	c.send("a1 STARTTLS")
	c.line("a1 OK")
	tc := tls.Client(nc, cs.config("mjl"))
	c = newLineConn(t, tc)
	c.send("a2 LOGIN %s %s", otherUser, testPassword)
	c.line("a2 NO [AUTHENTICATIONFAILED]")
	c.send("a3 AUTHENTICATE EXTERNAL =")
	c.line("a3 OK")
}

func TestACertificateMeansNothingWithALPN(t *testing.T) {
	t.Parallel()
	cs := newCertServer(t, true, tls.RequestClientCert)
	client, server := net.Pipe()
	config := cs.ca.ServerConfig(t, "localhost")
	config.ClientAuth = tls.RequestClientCert
	done := make(chan struct{})
	go func() {
		defer close(done)
		tc := tls.Server(server, config)
		if err := tc.HandshakeContext(context.Background()); err != nil {
			t.Errorf("handshake: %v", err)
			return
		}
		cs.server.ServeALPN(context.Background(), tc, ListenerOptions{Name: "https"})
	}()
	tc := tls.Client(client, cs.config("mjl"))
	c := newLineConn(t, tc)
	if line := c.line("* OK"); strings.Contains(line, "AUTH=EXTERNAL") {
		t.Errorf("greeting %q", line)
	}
	c.send("a1 AUTHENTICATE EXTERNAL =")
	c.line("a1 NO")
	client.Close()
	<-done
}

func TestASessionEndsWithItsCredentials(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	idle, other := ts.connect("imap"), ts.connect("other")
	idle.send("a1 IDLE")
	idle.line("+")
	ts.auth.revoke("mjl")
	idle.line("* BYE log in again")
	if _, err := idle.br.ReadByte(); err == nil {
		t.Error("connection is not closed")
	}
	other.send("b1 NOOP")
	other.line("b1 OK")
}
