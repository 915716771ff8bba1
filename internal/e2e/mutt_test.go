package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mox/internal/testkit"
)

// muttConfig is the configuration of mutt, with folder, password and certificate.
const muttConfig = `
set folder=%s
set spoolfile=+INBOX
set imap_user=mox@localhost
set imap_pass=%s
set ssl_starttls=no
set certificate_file=%s
set ssl_verify_host=no
set mail_check=1
set timeout=1
set imap_idle=yes
set sort=mailbox-order
set confirmappend=no
set delete=yes
set wait_key=no
set mark_old=no
set read_inc=0
set header_cache=
set postponed=
set record=
`

// A terminal is a tmux server with one window.
type terminal struct {
	t      *testing.T
	socket string
}

// newTerminal runs a shell command in a terminal, which ends with the test.
func newTerminal(t *testing.T, dir, command string) *terminal {
	t.Helper()
	term := &terminal{t, filepath.Join(dir, "tmux")}
	cmd := exec.Command(testkit.Tool(t, "tmux"), "-S", term.socket, "-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", command)
	cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8", "TERM=xterm")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("screen:\n%s", term.screen())
		}
		// What runs in it is gone before its directory is.
		pid, err := strconv.Atoi(strings.TrimSpace(term.tmux("display-message", "-p", "#{pane_pid}")))
		if err == nil {
			_ = syscall.Kill(-pid, syscall.SIGKILL) // It may have ended.
			poll(t, "end of what runs in the terminal", func() bool { return syscall.Kill(-pid, 0) != nil })
		}
		term.tmux("kill-server") // It may have ended too.
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	return term
}

// tmux runs a command of tmux and returns its output, which is an error if there is no
// terminal any more.
func (term *terminal) tmux(args ...string) string {
	out, _ := run(term.t, "", "tmux", append([]string{"-S", term.socket}, args...)...)
	return out
}

// screen returns what the terminal shows.
func (term *terminal) screen() string { return term.tmux("capture-pane", "-p") }

// keys types keys, by their names in tmux.
func (term *terminal) keys(keys ...string) {
	term.t.Helper()
	succeed(term.t, "", "tmux", append([]string{"-S", term.socket, "send-keys"}, keys...)...)
}

// wait waits until the terminal shows all of some texts.
func (term *terminal) wait(texts ...string) {
	term.t.Helper()
	poll(term.t, fmt.Sprintf("screen with %q", texts), func() bool {
		screen := term.screen()
		return !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(screen, s) })
	})
}

// TestMutt opens the inbox with mutt and with neomutt, reads a message, flags one, deletes
// one, moves one that it searches for, and sees one that is delivered meanwhile.
func TestMutt(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"mutt", "neomutt"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			testMutt(t, program)
		})
	}
}

func testMutt(t *testing.T, program string) {
	testkit.Tool(t, program)
	s := localserve(t, options{})
	c := s.inbox()
	appendMessages(t, c, "INBOX", simple("first letter"), simple("second letter"), simple("third letter"), strings.Replace(simple("fourth"), "Subject: fourth", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", 1), simple("fifth letter"))
	dir := t.TempDir()
	rc := filepath.Join(dir, "muttrc")
	_, port := s.hostPort("imaps")
	if err := os.WriteFile(rc, fmt.Appendf(nil, muttConfig, "imaps://localhost:"+port+"/", password, s.cert()), 0o600); err != nil {
		t.Fatal(err)
	}
	term := newTerminal(t, dir, testkit.Tool(t, program)+" -n -F "+rc)
	term.wait("first letter", "second letter", "third letter", "Grüße", "Msgs:5")

	// Read the second.
	term.keys("2", "Enter", "Enter")
	term.wait("Subject: second letter", "Text of second letter.")
	term.keys("q")
	term.wait("Msgs:5")

	// Flag the first, delete the third, move the fifth, write.
	term.keys("1", "Enter", "F")
	term.keys("3", "Enter", "d")
	term.wait("Flag:1", "Del:1")
	term.keys("/", "~b text.of.fifth", "Enter", "s")
	term.wait("Save to mailbox")
	term.keys("C-u", "=Archive", "Enter")
	term.wait("Del:2")
	term.keys("$")
	term.wait("Msgs:3", "Flag:1")

	// One comes.
	deliver(t, s.smtpClient(), user, simple("sixth letter"))
	term.wait("sixth letter", "Msgs:4")
	term.keys("q")

	s.wantFlags("INBOX", "first letter", `\Flagged`, "second letter", `\Seen`, "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "", "sixth letter", "")
	s.wantFlags("Archive", "fifth letter", "")
}
