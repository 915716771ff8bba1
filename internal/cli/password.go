package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPasswordLine is how much of standard input can be a password, in octets.
const maxPasswordLine = 4096

// errInterrupted ends a command that waits for somebody to type.
var errInterrupted = errors.New("interrupted")

// readPassword reads a line from standard input. On a terminal it asks for it, and what is
// typed is not shown.
func (e *env) readPassword(ctx context.Context, prompt string) (string, error) {
	f, ok := e.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return firstLine(e.in)
	}
	// A signal that ended the process would leave the terminal as it is meanwhile.
	ctx, cancel := interruptible(ctx)
	defer cancel()
	// Before it is asked for: who types fast, or a program, answers at once.
	restore, err := hideInput(f)
	if err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprint(e.err, prompt+": ")
	defer fmt.Fprintln(e.err)
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := readHidden(f)
		read <- result{line, err}
	}()
	var r result
	select {
	case r = <-read:
	case <-ctx.Done():
		r.err = errInterrupted
	}
	return r.line, errors.Join(r.err, restore())
}

// firstLine returns a line that is a secret.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("there is no password or token")
	}
	return line, nil
}
