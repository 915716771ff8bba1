package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/internal/authdb"
	"mox/internal/testkit"
	"mox/sasl"
)

func TestUnknownUsersGetASteadySalt(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	salt := func(c *Checker, user string) string {
		t.Helper()
		x, err := c.Begin(ctxbg, from("192.0.2.1"), sasl.SCRAMSHA256)
		tcheck(t, err)
		defer x.Close()
		challenge, done, err := x.Next(ctxbg, []byte("n,,n="+user+",r=clientnonce"))
		if err != nil || done {
			t.Fatalf("done %v, %v", done, err)
		}
		l := strings.Split(string(challenge), ",")
		if len(l) != 3 || l[2] != fmt.Sprintf("i=%d", sasl.SCRAMDefaultIterations) {
			t.Fatalf("challenge %q", challenge)
		}
		return l[1]
	}
	other, err := New(Options{Store: e.st, Config: e.c.opts.Config, Dir: e.dir})
	tcheck(t, err)
	want := salt(e.c, "bob@example.org")
	for _, user := range []string{"bob@example.org", "BOB@example.org", "bob+x@example.org", "bob@EXAMPLE.ORG"} {
		if got := salt(other, user); got != want {
			t.Errorf("%s: salt %s, want %s", user, got, want)
		}
	}
	if salt(e.c, "eve@example.org") == want {
		t.Error("two users have one salt")
	}
	// An account without keys has one salt for all its addresses, as one with keys.
	if salt(e.c, "nopass@example.org") != salt(e.c, "NoPass+1@example.org") {
		t.Error("account without keys has two salts")
	}
	if len(salt(e.c, "ann@example.org")) != len(want) {
		t.Error("salt of another length")
	}
}

// Opening an account takes time; that of an unknown user must take as long.
func TestAnswersThatCostNothingTakeAFixedTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := testEnv(t)
		for _, user := range []string{"ann@example.org", "bob@example.org", "nopass@example.org", "x"} {
			start := time.Now()
			x, err := e.c.Begin(ctxbg, from("192.0.2.1"), sasl.SCRAMSHA256)
			tcheck(t, err)
			if _, _, err := x.Next(ctxbg, []byte("n,,n="+user+",r=clientnonce")); err != nil {
				t.Fatal(err)
			}
			x.Close()
			if d := time.Since(start); d != answerTime {
				t.Errorf("SCRAM for %s took %v", user, d)
			}
			start = time.Now()
			if _, err := exchangeWith(t, e, from("192.0.2.1"), clients(user, password)[sasl.CRAMMD5]); !errors.Is(err, ErrCredentials) {
				t.Fatal(err)
			}
			if d := time.Since(start); d != answerTime {
				t.Errorf("CRAM-MD5 for %s took %v", user, d)
			}
		}
	})
}

func TestDamagedSaltSecretIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tcheck(t, os.WriteFile(filepath.Join(dir, secretName), []byte("zz"), 0600))
	if _, err := loadSecret(dir); err == nil {
		t.Fatal("no error")
	}
}

func TestChannelBindingIsVerified(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	ca := testkit.NewCA(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := tlsPair(t, ca, version)
		a := from("192.0.2.1")
		a.TLS = &server
		for _, h := range []sasl.Hash{sasl.SHA1, sasl.SHA256} {
			good := sasl.TLSChannelBindings(&client)[0]
			res, err := exchangeWith(t, e, a, sasl.NewSCRAMClient(h, creds("ann@example.org", password), sasl.SCRAMClientOptions{Binding: &good}))
			if err != nil || res.Account != "ann" {
				t.Fatalf("%x: %+v, %v", version, res, err)
			}
			bad := good
			bad.Data = append(slices.Clone(good.Data[1:]), 1)
			_, err = exchangeWith(t, e, a, sasl.NewSCRAMClient(h, creds("ann@example.org", password), sasl.SCRAMClientOptions{Binding: &bad}))
			if !errors.Is(err, sasl.ErrChannelBinding) {
				t.Fatalf("%x: other connection: %v", version, err)
			}
			_, err = exchangeWith(t, e, a, sasl.NewSCRAMClient(h, creds("ann@example.org", password), sasl.SCRAMClientOptions{NoServerPlus: true}))
			if !errors.Is(err, sasl.ErrDowngrade) {
				t.Fatalf("%x: downgrade: %v", version, err)
			}
		}
	}
	if log := e.log.Take(); !strings.Contains(log, "result=badchanbind") || !strings.Contains(log, "level=WARN") {
		t.Fatalf("log %s", log)
	}
}

// tlsPair returns the states of both ends of a connection.
func tlsPair(t *testing.T, ca *testkit.CA, version uint16) (server, client tls.ConnectionState) {
	t.Helper()
	sc, cc := net.Pipe()
	defer sc.Close()
	defer cc.Close()
	conf := ca.ClientConfig("mx.example.org")
	conf.MaxVersion = version
	st, ct := tls.Server(sc, ca.ServerConfig(t, "mx.example.org")), tls.Client(cc, conf)
	errc := make(chan error, 1)
	go func() { errc <- st.Handshake() }()
	tcheck(t, ct.Handshake())
	tcheck(t, <-errc)
	return st.ConnectionState(), ct.ConnectionState()
}

func TestMechanismsAnnounced(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	withTLS := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}
	plain := []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"}
	tests := []struct {
		tls, cert, plain bool
		want             []string
	}{
		{true, false, false, withTLS},
		{true, true, true, withTLS},
		{false, false, true, plain},
		{false, false, false, nil},
	}
	for _, tc := range tests {
		if got := e.c.Mechanisms(tc.tls, tc.cert, tc.plain); !slices.Equal(got, tc.want) {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
	for _, name := range withTLS {
		if e.c.mechanism(Attempt{}, name) == nil {
			t.Errorf("announced %s is not known", name)
		}
	}
}

func TestPlainRules(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	tests := []struct {
		name     string
		response string
		want     error
	}{
		{"no authorization identity", "\x00ann@example.org\x00" + password, nil},
		{"equal authorization identity", "ann@example.org\x00ann@example.org\x00" + password, nil},
		{"other authorization identity", "cram@example.org\x00ann@example.org\x00" + password, ErrCredentials},
		{"two fields", "ann@example.org\x00" + password, sasl.ErrProtocol},
		{"empty", "", sasl.ErrProtocol},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			x, err := e.c.Begin(ctxbg, from("192.0.2.1"), sasl.Plain)
			tcheck(t, err)
			defer x.Close()
			challenge, done, err := x.Next(ctxbg, nil)
			if len(challenge) != 0 || done || err != nil {
				t.Fatalf("without initial response: %q, %v, %v", challenge, done, err)
			}
			_, done, err = x.Next(ctxbg, []byte(tc.response))
			if !errors.Is(err, tc.want) || done != (tc.want == nil) {
				t.Fatalf("got %v, %v", done, err)
			}
			if _, _, err := x.Next(ctxbg, nil); !errors.Is(err, sasl.ErrProtocol) {
				t.Fatalf("step after the end: %v", err)
			}
		})
	}
}

// keys are those of client certificates, by fingerprint.
type keys map[string]authdb.TLSPublicKey

func (k keys) TLSPublicKey(_ context.Context, fingerprint string) (authdb.TLSPublicKey, error) {
	if key, ok := k[fingerprint]; ok {
		return key, nil
	}
	return authdb.TLSPublicKey{}, authdb.ErrNotFound
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	ca := testkit.NewCA(t)
	certs := map[string]*x509.Certificate{}
	known := keys{}
	for name, key := range map[string]authdb.TLSPublicKey{
		"ann": {Account: "ann", LoginAddress: "ann@example.org"}, "other": {}, "gone": {Account: "gone", LoginAddress: "gone@example.org"},
	} {
		cert, err := x509.ParseCertificate(ca.IssueClient(t, testkit.ECDSA, name).Certificate[0])
		tcheck(t, err)
		certs[name] = cert
		if key.Fingerprint = authdb.Fingerprint(cert); key.Account != "" {
			known[key.Fingerprint] = key
		}
	}
	if l := e.c.Mechanisms(true, true, false); slices.Contains(l, sasl.External) {
		t.Errorf("EXTERNAL without keys: %v", l)
	}
	e.c.opts.Keys = known
	if l := e.c.Mechanisms(true, true, false); l[0] != sasl.External {
		t.Errorf("mechanisms %v", l)
	}
	if l := e.c.Mechanisms(true, false, false); slices.Contains(l, sasl.External) {
		t.Errorf("EXTERNAL without certificate: %v", l)
	}
	for _, tc := range []struct {
		cert, name string
		want       string // Login address, empty for failure.
	}{
		{"ann", "", "ann@example.org"},
		{"ann", "ann@example.org", "ann@example.org"},
		{"ann", "bob@example.org", ""},
		{"ann", "nobody@example.org", ""},
		{"ann", "not an address", ""},
		{"other", "", ""},
		{"other", "ann@example.org", ""},
		{"gone", "", ""},
		{"", "ann@example.org", ""},
	} {
		a := from("192.0.2.1")
		a.TLS = &tls.ConnectionState{}
		if tc.cert != "" {
			a.TLS.PeerCertificates = []*x509.Certificate{certs[tc.cert]}
		}
		res, err := exchangeWith(t, e, a, sasl.NewExternalClient(tc.name))
		if tc.want == "" && !errors.Is(err, ErrCredentials) || tc.want != "" && err != nil || res.LoginAddress != tc.want {
			t.Errorf("certificate %q, name %q: %+v, %v", tc.cert, tc.name, res, err)
		}
	}
}

func TestExchangesThatCannotSucceed(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	if _, err := e.c.Begin(ctxbg, from("192.0.2.1"), "GSSAPI"); !errors.Is(err, sasl.ErrMechanism) {
		t.Fatalf("unknown mechanism: %v", err)
	}
	if _, err := exchangeWith(t, e, from("192.0.2.1"), sasl.NewExternalClient("ann@example.org")); !errors.Is(err, ErrCredentials) {
		t.Fatalf("EXTERNAL: %v", err)
	}
	tests := []struct {
		mechanism string
		responses []string
		want      error
	}{
		{sasl.CRAMMD5, []string{"initial"}, sasl.ErrProtocol},
		{sasl.SCRAMSHA256, []string{"x"}, sasl.ErrProtocol},
		{sasl.SCRAMSHA256, []string{"n,,n=ann@example.org,r=clientnonce", "x"}, sasl.ErrProtocol},
		{sasl.SCRAMSHA256, []string{"n,a=cram@example.org,n=ann@example.org,r=clientnonce"}, ErrCredentials},
		{sasl.SCRAMSHA256Plus, []string{"p=tls-exporter,,n=ann@example.org,r=clientnonce"}, sasl.ErrChannelBindingMissing},
		{sasl.Login, []string{""}, sasl.ErrUsername},
	}
	for _, tc := range tests {
		x, err := e.c.Begin(ctxbg, from("192.0.2.1"), tc.mechanism)
		tcheck(t, err)
		for _, r := range tc.responses {
			_, _, err = x.Next(ctxbg, []byte(r))
		}
		if !errors.Is(err, tc.want) {
			t.Errorf("%s %q: got %v, want %v", tc.mechanism, tc.responses, err, tc.want)
		}
		x.Close()
	}
}

func TestFailedProofHasALastChallenge(t *testing.T) {
	t.Parallel()
	e := testEnv(t)
	client := sasl.NewSCRAMClient(sasl.SHA256, creds("ann@example.org", "wrong password"), sasl.SCRAMClientOptions{})
	x, err := e.c.Begin(ctxbg, from("192.0.2.1"), client.Name())
	tcheck(t, err)
	defer x.Close()
	first, _, err := client.Next(nil)
	tcheck(t, err)
	challenge, _, err := x.Next(ctxbg, first)
	tcheck(t, err)
	final, _, err := client.Next(challenge)
	tcheck(t, err)
	challenge, done, err := x.Next(ctxbg, final)
	if string(challenge) != "e=invalid-proof" || done || !errors.Is(err, ErrCredentials) {
		t.Fatalf("got %q, %v, %v", challenge, done, err)
	}
}
