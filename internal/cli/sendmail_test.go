package cli

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/dns"
	"mox/internal/testkit"
	"mox/smtp"
	"mox/smtpclient"
)

// sendmailTest is a home directory with a configuration, and the program under the name
// sendmail.
type sendmailTest struct {
	home, conf, exe, certs string
}

func newSendmailTest(t *testing.T, fields ...string) *sendmailTest {
	t.Helper()
	dir := t.TempDir()
	s := &sendmailTest{home: dir, conf: filepath.Join(dir, "moxsubmit.conf"), exe: filepath.Join(dir, "sendmail")}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, s.exe); err != nil {
		t.Fatal(err)
	}
	s.write(t, fields...)
	return s
}

func (s *sendmailTest) write(t *testing.T, fields ...string) {
	t.Helper()
	if err := os.WriteFile(s.conf, []byte("LocalHostname: client.example\n"+strings.Join(fields, "\n")+"\n"), 0600); err != nil {
		t.Fatal(err)
	}
}

// run runs sendmail and returns its exit code and what it has printed.
func (s *sendmailTest) run(t *testing.T, in string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.exe, args...)
	cmd.Args[0] = "/usr/sbin/sendmail"
	cmd.Env = append(os.Environ(), mainEnv+"=1", "HOME="+s.home, submitConfigEnv+"="+s.conf, "SSL_CERT_FILE="+s.certs)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// failures returns the messages that were stored.
func (s *sendmailTest) failures(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.home, failuresName, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	var l []string
	for _, p := range paths {
		data, err := os.ReadFile(p)
		info, serr := os.Stat(p)
		if err != nil || serr != nil || info.Mode().Perm() != 0600 {
			t.Fatalf("%s: %v, %v, %v", p, err, serr, info)
		}
		l = append(l, string(data))
	}
	return l
}

func TestSendmailSubmitsMessages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	p, addrs := localserve(t, dir)
	port := func(service string) string {
		_, port, err := net.SplitHostPort(addrs[service])
		if err != nil {
			t.Fatal(err)
		}
		return "Port: " + port
	}
	who := []string{"Host: localhost", "Username: mox@localhost", "From: mox@localhost", "DefaultDestination: mox+cron@localhost"}
	s := newSendmailTest(t)
	s.certs = filepath.Join(dir, "localhost.crt")

	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	key := base64.RawURLEncoding.EncodeToString(seed)
	cert, err := submitConfig{ClientAuthEd25519PrivateKey: key}.clientCert()
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	mox(t, string(certPEM), "-config", filepath.Join(dir, "mox.conf"), "config", "tlspubkey", "add", "mox@localhost", "sendmail").want(t, 0, "\n", "")
	const password = "Password: moxmoxmox"
	for _, tc := range []struct {
		name   string
		fields []string
		args   []string
		in     string

		rcpt, mechanism string
	}{
		{"scram with channel binding", []string{port("submissions"), "TLS: true", password}, []string{"mox@localhost"}, "Subject: a\n\nx\n", "mox@localhost", "SCRAM-SHA-256-PLUS"},
		{"starttls", []string{port("submission"), "STARTTLS: true", password}, []string{"-i", "-f", "root", "-Froot", "--", "mox@localhost"}, "Subject: a\n\nx\n", "mox@localhost", "SCRAM-SHA-256-PLUS"},
		{"plain", []string{port("submissions"), "TLS: true", password, "AuthMethod: plain"}, []string{"-oi", "root"}, "Subject: a\n\n.\nx\n", "mox+cron@localhost", "PLAIN"},
		{"without tls", []string{port("submission"), password}, []string{"-t"}, "To: mox@localhost\nSubject: ü\n\nx\n", "mox@localhost", "SCRAM-SHA-256"},
		{"client key", []string{port("submissions"), "TLS: true", "ClientAuthEd25519PrivateKey: " + key}, []string{"-ti"}, "To: root\nFrom: root\nSubject: a\n\nx\n", "mox+cron@localhost", "EXTERNAL"},
		{"tls is not required", []string{port("submissions"), "TLS: true", password, "RequireTLS: no"}, []string{"mox@localhost"}, "no header\n", "mox@localhost", "SCRAM-SHA-256-PLUS"},
	} {
		s.write(t, append(tc.fields, who...)...)
		if code, out := s.run(t, tc.in, tc.args...); code != 0 || out != "" {
			t.Errorf("%s: exit code %d, output %q", tc.name, code, out)
		}
		p.WaitLine(`login attempt.* mechanism=` + tc.mechanism + ` `)
		p.WaitLine(`delivered from queue.* rcptto=<` + regexp.QuoteMeta(tc.rcpt) + `>`)
	}
	if l := s.failures(t); len(l) != 0 {
		t.Errorf("failures %q", l)
	}

	for _, tc := range []struct {
		name   string
		fields []string
		rcpt   string
		code   int
		err    string
	}{
		{"wrong password", []string{port("submissions"), "TLS: true", "Password: wrongwrong"}, "mox@localhost", exNoPerm, "auth"},
		{"refused message", []string{port("submissions"), "TLS: true", password}, "mox+permerror@localhost", exDataErr, "550"},
		{"refused for now", []string{port("submissions"), "TLS: true", password}, "mox+temperror@localhost", exTempFail, "451"},
	} {
		before := len(s.failures(t))
		s.write(t, append(tc.fields, who...)...)
		code, out := s.run(t, "Subject: failed\n\nx\n", tc.rcpt)
		l := s.failures(t)
		if code != tc.code || !strings.Contains(out, tc.err) || len(l) != before+1 {
			t.Errorf("%s: exit code %d, output %q, failures %q", tc.name, code, out, l)
		}
	}
	for _, m := range s.failures(t) {
		if !strings.HasPrefix(m, "X-Moxsubmit-Error: ") || !strings.Contains(m, "\r\nFrom: <mox@localhost>\r\n") || !strings.HasSuffix(m, "Subject: failed\r\n\r\nx\r\n") {
			t.Errorf("failure %q", m)
		}
	}
}

func TestSendmailStoresWhatItCannotSend(t *testing.T) {
	t.Parallel()
	port := testkit.FreePort(t) // Nothing listens there.
	good := []string{"Host: 127.0.0.1", "Port: " + port, "Username: a@b.example", "Password: x", "From: a@b.example"}
	for _, tc := range []struct {
		name   string
		fields []string
		in     string
		args   []string
		code   int
		stored string // Part of it, empty if nothing is.
	}{
		{"no server", good, "Subject: x\n\nx\n", []string{"c@d.example"}, exTempFail, "To: <c@d.example>\r\n"},
		{"no configuration", nil, "Subject: x\n\nx\n", []string{"c@d.example"}, exConfig, "Subject: x\r\n\r\nx\r\n"},
		{"no default destination", good, "Subject: x\n\nx\n", []string{"root"}, exNoUser, "X-Moxsubmit-Recipient: root\r\n"},
		{"two recipients in the header", good, "To: a@b.example, c@d.example\n\nx\n", []string{"-t"}, exDataErr, "To: a@b.example, c@d.example\r\n"},
		{"copies", good, "To: a@b.example\nBcc: c@d.example\n\nx\n", []string{"-t"}, exDataErr, "Bcc: c@d.example\r\n"},
		{"bad recipient", good, "\nx\n", []string{"a b@c.example"}, exUsage, "\r\nx\r\n"},
		{"no recipient", good, "x", nil, exUsage, ""},
		{"two recipients", good, "x", []string{"a@b.example", "c@d.example"}, exUsage, ""},
		{"recipient and -t", good, "x", []string{"-t", "a@b.example"}, exUsage, ""},
		{"other mode", good, "x", []string{"-bs"}, exUsage, ""},
		{"missing value", good, "x", []string{"-f"}, exUsage, ""},
	} {
		s := newSendmailTest(t, tc.fields...)
		code, out := s.run(t, tc.in, tc.args...)
		stored := s.failures(t)
		if code != tc.code || (len(stored) == 1) != (tc.stored != "") || len(stored) == 1 && !strings.Contains(stored[0], tc.stored) {
			t.Errorf("%s: exit code %d, output %q, stored %q", tc.name, code, out, stored)
		}
	}
}

func TestSendmailConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	good := submitConfig{LocalHostname: "a.example", Host: "b.example", Port: 465, TLS: true, Username: "a@b.example", Password: "x", From: "a@b.example"}
	if _, err := good.check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(c *submitConfig){
		"exactly one of Password":         func(c *submitConfig) { c.Password = "" },
		"exactly one of":                  func(c *submitConfig) { c.ClientAuthEd25519PrivateKey = "x" },
		"only one of TLS and STARTTLS":    func(c *submitConfig) { c.STARTTLS = true },
		"a client key needs TLS":          func(c *submitConfig) { c.TLS, c.Password, c.ClientAuthEd25519PrivateKey = false, "", "x" },
		"Username is needed":              func(c *submitConfig) { c.Username = "" },
		"Port: 0":                         func(c *submitConfig) { c.Port = 0 },
		"RequireTLS: ":                    func(c *submitConfig) { c.RequireTLS = "maybe" },
		"AuthMethod: \"x\"":               func(c *submitConfig) { c.AuthMethod = "x" },
		"AuthMethod: EXTERNAL is for":     func(c *submitConfig) { c.AuthMethod = "external" },
		"LocalHostname: ":                 func(c *submitConfig) { c.LocalHostname = "a b" },
		"Host: ":                          func(c *submitConfig) { c.Host = "a b" },
		"From: ":                          func(c *submitConfig) { c.From = "a" },
		"DefaultDestination: ":            func(c *submitConfig) { c.DefaultDestination = "root" },
		"ClientAuthEd25519PrivateKey: 1 ": func(c *submitConfig) { c.Password, c.ClientAuthEd25519PrivateKey = "", "AA" },
		"ClientAuthCertPrivateKeyPEMFile: open": func(c *submitConfig) {
			c.Password, c.ClientAuthCertPrivateKeyPEMFile = "", "/nonexistent"
		},
	} {
		c := good
		change(&c)
		if _, err := c.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	mox(t, "", "config", "describe-sendmail").want(t, 0, "DefaultDestination:", "")
}

func TestSendmailCompletesMessages(t *testing.T) {
	t.Parallel()
	s := &submitter{from: smtp.Address{Localpart: "cron", Domain: dnsDomain("b.example")}, submitConfig: submitConfig{RequireTLS: "no"}}
	to := smtp.Address{Localpart: "c", Domain: dnsDomain("d.example")}
	const from, tls = "From: <cron@b.example>\r\n", "TLS-Required: No\r\n"
	for in, want := range map[string]string{
		"":                               from + "To: <c@d.example>\r\n" + tls + "\r\n",
		"x":                              from + "To: <c@d.example>\r\n" + tls + "\r\nx\r\n",
		"\nx\r\ny":                       from + "To: <c@d.example>\r\n" + tls + "\r\nx\r\ny\r\n",
		"From root\nSubject: a\n\nx\n":   from + "To: <c@d.example>\r\n" + tls + "Subject: a\r\n\r\nx\r\n",
		"From: a\n b\nto: x\n\nx\ry\r\n": from + tls + "to: x\r\n\r\nx\r\ny\r\n",
		"Subject: a\n b\nx y\n":          from + "To: <c@d.example>\r\n" + tls + "Subject: a\r\n b\r\n\r\nx y\r\n",
		"TLS-Required: x\n\n.\n..\n":     from + "To: <c@d.example>\r\nTLS-Required: x\r\n\r\n.\r\n..\r\n",
	} {
		l, err := readLetter(strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(l.complete(s, to)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSendmailErrorsHaveExitCodes(t *testing.T) {
	t.Parallel()
	for want, err := range map[int]error{
		exNoHost:      &smtpclient.Error{Command: "connect", Err: &net.DNSError{IsNotFound: true}},
		exTempFail:    &smtpclient.Error{Command: "rcpt", Code: 450},
		exNoPerm:      &smtpclient.Error{Command: "auth", Permanent: true},
		exNoUser:      &smtpclient.Error{Command: "rcpt", Permanent: true},
		exDataErr:     &smtpclient.Error{Command: "content", Permanent: true},
		exUnavailable: &smtpclient.Error{Command: "mail", Permanent: true},
	} {
		var e *sysexit
		if got := submitError(err); !errors.As(got, &e) || e.code != want {
			t.Errorf("%v: got %v, want %d", err, got, want)
		}
	}
	if err := submitError(nil); err != nil {
		t.Error(err)
	}
}

func FuzzReadLetter(f *testing.F) {
	for _, s := range []string{"Subject: x\n\nx\n", "From a\nFrom: b\n c\n\n.\n", "x", "To: a@b.example\r\n\r\n\r"} {
		f.Add([]byte(s))
	}
	s := &submitter{from: smtp.Address{Localpart: "cron", Domain: dnsDomain("b.example")}}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := readLetter(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = l.recipient()
		got := l.complete(s, s.from)
		// All line ends are CRLF, and what was made is understood the same.
		if rest := bytes.ReplaceAll(got, []byte("\r\n"), nil); bytes.ContainsAny(rest, "\n") {
			t.Fatalf("bare LF in %q", got)
		}
		again, err := readLetter(bytes.NewReader(got))
		if err != nil || !bytes.Equal(again.body, l.body) {
			t.Fatalf("%q: body %q, then %q, %v", data, l.body, again.body, err)
		}
	})
}

func dnsDomain(s string) dns.Domain { return dns.Domain{ASCII: s} }
