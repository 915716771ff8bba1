package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/imapclient"
)

// simple returns a small message with a subject.
func simple(subject string) string {
	return "From: <sender@remote.example>\r\nTo: <mox@localhost>\r\nSubject: " + subject + "\r\nMessage-ID: <" + subject + "@remote.example>\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\n\r\nText of " + subject + ".\r\n"
}

// appendMessages appends messages to a mailbox, several at a time.
func appendMessages(t testing.TB, c *imapclient.Client, mailbox string, messages ...string) {
	t.Helper()
	ctx := testContext(t)
	for len(messages) > 0 {
		n := min(len(messages), 100)
		var l []imapclient.Message
		for _, s := range messages[:n] {
			l = append(l, imapclient.Message{Size: int64(len(s)), Data: strings.NewReader(s)})
		}
		if _, _, err := c.Append(ctx, mailbox, l...); err != nil {
			t.Fatalf("append: %v", err)
		}
		messages = messages[n:]
	}
}

// TestCurl lists, fetches, appends and searches over IMAP with TLS, and submits.
func TestCurl(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, []byte(simple("appended by curl")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port := s.hostPort("imaps")
	url := "imaps://localhost:" + port + "/"
	curl := func(args ...string) string {
		t.Helper()
		return succeed(t, "", "curl", append([]string{"-sS", "--cacert", s.cert(), "-u", user + ":" + password}, args...)...)
	}
	if out := curl(url); !strings.Contains(out, `"/" Inbox`) || !strings.Contains(out, `\Sent`) {
		t.Errorf("list:\n%s", out)
	}
	curl("-T", file, url+"INBOX")
	if out := curl(url+"INBOX", "-X", "SEARCH SUBJECT curl"); out != "* SEARCH 1\r\n" {
		t.Errorf("search: %q", out)
	}
	if out := curl(url + "INBOX;MAILINDEX=1"); out != simple("appended by curl") {
		t.Errorf("fetch: %q", out)
	}
	if out := curl(url + "INBOX;UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)"); out != "Subject: appended by curl\r\n\r\n" {
		t.Errorf("fetch of a header field: %q", out)
	}
	if out := curl(url, "-X", "STATUS INBOX (MESSAGES UNSEEN)"); !strings.Contains(out, "(MESSAGES 1 UNSEEN 0)") {
		t.Errorf("status: %q", out)
	}
	if out, code := run(t, "", "curl", "-sS", "--cacert", s.cert(), "-u", user+":wrong", url); code != 67 {
		t.Errorf("wrong password: exit code %d\n%s", code, out)
	}
	if out, code := run(t, "", "curl", "-sS", "-u", user+":"+password, url); code != 60 {
		t.Errorf("certificate that is not trusted: exit code %d\n%s", code, out)
	}

	_, port = s.hostPort("submissions")
	if err := os.WriteFile(file, []byte("From: <mox@localhost>\r\n"+simple("submitted by curl")[len("From: <sender@remote.example>\r\n"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	curl("smtps://localhost:"+port, "--mail-from", user, "--mail-rcpt", "friend@elsewhere.example", "-T", file)
	_, port = s.hostPort("submission")
	curl("smtp://localhost:"+port, "--ssl-reqd", "--mail-from", user, "--mail-rcpt", "friend@elsewhere.example", "-T", file)
	s.waitSubject("submitted by curl", 2)
}

// TestOpenSSL looks at TLS with "openssl s_client".
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	for _, tc := range []struct{ service, starttls, quit, reply string }{
		{"imaps", "", "a1 LOGOUT", "a1 OK"},
		{"imap", "imap", "a1 LOGOUT", "a1 OK"},
		{"smtp", "smtp", "QUIT", "221 2.0.0"},
		{"submission", "smtp", "QUIT", "221 2.0.0"},
		{"submissions", "", "QUIT", "221 2.0.0"},
	} {
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			args := []string{"s_client", "-connect", s.addr[tc.service], "-CAfile", s.cert(), "-servername", "localhost", "-verify_hostname", "localhost", "-verify_return_error", "-crlf", "-quiet", "-no_ign_eof", version}
			if tc.starttls != "" {
				args = append(args, "-starttls", tc.starttls)
			}
			// The end of standard input ends the program, so what it sends must end the session.
			out, code := run(t, tc.quit+"\n", "openssl", args...)
			if code != 0 || strings.Contains(out, "verify error") {
				t.Errorf("%s %s: exit code %d\n%s", tc.service, version, code, out)
			}
		}
		for _, version := range []string{"-tls1", "-tls1_1"} {
			args := []string{"s_client", "-connect", s.addr[tc.service], "-CAfile", s.cert(), version, "-cipher", "DEFAULT@SECLEVEL=0"}
			if tc.starttls != "" {
				args = append(args, "-starttls", tc.starttls)
			}
			if out, code := run(t, "", "openssl", args...); code == 0 {
				t.Errorf("%s: old version %s is possible\n%s", tc.service, version, out)
			}
		}
	}
}

// TestIDLE delivers mail over SMTP while other clients wait for it with IDLE.
func TestIDLE(t *testing.T) {
	t.Parallel()
	const clients, messages = 5, 20
	s := localserve(t, options{})
	ctx := testContext(t)
	told := make(chan error, clients)
	for range clients {
		c := s.inbox()
		go func() {
			last := uint32(0)
			err := c.Idle(ctx, func(u imapclient.Untagged) error {
				e, ok := u.(imapclient.Exists)
				switch {
				case ok && uint32(e) <= last:
					return fmt.Errorf("%d messages after %d", e, last)
				case ok && e == messages:
					return imapclient.ErrStopIdle
				case ok:
					last = uint32(e)
				}
				return nil
			})
			if err == nil {
				err = ctx.Err()
			}
			told <- err
		}()
	}
	c := s.smtpClient()
	for i := range messages {
		deliver(t, c, "mox@localhost", simple(fmt.Sprintf("idle %d", i)))
	}
	for range clients {
		if err := <-told; err != nil {
			t.Fatalf("a delivery was not told: %v", err)
		}
	}
}

// TestPython runs a program with smtplib and imaplib.
func TestPython(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	out := succeed(t, "", "python3", filepath.Join("testdata", "client.py"), s.addr["smtp"], s.addr["submission"], s.addr["submissions"], s.addr["imap"], s.addr["imaps"], s.cert(), user, password)
	if !strings.Contains(out, "python is done") {
		t.Errorf("output:\n%s", out)
	}
	for _, tc := range []struct {
		subject string
		n       int
	}{
		{"python delivers", 2}, {"python utf8", 1}, {"python half", 1}, {"python refused", 0}, {"python submits", 3}, {"python wakes", 1},
	} {
		s.waitSubject(tc.subject, tc.n)
	}
}
