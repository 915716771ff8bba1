package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/internal/testkit/peers"
)

// A foreign is a Dovecot that accounts are copied from.
type foreign struct {
	*imapclient.Client
	port, tlsPort string
	ca            string // File with its authority.
}

// startForeign starts a Dovecot with TLS and many mechanisms. Tokens are "good". With
// capabilities, it has only those.
func startForeign(t *testing.T, caps string) *foreign {
	t.Helper()
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") != "good" {
			http.Error(w, `{"error":"invalid_token"}`, http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, `{"user":%q}`, user)
	}))
	t.Cleanup(tokens.Close)
	dir := testkit.PublicDir(t)
	testkit.WriteFile(t, filepath.Join(dir, "tokens"), "tokeninfo_url = "+tokens.URL+"/?token=\nusername_attribute = user\n")
	ca := testkit.NewCA(t)
	d, c := dovecot(t, peers.DovecotOptions{CA: ca, Capabilities: caps, Config: `
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 oauthbearer xoauth2
passdb {
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = ` + dir + `/tokens
}
`})
	return &foreign{c, d.Port, d.TLSPort, filepath.Join(d.Dir, "ca.pem")}
}

// importIMAP returns the command for a copy. The password is in a file.
func (s *server) importIMAP(args ...string) []string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "password")
	check(s.t, os.WriteFile(path, []byte(password+"\n"), 0o600))
	return append([]string{"-config", filepath.Join(s.dir, "mox.conf"), "import", "imap", "-passwordfile", path}, args...)
}

// TestImportIMAPLogsInWithEachMechanism copies with immediate TLS, STARTTLS and none, and
// sees errors that say what is wrong.
func TestImportIMAPLogsInWithEachMechanism(t *testing.T) {
	t.Parallel()
	f := startForeign(t, "")
	appendMessages(t, f.Client, "INBOX", "Subject: one\r\n\r\n")
	s := localserve(t, options{})
	for i, tc := range []struct { // With TLS and STARTTLS in turns.
		args, host, want string // What is wrong; empty if all is well.
	}{
		{"-mechanism PLAIN", "localhost", ""},
		{"-mechanism CRAM-MD5", "localhost", ""},
		{"-mechanism SCRAM-SHA-1", "localhost", ""},
		{"-mechanism SCRAM-SHA-256", "localhost", ""},
		{"", "localhost", ""},
		{"", "localhost", ""},
		{"-mechanism OAUTHBEARER -tokencommand echo+good", "localhost", ""},
		{"-mechanism XOAUTH2 -tokencommand echo+good", "localhost", ""},
		{"-tokencommand echo+bad", "localhost", "log in"},
		{"-tokencommand exit+3", "localhost", "command for a token: exit status 3"},
		{"-mechanism SCRAM-SHA-256-PLUS", "localhost", "mechanism"},
		{"-passwordfile /dev/null", "localhost", "there is no password"},
		{"-cafile /dev/null", "localhost", "there is no certificate in /dev/null"},
		{"", "127.0.0.1", "certificate of the other server is not accepted"}, // Its name is another one.
		{"", "127.0.0.1", "doesn't contain any IP SANs"},
		{"-cafile " + s.cert(), "localhost", "certificate of the other server is not accepted"},
		{"-cafile " + s.cert(), "localhost", "unknown authority"},
	} {
		args := []string{"-tls", "tls", "-port", f.tlsPort, "-cafile", f.ca}
		if i%2 == 1 {
			args = []string{"-tls", "starttls", "-port", f.port, "-cafile", f.ca}
		}
		for _, a := range strings.Fields(tc.args) {
			args = append(args, strings.ReplaceAll(a, "+", " "))
		}
		out, code := mox(t, s.importIMAP(append(args, "mox", tc.host, user)...)...)
		if tc.want == "" && (code != 0 || !strings.Contains(out, "; 1 connections")) || tc.want != "" && (code == 0 || !strings.Contains(out, tc.want)) {
			t.Errorf("%v: exit code %d, want %q:\n%s", args, code, tc.want, out)
		}
	}
	if out, code := mox(t, s.importIMAP("-tls", "none", "-port", f.port, "-mechanism", "PLAIN", "mox", "localhost", user)...); code != 0 {
		t.Errorf("without TLS: exit code %d\n%s", code, out)
	}
	if n := s.exists("INBOX"); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestImportIMAPCarriesChangesOver copies an account several times, with what has changed
// between, over a connection that is cut, and one that is interrupted by a signal.
func TestImportIMAPCarriesChangesOver(t *testing.T) {
	t.Parallel()
	for name, caps := range map[string]string{"with CONDSTORE": "", "without": "IMAP4rev1 LITERAL+ SASL-IR NAMESPACE UIDPLUS"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startForeign(t, caps)
			s := localserve(t, options{})
			ctx := testContext(t)
			const n = 300
			for i := range n {
				appendMessages(t, f.Client, "INBOX", fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("text\r\n", 200)))
			}
			pull := func(port, want string) {
				t.Helper()
				out, code := mox(t, s.importIMAP("-tls", "none", "-port", port, "mox", "localhost", user)...)
				if code != 0 || !strings.Contains(out, want) {
					t.Errorf("exit code %d, want %q:\n%s", code, want, out)
				}
			}
			// One connection hangs, until the command is interrupted.
			hangs, told := cutting(t, f.port, 100_000, false)
			cmd := exec.Command(testkit.Mox(t), s.importIMAP("-tls", "none", "-port", hangs, "mox", "localhost", user)...)
			p := testkit.Start(t, cmd)
			select {
			case <-told:
			case <-ctx.Done():
				t.Fatal("nothing is copied")
			}
			if err := p.Stop(); err == nil || !strings.Contains(p.Output(), "interrupted; the next run goes on where this one was") {
				t.Errorf("interrupted: %v\n%s", err, p.Output())
			}
			// One is cut, and the next one goes on.
			cut, _ := cutting(t, f.port, 200_000, true)
			poll(t, "end of the copy that was interrupted", func() bool {
				out, code := mox(t, s.importIMAP("-tls", "none", "-port", cut, "mox", "localhost", user)...)
				if code != 0 && strings.Contains(out, "it is running already") {
					return false
				}
				if code != 0 || !strings.Contains(out, "connection ended, the next one follows") || !strings.Contains(out, "; 2 connections") {
					t.Errorf("exit code %d:\n%s", code, out)
				}
				return true
			})
			if got := s.exists("INBOX"); got != n {
				t.Errorf("%d messages, want %d", got, n)
			}
			pull(f.port, " 0 messages copied, flags of 0 changed, 0 deleted, 0 left out; 1 connections")

			appendMessages(t, f.Client, "INBOX", "Subject: new\r\n\r\n", "Subject: newer\r\n\r\n")
			_, err := f.Select(ctx, "INBOX", imapclient.SelectOptions{})
			check(t, err)
			for uid, flag := range map[uint32]string{3: `\Flagged`, 4: "Custom", 5: `\Deleted`} {
				_, _, err := f.Store(ctx, imapclient.UID, imap.NewRanges(uid).NumSet(), imapclient.StoreAdd, []string{flag}, imapclient.StoreOptions{})
				check(t, err)
			}
			_, err = f.Expunge(ctx)
			check(t, err)
			pull(f.port, " 2 messages copied, flags of 2 changed, 1 deleted, 0 left out; 1 connections")
			if got := s.exists("INBOX"); got != n+1 {
				t.Errorf("%d messages, want %d", got, n+1)
			}
		})
	}
}

// cutting passes connections on to a port. The first one is cut, or hangs, when it has
// carried so many octets to the client; that is told.
func cutting(t *testing.T, port string, after int64, cut bool) (string, <-chan bool) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = ln.Close() })
	told := make(chan bool)
	var first atomic.Bool
	first.Store(true)
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
			if err != nil {
				_ = client.Close() // It sees it.
				continue
			}
			limited := first.Swap(false)
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() {
				defer client.Close()
				if !limited {
					_, _ = io.Copy(client, server)
					return
				}
				_, _ = io.CopyN(client, server, after)
				close(told)
				if !cut {
					<-ctx.Done()
				}
				_ = server.Close()
			}()
		}
	}()
	_, p, err := net.SplitHostPort(ln.Addr().String())
	check(t, err)
	return p, told
}
