package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
)

// upgradeVersions returns what earlier versions are called in git: their tags, and the
// commits of a list.
func upgradeVersions(t *testing.T) []string {
	t.Helper()
	versions := strings.Fields(succeed(t, "", "git", "-C", "../..", "tag", "--list", "v*"))
	for line := range strings.Lines(string(testkit.ReadFile(t, "testdata/upgrade/versions.txt"))) {
		if f := strings.Fields(line); len(f) > 0 && f[0][0] != '#' {
			versions = append(versions, f[0])
		}
	}
	return versions
}

// buildVersion builds the program of an earlier version, from the history of the
// repository, and returns its path.
func buildVersion(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	archive, bin := filepath.Join(dir, "src.tar"), filepath.Join(dir, "mox")
	succeed(t, "", "git", "-C", "../..", "archive", "-o", archive, version)
	src := filepath.Join(dir, "src")
	if err := os.Mkdir(src, 0700); err != nil {
		t.Fatal(err)
	}
	succeed(t, "", "tar", "-xf", archive, "-C", src)
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, ".")
	cmd.Dir = src // Left out of the program by -trimpath, so that what was built is used again.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building version %s: %v\n%s", version, err, out)
	}
	return bin
}

// TestUpgrade makes data with earlier versions, takes it over, and gives it back.
func TestUpgrade(t *testing.T) {
	if !soak() && os.Getenv("MOX_UPGRADETEST") == "" {
		t.Skip("builds earlier versions: make upgradetest")
	}
	changed := 0
	for _, version := range upgradeVersions(t) {
		t.Run(version, func(t *testing.T) {
			old := buildVersion(t, version)
			testUpgradeOfTestData(t, old)
			if testUpgrade(t, old) {
				changed++
			}
		})
	}
	if changed == 0 {
		t.Error("no version has had other formats")
	}
}

// testUpgrade takes over what a version has delivered and queued, and gives it back if
// formats have changed since, which it returns.
func testUpgrade(t *testing.T, old string) (changed bool) {
	dir := filepath.Join(testkit.DataDir(t), "mox")
	data := filepath.Join(dir, "data")
	s := startVersion(t, dir, old)
	deliver(t, s.smtpClient(), user, diskMessage("before"))
	uids := s.waitSubject("before", 1)
	_, _, err := s.inbox().Store(testContext(t), imapclient.UID, imap.NewRanges(uids...).NumSet(), imapclient.StoreAdd, []string{`\Flagged`}, imapclient.StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.submitLater("later")
	stopVersion(t, s)

	// The new version has it all, and changes it.
	s = localserve(t, options{dir: dir})
	s.checkUpgraded()
	s.waitQueued(1)
	deliver(t, s.smtpClient(), user, diskMessage("after"))
	s.waitSubject("after", 1)
	s.stop() // And verifies.
	out, code := mox(t, "upgrade", "status", data)
	if code != 0 {
		t.Fatalf("status: exit code %d\n%s", code, out)
	}
	if !strings.Contains(out, ".db\t") {
		return false
	}
	if !strings.Contains(out, filepath.Join("accounts", "mox", "index.db")+"\t") {
		t.Fatalf("status:\n%s", out)
	}
	if out, code = mox(t, "upgrade", "back", data); code == 0 {
		t.Errorf("went back without being sure:\n%s", out)
	}
	if out, code = mox(t, "upgrade", "back", "-yes", data); code != 0 {
		t.Fatalf("going back: exit code %d\n%s", code, out)
	}

	// The old version has what it had.
	run(t, "", old, "verifydata", "-fix", data) // The file of the new message is in its way.
	succeed(t, "", old, "verifydata", data)
	s = startVersion(t, dir, old)
	if n := s.checkUpgraded()["after"]; n != 0 {
		t.Errorf("%d messages that came after the upgrade are there", n)
	}
	stopVersion(t, s)

	// And forward again.
	s = localserve(t, options{dir: dir})
	s.checkUpgraded()
	s.waitQueued(1)
	s.stop()
	if out, code = mox(t, "upgrade", "finish", data); code != 0 || strings.HasPrefix(out, "0 ") {
		t.Errorf("finish: exit code %d, %s", code, out)
	}
	s = localserve(t, options{dir: dir})
	s.checkUpgraded()
	return true
}

// testUpgradeOfTestData takes over what an earlier version has made with all kinds of
// databases, if it has the command for that, and gives it back.
func testUpgradeOfTestData(t *testing.T, old string) {
	data := filepath.Join(testkit.DataDir(t), "made")
	if _, code := run(t, "", old, "help", "gentestdata"); code != 0 {
		t.Log("this version makes no test data")
		return
	}
	succeed(t, "", old, "gentestdata", data)
	do := func(args ...string) string {
		out, code := mox(t, append(args, data)...)
		if code != 0 {
			t.Fatalf("%s: exit code %d\n%s", args, code, out)
		}
		return out
	}
	do("verifydata")
	if strings.Contains(do("upgrade", "status"), ".db\t") { // Formats have changed since.
		do("upgrade", "back", "-yes")
	}
	succeed(t, "", old, "verifydata", data)
	do("verifydata")
}

// startVersion starts a server of an earlier version.
func startVersion(t *testing.T, dir, bin string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, proc: startOnly(t, dir, bin)}
	s.ready()
	return s
}

func stopVersion(t *testing.T, s *server) {
	t.Helper()
	_ = s.proc.Stop() // Its exit code is that of the signal.
	if out := s.proc.Output(); strings.Contains(out, "panic") {
		t.Errorf("there was a panic in the server:\n%s", out)
	}
}

// submitLater submits a message that stays in the queue for a day, by RFC 4865.
func (s *server) submitLater(subject string) {
	s.t.Helper()
	nc := s.dial("submission")
	defer nc.Close()
	c := textproto.NewConn(nc)
	say := func(code int, line string) {
		s.t.Helper()
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				s.t.Fatal(err)
			}
		}
		if _, msg, err := c.ReadResponse(code); err != nil {
			s.t.Fatalf("%s: %v, %s", line, err, msg)
		}
	}
	say(220, "")
	say(250, "EHLO client.example")
	say(235, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
	say(250, fmt.Sprintf("MAIL FROM:<%s> HOLDFOR=86400", user))
	say(250, "RCPT TO:<someone@remote.example>")
	say(354, "DATA")
	w := bufio.NewWriter(nc)
	fmt.Fprintf(w, "From: <%s>\r\nTo: <someone@remote.example>\r\nSubject: %s\r\n\r\n%[2]s\r\n.\r\n", user, subject)
	if err := w.Flush(); err != nil {
		s.t.Fatal(err)
	}
	say(250, "")
}

// waitQueued checks how many messages are in the queue.
func (s *server) waitQueued(n int) {
	s.t.Helper()
	out, code := mox(s.t, "-config", filepath.Join(s.dir, "mox.conf"), "queue", "list")
	if code != 0 || strings.Count(out, "someone@remote.example") != n {
		s.t.Errorf("queue: exit code %d\n%s", code, out)
	}
}

// checkUpgraded checks that the message of before the upgrade can be read, with its flag,
// and returns the subjects of all.
func (s *server) checkUpgraded() map[string]int {
	s.t.Helper()
	s.waitSubject("before", 1)
	count, flagged := s.subjects()
	if len(flagged) != 1 || flagged[0] != "before" {
		s.t.Errorf("flagged are %q", flagged)
	}
	return count
}
