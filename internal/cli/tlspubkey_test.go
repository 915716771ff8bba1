package cli

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// login logs in with a client certificate, over SMTP or IMAP, and returns the reply.
func login(t *testing.T, service, addr, dir, stem string) string {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "localhost.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	cert, err := tls.LoadX509KeyPair(stem+".crt", stem+".key")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(nc)
	cmd := func(line, last string) string {
		t.Helper()
		if line != "" {
			if _, err := nc.Write([]byte(line + "\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		for {
			reply, err := br.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if strings.HasPrefix(reply, last) || last == "" && reply[3] == ' ' {
				return reply
			}
		}
	}
	if service == "imaps" {
		if strings.HasPrefix(cmd("", "* "), "* PREAUTH ") {
			return "a OK by the key alone" // RFC 9051 §7.1.4
		}
		return cmd("a AUTHENTICATE EXTERNAL =", "a ")
	}
	cmd("", "220 ")
	cmd("EHLO client.example", "250 ")
	return cmd("AUTH EXTERNAL =", "")
}

func TestUsersLogInWithClientCertificates(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	p, addrs := localserve(t, dir)
	conf := filepath.Join(dir, "mox.conf")
	stem := filepath.Join(t.TempDir(), "phone")
	r := mox(t, "", "config", "tlspubkey", "gen", stem)
	fingerprint := strings.TrimSpace(r.out)
	if r.code != 0 || len(fingerprint) != 43 {
		t.Fatalf("gen: %+v", r)
	}
	mox(t, "", "config", "tlspubkey", "gen", stem).want(t, 1, "", "exists")
	if info, err := os.Stat(stem + ".key"); err != nil || info.Mode().Perm() != 0600 {
		t.Errorf("key: %v, %v", info, err)
	}
	cert, err := os.ReadFile(stem + ".crt")
	if err != nil {
		t.Fatal(err)
	}
	services := map[string][2]string{"submissions": {"235 2.7.0 ", "535 5.7.8 "}, "imaps": {"a OK", "a NO"}}
	logins := func(success bool) {
		t.Helper()
		for service, replies := range services {
			want := replies[0]
			if !success {
				want = replies[1]
			}
			if got := login(t, service, addrs[service], dir, stem); !strings.HasPrefix(got, want) {
				t.Errorf("%s: got %q, expected %q", service, got, want)
			}
		}
	}
	logins(false)
	pubkey := func(in string, args ...string) result {
		t.Helper()
		return mox(t, in, append([]string{"-config", conf, "config", "tlspubkey"}, args...)...)
	}
	pubkey("", "list").want(t, 0, "", "")
	pubkey(string(cert), "add", "nobody@localhost").want(t, 1, "", "no account has login address")
	pubkey("x", "add", "mox@localhost").want(t, 1, "", "no certificate in PEM format")
	pubkey(string(cert), "add", "mox@localhost", "my phone").want(t, 0, fingerprint, "")
	pubkey(string(cert), "add", "mox@localhost").want(t, 1, "", "registered already")
	logins(true)
	line := fingerprint + "\tmox\tmox@localhost\ted25519\t"
	pubkey("", "list").want(t, 0, line, "")
	pubkey("", "list", "mox").want(t, 0, "\tmy phone\n", "")
	if r := pubkey("", "list", "other"); r.code != 0 || r.out != "" {
		t.Errorf("list of another account: %+v", r)
	}
	pubkey("", "get", fingerprint).want(t, 0, string(cert), "")
	pubkey("", "get", "x").want(t, 1, "", "no such public key")
	pubkey("", "get", "-x").want(t, 1, "", "no such public key") // One in 64 fingerprints begins like this.
	pubkey("", "rm", fingerprint).want(t, 0, "", "")
	pubkey("", "rm", fingerprint).want(t, 1, "", "no such public key")
	logins(false)
	_ = p.Stop()
	mox(t, "", "verifydata", filepath.Join(dir, "data")).want(t, 0, "1 accounts", "")
}
