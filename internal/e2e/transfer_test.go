package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mox/imapclient"
	"mox/internal/testkit"
)

// mboxFile writes an mbox file with n messages.
func mboxFile(t testing.TB, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "From a@b Mon Nov 16 10:11:12 2026\nStatus: RO\nX-Keywords: imported\nMessage-ID: <import-%d@example.org>\nSubject: %d\n\n%s\n\n", i, i, strings.Repeat("text\n", i%100))
	}
	path := filepath.Join(t.TempDir(), "mbox")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// exists returns the number of messages in a mailbox, -1 if there is none.
func (s *server) exists(mailbox string) int {
	s.t.Helper()
	c := s.imap(user, password)
	m, err := c.Select(testContext(s.t), mailbox, imapclient.SelectOptions{})
	if err != nil {
		return -1
	}
	return int(m.Exists)
}

// TestImportKilled kills the server with SIGKILL in the middle of imports into a new and
// into an existing mailbox. Nothing is visible of a new mailbox. Then one import goes on, and
// has each message once, and the other one is aborted, and nothing of it is left.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	const n = 4000
	mbox := mboxFile(t, n)
	for _, mailbox := range []string{"Old/Mail", "INBOX"} {
		for _, resume := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,resume=%v", mailbox, resume), func(t *testing.T) {
				dir := filepath.Join(testkit.DataDir(t), "mox")
				s := localserve(t, options{dir: dir, dying: true})
				deliver(t, s.smtpClient(), user, "Subject: before\r\n\r\n")
				before := s.exists(mailbox)
				conf := filepath.Join(dir, "mox.conf")
				id := s.killInImport(conf, mailbox, mbox)
				s.verify()

				s = localserve(t, options{dir: dir})
				if got := s.exists(mailbox); mailbox == "INBOX" && got >= n || mailbox != "INBOX" && got != -1 {
					t.Errorf("%d messages are visible", got)
				}
				out, code := mox(t, "-config", conf, "import", "list", "mox")
				if code != 0 || !strings.Contains(out, id) {
					t.Fatalf("exit code %d, import %s is not listed:\n%s", code, id, out)
				}
				want := n + max(before, 0)
				if resume {
					out, code = mox(t, "-config", conf, "import", "mbox", "-resume", id, "mox", mailbox, mbox)
				} else {
					out, code = mox(t, "-config", conf, "import", "abort", "mox", id)
					want = before
				}
				if code != 0 {
					t.Fatalf("exit code %d:\n%s", code, out)
				}
				if got := s.exists(mailbox); got != want {
					t.Errorf("%d messages, want %d\n%s", got, want, out)
				}
				if out, _ := mox(t, "-config", conf, "import", "list", "mox"); strings.Contains(out, id) {
					t.Errorf("import is still listed:\n%s", out)
				}
				if files := messageFiles(t, dir); !resume && mailbox != "INBOX" && files != 1 {
					t.Errorf("%d message files are left", files)
				}
			})
		}
	}
}

// killInImport begins an import and kills the server when some of it is stored.
func (s *server) killInImport(conf, mailbox, mbox string) (id string) {
	s.t.Helper()
	cmd := exec.Command(testkit.Mox(s.t), "-config", conf, "import", "mbox", "mox", mailbox, "-")
	in, err := cmd.StdinPipe()
	check(s.t, err)
	p := testkit.Start(s.t, cmd)
	data := testkit.ReadFile(s.t, mbox)
	sent := make(chan error, 1)
	go func() {
		_, err := in.Write(data[:len(data)-1]) // It does not end before the kill.
		sent <- err
	}()
	p.WaitLine("^import .* has begun$")
	id = regexp.MustCompile(`import (\w+) has begun`).FindStringSubmatch(p.Output())[1]
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if messageFiles(s.t, s.dir) > 500 {
			break
		} else if time.Now().After(end) {
			s.t.Fatalf("nothing is stored:\n%s", p.Output())
		}
	}
	s.proc.Kill()
	_ = in.Close() // It may have seen that the server is gone.
	<-sent
	_ = p.Wait() // It fails, which is looked at.
	if out := p.Output(); !strings.Contains(out, "is not complete") || !strings.Contains(out, "mox import abort mox "+id) {
		s.t.Fatalf("import ended with:\n%s", out)
	}
	return id
}

// messageFiles returns how many files of messages an account has that are not empty.
func messageFiles(t testing.TB, dir string) (n int) {
	t.Helper()
	l, err := filepath.Glob(filepath.Join(dir, "data", "accounts", "mox", "msg", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range l {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			n++
		}
	}
	return n
}

// TestExportAndImportByCommands exports an account, and imports it into a mailbox.
func TestExportAndImportByCommands(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	conf := filepath.Join(s.dir, "mox.conf")
	ctx := testContext(t)
	c := s.inbox()
	if _, _, err := c.Append(ctx, "INBOX", imapclient.StringMessage("Subject: one\r\n\r\nFrom here\r\n", `\Flagged`, "Custom", "$Junk")); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"mbox", "maildir"} {
		for _, ext := range []string{"", ".zip", ".tgz"} {
			dst := filepath.Join(t.TempDir(), "x"+ext)
			if out, code := mox(t, "-config", conf, "export", format, "mox", dst, "INBOX"); code != 0 || out != "1 messages exported\n" {
				t.Fatalf("export: exit code %d\n%s", code, out)
			}
			into := format + strings.ReplaceAll(ext, ".", "-")
			if out, code := mox(t, "-config", conf, "import", format, "mox", into, dst); code != 0 || !strings.Contains(out, "1 messages imported, 27 octets") {
				t.Fatalf("import: exit code %d\n%s", code, out)
			}
			m, err := c.Select(ctx, into+"/Inbox", imapclient.SelectOptions{ReadOnly: true})
			if err != nil || m.Exists != 1 {
				t.Fatalf("select: %v", err)
			}
			resp, err := c.Cmd(ctx, "FETCH 1 FLAGS")
			if err != nil {
				t.Fatal(err)
			}
			f := imapclient.All[*imapclient.FetchData](resp)
			if len(f) != 1 || !strings.Contains(strings.Join(f[0].Flags, " "), `\Flagged $Junk custom`) {
				t.Errorf("%s: flags %v", into, f)
			}
		}
	}
	if out, code := mox(t, "-config", conf, "export", "mbox", "mox", t.TempDir()); code == 0 {
		t.Errorf("export to a directory that exists: %s", out)
	}
}
