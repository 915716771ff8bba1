package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// TestPasswordsAreNotShown types a password on a terminal, which does not show it, and
// interrupts a command that waits for one, after which the terminal shows again what is typed.
func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{})
	conf := filepath.Join(s.dir, "mox.conf")
	term := newTerminal(t, t.TempDir(), "/bin/sh")
	set := fmt.Sprintf("%s -config %s setaccountpassword mox", testkit.Mox(t), conf)
	term.keys("clear; echo first; "+set, "Enter")
	term.wait("first\nnew password of account mox:")
	const secret = "another-secret"
	term.keys(secret, "Enter")
	term.wait("password of account mox was set")
	if screen := term.screen(); strings.Contains(screen, secret) {
		t.Errorf("the password is on the screen:\n%s", screen)
	}
	s.imap(user, secret)

	term.keys("clear; echo second; "+set, "Enter")
	term.wait("second\nnew password of account mox:")
	term.keys("C-c")
	term.wait("interrupted")
	term.keys("clear; stty -a", "Enter")
	term.wait(" echo ")
	s.imap(user, secret)
}
