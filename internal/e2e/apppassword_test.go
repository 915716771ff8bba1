package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mox/dns"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/sasl"
	"mox/smtpclient"
)

// appPassword makes an app password of the account.
func (s *server) appPassword(name, scope string) string {
	s.t.Helper()
	out, code := mox(s.t, "-config", filepath.Join(s.dir, "mox.conf"), "config", "apppassword", "add", "-scope", scope, "mox", name)
	if code != 0 {
		s.t.Fatalf("add app password: %s", out)
	}
	return strings.TrimSpace(out)
}

// authenticate logs in with a mechanism over TLS, for a protocol.
func (s *server) authenticate(protocol, mechanism, pass string) error {
	s.t.Helper()
	ctx := testContext(s.t)
	cred := sasl.Credentials{Identity: sasl.Identity{Authentication: user}, Password: pass}
	client := func(cs *tls.ConnectionState) (sasl.Client, error) {
		l := []string{mechanism}
		return sasl.Choose(sasl.ChooseOptions{Offered: l, Mechanisms: l, Credentials: cred, TLS: cs})
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(testkit.ReadFile(s.t, s.cert()))
	if protocol == "imap" {
		nc := tls.Client(s.dial("imaps"), &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err := nc.HandshakeContext(ctx); err != nil {
			s.t.Fatal(err)
		}
		c, err := imapclient.New(ctx, nc, imapclient.Options{})
		if err != nil {
			s.t.Fatal(err)
		}
		defer c.Close()
		cs := nc.ConnectionState()
		m, err := client(&cs)
		if err != nil {
			s.t.Fatal(err)
		}
		_, err = c.Authenticate(ctx, m)
		return err
	}
	c, err := smtpclient.New(ctx, s.dial("submissions"), smtpclient.Options{
		Hostname: dns.IPDomain{Domain: dns.Domain{ASCII: "client.example"}},
		TLS:      smtpclient.TLSOptions{Mode: smtpclient.TLSImmediate},
		Auth:     func(_ []string, cs *tls.ConnectionState) (sasl.Client, error) { return client(cs) },
	})
	if err == nil {
		_ = c.Close()
	}
	return err
}

// App passwords work with all mechanisms and with programs of others, in their scope and
// until they are removed; their use is listed, and so are all attempts.
func TestAppPasswords(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	config := func(args ...string) string {
		t.Helper()
		out, code := mox(t, append([]string{"-config", filepath.Join(s.dir, "mox.conf")}, args...)...)
		if code != 0 {
			t.Fatalf("%v: %s", args, out)
		}
		return out
	}
	passwords := map[string]string{"phone": s.appPassword("phone", "imap,smtp"), "reader": s.appPassword("reader", "imap"), "printer": s.appPassword("printer", "smtp")}
	mechanisms := []string{sasl.SCRAMSHA256Plus, sasl.SCRAMSHA256, sasl.SCRAMSHA1Plus, sasl.SCRAMSHA1, sasl.Plain, sasl.Login}
	for name, protocols := range map[string][]string{"phone": {"imap", "submission"}, "reader": {"imap"}, "printer": {"submission"}} {
		for _, mechanism := range mechanisms {
			for _, protocol := range []string{"imap", "submission"} {
				err := s.authenticate(protocol, mechanism, passwords[name])
				if want := slices.Contains(protocols, protocol); want != (err == nil) {
					t.Errorf("%s, %s, %s: %v", name, protocol, mechanism, err)
				}
			}
		}
	}
	attempts := config("loginattempts", "-account", "mox")
	for _, want := range []string{
		"\tok\tmox\tmox@localhost\timap\tSCRAM-SHA-256-PLUS\t127.0.0.1\t127.0.0.1\tphone\tTLS 1.3 ",
		"\tok\tmox\tmox@localhost\tsubmission\tLOGIN\t127.0.0.1\t127.0.0.1\tprinter\tTLS 1.3 ",
		"\tbadcreds/scope\tmox\tmox@localhost\tsubmission\tLOGIN\t127.0.0.1\t127.0.0.1\treader\tTLS 1.3 ",
		"\tbadcreds/scope\tmox\tmox@localhost\timap\tSCRAM-SHA-1\t127.0.0.1\t127.0.0.1\tprinter\tTLS 1.3 ",
	} {
		if !strings.Contains(attempts, want) {
			t.Errorf("no %q in\n%s", want, attempts)
		}
	}

	// Programs of others.
	host, port := s.hostPort("submissions")
	swaks := func(pass string) (string, int) {
		return run(t, "", "swaks", "--server", host, "--port", port, "--tlsc", "--to", "test@localhost", "--from", user, "--auth", "PLAIN",
			"--auth-user", user, "--auth-password", pass, "--helo", "client.example", "--header", "Subject: by app password")
	}
	if out, code := swaks(passwords["printer"]); code != 0 {
		t.Errorf("swaks: exit code %d\n%s", code, out)
	}
	if out, code := swaks(passwords["reader"]); code != swaksNoAuth || !strings.Contains(out, "535 5.7.8") {
		t.Errorf("swaks out of scope: exit code %d\n%s", code, out)
	}
	s.waitSubject("password", 1)
	_, port = s.hostPort("imaps")
	curl := func(pass string) (string, int) {
		return run(t, "", "curl", "-sS", "--cacert", s.cert(), "-u", user+":"+pass, "imaps://localhost:"+port+"/")
	}
	if out, code := curl(passwords["reader"]); code != 0 || !strings.Contains(out, "Inbox") {
		t.Errorf("curl: exit code %d\n%s", code, out)
	}

	// The last use of each.
	list := config("config", "apppassword", "list", "mox")
	for _, l := range strings.Split(strings.TrimSpace(list), "\n") {
		f := strings.Split(l, "\t")
		want := map[string]string{"phone": "submission", "reader": "imap", "printer": "submission"}[f[1]]
		if len(f) != 7 || !strings.HasPrefix(f[4], "20") || f[5] != want || f[6] != "127.0.0.1" {
			t.Errorf("last use: %q", l)
		}
	}

	// It is at an end at once, also for who has just logged in with it.
	config("config", "apppassword", "rm", "mox", "reader")
	if out, code := curl(passwords["reader"]); code != 67 {
		t.Errorf("curl with a removed password: exit code %d\n%s", code, out)
	}
	if err := s.authenticate("imap", sasl.SCRAMSHA256, passwords["phone"]); err != nil {
		t.Errorf("the others: %v", err)
	}
	// And the others are there after a restart.
	s.stop()
	again := localserve(t, options{dir: s.dir})
	if err := again.authenticate("submission", sasl.SCRAMSHA256Plus, passwords["printer"]); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	out, code := mox(t, "-config", filepath.Join(s.dir, "mox.conf"), "loginattempts")
	if code != 0 || !strings.Contains(out, "\treader\t") {
		t.Errorf("attempts after a restart: %s", out)
	}
}
