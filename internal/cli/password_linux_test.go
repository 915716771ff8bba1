package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pty returns both sides of a new terminal.
func pty(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err := errors.Join(err, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0)); err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return keyboard, terminal
}

// shows reports whether a terminal shows what is typed.
func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// A prompter calls a function when it is asked for something.
type prompter func()

func (p prompter) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "password: ") {
		p()
	}
	return len(b), nil
}

func TestPasswordIsNotShownFromThePromptOn(t *testing.T) {
	t.Parallel()
	keyboard, terminal := pty(t)
	e := &env{in: terminal, err: prompter(func() {
		if shows(t, terminal) {
			t.Error("at the prompt, the terminal shows what is typed")
		}
		if _, err := keyboard.WriteString("secret\n"); err != nil {
			t.Error(err)
		}
	})}
	got, err := e.readPassword(t.Context(), "password")
	if err != nil || got != "secret" {
		t.Errorf("got %q, %v", got, err)
	}
	if !shows(t, terminal) {
		t.Error("after the password, the terminal does not show what is typed")
	}

	// Who interrupts has a terminal as before.
	ctx, cancel := context.WithCancel(t.Context())
	e.err = prompter(cancel)
	if got, err := e.readPassword(ctx, "password"); !errors.Is(err, errInterrupted) {
		t.Errorf("interrupted: got %q, %v", got, err)
	}
	if _, err := keyboard.WriteString("\n"); err != nil { // What still waits for it.
		t.Error(err)
	}
	if !shows(t, terminal) {
		t.Error("after an interrupt, the terminal does not show what is typed")
	}
}
