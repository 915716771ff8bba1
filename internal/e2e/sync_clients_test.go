package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
)

// writeConfig writes a file for a program that reads it, with words in capitals with a
// dollar sign replaced, and returns its path.
func (s *server) writeConfig(dir, name, text string) string {
	s.t.Helper()
	_, port := s.hostPort("imaps")
	path := filepath.Join(dir, name)
	text = strings.NewReplacer("$PORT", port, "$CERT", s.cert(), "$DIR", dir, "$USER", user, "$PASSWORD", password).Replace(text)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// startIn starts a program with a home directory of its own.
func startIn(t testing.TB, dir, name string, args ...string) *testkit.Process {
	t.Helper()
	cmd := exec.Command(testkit.Tool(t, name), args...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
	return testkit.Start(t, cmd)
}

// flagsOf returns the flags of the messages in a mailbox, sorted, by subject. $NotJunk,
// which the server sets when messages are moved, is left out.
func (s *server) flagsOf(mailbox string) map[string]string {
	s.t.Helper()
	c := s.imap(user, password)
	ctx := testContext(s.t)
	if _, err := c.Select(ctx, mailbox, imapclient.SelectOptions{ReadOnly: true}); err != nil {
		s.t.Fatalf("select %s: %v", mailbox, err)
	}
	l, _, err := c.Fetch(ctx, imapclient.Seq, numbers(s.t, "1:*"), []imap.FetchItem{{Attr: imap.FetchEnvelope}, {Attr: imap.FetchFlags}}, imapclient.FetchOptions{})
	if err != nil {
		s.t.Fatalf("fetch: %v", err)
	}
	flags := map[string]string{}
	for _, m := range l {
		m.Flags = slices.DeleteFunc(m.Flags, func(f string) bool { return f == "$NotJunk" })
		slices.Sort(m.Flags)
		flags[m.Envelope.Subject.Value] = strings.Join(m.Flags, " ")
	}
	return flags
}

// wantFlags waits until a mailbox has messages with certain flags, given as pairs of
// subject and flags, and no others.
func (s *server) wantFlags(mailbox string, pairs ...string) {
	s.t.Helper()
	var got map[string]string
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%s has %q", mailbox, got)
		}
	}()
	poll(s.t, fmt.Sprintf("%s with %q", mailbox, pairs), func() bool {
		got = s.flagsOf(mailbox)
		for i := 0; i < len(pairs); i += 2 {
			if flags, ok := got[pairs[i]]; !ok || flags != pairs[i+1] {
				return false
			}
		}
		return len(got) == len(pairs)/2
	})
}

const offlineIMAPConfig = `
[general]
accounts = mox
metadata = $DIR/metadata
ui = basic

[Account mox]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = $DIR/mail

[Repository far]
type = IMAP
remotehost = localhost
remoteport = $PORT
remoteuser = $USER
remotepass = $PASSWORD
ssl = yes
sslcacertfile = $CERT
folderfilter = lambda name: name in ("Inbox", "INBOX", "Work/Füße", "Work/F&APwA3w-e")
`

// TestOfflineIMAP synchronises two mailboxes with offlineimap, both ways, until a run has
// nothing to do, and waits with IDLE for a message.
func TestOfflineIMAP(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "offlineimap")
	s := localserve(t, options{loglevel: "trace"})
	dir := t.TempDir()
	c := s.inbox()
	appendMessages(t, c, "INBOX", simple("far one"), simple("far two"), simple("far three"))
	storeFlags(t, c, "1", imapclient.StoreAdd, `\Seen`, `\Flagged`)
	if _, err := c.Create(testContext(t), "Work/Füße"); err != nil {
		t.Fatal(err)
	}
	appendMessages(t, c, "Work/Füße", simple("work"))
	rc := s.writeConfig(dir, "offlineimaprc", offlineIMAPConfig)
	once := func() string {
		t.Helper()
		return succeed(t, "", "offlineimap", "-c", rc, "-o")
	}
	once()
	near := nearFiles(t, dir)
	if len(near) != 4 || !strings.HasSuffix(near["far one"], ":2,FS") || !strings.HasSuffix(near["far two"], ":2,") {
		t.Fatalf("maildir %q", near)
	}
	if out := once(); strings.Contains(out, "Copy message") || strings.Contains(out, "Adding flags") || strings.Contains(out, "Deleting") {
		t.Errorf("a second run has something to do:\n%s", out)
	}

	// Changes on both sides.
	inbox := filepath.Dir(filepath.Dir(near["far one"]))
	if err := os.WriteFile(filepath.Join(inbox, "new", "1.2.host"), []byte(strings.ReplaceAll(simple("near one"), "\r\n", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	two := strings.TrimSuffix(filepath.Base(near["far two"]), ":2,") + ":2,RS"
	if err := os.Rename(near["far two"], filepath.Join(inbox, "cur", two)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(near["far three"]); err != nil {
		t.Fatal(err)
	}
	storeFlags(t, c, "1", imapclient.StoreRemove, `\Flagged`)
	appendMessages(t, c, "INBOX", simple("far four"))
	once()
	s.wantFlags("INBOX", "far one", `\Seen`, "far two", `\Answered \Seen`, "near one", "", "far four", "")
	near = nearFiles(t, dir)
	if len(near) != 5 || !strings.HasSuffix(near["far one"], ":2,S") || near["far four"] == "" {
		t.Errorf("maildir %q", near)
	}
	if out := once(); strings.Contains(out, "Copy message") || strings.Contains(out, "Adding flags") || strings.Contains(out, "Deleting") {
		t.Errorf("a further run has something to do:\n%s", out)
	}

	// It stays, and is told.
	rc = s.writeConfig(dir, "offlineimaprc", strings.Replace(offlineIMAPConfig, "[Account mox]", "[Account mox]\nautorefresh = 10", 1)+
		"idlefolders = ['Inbox']\nkeepalive = 60\nmaxconnections = 2\nholdconnectionopen = yes\n")
	p := startIn(t, dir, "offlineimap", "-c", rc)
	s.idles()
	deliver(t, s.smtpClient(), user, simple("far five"))
	poll(t, "a message in the maildir", func() bool { return nearFiles(t, dir)["far five"] != "" })
	_ = p.Stop() // Interrupted, it says so with its exit code.
}

// nearFiles returns the paths of the messages in all maildirs of a directory, by subject.
func nearFiles(t testing.TB, dir string) map[string]string {
	t.Helper()
	l, err := filepath.Glob(filepath.Join(dir, "mail", "*", "[cn][ue][rw]", "*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, path := range l {
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // Renamed meanwhile.
		} else if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(data), "Subject: ")
		subject, _, _ := strings.Cut(rest, "\n")
		files[strings.TrimSuffix(subject, "\r")] = path
	}
	return files
}

// TestFetchmail fetches what is not seen with fetchmail, removes it from the server, and
// fetches a message that it waits for with IDLE.
func TestFetchmail(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "fetchmail")
	s := localserve(t, options{loglevel: "trace"})
	dir := t.TempDir()
	c := s.inbox()
	appendMessages(t, c, "INBOX", simple("seen already"), simple("letter one"), strings.Replace(simple("letter two"), "Text", ".Text\r\nFrom here, Grüße", 1))
	storeFlags(t, c, "1", imapclient.StoreAdd, `\Seen`)
	const config = `
set no bouncemail
poll localhost protocol IMAP service $PORT
	user "$USER" password "$PASSWORD" ssl sslcertck sslcertfile "$CERT" mda "cat >>$DIR/mail; echo =end >>$DIR/mail"`
	fetch := func(config string, args ...string) (string, int) {
		t.Helper()
		return run(t, "", "fetchmail", append([]string{"-f", s.writeConfig(dir, "fetchmailrc", config), "--pidfile", filepath.Join(dir, "pid"), "-i", filepath.Join(dir, "ids")}, args...)...)
	}
	if out, code := fetch(config, "--check"); code != 0 || !strings.Contains(out, "3 messages (1 seen)") {
		t.Errorf("check: exit code %d\n%s", code, out)
	}
	if out, code := fetch(config + " keep"); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	s.wantFlags("INBOX", "seen already", `\Seen`, "letter one", `\Seen`, "letter two", `\Seen`)
	got := string(testkit.ReadFile(t, filepath.Join(dir, "mail")))
	if strings.Count(got, "=end") != 2 || !strings.Contains(got, "Text of letter one.\n") || !strings.Contains(got, ".Text\nFrom here, Grüße of letter two.\n") {
		t.Errorf("fetched %q", got)
	}
	if out, code := fetch(config + " keep"); code != 1 {
		t.Errorf("nothing new: exit code %d\n%s", code, out)
	}
	if out, code := fetch(config + " fetchall"); code != 0 {
		t.Errorf("fetch all: exit code %d\n%s", code, out)
	}
	s.wantFlags("INBOX")

	p := startIn(t, dir, "fetchmail", "-v", "--nodetach", "-f", s.writeConfig(dir, "fetchmailrc", config+" idle"), "--pidfile", filepath.Join(dir, "pid"))
	s.idles()
	deliver(t, s.smtpClient(), user, simple("it waited"))
	poll(t, "a message that was waited for", func() bool {
		return strings.Contains(string(testkit.ReadFile(t, filepath.Join(dir, "mail"))), "Text of it waited.\n=end")
	})
	_ = p.Stop() // Interrupted, it says so with its exit code.
}

// imapFilterConfig sorts a mailbox.
const imapFilterConfig = `
options.timeout = 60
options.create = true
options.subscribe = true
mox = IMAP { server = 'localhost', port = $PORT, username = '$USER', password = '$PASSWORD', ssl = 'auto' }

mailboxes, folders = mox:list_all()
found = false
for _, name in ipairs(mailboxes) do found = found or name == 'Sent' end
assert(found, 'no mailbox Sent')

exist, recent, unseen = mox.INBOX:check_status()
assert(exist == 4 and unseen == 3, 'status ' .. exist .. ' ' .. unseen)

mox:create_mailbox('Lists/News')
news = mox.INBOX:contain_from('list@') * mox.INBOX:is_unseen()
assert(#news == 1, #news .. ' messages of the list')
news:move_messages(mox['Lists/News'])
urgent = mox.INBOX:contain_body('urgent') + mox.INBOX:contain_field('X-Urgent', 'yes')
urgent:mark_flagged()
mox.INBOX:contain_subject('old'):copy_messages(mox['Archive'])
mox.INBOX:contain_subject('old'):delete_messages()
mox.INBOX:is_flagged():add_flags({ 'todo' })
for _, m in ipairs(mox.INBOX:match_subject('^ur.*')) do
	box, uid = table.unpack(m)
	assert(string.find(box[uid]:fetch_body(), 'urgent'), 'body')
	assert(box[uid]:fetch_flags()[1], 'flags')
	assert(box[uid]:fetch_structure() ~= nil, 'structure')
end

print('waiting')
io.flush()
assert(mox.INBOX:enter_idle(), 'no IDLE')
mox.INBOX:contain_subject('woken'):mark_seen()
print('imapfilter is done')
`

// TestIMAPFilter sorts a mailbox with a program of imapfilter, which then waits for a
// message and changes it.
func TestIMAPFilter(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "imapfilter")
	s := localserve(t, options{loglevel: "trace"})
	dir := t.TempDir()
	c := s.inbox()
	appendMessages(t, c, "INBOX",
		strings.Replace(simple("news"), "sender@", "list@", 1),
		strings.Replace(simple("urgent"), "Text", "urgent", 1),
		strings.Replace(simple("header"), "To:", "X-Urgent: yes\r\nTo:", 1),
		simple("old"))
	storeFlags(t, c, "4", imapclient.StoreAdd, `\Seen`)
	p := startIn(t, dir, "imapfilter", "-c", s.writeConfig(dir, "config.lua", imapFilterConfig), "-t", s.cert())
	p.WaitLine("^waiting$")
	s.idles()
	s.wantFlags("Lists/News", "news", "")
	s.wantFlags("INBOX", "urgent", `\Flagged todo`, "header", `\Flagged todo`)
	s.wantFlags("Archive", "old", `\Seen`)
	deliver(t, s.smtpClient(), user, simple("woken"))
	p.WaitLine("^imapfilter is done$")
	s.wantFlags("INBOX", "urgent", `\Flagged todo`, "header", `\Flagged todo`, "woken", `\Seen`)
}
