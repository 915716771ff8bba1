package e2e

import (
	"strings"
	"testing"

	"mox/internal/testkit"
)

// TestAlpine opens the inbox with alpine, reads a message, flags one, moves one that it
// searches for, deletes one, and sees one that is delivered meanwhile.
func TestAlpine(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "alpine")
	s := localserve(t, options{})
	appendMessages(t, s.inbox(), "INBOX", simple("first letter"), simple("second letter"), simple("third letter"), simple("fourth letter"))
	dir := t.TempDir()
	rc := s.writeConfig(dir, "pinerc", `
user-domain=localhost
inbox-path={localhost:$PORT/ssl/novalidate-cert/user=$USER}INBOX
folder-collections=mox {localhost:$PORT/ssl/novalidate-cert/user=$USER}[]
feature-list=enable-flag-cmd,enable-aggregate-command-set,expunge-without-confirm,
	quit-without-confirm,no-enable-newmail-in-xterm-icon,auto-open-next-unread,enable-tab-checks-recent
mail-check-interval=1
mail-check-interval-noncurrent=1
sort-key=arrival
last-version-used=9.99
initial-keystroke-list=i
`)
	term := newTerminal(t, dir, testkit.Tool(t, "alpine")+" -p "+rc)
	term.wait("PASSWORD")
	term.keys(password, "Enter")
	term.wait("Preserve password")
	term.keys("n")
	term.wait("first letter", "fourth letter")

	// Read the second.
	term.keys("j", "2", "Enter", "Enter")
	term.wait("Text of second letter.")
	term.keys("<")
	term.wait("first letter", "fourth letter")

	// Flag the first, move the fourth, delete the third, write.
	term.keys("j", "1", "Enter", "*")
	term.wait("Flag New")
	term.keys("*")
	term.wait("* N   1")
	term.keys("\\;")
	term.wait("SELECT criteria")
	term.keys("t")
	term.wait("Select based on")
	term.keys("a")
	term.wait("to match")
	term.keys("text of fourth", "Enter")
	term.wait("X N   4 ")
	term.keys("a", "s")
	term.wait("SAVE")
	term.keys("Archive", "Enter")
	term.wait("X D   4 ") // What it says of it is soon gone from the screen.
	term.keys("j", "3", "Enter", "d")
	term.wait("D   3 ")
	term.keys("x")
	s.wantFlags("INBOX", "first letter", `\Flagged`, "second letter", `\Seen`)
	s.wantFlags("Archive", "fourth letter", "")

	// One comes.
	deliver(t, s.smtpClient(), user, simple("fifth letter"))
	poll(t, "a new message", func() bool {
		term.keys("C-l") // It looks for new mail every 15 seconds only, and now.
		return strings.Contains(term.screen(), "fifth letter")
	})
}

// TestAerc does the same with aerc.
func TestAerc(t *testing.T) {
	t.Parallel()
	testkit.Tool(t, "aerc")
	s := localserve(t, options{})
	appendMessages(t, s.inbox(), "INBOX", simple("first letter"), simple("second letter"), simple("third letter"), simple("fourth letter"))
	dir := t.TempDir()
	s.writeConfig(dir, ".config/aerc/accounts.conf", `
[mox]
source = imaps://mox%40localhost:$PASSWORD@localhost:$PORT
default = INBOX
from = <$USER>
cache-headers = false
idle-timeout = 1s
`)
	term := newTerminal(t, dir, "SSL_CERT_FILE="+s.cert()+" "+testkit.Tool(t, "aerc"))
	term.wait("first letter", "fourth letter")

	// Read the second.
	command := func(text string) {
		term.keys("-l", ":"+text)
		term.keys("Enter")
	}
	command("select 2")
	command("view")
	term.wait("Text of second letter.")
	command("close")
	term.wait("fourth letter")

	// Flag the first, move one that is searched for, delete the third.
	command("select 3")
	command("flag")
	command("filter -b fourth")
	poll(t, "only what was searched for", func() bool { return !strings.Contains(term.screen(), "third letter") })
	poll(t, "a message in Archive", func() bool {
		command("select 0")
		command("move Archive") // It may still be loading the message.
		return len(s.flagsOf("Archive")) > 0
	})
	s.wantFlags("Archive", "fourth letter", "")
	command("clear")
	term.wait("third letter")
	command("select 0")
	command("delete")
	s.wantFlags("INBOX", "first letter", `\Flagged`, "second letter", `\Seen`)

	// One comes.
	deliver(t, s.smtpClient(), user, simple("fifth letter"))
	term.wait("fifth letter")
}
