package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mox/dns"
	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/sasl"
	"mox/smtpclient"
)

// tmpfs mounts a small file system for the duration of a test.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux, to mount a small file system")
	}
	testkit.NeedRoot(t, "mounting a small file system")
	dir := filepath.Join(testkit.DataDir(t), "tmpfs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(testkit.Tool(t, "mount"), "-t", "tmpfs", "-o", "mode=0700,size="+size, "mox-test", dir).CombinedOutput(); err != nil {
		testkit.Missing(t, "root cannot mount: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return dir
}

// fill makes a file system full but for the given number of octets, with one file.
func fill(t testing.TB, dir string, free int64) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, st.Bsize)
	for n := int64(st.Bavail) - free/int64(st.Bsize); n > 0; n-- {
		if _, err := f.Write(buf); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				break
			}
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// unfill makes room again.
func unfill(t testing.TB, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
}

// subjects returns how many messages with each subject are in the inbox, and which of
// them are flagged.
func (s *server) subjects() (count map[string]int, flagged []string) {
	s.t.Helper()
	count = map[string]int{}
	c := s.inbox()
	defer func() { _ = c.Close() }()
	items := []imap.FetchItem{{Attr: imap.FetchEnvelope}, {Attr: imap.FetchFlags}, {Attr: imap.FetchBodySection, Peek: true}}
	l, _, err := c.Fetch(testContext(s.t), imapclient.Seq, numbers(s.t, "1:*"), items, imapclient.FetchOptions{})
	if err != nil {
		s.t.Fatalf("fetch: %v", err)
	}
	for _, m := range l {
		subject := m.Envelope.Subject.Value
		if !strings.HasSuffix(string(m.Sections[0].Data), diskMessage(subject)) {
			s.t.Errorf("message with subject %q is not what was sent", subject)
		}
		count[subject]++
		if slices.Contains(m.Flags, `\Flagged`) {
			flagged = append(flagged, subject)
		}
	}
	return count, flagged
}

// diskMessage returns a message of about 10 kB.
func diskMessage(subject string) string {
	return "Subject: " + subject + "\r\nFrom: <" + user + ">\r\nDate: Sat, 21 Nov 2026 01:34:35 +0000\r\nMessage-Id: <" + subject + "@localhost>\r\n\r\n" +
		strings.Repeat("0123456789 "+subject+"\r\n", 400)
}

// tryDeliver delivers a message over a new connection and reports whether it was taken. A refusal must be one
// for lack of space, or after a disk failure.
func (s *server) tryDeliver(ctx context.Context, subject string, codes ...string) bool {
	s.t.Helper()
	return s.trySend(ctx, s.smtpClient(), "sender@remote.example", subject, codes)
}

// trySubmit is tryDeliver for a submission.
func (s *server) trySubmit(ctx context.Context, subject string, codes ...string) bool {
	s.t.Helper()
	return s.trySend(ctx, s.submitClient(), user, subject, codes)
}

func (s *server) trySend(ctx context.Context, c *smtpclient.Client, sender, subject string, codes []string) bool {
	s.t.Helper()
	defer func() { _ = c.Close() }()
	_, err := sendFrom(ctx, c, sender, user, diskMessage(subject))
	var se *smtpclient.Error
	if err != nil && (!errors.As(err, &se) || !slices.Contains(codes, fmt.Sprintf("%d %s", se.Code, se.Enhanced))) {
		s.t.Fatalf("delivering %s: %v, want one of %q", subject, err, codes)
	}
	return err == nil
}

// tryAppend appends a message and reports whether it was taken. A refusal must be
// temporary.
func (s *server) tryAppend(ctx context.Context, c *imapclient.Client, subject string) bool {
	s.t.Helper()
	_, _, err := c.Append(ctx, "INBOX", imapclient.StringMessage(diskMessage(subject)))
	return s.done("append "+subject, err)
}

// done reports whether a command was done. If not, the server must have answered that
// this is temporary.
func (s *server) done(what string, err error) bool {
	s.t.Helper()
	var ie *imap.Error
	if err != nil && (!errors.As(err, &ie) || ie.Type != imap.TypeNO || ie.Code != imap.CodeUnavailable) {
		s.t.Fatalf("%s: %v, want NO [UNAVAILABLE]", what, err)
	}
	return err == nil
}

// submitClient returns a client that has logged in for submission.
func (s *server) submitClient() *smtpclient.Client {
	s.t.Helper()
	c, err := smtpclient.New(testContext(s.t), s.dial("submission"), smtpclient.Options{
		Hostname: dns.IPDomain{Domain: dns.Domain{ASCII: "client.example"}},
		TLS:      smtpclient.TLSOptions{Mode: smtpclient.TLSSkip},
		Auth: func([]string, *tls.ConnectionState) (sasl.Client, error) {
			return sasl.NewPlainClient(sasl.Credentials{Identity: sasl.Identity{Authentication: user}, Password: password}), nil
		},
	})
	if err != nil {
		s.t.Fatalf("submission: %v", err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// The replies that are allowed when there is no room for mail, and also after a disk
// failure.
var (
	noSpace     = []string{"452 4.3.1"}
	diskFailure = []string{"452 4.3.1", "451 4.3.0", "451 4.3.2", "451 4.3.5"}
)

// TestDiskBelowFloor runs a server on a small file system in which less is free than
// must stay so: mail is refused for now, all else goes on, and mail is taken again when
// there is room.
func TestDiskBelowFloor(t *testing.T) {
	t.Parallel()
	disk := tmpfs(t, "64m")
	o := options{loglevel: "error", dir: filepath.Join(disk, "mox"), edit: []string{"DataDir: data\n", "DataDir: data\nMinimumFreeSpace: 16777216\n"}}
	s := localserve(t, o)
	ctx := testContext(t)
	c := s.inbox()
	var kept []string
	for i := range 6 {
		subject := fmt.Sprintf("before-%d", i)
		deliver(t, s.smtpClient(), user, diskMessage(subject))
		kept = append(kept, subject)
	}
	fill(t, disk, 8<<20)
	poll(t, "mail is refused below the floor", func() bool { // What is free is measured now and then.
		subject := fmt.Sprintf("meanwhile-%d", len(kept))
		taken := s.tryDeliver(ctx, subject, noSpace...)
		if taken {
			kept = append(kept, subject)
		}
		return !taken
	})
	for range 3 {
		if s.tryDeliver(ctx, "refused", noSpace...) || s.tryAppend(ctx, c, "refused") || s.trySubmit(ctx, "refused", noSpace...) {
			t.Errorf("mail was taken below the floor")
		}
	}

	// Reading, searching, flagging, moving and expunging go on.
	if _, err := c.Noop(ctx); err != nil {
		t.Fatal(err)
	}
	s.checkInbox(kept, nil)
	if _, _, err := c.Store(ctx, imapclient.Seq, numbers(t, "1"), imapclient.StoreAdd, []string{`\Flagged`}, imapclient.StoreOptions{}); err != nil {
		t.Errorf("flag: %v", err)
	}
	if _, _, err := c.Store(ctx, imapclient.Seq, numbers(t, "2"), imapclient.StoreAdd, []string{`\Deleted`}, imapclient.StoreOptions{}); err != nil {
		t.Errorf("mark deleted: %v", err)
	}
	if _, err := c.Expunge(ctx); err != nil {
		t.Errorf("expunge: %v", err)
	}
	if _, _, err := c.Move(ctx, imapclient.Seq, numbers(t, "2"), "Trash"); err != nil {
		t.Errorf("move: %v", err)
	}
	kept = slices.Delete(kept, 1, 3)
	s.checkInbox(kept, []string{"before-0"})
	if res, err := c.Search(ctx, imapclient.Seq, subjectProgram("before"), imapclient.SearchOptions{}); err != nil || len(res.Nums) != 4 {
		t.Errorf("search: %v, %v", res, err)
	}

	unfill(t, disk)
	poll(t, "mail is taken again", func() bool { return s.tryDeliver(ctx, "after", noSpace...) })
	if !s.tryAppend(ctx, c, "after-append") || !s.trySubmit(ctx, "after-submit", noSpace...) {
		t.Error("mail is not taken again")
	}
	s.waitSubject("after-submit", 1)
	kept = append(kept, "after", "after-append", "after-submit")
	s.checkInbox(kept, []string{"before-0"})
	s.stop()
	s = localserve(t, options{loglevel: "error", dir: o.dir})
	s.checkInbox(kept, []string{"before-0"})
}

// checkInbox checks that just the messages with these subjects are in the inbox.
func (s *server) checkInbox(subjects, flagged []string) {
	s.t.Helper()
	got, gotFlagged := s.subjects()
	for _, subject := range subjects {
		if got[subject] != 1 {
			s.t.Errorf("%d messages with subject %q in the inbox instead of one", got[subject], subject)
		}
		delete(got, subject)
	}
	if len(got) > 0 || !slices.Equal(gotFlagged, flagged) {
		s.t.Errorf("in the inbox is also %v; flagged is %q, want %q", got, gotFlagged, flagged)
	}
}

// TestDiskFull runs a server without a floor on a file system in which writes fail, at
// one place after the other. What was acknowledged is there when there is room again,
// once, and after a restart.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := tmpfs(t, "48m")
	o := options{loglevel: "error", dir: filepath.Join(disk, "mox"), edit: []string{"DataDir: data\n", "DataDir: data\nMinimumFreeSpace: -1\n"}}
	s := localserve(t, o)
	ctx := testContext(t)
	deliver(t, s.smtpClient(), user, diskMessage("first"))
	kept, refused := []string{"first"}, 0
	take := func(subject string, taken bool) {
		if taken {
			kept = append(kept, subject)
		} else {
			refused++
		}
	}
	// In the short form with room for nothing, and for some messages.
	room := []int64{0, 100 << 10}
	if soak() {
		for free := int64(4 << 10); free < 200<<10; free += 12 << 10 {
			room = append(room, free)
		}
	}
	for n, free := range room {
		fill(t, disk, free)
		for i := range 3 {
			subject := fmt.Sprintf("full-%d-%d-", n, i)
			take(subject+"smtp", s.tryDeliver(ctx, subject+"smtp", diskFailure...))
			take(subject+"submit", s.trySubmit(ctx, subject+"submit", diskFailure...))
			c := s.imap(user, password)
			take(subject+"append", s.tryAppend(ctx, c, subject+"append"))
			if _, err := c.Select(ctx, "INBOX", imapclient.SelectOptions{}); err != nil {
				t.Fatalf("select: %v", err)
			}
			_, _, err := c.Store(ctx, imapclient.Seq, numbers(t, "1"), imapclient.StoreAdd, []string{fmt.Sprintf("keyword%d-%d", n, i)}, imapclient.StoreOptions{})
			_ = s.done("store", err)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if got, _ := s.subjects(); got["first"] != 1 {
			t.Fatalf("cannot be read any longer: %v", got)
		}
		if free > 0 {
			s.recover(ctx, disk, fmt.Sprintf("room-%d", n), take)
		}
	}
	s.failCommit(ctx, disk, take)
	s.recover(ctx, disk, "verified", take)
	t.Logf("%d messages were taken, %d refused", len(kept), refused)
	if refused == 0 {
		t.Error("the disk was never full")
	}
	s.checkTaken(kept)
	s.stop()
	s = localserve(t, options{loglevel: "error", dir: o.dir})
	s.checkTaken(kept)
}

// failCommit delivers messages with room for their file only, until the records of one
// have no room. Mostly there are free pages in the database.
func (s *server) failCommit(ctx context.Context, disk string, take func(string, bool)) {
	s.t.Helper()
	const failed = "writing the database failed"
	before := strings.Count(s.proc.Output(), failed)
	for n := range 100 {
		subject := fmt.Sprintf("commit-%d", n)
		const page = 4096
		fill(s.t, disk, int64(len(diskMessage(subject))+page-1)/page*page)
		taken := s.tryDeliver(ctx, subject, diskFailure...)
		take(subject, taken)
		if strings.Count(s.proc.Output(), failed) > before {
			if taken {
				s.t.Errorf("%s was acknowledged and not committed", subject)
			}
			return
		}
	}
	s.t.Error("no commit failed")
}

// recoverPause is between attempts while the server verifies what is on disk, which it
// does after tens of seconds.
const recoverPause = 200 * time.Millisecond

// recover makes room, and waits until mail is taken again.
func (s *server) recover(ctx context.Context, disk, subject string, take func(string, bool)) {
	s.t.Helper()
	unfill(s.t, disk)
	n := 0
	for what, try := range map[string]func(context.Context, string, ...string) bool{"mail": s.tryDeliver, "submission": s.trySubmit} {
		poll(s.t, what+" is taken again", func() bool {
			n++
			name := fmt.Sprintf("%s-%d", subject, n)
			taken := try(ctx, name, diskFailure...)
			take(name, taken)
			if !taken {
				time.Sleep(recoverPause)
			}
			return taken
		})
	}
}

// checkTaken checks that all messages that were taken are there, once, or in the queue:
// that tries again after minutes what had no room in the account. Of those refused some
// may be there: after a failed commit it is not known whether it has happened.
func (s *server) checkTaken(subjects []string) {
	s.t.Helper()
	var got map[string]int
	poll(s.t, "all that was taken is there", func() bool {
		got, _ = s.subjects()
		queued := s.queuedText()
		return !slices.ContainsFunc(subjects, func(subject string) bool {
			return got[subject] == 0 && !strings.Contains(queued, "Subject: "+subject+"\r\n")
		})
	})
	for subject, n := range got {
		if n != 1 {
			s.t.Errorf("%q is there %d times", subject, n)
		}
	}
}

// queuedText returns all messages in the queue.
func (s *server) queuedText() string {
	s.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.dir, "data", "queue", "msg", "*", "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // May have been delivered.
			s.t.Fatal(err)
		}
		b.Write(data)
	}
	return b.String()
}

// snapshot returns what is below a directory: of each name the type and permissions, and
// a hash of the content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	l := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		l[path] = fi.Mode().String()
		if fi.Mode().IsRegular() {
			l[path] += fmt.Sprintf(" %d %x", fi.Size(), sha256.Sum256(testkit.ReadFile(t, path)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// refuses runs mox and checks that it ends with an error that has all of what is wanted,
// and changes nothing in dir.
func refuses(t *testing.T, dir string, args []string, want ...string) {
	t.Helper()
	before := snapshot(t, dir)
	out, code := mox(t, args...)
	for _, s := range want {
		if code == 0 || !strings.Contains(out, s) {
			t.Errorf("mox %s: exit code %d, want an error with %q\n%s", strings.Join(args, " "), code, s, out)
		}
	}
	if strings.Contains(out, "goroutine ") {
		t.Errorf("mox %s: there was a panic\n%s", strings.Join(args, " "), out)
	}
	if after := snapshot(t, dir); !maps.Equal(before, after) {
		t.Errorf("mox %s changed files, from\n%v\nto\n%v", strings.Join(args, " "), before, after)
	}
}

// TestReadOnlyDataIsRefused starts commands on a file system that cannot be written.
func TestReadOnlyDataIsRefused(t *testing.T) {
	t.Parallel()
	disk := tmpfs(t, "16m")
	dir := filepath.Join(disk, "mox")
	s := localserve(t, options{dir: dir, edit: []string{"DataDir: data\n", "DataDir: data\nMinimumFreeSpace: -1\n"}})
	deliver(t, s.smtpClient(), user, diskMessage("first"))
	s.stop()
	succeed(t, "", "mount", "-o", "remount,ro", disk)
	data := filepath.Join(dir, "data")
	refuses(t, dir, []string{"localserve", "-dir", dir, "-ports", "0"}, data+" must be writable", "read-only file system")
	for _, args := range [][]string{
		{"localserve", "-dir", filepath.Join(disk, "other"), "-initonly"},
		{"verifydata", data},
		{"-config", filepath.Join(dir, "mox.conf"), "compact"},
	} {
		refuses(t, dir, args, disk, "read-only file system")
	}
	succeed(t, "", "mount", "-o", "remount,rw", disk)
	s = localserve(t, options{dir: dir})
	s.checkInbox([]string{"first"}, nil)
}

// TestSecondServerIsRefused starts commands on data that a server has open.
func TestSecondServerIsRefused(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	deliver(t, s.smtpClient(), user, diskMessage("first"))
	data, pid := filepath.Join(s.dir, "data"), fmt.Sprintf("locked by process %d", s.proc.PID())
	// It changes nothing by itself meanwhile.
	check(t, s.proc.Cmd.Process.Signal(syscall.SIGSTOP))
	refuses(t, s.dir, []string{"localserve", "-dir", s.dir, "-ports", "0"}, "another mox is running", "stop that first", data, pid)
	refuses(t, s.dir, []string{"verifydata", data}, "stop the server first", data, pid)
	refuses(t, s.dir, []string{"verifydata", "-fix", data}, "stop the server first", data, pid)
	refuses(t, s.dir, []string{"-config", filepath.Join(s.dir, "mox.conf"), "compact"}, data, pid)
	check(t, s.proc.Cmd.Process.Signal(syscall.SIGCONT))
	deliver(t, s.smtpClient(), user, diskMessage("second"))
	s.checkInbox([]string{"first", "second"}, nil)
}

// TestMalformedConfigIsRefused starts a server with errors in its configuration: all
// are told, with file and line, and nothing is changed.
func TestMalformedConfigIsRefused(t *testing.T) {
	t.Parallel()
	made := filepath.Join(testkit.DataDir(t), "mox")
	initOnly(t, made)
	original := map[string]string{}
	for _, name := range []string{"mox.conf", "domains.conf"} {
		original[name] = string(testkit.ReadFile(t, filepath.Join(made, name)))
	}
	// Each edit is a file, what is replaced in it, by what, and the error after file and
	// line.
	type edit struct{ file, from, to, want string }
	for name, edits := range map[string][]edit{
		"unknown field":     {{"mox.conf", "Hostname: localhost", "Hostname: localhost\nHosstname: x", `unknown key "Hosstname"`}},
		"bad value":         {{"mox.conf", "Port: 1025", "Port: 99999", "Listeners.local.SMTP.Port: port 99999"}},
		"not a number":      {{"mox.conf", "Port: 1025", "Port: smtp", "Port: "}},
		"no space":          {{"mox.conf", "Hostname: localhost", "Hostname:localhost", "missing space after colon"}},
		"bad indent":        {{"domains.conf", "Accounts:\n", "  Accounts:\n", "indent"}},
		"unknown domain":    {{"domains.conf", "Domain: localhost", "Domain: elsewhere.example", "elsewhere.example"}},
		"unknown in domain": {{"domains.conf", "\t\tDomain: localhost", "\t\tDomain: localhost\n\t\tQuota: 1", `unknown key "Quota"`}},
		"several": {
			{"mox.conf", "LogLevel: traceauth", "LogLevel: loud", `unknown log level "loud"`},
			{"mox.conf", "- ::1", "- 127.0.0.300", `"127.0.0.300" is not an IP address`},
			{"mox.conf", "Account: mox", "Account: nobody", `account "nobody" is not in domains.conf`},
			{"domains.conf", "mox@localhost: nil", "mox@elsewhere.example: nil", "elsewhere.example"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(testkit.DataDir(t), "mox")
			if err := os.CopyFS(dir, os.DirFS(made)); err != nil {
				t.Fatal(err)
			}
			var want []string
			texts := maps.Clone(original)
			for _, e := range edits {
				if !strings.Contains(texts[e.file], e.from) {
					t.Fatalf("no %q in %s", e.from, e.file)
				}
				texts[e.file] = strings.Replace(texts[e.file], e.from, e.to, 1)
			}
			for _, e := range edits {
				// The line that is wrong is the last one that was put there.
				before, _, _ := strings.Cut(texts[e.file], e.to)
				line := 1 + strings.Count(before, "\n") + strings.Count(strings.TrimSuffix(e.to, "\n"), "\n")
				want = append(want, fmt.Sprintf("%s:%d: ", filepath.Join(dir, e.file), line), e.want)
			}
			for file, text := range texts {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			refuses(t, dir, []string{"localserve", "-dir", dir, "-ports", "0"}, want...)
			refuses(t, dir, []string{"-config", filepath.Join(dir, "mox.conf"), "config", "test"}, want...)
		})
	}
}
