//go:build !linux

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// hideInput returns what makes a terminal as it is now.
func hideInput(f *os.File) (restore func() error, err error) {
	before, err := term.GetState(int(f.Fd()))
	return func() error { return term.Restore(int(f.Fd()), before) }, err
}

// readHidden reads a line from a terminal and does not show it.
func readHidden(f *os.File) (string, error) {
	line, err := term.ReadPassword(int(f.Fd()))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	return firstLine(strings.NewReader(string(line)))
}
