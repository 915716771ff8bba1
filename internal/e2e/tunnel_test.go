package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mox/imapclient"
	"mox/internal/testkit"
)

// tunnel returns the shell command that speaks IMAP with the server, without a password.
func (s *server) tunnel() string {
	return testkit.Mox(s.t) + " -config " + filepath.Join(s.dir, "mox.conf") + " admin imapserve " + user
}

// mbsyncTunnel is the configuration of mbsync, with a command and a directory.
const mbsyncTunnel = `
IMAPAccount mox
Tunnel "%s"

IMAPStore far
Account mox

MaildirStore near
Path %[2]s/mail/
Inbox %[2]s/mail/INBOX

Channel all
Far :far:
Near :near:
Patterns INBOX
Expunge Both
Sync All
SyncState %[2]s/state/
`

// TestTunnelMbsync pulls and pushes messages with mbsync through "mox admin imapserve".
func TestTunnelMbsync(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "mbsync")
	s := localserve(t, options{})
	c := s.inbox()
	appendMessages(t, c, "INBOX", simple("first"), strings.Repeat("X: y\r\n", 100000)+simple("large"))
	dir := t.TempDir()
	for _, sub := range []string{"mail/INBOX/cur", "mail/INBOX/new", "mail/INBOX/tmp", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	rc := filepath.Join(dir, "mbsyncrc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, mbsyncTunnel, s.tunnel(), dir), 0o600); err != nil {
		t.Fatal(err)
	}
	succeed(t, "", "mbsync", "-c", rc, "all")
	if n := len(maildir(t, dir)); n != 2 {
		t.Errorf("%d messages in the maildir", n)
	}
	if err := os.WriteFile(filepath.Join(dir, "mail/INBOX/cur/1.near.host:2,S"), []byte(strings.ReplaceAll(simple("near"), "\r\n", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	succeed(t, "", "mbsync", "-c", rc, "all")
	s.waitSubject("near", 1)
	if out, code := run(t, "", testkit.Mox(t), "-config", filepath.Join(s.dir, "mox.conf"), "admin", "imapserve", "nobody@localhost"); code != 1 || !strings.Contains(out, `no account can log in as "nobody@localhost"`) {
		t.Errorf("unknown address: exit code %d, %q", code, out)
	}
	s.stop()
	if out, code := run(t, "", testkit.Mox(t), "-config", filepath.Join(s.dir, "mox.conf"), "admin", "imapserve", user); code != 1 || !strings.Contains(out, "mox is not running") {
		t.Errorf("no server: exit code %d, %q", code, out)
	}
}

// TestTunnelMutt reads and flags a message with mutt through "mox admin imapserve".
func TestTunnelMutt(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "mutt")
	s := localserve(t, options{})
	appendMessages(t, s.inbox(), "INBOX", simple("first letter"), simple("second letter"))
	dir := t.TempDir()
	rc := filepath.Join(dir, "muttrc")
	conf := fmt.Sprintf("set tunnel=%q\nset folder=imap://localhost/\nset spoolfile=+INBOX\nset wait_key=no\nset postponed=\nset record=\n", s.tunnel())
	if err := os.WriteFile(rc, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	term := newTerminal(t, dir, testkit.Tool(t, "mutt")+" -n -F "+rc)
	term.wait("first letter", "second letter", "Msgs:2")
	term.keys("2", "Enter", "Enter")
	term.wait("Text of second letter.")
	term.keys("q")
	term.wait("Msgs:2")
	term.keys("1", "Enter", "F", "$")
	term.wait("Flag:1")
	term.keys("q")
	s.wantFlags("INBOX", "first letter", `\Flagged`, "second letter", `\Seen`)
}

// TestTunnelOneDescriptor gives one socket to "mox admin imapserve" for both directions.
func TestTunnelOneDescriptor(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	nc, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testkit.Mox(t), "-config", filepath.Join(s.dir, "mox.conf"), "admin", "imapserve", "-fd0", user)
	cmd.Stdin = theirs
	p := testkit.Start(t, cmd)
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	c, err := imapclient.New(ctx, nc, imapclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select(ctx, "INBOX", imapclient.SelectOptions{}); err != nil {
		t.Errorf("select: %v", err)
	}
	if err := c.Logout(ctx); err != nil {
		t.Errorf("logout: %v", err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("mox admin imapserve: %v", err)
	}
}
