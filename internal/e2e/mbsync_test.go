package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
)

// mbsyncMessages is how many messages are moved each way.
const mbsyncMessages = 2000

// mbsyncConfig is the configuration of mbsync, with port, certificate and directory.
const mbsyncConfig = `
IMAPAccount mox
Host localhost
Port %s
User mox@localhost
Pass moxmoxmox
SSLType IMAPS
SystemCertificates no
CertificateFile %s

IMAPStore far
Account mox

MaildirStore near
Path %[3]s/mail/
Inbox %[3]s/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX Sub/Deep
Create Both
Expunge Both
Sync All
SyncState %[3]s/state/
`

// TestMbsync pulls 2,000 messages with mbsync, pushes 2,000 others, and changes flags
// and removes messages on both sides. A further run moves nothing.
func TestMbsync(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "mbsync")
	s := localserve(t, options{})
	dir := t.TempDir()
	for _, sub := range []string{"mail/INBOX/cur", "mail/INBOX/new", "mail/INBOX/tmp", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_, port := s.hostPort("imaps")
	rc := filepath.Join(dir, "mbsyncrc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, mbsyncConfig, port, s.cert(), dir), 0o600); err != nil {
		t.Fatal(err)
	}
	// Only on a terminal it tells its counts: far and near, each with messages added,
	// flags changed (that of deletion too) and messages moved to a trash.
	sync := func(t *testing.T, want string) {
		t.Helper()
		out := succeed(t, "", "script", "-qec", testkit.Tool(t, "mbsync")+" -c "+rc+" all", "/dev/null")
		m := regexp.MustCompile(`F: (\S+) (\S+) (\S+) +N: (\S+) (\S+) (\S+)`).FindAllStringSubmatch(out, -1)
		if len(m) == 0 {
			t.Fatalf("no counts in the output:\n%s", out)
		}
		if got := strings.Join(m[len(m)-1][1:], " "); got != want {
			t.Errorf("far and near: %s, want %s", got, want)
		}
	}
	all := fmt.Sprint(mbsyncMessages)
	const nothing = "+0/0 *0/0 #0/0 +0/0 *0/0 #0/0"
	c := s.inbox()

	// From the server, with flags.
	var messages []string
	for i := range mbsyncMessages {
		messages = append(messages, simple(fmt.Sprintf("far-%d", i)))
	}
	appendMessages(t, c, "INBOX", messages...)
	storeFlags(t, c, "1:100", imapclient.StoreAdd, `\Seen`, `\Flagged`)
	sync(t, "+0/0 *0/0 #0/0 +"+all+"/"+all+" *0/0 #0/0")
	if n := len(maildir(t, dir)); n != mbsyncMessages {
		t.Fatalf("%d messages in the maildir", n)
	}
	sync(t, nothing)

	// To the server.
	for i := range mbsyncMessages {
		name := filepath.Join(dir, "mail/INBOX/cur", fmt.Sprintf("%d.near.host:2,S", 1000000+i))
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(simple(fmt.Sprintf("near-%d", i)), "\r\n", "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sync(t, "+"+all+"/"+all+" *0/0 #0/0 +0/0 *0/0 #0/0")
	sync(t, nothing)
	checkMbsyncFar(t, c)

	// Changes on both sides.
	storeFlags(t, c, "101:110", imapclient.StoreAdd, `\Answered`)
	storeFlags(t, c, "1:5", imapclient.StoreAdd, `\Deleted`)
	if _, err := c.Expunge(testContext(t)); err != nil {
		t.Fatal(err)
	}
	near := maildir(t, dir)
	for _, name := range near[len(near)-7:] {
		if err := os.Rename(name, strings.TrimSuffix(name, "S")+"FS"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range near[len(near)-10 : len(near)-7] {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	sync(t, "+0/0 *10/10 #0/0 +0/0 *15/15 #0/0")
	sync(t, nothing)
	const left = 2*mbsyncMessages - 5 - 3
	status, err := c.Status(testContext(t), "INBOX", imap.StatusMessages)
	if n := len(maildir(t, dir)); err != nil || status.Items[imap.StatusMessages] != left || n != left {
		t.Errorf("%d messages at the server, %d in the maildir, want %d, %v", status.Items[imap.StatusMessages], n, left, err)
	}
}

// maildir returns the paths of the messages in the maildir, sorted.
func maildir(t *testing.T, dir string) []string {
	t.Helper()
	var l []string
	for _, sub := range []string{"cur", "new"} {
		m, err := filepath.Glob(filepath.Join(dir, "mail/INBOX", sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		l = append(l, m...)
	}
	slices.Sort(l)
	return l
}

func storeFlags(t testing.TB, c *imapclient.Client, set string, action imapclient.StoreAction, flags ...string) {
	t.Helper()
	if _, _, err := c.Store(testContext(t), imapclient.Seq, numbers(t, set), action, flags, imapclient.StoreOptions{Silent: true}); err != nil {
		t.Fatalf("store: %v", err)
	}
}

// checkMbsyncFar checks the messages at the server after they were moved both ways.
func checkMbsyncFar(t *testing.T, c *imapclient.Client) {
	t.Helper()
	ctx := testContext(t)
	if _, err := c.Noop(ctx); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	items := []imap.FetchItem{{Attr: imap.FetchEnvelope}, {Attr: imap.FetchFlags}, {Attr: imap.FetchBodySection, Peek: true}}
	l, _, err := c.Fetch(ctx, imapclient.Seq, numbers(t, "1:*"), items, imapclient.FetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range l {
		subject := m.Envelope.Subject.Value
		seen[subject]++
		// mbsync adds a field of its own, X-TUID, and removes it.
		if got := string(m.Sections[0].Data); !strings.Contains(got, "\r\n\r\nText of "+subject+".\r\n") || !strings.HasPrefix(subject, "near-") && got != simple(subject) {
			t.Errorf("message %q has changed: %q", subject, got)
		}
		if strings.HasPrefix(subject, "near-") && !slices.Contains(m.Flags, `\Seen`) {
			t.Errorf("message %q is not seen: %v", subject, m.Flags)
		}
	}
	if len(l) != 2*mbsyncMessages || len(seen) != len(l) {
		t.Errorf("%d messages with %d subjects at the server", len(l), len(seen))
	}
}
