package smtpserver

import (
	"crypto/tls"
	"strings"
	"testing"

	"mox/sasl"
)

func credentials(user, password string) sasl.Credentials {
	return sasl.Credentials{Identity: sasl.Identity{Authentication: user}, Password: password}
}

// mechanismClient returns a client for a mechanism.
func mechanismClient(t *testing.T, name string, cred sasl.Credentials, cs *tls.ConnectionState) sasl.Client {
	t.Helper()
	m, err := sasl.Choose(sasl.ChooseOptions{
		Offered:        []string{name},
		Mechanisms:     []string{name},
		Credentials:    cred,
		TLS:            cs,
		AllowCleartext: true,
	})
	if err != nil {
		t.Fatalf("client for %s: %v", name, err)
	}
	return m
}

func TestAllMechanismsWithRealClients(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	names := []string{sasl.SCRAMSHA256Plus, sasl.SCRAMSHA256, sasl.SCRAMSHA1Plus, sasl.SCRAMSHA1, sasl.CRAMMD5, sasl.Plain, sasl.Login}
	for _, name := range names {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				dial := func() (*client, *tls.ConnectionState) {
					c := dialClient(t, ts.submissions)
					conf := testCA().ClientConfig("mx.example.org")
					conf.MinVersion, conf.MaxVersion = version, version
					tc := tls.Client(c.nc, conf)
					if err := tc.Handshake(); err != nil {
						t.Fatalf("handshake: %v", err)
					}
					c = newClient(t, tc)
					c.hello()
					cs := tc.ConnectionState()
					return c, &cs
				}
				for _, initial := range []bool{true, false} {
					c, cs := dial()
					user := "bob@example.org"
					for _, cred := range []sasl.Credentials{credentials(user, "wrong password"), credentials("nobody@example.org", testPassword)} {
						if got := c.auth(mechanismClient(t, name, cred, cs), initial); !strings.HasPrefix(got, "535 5.7.8 bad user name or password (") {
							t.Errorf("wrong credentials: got %q", got)
						}
					}
					if got := c.auth(mechanismClient(t, name, credentials(user, testPassword), cs), initial); !strings.HasPrefix(got, "235 2.7.0 ") {
						t.Errorf("got %q", got)
					}
					c.cmd("MAIL FROM:<bob@example.org>", "250 ")
				}
			})
		}
	}
}

// CRAM-MD5 is for accounts that have opted in. For others it fails like for a user
// that does not exist.
func TestCRAMMD5OfAccountThatHasNotOptedIn(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := dialClient(t, ts.submissions)
	c.startTLS()
	c.hello()
	got := c.auth(mechanismClient(t, sasl.CRAMMD5, credentials("ann@example.org", testPassword), nil), false)
	if !strings.HasPrefix(got, "535 5.7.8 bad user name or password (") {
		t.Errorf("got %q", got)
	}
}

// Someone in between, with a certificate that the client believes, has another TLS
// connection with each side.
func TestChannelBindingOfAnotherConnectionIsRefused(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	other := dialClient(t, ts.submissions)
	cs := other.startTLS().ConnectionState()
	c := dialClient(t, ts.submissions)
	c.startTLS()
	c.hello()
	got := c.auth(mechanismClient(t, sasl.SCRAMSHA256Plus, credentials("ann@example.org", testPassword), &cs), true)
	if !strings.HasPrefix(got, "535 5.7.7 ") {
		t.Errorf("got %q", got)
	}
}

// A client that can bind and believes that the server cannot was offered less than
// the server did.
func TestDowngradeOfChannelBindingIsRefused(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := dialClient(t, ts.submissions)
	cs := c.startTLS().ConnectionState()
	c.hello()
	m, err := sasl.Choose(sasl.ChooseOptions{
		Offered:     []string{sasl.SCRAMSHA256},
		Credentials: credentials("ann@example.org", testPassword),
		TLS:         &cs,
	})
	if err != nil {
		t.Fatalf("choose: %v", err)
	}
	if got := c.auth(m, true); !strings.HasPrefix(got, "535 5.7.0 ") {
		t.Errorf("got %q", got)
	}
}
